//! Invariant `no_dangling`, the door's part, against a naive model: random changes of a small world, with its references
//! worked out anew at each step from plain maps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The world as plain maps: everything let in, or everything offered.
type World = BTreeMap<ObjectRef, Object>;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Offer(Vec<Event>),
    Wait(u64),
}

const SERVICES: [&str; 3] = ["shop/a", "shop/b", "apps/c"];
const GRANTS: [&str; 2] = ["apps/g", "apps/h"];

fn event() -> impl Strategy<Value = Event> {
    let backend = (prop::sample::select(&SERVICES[..]), 1..=2_u16);
    let route_event = (prop::sample::select(&["shop/r", "shop/q"][..]), prop::collection::vec(backend, 0..3));
    let ports = prop::sample::select(vec![&[1_u16][..], &[2], &[1, 2]]);
    prop_oneof![
        4 => route_event.prop_map(|(name, backends)| route(name, &backends)),
        3 => (prop::sample::select(&SERVICES[..]), ports).prop_map(|(name, ports)| service(name, ports)),
        3 => prop::sample::select(&SERVICES[..]).prop_map(|name| delete(Kind::Service, name)),
        1 => prop::sample::select(&["shop/r", "shop/q"][..]).prop_map(|name| delete(Kind::HttpRoute, name)),
        2 => (prop::sample::select(&GRANTS[..]), prop::sample::select(&["shop", "other"][..]))
            .prop_map(|(name, from)| grant(name, from)),
        1 => prop::sample::select(&GRANTS[..]).prop_map(|name| delete(Kind::ReferenceGrant, name)),
        1 => Just(pod("shop/p")),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(event(), 1..4).prop_map(Step::Offer),
        1 => (1..700_u64).prop_map(Step::Wait),
    ]
}

fn apply(world: &mut World, event: &Event) {
    match event {
        Event::Put(object, value) => drop(world.insert(object.clone(), value.clone())),
        Event::Delete(object) => drop(world.remove(object)),
        Event::Listed(_) | Event::Answered(..) | Event::Covers(_) => {}
    }
}

/// Every (route, Service, port) that finds nothing.
fn dangling(world: &World) -> BTreeSet<(ObjectRef, ObjectKey, u16)> {
    let permitted = |from: &ObjectRef, to: &ObjectKey| {
        from.key.namespace == to.namespace
            || world.iter().any(|(name, value)| {
                let from = (Kind::HttpRoute.group(), "HTTPRoute", from.key.namespace.as_str());
                matches!(value, Object::ReferenceGrant(grant)
                    if name.key.namespace == to.namespace && grant.permits(from, ("", "Service", &to.name)))
            })
    };
    let mut found = BTreeSet::new();
    for (name, value) in world {
        let Object::HttpRoute(route) = value else { continue };
        for backend in route.rules.iter().flat_map(|rule| &rule.backends) {
            let port = backend.port.unwrap();
            let service = world.get(&ObjectRef::new(Kind::Service, backend.target.clone()));
            let has_port =
                matches!(service, Some(Object::Service(service)) if service.ports.iter().any(|p| p.port == port));
            if !has_port || !permitted(name, &backend.target) {
                found.insert((name.clone(), backend.target.clone(), port));
            }
        }
    }
    found
}

/// Whether some of the held changes could have been let in together, found by trying every subset.
fn something_could_pass(world: &World, pending: &[Event]) -> bool {
    let before = dangling(world);
    (1..1_u32 << pending.len()).any(|chosen| {
        let mut after = world.clone();
        let chosen = pending.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
        chosen.for_each(|(_, event)| apply(&mut after, event));
        dangling(&after).is_subset(&before)
    })
}

/// Runs the steps and checks the promise after each.
fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut rig = Rig::with(vec![]);
    let (mut inside, mut offered) = (World::new(), World::new());
    let mut newest: BTreeMap<ObjectRef, Event> = BTreeMap::new();
    for step in steps.into_iter().chain([Step::Wait(500)]) {
        let due: Vec<_> = match &step {
            Step::Offer(_) => Vec::new(),
            Step::Wait(millis) => {
                let until = rig.now + ms(*millis);
                rig.door.held().into_iter().filter(|held| held.until <= until).collect()
            }
        };
        let before = dangling(&inside);
        let let_in = match step {
            Step::Wait(millis) => {
                rig.now += ms(millis);
                rig.ready()
            }
            Step::Offer(events) => {
                for event in &events {
                    apply(&mut offered, event);
                    if let Event::Put(object, _) | Event::Delete(object) = event {
                        newest.insert(object.clone(), event.clone());
                    }
                }
                rig.offer(events)
            }
        };
        let_in.iter().for_each(|event| apply(&mut inside, event));
        let after = dangling(&inside);
        prop_assert!(!due.is_empty() || after.is_subset(&before), "dangling: {:?}", after.difference(&before));
        let held = rig.door.held();
        prop_assert!(held.iter().all(|held| held.since <= rig.now && rig.now < held.until), "held too long: {held:?}");
        prop_assert_eq!(rig.door.next_deadline(), held.iter().map(|held| held.until).min());
        let pending: Vec<_> = held.iter().map(|held| newest[&held.object].clone()).collect();
        prop_assert!(!something_could_pass(&inside, &pending), "held without need: {held:?}");
    }
    prop_assert_eq!(rig.door.held_count(), 0);
    prop_assert_eq!(inside, offered, "what is let in is in the end what was offered last");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// No reference dangles that did not before, unless a hold ended; nothing that could pass is held; nothing is held for longer
    /// than 500 ms; nothing is lost.
    #[test]
    fn no_dangling(steps in prop::collection::vec(step(), 1..40)) {
        run(steps)?;
    }
}

/// Either order of a Service and the route that moves to it, and of the removal of the old one.
#[test]
fn no_dangling_in_any_order_of_a_move() {
    let moves = [route("r", &[("b", 80)]), service("b", &[80]), delete(Kind::Service, "a")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
        let mut inside = World::new();
        [service("a", &[80]), route("r", &[("a", 80)])].iter().for_each(|event| apply(&mut inside, event));
        for (step, at) in order.into_iter().enumerate() {
            rig.at(ms(100 * step as u64));
            rig.offer(vec![moves[at].clone()]).iter().for_each(|event| apply(&mut inside, event));
            assert!(dangling(&inside).is_empty(), "{order:?} after {step}");
        }
        assert_eq!(rig.door.held_count(), 0, "{order:?}");
        assert_eq!(inside.len(), 2, "{order:?}");
    }
}
