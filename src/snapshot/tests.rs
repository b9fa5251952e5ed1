use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use proptest::prelude::*;

use super::*;
use crate::resource::{Parts, Ref, Resource};

fn resource(kind: ResourceType, name: &str, content: u8) -> Arc<Resource> {
    Arc::new(Resource::new(kind, name, Parts::leaf(format!("{name} {content}")), []))
}

fn cluster(name: &str, content: u8) -> Arc<Resource> {
    resource(ResourceType::Cluster, name, content)
}

fn put(gateway: &str, resource: Arc<Resource>) -> Change {
    Change::Put { gateway: gateway.into(), resource }
}

fn delete(gateway: &str, name: &str) -> Change {
    Change::Delete { gateway: gateway.into(), kind: ResourceType::Cluster, name: name.into() }
}

fn names(set: &ResourceSet) -> Vec<&str> {
    set.iter().map(|resource| resource.name.as_str()).collect()
}

fn set(resources: impl IntoIterator<Item = (&'static str, u8)>) -> ResourceSet {
    resources.into_iter().map(|(name, content)| cluster(name, content)).collect()
}

#[test]
fn difference_is_what_turns_old_into_new() {
    let old = set([("a", 1), ("b", 1), ("c", 1)]);
    let new = set([("a", 1), ("b", 2), ("d", 1)]);
    let difference = new.difference(&old);
    assert_eq!(difference.upserts, [cluster("b", 2), cluster("d", 1)]);
    assert_eq!(difference.removed, ["c"]);
    assert!(new.difference(&new.clone()).is_empty());
}

#[test]
fn all_who_come_from_the_same_set_share_one_difference() {
    let (old, new, other) = (set([("a", 1), ("b", 1)]), set([("a", 2), ("b", 1)]), set([("b", 1)]));
    let first = new.difference(&old);
    assert_eq!(first.upserts.len(), 1);
    assert!(Arc::ptr_eq(&first, &new.clone().difference(&old.clone())), "clones are the same sets");
    assert_eq!(new.difference(&other).upserts, [cluster("a", 2)], "who comes from elsewhere has one of its own");
    assert!(Arc::ptr_eq(&first, &new.difference(&old)));
}

#[test]
fn a_resource_of_the_same_version_is_no_difference() {
    let bare = cluster("a", 1);
    let with_ref = Arc::new(Resource { refs: [Ref::new(ResourceType::Secret, "s")].into(), ..(*bare).clone() });
    let (old, new) = (ResourceSet::from_iter([bare]), ResourceSet::from_iter([with_ref]));
    assert_ne!(old, new);
    assert!(new.difference(&old).is_empty());
}

#[test]
fn a_resource_is_found_by_any_name_it_goes_by_as_long_as_it_does() {
    let host = |name: &str, aliases: &[&str]| {
        let host = Resource::new(ResourceType::VirtualHost, name, Parts::leaf(name.to_owned()), []);
        Arc::new(host.with_aliases(aliases.iter().map(|alias| ArcStr::from(*alias))))
    };
    let found = |set: &ResourceSet, name: &str| set.resolve(&name.into()).map(|resource| resource.name.to_string());
    let mut set = ResourceSet::from_iter([host("b", &["x", "y"])]);
    assert_eq!(["b", "x", "y", "z"].map(|name| found(&set, name).is_some()), [true, true, true, false]);
    set.insert(host("a", &["x", "b"]));
    assert_eq!(
        ["x", "b"].map(|name| found(&set, name).expect("there")),
        ["a", "b"],
        "the first; a name before an alias"
    );
    set.insert(host("b", &["z"]));
    assert_eq!(["y", "z"].map(|name| found(&set, name)), [None, Some("b".to_owned())]);
    set.remove("b");
    assert_eq!(["b", "z"].map(|name| found(&set, name)), [Some("a".to_owned()), None]);
}

#[test]
fn union_adds_what_only_the_other_has() {
    let old = set([("a", 1), ("b", 1)]);
    let new = set([("b", 2), ("c", 2)]);
    assert_eq!(new.union(&old), set([("a", 1), ("b", 2), ("c", 2)]));
    assert!(new.union(&set([("c", 7)])).ptr_eq(&new));
    assert_eq!(ResourceSet::default().union(&old), old);
}

#[test]
fn set_versions_are_of_names_and_contents_and_computed_once() {
    let a = set([("a", 1), ("b", 2)]);
    let same = set([("b", 2), ("a", 1)]);
    assert_eq!(a.version(), same.version());
    assert_ne!(a.version(), set([("a", 1)]).version());
    assert_ne!(a.version(), set([("a", 1), ("b", 3)]).version());
    // The definition, spelled out a second time: lengths keep a name from running into its neighbours.
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[2]);
    for resource in a.iter() {
        hasher.update(&(resource.name.len() as u64).to_le_bytes()).update(resource.name.as_bytes());
        hasher.update(resource.version.as_bytes());
    }
    assert_eq!(a.version().as_bytes()[..], hasher.finalize().as_bytes()[..16]);
}

#[test]
fn a_changed_clone_has_a_version_of_its_own() {
    let mut world = World::new();
    world.apply([Change::Gateway("ns/gw".into()), put("ns/gw", cluster("a", 1))]);
    let before = world.get("ns/gw").unwrap();
    let version = before.version();
    world.apply([put("ns/gw", cluster("a", 2))]);
    assert_ne!(world.get("ns/gw").unwrap().version(), version);
    assert_eq!(before.version(), version);
    world.apply([put("ns/gw", cluster("a", 1))]);
    assert_eq!(world.get("ns/gw").unwrap().version(), version);
    world.apply([delete("ns/gw", "a")]);
    assert_eq!(world.get("ns/gw").unwrap().version(), Snapshot::empty("ns/gw").version());
}

#[test]
fn snapshot_versions_are_of_every_type() {
    let versions: BTreeSet<Version> = ResourceType::ALL
        .into_iter()
        .map(|kind| {
            let mut world = World::new();
            world.apply([Change::Gateway("ns/gw".into()), put("ns/gw", resource(kind, "a", 1))]);
            world.get("ns/gw").unwrap().version()
        })
        .collect();
    assert_eq!(versions.len(), ResourceType::COUNT);
}

#[test]
fn a_gateway_without_resources_has_an_empty_snapshot() {
    let mut world = World::new();
    assert_eq!(world.apply([Change::Gateway("ns/gw".into())]), ["ns/gw"]);
    assert_eq!(*world.get("ns/gw").unwrap(), Snapshot::empty("ns/gw"));
    assert_eq!(world.apply([Change::Gateway("ns/gw".into())]), [""; 0]);
}

#[test]
fn resources_that_come_before_their_gateway_are_kept_aside() {
    let mut world = World::new();
    assert_eq!(world.apply([put("ns/gw", cluster("a", 1))]), [""; 0]);
    assert!(world.get("ns/gw").is_none() && world.is_empty());
    assert_eq!(world.apply([Change::Gateway("ns/gw".into())]), ["ns/gw"]);
    assert_eq!(names(world.get("ns/gw").unwrap().set(ResourceType::Cluster)), ["a"]);
}

#[test]
fn gone_is_gone() {
    let mut world = World::new();
    world.apply([Change::Gateway("ns/gw".into()), put("ns/gw", cluster("a", 1)), put("ns/other", cluster("b", 1))]);
    assert_eq!(world.apply([Change::GatewayGone("ns/gw".into()), Change::GatewayGone("ns/other".into())]), ["ns/gw"]);
    assert_eq!(world, World::new());
    world.apply([put("ns/gw", cluster("a", 1))]);
    world.apply([delete("ns/gw", "a")]);
    assert_eq!(world, World::new(), "nothing is kept for a Gateway that nobody announced");
}

#[test]
fn removals_in_a_call_mean_what_stood_before_it() {
    let mut world = World::new();
    world.apply([Change::Gateway("ns/gw".into()), put("ns/gw", cluster("a", 1)), put("ns/gw", cluster("b", 1))]);
    let again = [put("ns/gw", cluster("c", 1)), Change::Gateway("ns/gw".into()), Change::GatewayGone("ns/gw".into())];
    assert_eq!(world.apply(again), ["ns/gw"]);
    assert_eq!(names(world.get("ns/gw").unwrap().set(ResourceType::Cluster)), ["c"]);
    assert_eq!(world.apply([put("ns/gw", cluster("c", 1)), delete("ns/gw", "c")]), [""; 0]);
}

/// `own_only`, `cost_of_change`: a change of one Gateway leaves the others' snapshots where they are.
#[test]
fn untouched_gateways_and_types_are_shared() {
    let mut world = World::new();
    let listener = resource(ResourceType::Listener, "l", 1);
    for gateway in ["ns/a", "ns/b"] {
        world.apply([Change::Gateway(gateway.into()), put(gateway, cluster("c", 1)), put(gateway, listener.clone())]);
    }
    let before = world.clone();
    assert_eq!(world.apply([put("ns/a", cluster("c", 2)), delete("ns/b", "none")]), ["ns/a"]);
    let of = |world: &World, gateway| world.get(gateway).unwrap();
    assert!(Arc::ptr_eq(&of(&before, "ns/b"), &of(&world, "ns/b")));
    let [old, new] = [&before, &world].map(|world| of(world, "ns/a"));
    assert!(old.set(ResourceType::Listener).ptr_eq(new.set(ResourceType::Listener)));
    assert_eq!(new.set(ResourceType::Cluster).difference(old.set(ResourceType::Cluster)).upserts, [cluster("c", 2)]);
}

thread_local! {
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

/// A key that counts how often keys are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counting(u32);

impl Ord for Counting {
    fn cmp(&self, other: &Self) -> Ordering {
        COMPARISONS.set(COMPARISONS.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `cost_of_change`: what [`ResourceSet::difference`] rests on. imbl documents its diff as linear, but it skips what
/// is shared: it compares the keys of the changed leaf, and passes the neighbours of the path to it.
#[test]
fn the_difference_of_one_change_compares_the_same_in_100_and_in_100_000_resources() {
    for count in [100, 1000, 10_000, 100_000_u32] {
        let old: OrdMap<Counting, u32> = (0..count).map(|n| (Counting(2 * n), 0_u32)).collect();
        for change in 0..100 {
            let at = change * 7919 % (2 * count);
            let mut new = old.clone();
            match change % 3 {
                0 => new.insert(Counting(at & !1), 1),
                1 => new.insert(Counting(at | 1), 1),
                _ => new.remove(&Counting(at & !1)),
            };
            COMPARISONS.set(0);
            assert_eq!(old.diff(&new).count(), 1);
            let compared = COMPARISONS.get();
            assert!(compared <= 64, "{count} resources: {compared} comparisons");
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Gateway(u8),
    Gone(u8),
    Put(u8, usize, u8, u8),
    Delete(u8, usize, u8),
}

impl Step {
    fn change(&self) -> Change {
        let gateway = |n: &u8| arcstr::format!("ns/{n}");
        match self {
            Step::Gateway(n) => Change::Gateway(gateway(n)),
            Step::Gone(n) => Change::GatewayGone(gateway(n)),
            Step::Put(n, kind, name, content) => Change::Put {
                gateway: gateway(n),
                resource: resource(ResourceType::ALL[*kind], &format!("r{name}"), *content),
            },
            Step::Delete(n, kind, name) => {
                Change::Delete { gateway: gateway(n), kind: ResourceType::ALL[*kind], name: arcstr::format!("r{name}") }
            }
        }
    }
}

fn calls() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let (gateway, kind, name) = (0..3_u8, 0..2_usize, any::<u8>());
    let step = prop_oneof![
        1 => gateway.clone().prop_map(Step::Gateway),
        1 => gateway.clone().prop_map(Step::Gone),
        20 => (gateway.clone(), kind.clone(), name, 0..3_u8).prop_map(|(g, k, n, c)| Step::Put(g, k, n, c)),
        10 => (gateway, kind, name).prop_map(|(g, k, n)| Step::Delete(g, k, n)),
    ];
    prop::collection::vec(prop::collection::vec(step, 0..60), 0..12)
}

/// A world as plain maps: announced or not, and contents by type and name.
type Model = BTreeMap<u8, (bool, BTreeMap<(usize, u8), u8>)>;

fn model_apply(model: &mut Model, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Gone(gateway) => drop(model.remove(&gateway)),
            Step::Delete(gateway, kind, name) => drop(model.entry(gateway).or_default().1.remove(&(kind, name))),
            Step::Gateway(_) | Step::Put(..) => {}
        }
    }
    for step in steps {
        match *step {
            Step::Gateway(gateway) => model.entry(gateway).or_default().0 = true,
            Step::Put(gateway, kind, name, content) => {
                model.entry(gateway).or_default().1.insert((kind, name), content);
            }
            Step::Gone(_) | Step::Delete(..) => {}
        }
    }
}

fn from_scratch(model: &Model) -> World {
    let mut world = World::new();
    for (gateway, (announced, resources)) in model {
        world.apply(announced.then(|| Step::Gateway(*gateway).change()));
        world.apply(
            resources.iter().map(|((kind, name), content)| Step::Put(*gateway, *kind, *name, *content).change()),
        );
    }
    world
}

/// What a client of each Gateway holds that was only ever told differences.
type Client = BTreeMap<(usize, ArcStr), Version>;

fn replay(client: &mut Client, old: &Snapshot, new: &Snapshot) {
    for kind in ResourceType::ALL {
        let difference = new.set(kind).difference(old.set(kind));
        for resource in &difference.upserts {
            let held = client.insert((kind.index(), resource.name.clone()), resource.version);
            assert_ne!(held, Some(resource.version), "sent again: {}", resource.name);
        }
        for name in &difference.removed {
            assert!(client.remove(&(kind.index(), name.clone())).is_some(), "removed but not held: {name}");
        }
    }
}

fn holdings(snapshot: &Snapshot) -> Client {
    let of = |kind: ResourceType| snapshot.set(kind).iter().map(move |r| ((kind.index(), r.name.clone()), r.version));
    ResourceType::ALL.into_iter().flat_map(of).collect()
}

proptest! {
    /// `pure`: whatever was applied in whatever order, the world is that of its content, and differences replay to it.
    #[test]
    fn worlds_depend_on_content_and_differences_replay(calls in calls()) {
        let (mut world, mut model) = (World::new(), Model::new());
        let mut clients: BTreeMap<ArcStr, Client> = BTreeMap::new();
        for steps in &calls {
            let before = world.clone();
            let changed = world.apply(steps.iter().map(Step::change));
            model_apply(&mut model, steps);
            let scratch = from_scratch(&model);
            prop_assert_eq!(&world, &scratch);
            prop_assert!(world.iter().map(|s| s.version()).eq(scratch.iter().map(|s| s.version())));

            // The order of a call matters to several puts of one resource only: removals may come first.
            let mut reordered = before.clone();
            let (puts, others): (Vec<_>, Vec<_>) = steps.iter().partition(|step| matches!(step, Step::Put(..)));
            reordered.apply(others.into_iter().rev().chain(puts).map(Step::change));
            prop_assert_eq!(&reordered, &world);

            for gateway in ["ns/0", "ns/1", "ns/2"].map(ArcStr::from) {
                let (old, new) = (before.get(&gateway), world.get(&gateway));
                prop_assert_eq!(changed.contains(&gateway), old != new);
                let [old, new] = [old, new].map(|s| s.unwrap_or_else(|| Arc::new(Snapshot::empty(gateway.clone()))));
                let client = clients.entry(gateway).or_default();
                replay(client, &old, &new);
                prop_assert_eq!(&*client, &holdings(&new));
            }
        }
    }

    #[test]
    fn union_is_that_of_plain_maps(old in prop::collection::btree_map(0..200_u8, 0..3_u8, 0..150),
                                   new in prop::collection::btree_map(0..200_u8, 0..3_u8, 0..150)) {
        let set = |map: &BTreeMap<u8, u8>| -> ResourceSet {
            map.iter().map(|(name, content)| cluster(&name.to_string(), *content)).collect()
        };
        let (mut expected, union) = (old.clone(), set(&new).union(&set(&old)));
        expected.extend(new);
        prop_assert_eq!(union.version(), set(&expected).version());
        prop_assert_eq!(union, set(&expected));
    }
}
