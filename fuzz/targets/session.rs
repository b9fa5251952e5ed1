//! A client that says anything at any time, while the configuration changes and time passes.

#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use syncgate::resource::{Parts, Ref, Resource, ResourceType};
use syncgate::snapshot::{Change, Snapshot, World};
use syncgate::xds::{Ask, Body, Doubts, Limits, Past, Request, Response, Session, Variant};

const GATEWAY: &str = "shop/web";
/// Names that a client may subscribe to.
const NAMES: usize = 12;
/// Ticks at a deadline that may follow each other without time passing.
const TICKS: usize = 50;

#[derive(Debug, Arbitrary)]
struct Play {
    delta: bool,
    doubts: Vec<(u8, u8)>,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// The client says something of a type.
    Say { kind: u8, nonce: Nonce, refuses: bool, names: Vec<u8>, gone: Vec<u8>, held: Vec<(u8, u8)> },
    /// A resource comes, changes or goes; the last one of a batch publishes it.
    Put { kind: u8, name: u8, content: u8, names: Vec<(u8, u8)>, publish: bool },
    Delete { kind: u8, name: u8, publish: bool },
    Pass { milliseconds: u16 },
    /// Time passes until the next deadline.
    Wait,
}

#[derive(Debug, Arbitrary)]
enum Nonce {
    None,
    Last,
    Old,
    Strange,
}

fuzz_target!(|play: Play| {
    Stage::new(&play).play(&play.steps);
});

struct Stage {
    session: Session,
    variant: Variant,
    world: World,
    now: Instant,
    nonces: Vec<[String; 2]>,
    seen: BTreeSet<String>,
}

fn kind(byte: u8) -> ResourceType {
    ResourceType::ALL[usize::from(byte) % ResourceType::COUNT]
}

/// A few names, and the wildcard.
fn name(byte: u8) -> String {
    if byte % 17 == 16 { "*".to_owned() } else { format!("n{}", byte % 17) }
}

fn names(bytes: &[u8]) -> Vec<String> {
    bytes.iter().map(|byte| name(*byte)).collect()
}

impl Stage {
    fn new(play: &Play) -> Self {
        let mut world = World::new();
        world.apply([Change::Gateway(GATEWAY.into())]);
        let variant = if play.delta { Variant::Delta } else { Variant::StateOfTheWorld };
        let mut doubts = Doubts::new();
        for (of, which) in &play.doubts {
            doubts.entry(kind(*of)).or_default().insert(name(*which).into());
        }
        let limits = Limits { names: NAMES, ..Limits::default() };
        let session = Session::new(variant, "s", &snapshot(&world), limits, doubts).remembering(past(&world));
        let nonces = vec![[String::new(), String::new()]; ResourceType::COUNT];
        Self { session, variant, world, now: Instant::now(), nonces, seen: BTreeSet::new() }
    }

    fn play(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Say { kind: of, nonce, refuses, names: wanted, gone, held } => {
                    let request = self.request(kind(*of), nonce, *refuses, wanted, gone, held);
                    if self.session.on_request(request, self.now).is_err() {
                        return;
                    }
                }
                Step::Put { kind: of, name: which, content, names, publish } => {
                    let refs: Vec<Ref> = names.iter().map(|(of, which)| Ref::new(kind(*of), name(*which))).collect();
                    let body = Parts::leaf(content.to_string());
                    let resource = Resource::new(kind(*of), name(*which), body, refs);
                    self.world.apply([Change::Put { gateway: GATEWAY.into(), resource: Arc::new(resource) }]);
                    self.publish(*publish);
                }
                Step::Delete { kind: of, name: which, publish } => {
                    let (kind, name) = (kind(*of), name(*which).into());
                    self.world.apply([Change::Delete { gateway: GATEWAY.into(), kind, name }]);
                    self.publish(*publish);
                }
                Step::Pass { milliseconds } => {
                    self.now += Duration::from_millis(u64::from(*milliseconds));
                    self.session.on_tick(self.now);
                }
                Step::Wait => self.wait(),
            }
            self.session.poll_answers();
            let responses = self.session.poll_responses();
            responses.iter().for_each(|response| self.check(response));
        }
    }

    fn publish(&mut self, publish: bool) {
        if publish {
            self.session.on_snapshot(&snapshot(&self.world), self.now);
        }
    }

    /// A clock that has struck is used up: nobody may spin.
    fn wait(&mut self) {
        for _ in 0..TICKS {
            match self.session.next_deadline(self.now) {
                Some(at) if at > self.now => {
                    self.now = at;
                    self.session.on_tick(self.now);
                    return;
                }
                Some(_) => self.session.on_tick(self.now),
                None => return,
            }
        }
        panic!("a deadline that does not pass");
    }

    fn request(
        &self,
        kind: ResourceType,
        nonce: &Nonce,
        refuses: bool,
        wanted: &[u8],
        gone: &[u8],
        held: &[(u8, u8)],
    ) -> Request {
        let [last, old] = &self.nonces[kind.index()];
        let nonce = match nonce {
            Nonce::None => String::new(),
            Nonce::Last => last.clone(),
            Nonce::Old => old.clone(),
            Nonce::Strange => "strange".to_owned(),
        };
        let ask = match self.variant {
            Variant::Delta => Ask::Delta {
                subscribe: names(wanted),
                unsubscribe: names(gone),
                held: held.iter().map(|(which, version)| (name(*which), version.to_string())).collect(),
            },
            Variant::StateOfTheWorld => Ask::StateOfTheWorld {
                version: held.first().map(|(_, version)| version.to_string()).unwrap_or_default(),
                names: names(wanted),
            },
        };
        Request { kind, nonce, error: refuses.then(|| "no".to_owned()), ask }
    }

    fn check(&mut self, response: &Response) {
        assert!(self.seen.insert(response.nonce.clone()), "the nonce {:?} came twice", response.nonce);
        let mut once = BTreeSet::new();
        for resource in response.resources() {
            assert_eq!(resource.kind, response.kind, "a resource of another type");
            assert!(once.insert(resource.name.clone()), "{} came twice in one response", resource.name);
        }
        if let Body::Delta { resources, removed } = &response.body {
            assert!(resources.is_empty() || removed.is_empty(), "both halves at once");
        }
        let [last, old] = &mut self.nonces[response.kind.index()];
        *old = std::mem::replace(last, response.nonce.clone());
    }
}

/// A Gateway that had some clusters and has none any more.
fn past(world: &World) -> Arc<Past> {
    let mut before = world.clone();
    before.apply((0..4).flat_map(|number| {
        let [assignment, cluster] = [ResourceType::ClusterLoadAssignment, ResourceType::Cluster].map(|kind| {
            let refs = (kind == ResourceType::Cluster).then(|| Ref::new(ResourceType::ClusterLoadAssignment, name(number)));
            Arc::new(Resource::new(kind, name(number), Parts::leaf(number.to_string()), refs))
        });
        [assignment, cluster].map(|resource| Change::Put { gateway: GATEWAY.into(), resource })
    }));
    let mut past = Past::default();
    past.note(&snapshot(&before), &snapshot(world), Instant::now());
    Arc::new(past)
}

fn snapshot(world: &World) -> Arc<Snapshot> {
    world.get(GATEWAY).expect("announced at the start")
}
