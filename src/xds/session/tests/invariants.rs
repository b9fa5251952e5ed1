//! The invariants of the design that a session keeps.

use super::*;

#[test]
fn make_before_break() {
    for variant in BOTH {
        let (one, two) = (WORLD, "c:b=1 e:b=1 l:web=1>web r:web=2>b");
        let mut client = Client::settled(variant, one);
        let mut held: BTreeSet<String> = ["a".to_owned()].into();
        client.received.clear();
        client.snapshot(two);
        client.subscribe("EDS", "b");
        client.ack_all();
        client.after(2_000);
        client.ack_all();
        for response in &client.received {
            let names: BTreeSet<String> = response.resources().iter().map(|r| r.name.to_string()).collect();
            match (&response.body, response.kind) {
                (Body::StateOfTheWorld { .. }, ResourceType::Cluster) => held = names,
                (Body::Delta { removed, .. }, ResourceType::Cluster) => {
                    assert!(removed.is_empty() || names.is_empty(), "a removal shares a response with upserts");
                    held.extend(names);
                    removed.iter().for_each(|name| assert!(held.remove(name.as_str())));
                }
                (_, ResourceType::RouteConfiguration) => assert!(held.contains("a") && held.contains("b")),
                _ => {}
            }
        }
        assert_eq!(held, ["b".to_owned()].into());
    }
}

#[test]
fn nack_is_unknown() {
    for variant in BOTH {
        // Good and bad in one response: Envoy applies the good one and says nothing of it.
        let mut client = Client::settled(variant, "c:good=1 c:bad=1");
        assert_eq!(client.snapshot("c:good=2 c:bad=2"), "CDS bad=2 good=2");
        assert_eq!(client.nack("CDS"), "");
        // Content returns to what was once accepted: the client does not have it.
        assert_eq!(client.snapshot("c:good=1 c:bad=1"), "CDS bad=1 good=1");
        assert_eq!(client.ack("CDS"), "");
    }
}

#[test]
fn doubt_keeps() {
    for variant in BOTH {
        // Routes that are refused may still name the old cluster, so it stays.
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:b=1 e:b=1 l:web=1>web r:web=2>b");
        client.subscribe("EDS", "b");
        client.ack("CDS");
        assert_eq!(client.ack("EDS"), "RDS web=2");
        assert_eq!(client.nack("RDS"), "");
        assert_eq!(client.after(60_000), "");
        assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=1>web r:web=3>b"), "RDS web=3");
        assert_eq!(client.ack("RDS"), "");
        assert!(client.after(1_000).starts_with("CDS"));
    }
}

#[test]
fn what_a_settled_client_costs_does_not_grow_with_the_set() {
    for variant in BOTH {
        let world: Vec<String> = (0..50).map(|i| format!("c:c{i}=1 e:c{i}=1 l:l{i}=1")).collect();
        let client = Client::settled(variant, &world.join(" "));
        assert!(client.session.types.values().all(|state| state.todo.is_empty() && state.in_flight.is_none()));
        assert!(client.session.making.is_empty() && client.session.departed.is_empty());
    }
}

/// In state of the world too: a client of few names must not cost the names that there are.
#[test]
fn cost_of_change_a_request_for_one_name_costs_no_set() {
    let world: Vec<String> = (0..5_000).map(|i| format!("c:c{i}=1")).collect();
    let mut session =
        Session::new(Variant::StateOfTheWorld, "s", &snapshot(&world.join(" ")), Limits::default(), Doubts::new());
    let mut nonce = String::new();
    let mut say = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let ask = Ask::StateOfTheWorld { version: String::new(), names };
        let request = Request { kind: ResourceType::Cluster, nonce: nonce.clone(), error: None, ask };
        let before = session.work();
        session.on_request(request, Instant::now()).expect("within limits");
        let responses = session.poll_responses();
        nonce = responses[0].nonce.clone();
        (responses[0].resources().len(), session.work() - before)
    };
    for name in ["c1", "c2", "c1"] {
        let (resources, cost) = say(&[name]);
        assert!(resources == 1 && cost < 30, "{cost}");
    }
    // Who wants all is charged for all.
    let (resources, cost) = say(&["*"]);
    assert!(resources == 5_000 && cost >= 5_000, "{cost}");
    let (resources, cost) = say(&["*", "c1"]);
    assert!(resources == 5_000 && cost >= 5_000, "{cost}");
}

/// A request of 60 bytes must not cost the names that are open: there may be 100,000 of them, and 200 such requests a second.
#[test]
fn cost_of_change_a_request_costs_its_own_names() {
    let names = |count: usize| (0..count).map(|at| format!("n{at}")).collect::<Vec<_>>();
    let request = |kind, nonce: &str, subscribe, held| {
        let ask = Ask::Delta { subscribe, unsubscribe: vec![], held };
        Request { kind, nonce: nonce.to_owned(), error: None, ask }
    };
    const OPEN: usize = 50_000;
    for kind in ResourceType::ALL {
        let mut session = Session::new(Variant::Delta, "s", &snapshot(WORLD), Limits::default(), Doubts::new());
        let now = Instant::now();
        let mut say = |subscribe, held| {
            let before = session.work();
            session.on_request(request(kind, "", subscribe, held), now).expect("within limits");
            session.poll_responses();
            assert!(session.next_deadline(now).is_none_or(|deadline| deadline > now));
            assert!(!session.progress().is_empty());
            session.work() - before
        };
        // Names that do not exist, said to be absent and asked for again; or held and gone: never answered.
        let held = names(OPEN).into_iter().map(|name| (name, "v".to_owned())).collect();
        say(vec!["*".to_owned()], held);
        for subscribe in [names(OPEN), names(OPEN)] {
            let cost = say(subscribe, vec![]);
            assert!((OPEN as u64..20 * OPEN as u64).contains(&cost), "{kind}: {cost}");
        }
        let small: u64 = (0..1_000).map(|_| say(vec![], vec![])).sum();
        let one: u64 = say(vec!["n1".to_owned()], vec![]);
        assert!(small < 20_000 && one < 20, "{kind}: {small} for 1,000 requests that say nothing, {one} for a name");
    }
}
