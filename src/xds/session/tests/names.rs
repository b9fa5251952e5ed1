//! Rules of subscriptions: names, wildcards, what is missing.

use super::*;

#[test]
fn rule_11_new_names_are_sent_even_if_unchanged_and_dropped_ones_again() {
    let world = "e:a=1 e:b=1";
    let mut client = Client::new(Variant::StateOfTheWorld, world);
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=1");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.unsubscribe("EDS", "a"), "");
    assert_eq!(client.snapshot("e:a=2 e:b=1"), "");
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=2");
}

#[test]
fn rule_12_an_empty_list_is_everything_until_names_were_given() {
    let world = "c:a=1 c:b=1 c:d=1";
    let mut client = Client::new(Variant::StateOfTheWorld, world);
    assert_eq!(client.subscribe("CDS", ""), "CDS a=1 b=1 d=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.snapshot("c:a=2 c:b=1 c:d=1"), "CDS a=2 b=1 d=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.subscribe("CDS", "b"), "CDS b=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.snapshot("c:a=3 c:b=1 c:d=1"), "");
    assert_eq!(client.unsubscribe("CDS", "b"), "");
    assert_eq!(client.snapshot("c:a=4 c:b=4 c:d=4"), "");
}

#[test]
fn rule_12_a_star_beside_names_is_both_and_names_alone_drop_it() {
    let mut client = Client::new(Variant::StateOfTheWorld, "c:a=1 c:b=1");
    assert_eq!(client.subscribe("CDS", "* a"), "CDS a=1 b=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.unsubscribe("CDS", "*"), "");
    assert_eq!(client.snapshot("c:a=1 c:b=2"), "");
    assert_eq!(client.snapshot("c:a=2 c:b=2"), "CDS a=2");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.subscribe("CDS", "*"), "CDS a=2 b=2");
}

#[test]
fn rule_12_for_other_types_an_empty_list_is_no_interest() {
    for variant in BOTH {
        for kind in ["EDS", "RDS", "SDS"] {
            let mut client = Client::new(variant, "e:a=1 r:a=1 s:a=1");
            assert_eq!(client.subscribe(kind, ""), "");
            assert_eq!(client.snapshot("e:a=2 r:a=2 s:a=2"), "");
        }
    }
}

#[test]
fn rule_13_clusters_and_listeners_come_as_full_sets_and_absence_deletes() {
    let mut client = Client::settled(Variant::StateOfTheWorld, "l:a=1 l:b=1");
    assert_eq!(client.snapshot("l:a=2 l:b=1"), "LDS a=2 b=1");
    assert_eq!(client.ack("LDS"), "");
    assert_eq!(client.snapshot("l:a=2"), "LDS a=2");
    assert_eq!(client.ack("LDS"), "");
    assert_eq!(client.snapshot(""), "LDS");
    let mut client = Client::settled(Variant::StateOfTheWorld, "c:a=1 c:b=1");
    assert_eq!(client.snapshot("c:a=1"), "");
    assert_eq!(client.after(1_000), "CDS a=1");
}

#[test]
fn rule_13_other_types_are_partial_and_absence_is_no_operation() {
    let mut client = Client::settled(Variant::StateOfTheWorld, "e:a=1 e:b=1 r:a=1 r:b=1");
    assert_eq!(client.snapshot("e:a=1 e:b=2 r:a=2 r:b=1"), "EDS b=2 | RDS a=2");
    assert_eq!(client.ack_all(), "");
    assert_eq!(client.snapshot("e:b=2 r:a=2"), "");
    assert_eq!(client.after(10_000), "");
}

#[test]
fn rule_14_missing_names_are_remembered_and_sent_on_creation() {
    for variant in BOTH {
        for (kind, made) in [("EDS", "e:a=1"), ("RDS", "r:a=1"), ("SDS", "s:a=1")] {
            let mut client = Client::new(variant, "");
            let answer = client.subscribe(kind, "a");
            match variant {
                Variant::StateOfTheWorld => assert_eq!(answer, ""),
                Variant::Delta => assert_eq!(answer, format!("{kind} -a")),
            }
            client.ack_all();
            assert_eq!(client.snapshot(made), format!("{kind} a=1"));
        }
    }
}

#[test]
fn rule_15_no_name_is_twice_in_a_response() {
    for variant in BOTH {
        let mut client = Client::new(variant, "c:a=1 e:a=1");
        assert_eq!(client.subscribe("EDS", "a a a"), "EDS a=1");
        assert_eq!(client.subscribe("CDS", "* a * a"), "CDS a=1");
    }
}

#[test]
fn rule_17_names_ride_on_any_message_even_with_a_stale_nonce() {
    let mut client = Client::new(Variant::Delta, "e:a=1 e:b=1 e:d=1");
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=1");
    let stale = client.nonce[1].clone();
    let both = Ask::Delta { subscribe: vec!["b".into()], unsubscribe: vec![], held: vec![] };
    assert_eq!(client.send(kind_of("EDS"), stale.clone(), None, both), "EDS b=1");
    let late = Ask::Delta { subscribe: vec!["d".into()], unsubscribe: vec!["a".into()], held: vec![] };
    assert_eq!(client.send(kind_of("EDS"), stale, None, late), "");
    assert_eq!(client.ack("EDS"), "EDS d=1");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.snapshot("e:a=2 e:b=1 e:d=1"), "");
}

#[test]
fn rule_18_subscribing_again_to_a_known_name_is_answered() {
    let mut client = Client::settled(Variant::Delta, "c:a=1 e:a=1 r:a=1");
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=1");
    assert_eq!(client.subscribe("RDS", "a"), "RDS a=1");
    assert_eq!(client.ack_all(), "");
    assert_eq!(client.subscribe("CDS", "*"), "CDS a=1 | EDS a=1");
}

#[test]
fn rule_19_a_name_that_does_not_exist_is_removed_and_stays_subscribed() {
    let mut client = Client::new(Variant::Delta, "s:here=1");
    assert_eq!(client.subscribe("SDS", "gone here"), "SDS here=1");
    assert_eq!(client.ack("SDS"), "SDS -gone");
    assert_eq!(client.ack("SDS"), "");
    assert_eq!(client.snapshot("s:here=1 s:gone=1"), "SDS gone=1");
}

#[test]
fn rule_21_a_first_wildcard_request_is_answered_even_if_there_is_nothing() {
    for variant in BOTH {
        let mut client = Client::new(variant, "");
        assert_eq!(client.subscribe("CDS", ""), "CDS");
        assert_eq!(client.subscribe("LDS", "*"), "LDS");
        assert_eq!(client.ack_all(), "");
    }
}

#[test]
fn rule_22_subscribing_and_unsubscribing_the_star_at_once_is_subscribing_to_nothing() {
    let mut client = Client::new(Variant::Delta, "c:a=1");
    assert_eq!(client.change("CDS", "*", "*"), "");
    assert_eq!(client.snapshot("c:a=2"), "");
}

#[test]
fn rule_23_unsubscribing_a_name_beside_the_star_is_answered_with_the_name() {
    let mut client = Client::new(Variant::Delta, "c:a=1 c:b=1");
    assert_eq!(client.subscribe("CDS", "* a x"), "CDS a=1 b=1");
    assert_eq!(client.ack("CDS"), "CDS -x");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.unsubscribe("CDS", "a"), "CDS a=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.unsubscribe("CDS", "x"), "CDS -x");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.snapshot("c:a=2 c:b=1"), "CDS a=2");
}

#[test]
fn rule_23_other_unsubscriptions_are_not_answered_and_phantom_ones_are_ignored() {
    let mut client = Client::settled(Variant::Delta, "e:a=1 e:b=1");
    assert_eq!(client.unsubscribe("EDS", "a"), "");
    assert_eq!(client.unsubscribe("EDS", "never"), "");
    assert_eq!(client.snapshot("e:a=2 e:b=2"), "EDS b=2");
}

#[test]
fn rule_30_a_load_assignment_without_endpoints_is_sent() {
    for variant in BOTH {
        let mut client = Client::new(variant, "c:a=1 e:a=");
        assert_eq!(client.subscribe("EDS", "a"), "EDS a=");
        assert_eq!(client.ack("EDS"), "");
    }
}

#[test]
fn bounded() {
    let limits = Limits { names: 2, ..Limits::default() };
    let mut session = Session::new(Variant::Delta, "s", &snapshot(""), limits, Doubts::new());
    let mut ask = |kind, names: &[&str]| {
        let subscribe = names.iter().map(|name| (*name).to_owned()).collect();
        let ask = Ask::Delta { subscribe, unsubscribe: vec![], held: vec![] };
        session.on_request(Request { kind: kind_of(kind), nonce: String::new(), error: None, ask }, Instant::now())
    };
    assert_eq!(ask("EDS", &["a"]), Ok(()));
    assert_eq!(ask("RDS", &["a"]), Ok(()));
    assert_eq!(ask("RDS", &["b"]), Err(TooManyNames::Wanted { names: 3, limit: 2 }));
}

#[test]
fn bounded_a_request_with_twice_the_names_is_the_longest_that_is_looked_at() {
    let limits = Limits { names: 2, ..Limits::default() };
    let list = |count: usize| (0..count).map(|at| format!("n{at}")).collect::<Vec<_>>();
    let held = |count| list(count).into_iter().map(|name| (name, "v".to_owned())).collect::<Vec<_>>();
    let delta = |subscribe, unsubscribe, of| Ask::Delta {
        subscribe: list(subscribe),
        unsubscribe: list(unsubscribe),
        held: held(of),
    };
    let sotw = |count| Ask::StateOfTheWorld { version: String::new(), names: vec!["n".to_owned(); count] };
    let say = |variant, ask| {
        let mut session = Session::new(variant, "s", &snapshot(WORLD), limits, Doubts::new());
        let request = Request { kind: ResourceType::Secret, nonce: String::new(), error: None, ask };
        session.on_request(request, Instant::now())
    };
    for ask in [delta(2, 2, 0), delta(2, 0, 2), delta(1, 1, 2)] {
        assert_eq!(say(Variant::Delta, ask), Ok(()));
    }
    assert_eq!(say(Variant::StateOfTheWorld, sotw(4)), Ok(()));
    let refused = Err(TooManyNames::InRequest { names: 5, limit: 4 });
    for ask in [delta(2, 2, 1), delta(0, 5, 0), delta(0, 0, 5)] {
        assert_eq!(say(Variant::Delta, ask), refused);
    }
    assert_eq!(say(Variant::StateOfTheWorld, sotw(5)), refused);
}

/// Names that the client holds and that are gone are kept until it has acknowledged that they are, which it may never do.
#[test]
fn bounded_names_that_are_held_and_gone_count() {
    let limits = Limits { names: 1, ..Limits::default() };
    let mut session = Session::new(Variant::Delta, "s", &snapshot(WORLD), limits, Doubts::new());
    let mut say = |kind, held: &[&str]| {
        let held = held.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect();
        let ask = Ask::Delta { subscribe: vec!["*".to_owned()], unsubscribe: vec![], held };
        session.on_request(Request { kind: kind_of(kind), nonce: String::new(), error: None, ask }, Instant::now())
    };
    assert_eq!(say("CDS", &["a"]), Ok(()), "that one is there");
    assert_eq!(say("LDS", &["x"]), Ok(()));
    assert_eq!(say("SDS", &["x"]), Ok(()));
    assert_eq!(say("RDS", &["x"]), Err(TooManyNames::Vanished { names: 3, limit: 2 }));
}

/// Each of them compared with each of the others would take minutes.
#[test]
fn bounded_names_that_come_and_go_at_once_are_looked_at_once() {
    let names: Vec<String> = (0..200_000).map(|at| format!("n{at}")).collect();
    let limits = Limits { names: names.len(), ..Limits::default() };
    let mut session = Session::new(Variant::Delta, "s", &snapshot(WORLD), limits, Doubts::new());
    let start = Instant::now();
    for _ in 0..2 {
        let ask = Ask::Delta { subscribe: names.clone(), unsubscribe: names.clone(), held: vec![] };
        let request = Request { kind: ResourceType::Secret, nonce: String::new(), error: None, ask };
        session.on_request(request, start).expect("as many as allowed");
    }
    assert!(session.holdings().is_empty());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn bounded_a_long_name_counts_as_several() {
    let limits = Limits { names: 10, ..Limits::default() };
    let long = |first: char| format!("{first}{}", "x".repeat(4 * subscription::USUAL_NAME - 1));
    for variant in BOTH {
        let mut session = Session::new(variant, "s", &snapshot(""), limits, Doubts::new());
        let mut wanted: Vec<String> = vec![];
        let mut say = |subscribe: Vec<String>, unsubscribe: Vec<String>| {
            wanted.retain(|name| !unsubscribe.contains(name));
            wanted.extend(subscribe.clone());
            let ask = match variant {
                Variant::Delta => Ask::Delta { subscribe, unsubscribe, held: vec![] },
                Variant::StateOfTheWorld => Ask::StateOfTheWorld { version: String::new(), names: wanted.clone() },
            };
            let request = Request { kind: ResourceType::Secret, nonce: String::new(), error: None, ask };
            session.on_request(request, Instant::now())
        };
        assert_eq!(say(vec![long('a'), long('b')], vec![]), Ok(()));
        assert_eq!(say(vec!["d".into()], vec![long('b')]), Ok(()));
        assert_eq!(say(vec![long('b'), "e".into()], vec![]), Ok(()));
        assert_eq!(say(vec!["f".into()], vec![]), Err(TooManyNames::Wanted { names: 11, limit: 10 }));
    }
}
