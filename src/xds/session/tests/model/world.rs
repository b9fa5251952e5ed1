//! Random worlds: what could be published for a Gateway, one change after the other.
//!
//! A world is consistent as translation makes it: what a resource names is there, except for secrets that are known
//! to be absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arcstr::ArcStr;

use super::random::Random;
use crate::resource::ResourceType::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret};
use crate::resource::{Parts, Ref, Resource, ResourceType};
use crate::snapshot::{self, Change, Snapshot};

/// What a client makes of a resource. The first byte of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Takes it.
    Good = b'+' as isize,
    /// Refuses the response that holds it.
    Refused = b'!' as isize,
    /// Takes it, and it never becomes warm. A cluster.
    Stuck = b'~' as isize,
    /// Takes it, and no request can be answered with it. A load assignment without endpoints.
    Empty = b'0' as isize,
    /// The same, of a load assignment that is gone: a message with a name alone, which the session itself writes.
    Gone = b'\n' as isize,
}

impl Nature {
    pub(super) fn of(resource: &Resource) -> Nature {
        let first = resource.body.frames().next().and_then(|frame| frame.first().copied());
        let all = [Nature::Good, Nature::Refused, Nature::Stuck, Nature::Empty, Nature::Gone];
        all.into_iter().find(|nature| Some(*nature as u8) == first).expect("written by a world, or gone")
    }
}

/// Which changes a history may have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mix {
    /// Resources that the client refuses.
    pub(super) refused: bool,
    /// Clusters that never become warm.
    pub(super) stuck: bool,
    /// Secrets that are named and absent.
    pub(super) absent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: u64,
    nature: Nature,
    refs: BTreeSet<Ref>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    rows: BTreeMap<Ref, Row>,
    absent: BTreeSet<Ref>,
}

fn named(kind: ResourceType, number: u64) -> Ref {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    Ref::new(kind, NAMES[number as usize])
}

/// The secret of clusters. It is always there: a cluster that is replaced while its client asks for a secret that has
/// gone would be in use without it for a moment.
const LASTING: u64 = 4;

/// The types that a world is made of.
const KINDS: [ResourceType; 5] = [Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret];

/// How many names of a type there are.
fn names_of(kind: ResourceType) -> u64 {
    match kind {
        Cluster | ClusterLoadAssignment => 5,
        RouteConfiguration => 3,
        _ => 2,
    }
}

fn any(kind: ResourceType, random: &mut Random) -> Ref {
    named(kind, random.below(names_of(kind)))
}

impl World {
    /// A first world, in which everything is good.
    pub(super) fn first(random: &mut Random) -> World {
        let mut world = World::default();
        world.rows.insert(named(Secret, LASTING), Row::new(random, []));
        world.rows.insert(named(Listener, 0), Row::new(random, [named(RouteConfiguration, 0)]));
        for _ in 0..random.below(6) {
            world.change(random, Mix::default());
        }
        world.close(random);
        world
    }

    /// The world after some changes that come together.
    pub(super) fn next(&self, random: &mut Random, mix: Mix) -> World {
        let mut world = self.clone();
        for _ in 0..=random.below(3) {
            world.change(random, mix);
        }
        world.close(random);
        world
    }

    /// This world with everything in it good.
    pub(super) fn mended(&self, random: &mut Random) -> World {
        let mut world = self.clone();
        world.mend(random);
        world.absent.clear();
        world.close(random);
        world
    }

    fn mend(&mut self, random: &mut Random) {
        for row in self.rows.values_mut().filter(|row| matches!(row.nature, Nature::Refused | Nature::Stuck)) {
            row.nature = Nature::Good;
            row.number = random.below(3);
        }
    }

    fn change(&mut self, random: &mut Random, mix: Mix) {
        match random.below(20) {
            0..2 => self.on(random, Cluster, |row, random| row.number = random.below(3)),
            2..5 => self.on(random, ClusterLoadAssignment, |row, random| row.number = random.below(3)),
            5 => self.on(random, ClusterLoadAssignment, |row, _| row.nature = Nature::Empty),
            6 => self.on(random, ClusterLoadAssignment, |row, _| row.nature = Nature::Good),
            7 => self.on(random, Secret, |row, random| row.number = random.below(3)),
            8..11 => self.on(random, RouteConfiguration, |row, random| {
                let some = 1 + random.below(2);
                row.refs = (0..some).map(|_| any(Cluster, random)).collect();
                row.number = random.below(3);
            }),
            11 => self.replace(random),
            12 => self.on(random, Cluster, |row, random| {
                row.refs.retain(|to| to.kind != Secret);
                row.refs.extend((random.below(2) == 0).then(|| named(Secret, LASTING)));
            }),
            14 => {
                self.rows.entry(any(Listener, random)).or_insert_with(|| Row::new(random, []));
            }
            15 => {
                let last = self.rows.keys().filter(|key| key.kind == Listener).count() == 1;
                let gone = any(Listener, random);
                self.rows.retain(|key, _| last || *key != gone);
            }
            16 => self.on(random, Listener, |row, random| {
                row.number = random.below(3);
                if random.below(2) == 0 {
                    let some = 1 + random.below(2);
                    row.refs = (0..some).map(|_| any(RouteConfiguration, random)).collect();
                    row.refs.extend((random.below(2) == 0).then(|| any(Secret, random)));
                }
            }),
            17 if mix.refused => {
                let kind = KINDS[random.below(5) as usize];
                self.on(random, kind, |row, _| row.nature = Nature::Refused);
            }
            17 if mix.stuck => self.on(random, Cluster, |row, _| row.nature = Nature::Stuck),
            18 if mix.absent => {
                let secret = any(Secret, random);
                self.rows.remove(&secret);
                self.absent.insert(secret);
            }
            19 => {
                self.mend(random);
                self.absent.clear();
            }
            _ => {}
        }
    }

    fn on(&mut self, random: &mut Random, kind: ResourceType, change: impl FnOnce(&mut Row, &mut Random)) {
        let count = self.rows.keys().filter(|key| key.kind == kind).count() as u64;
        if count > 0 {
            let at = random.below(count) as usize;
            let row = self.rows.iter_mut().filter(|(key, _)| key.kind == kind).nth(at);
            change(row.expect("there are more").1, random);
        }
    }

    /// Every route of one cluster goes to another one, and the first is gone.
    fn replace(&mut self, random: &mut Random) {
        let (from, to) = (any(Cluster, random), any(Cluster, random));
        if from == to {
            return;
        }
        self.rows.remove(&from);
        for row in self.rows.values_mut() {
            if row.refs.remove(&from) {
                row.refs.insert(to.clone());
            }
        }
    }

    /// Adds what is named and not there, and takes some of what nothing names away.
    fn close(&mut self, random: &mut Random) {
        loop {
            let in_use: BTreeSet<Ref> = self.rows.values().flat_map(|row| row.refs.iter().cloned()).collect();
            let missing = in_use.into_iter().find(|to| !self.rows.contains_key(to) && !self.absent.contains(to));
            let Some(to) = missing else { break };
            let refs = match to.kind {
                Cluster => Some(Ref::new(ClusterLoadAssignment, to.name.clone())),
                RouteConfiguration => Some(any(Cluster, random)),
                _ => None,
            };
            self.rows.insert(to, Row::new(random, refs));
        }
        let lasting = named(Secret, LASTING);
        for kind in [Listener, RouteConfiguration, Cluster, ClusterLoadAssignment, Secret] {
            let in_use: BTreeSet<Ref> = self.rows.values().flat_map(|row| row.refs.iter().cloned()).collect();
            self.rows.retain(|key, _| {
                let stays =
                    kind == Listener || *key == lasting || (kind != ClusterLoadAssignment && random.below(3) == 0);
                key.kind != kind || stays || in_use.contains(key)
            });
        }
    }

    /// Whether a request that meets this resource is answered.
    pub(super) fn is_good(&self, key: &Ref) -> bool {
        self.rows.get(key).is_some_and(|row| row.nature == Nature::Good && row.refs.iter().all(|to| self.is_good(to)))
    }

    pub(super) fn contains(&self, key: &Ref) -> bool {
        self.rows.contains_key(key)
    }

    /// Everything that this resource needs, itself included.
    pub(super) fn needs(&self, key: &Ref) -> BTreeSet<Ref> {
        let mut all = BTreeSet::from([key.clone()]);
        for to in self.rows.get(key).iter().flat_map(|row| &row.refs) {
            all.append(&mut self.needs(to));
        }
        all
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = &Ref> {
        self.rows.keys().filter(|key| key.kind == Listener)
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        let gateway = ArcStr::from("ns/gw");
        let puts = self.rows.iter().map(|(key, row)| {
            let body = Parts::leaf(row.body());
            let resource = Arc::new(Resource::new(key.kind, key.name.clone(), body, row.refs.iter().cloned()));
            Change::Put { gateway: gateway.clone(), resource }
        });
        let mut world = snapshot::World::new();
        world.apply(puts.chain([Change::Gateway(gateway.clone())]));
        world.get(&gateway).expect("just announced")
    }
}

impl Row {
    fn new(random: &mut Random, refs: impl IntoIterator<Item = Ref>) -> Row {
        Row { number: random.below(3), nature: Nature::Good, refs: refs.into_iter().collect() }
    }

    fn body(&self) -> String {
        let refs: Vec<String> = self.refs.iter().map(|to| format!("{}:{}", letter(to.kind), to.name)).collect();
        format!("{}{}>{}", self.nature as u8 as char, self.number, refs.join(","))
    }
}

fn letter(kind: ResourceType) -> String {
    kind.short()[..1].to_lowercase()
}

/// `c:a=+1>e:a l:web=+0>r:a`: like the notation of the other tests, with the nature before the number.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.iter().map(|(key, row)| format!("{}:{}={}", letter(key.kind), key.name, row.body()));
        f.write_str(&rows.collect::<Vec<_>>().join(" "))
    }
}
