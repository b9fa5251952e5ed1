//! Rules of nonces, types and streams.

use super::*;

#[test]
fn rule_03_version_nonce_and_subscription_are_separate_for_each_type() {
    for variant in BOTH {
        let mut client = Client::new(variant, WORLD);
        assert_eq!(client.subscribe("CDS", ""), "CDS a=1");
        assert_eq!(client.subscribe("LDS", ""), "LDS web=1");
        // The ACK of one type with the nonce of the other is an ACK of neither.
        let ask = client.ask(kind_of("CDS"), vec![], vec![]);
        let nonce = client.nonce[kind_of("LDS").index()].clone();
        assert_eq!(client.send(kind_of("CDS"), nonce, None, ask), "");
        assert_eq!(client.snapshot("c:a=2 e:a=1 l:web=2>web r:web=1>a"), "");
        assert_eq!(client.ack("CDS"), "CDS a=2");
    }
}

#[test]
fn rule_04_nonces_are_unique_and_not_derived_from_the_version() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        for world in ["c:a=2", "c:a=1", "c:a=2", "c:a=1"] {
            client.snapshot(world);
            client.ack_all();
        }
        let mut nonces: Vec<&String> = client.received.iter().map(|response| &response.nonce).collect();
        let count = nonces.len();
        nonces.sort_unstable();
        nonces.dedup();
        assert_eq!(nonces.len(), count);
        assert!(count >= 8);
    }
}

#[test]
fn rule_04_the_first_request_of_a_type_is_initial_even_with_a_nonce_or_an_error() {
    for variant in BOTH {
        for error in [None, Some("leaked")] {
            let mut client = Client::new(variant, WORLD);
            let ask = client.ask(kind_of("CDS"), vec![], vec![]);
            assert_eq!(client.send(kind_of("CDS"), "s-7".into(), error, ask), "CDS a=1");
            assert_eq!(client.session.poll_answers(), []);
        }
    }
}

#[test]
fn rule_06_two_streams_of_one_client_both_work() {
    for variant in BOTH {
        let (mut one, mut two) = (Client::settled(variant, WORLD), Client::new(variant, WORLD));
        assert_eq!(two.subscribe("EDS", "a"), "EDS a=1");
        let next = WORLD.replace("e:a=1", "e:a=2");
        assert_eq!(one.snapshot(&next), "EDS a=2");
        assert_eq!(two.ack("EDS"), "");
        assert_eq!(two.snapshot(&next), "EDS a=2");
    }
}

#[test]
fn rule_07_a_plain_ack_gets_no_response() {
    for variant in BOTH {
        let mut client = Client::new(variant, WORLD);
        for (kind, names) in [("CDS", ""), ("EDS", "a"), ("LDS", ""), ("RDS", "web")] {
            assert_ne!(client.subscribe(kind, names), "");
            assert_eq!(client.ack(kind), "");
            assert_eq!(client.ack(kind), "");
        }
        assert_eq!(client.after(60_000), "");
    }
}

#[test]
fn rule_07_a_new_request_supersedes_earlier_ones_of_its_type() {
    let mut client = Client::new(Variant::StateOfTheWorld, "e:a=1 e:b=1");
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=1");
    client.names[1] = vec!["b".into()];
    assert_eq!(client.ack("EDS"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.snapshot("e:a=2 e:b=2"), "EDS b=2");
}

#[test]
fn rule_10_a_stale_request_gets_no_response_and_the_next_ack_carries_its_names() {
    let mut client = Client::new(Variant::StateOfTheWorld, "e:a=1 e:b=1");
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=1");
    // Envoy asked for b before it saw the response.
    client.names[1].push("b".into());
    let ask = client.ask(kind_of("EDS"), vec![], vec![]);
    assert_eq!(client.send(kind_of("EDS"), String::new(), None, ask), "");
    assert_eq!(client.ack("EDS"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "");
}

#[test]
fn rule_10_names_that_are_added_before_any_response_count() {
    let mut client = Client::new(Variant::StateOfTheWorld, "");
    assert_eq!(client.subscribe("EDS", "a"), "");
    assert_eq!(client.subscribe("EDS", "b"), "");
    assert_eq!(client.snapshot("e:b=1"), "EDS b=1");
}

#[test]
fn rule_33_one_push_is_in_flight_for_each_type_and_the_rest_is_coalesced() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "e:a=1 e:b=1 s:x=1");
        assert_eq!(client.snapshot("e:a=2 e:b=1 s:x=1"), "EDS a=2");
        assert_eq!(client.snapshot("e:a=3 e:b=1 s:x=1"), "");
        assert_eq!(client.snapshot("e:a=4 e:b=4 s:x=1"), "");
        assert_eq!(client.snapshot("e:a=5 e:b=4 s:x=2"), "SDS x=2");
        assert_eq!(client.ack("EDS"), "EDS a=5 b=4");
        assert_eq!(client.ack("EDS"), "");
    }
}

#[test]
fn rule_33_a_change_that_is_taken_back_before_its_turn_is_not_sent() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "e:a=1 e:b=1");
        assert_eq!(client.snapshot("e:a=2 e:b=1"), "EDS a=2");
        assert_eq!(client.snapshot("e:a=2 e:b=2"), "");
        assert_eq!(client.snapshot("e:a=2 e:b=1"), "");
        assert_eq!(client.ack("EDS"), "");
    }
}

/// With changes all the time something is always unanswered, and yet each is told.
#[test]
fn what_is_told_and_what_is_answered_are_two_things() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "e:a=1 e:b=1");
        let told = |client: &Client| (client.session.has_told_all(), client.session.is_idle());
        assert_eq!(told(&client), (true, true));
        client.snapshot("e:a=2 e:b=1");
        assert_eq!(told(&client), (true, false));
        client.snapshot("e:a=2 e:b=2");
        assert_eq!(told(&client), (false, false));
        assert_eq!(client.ack("EDS"), "EDS b=2");
        assert_eq!(told(&client), (true, false));
        client.ack("EDS");
        assert_eq!(told(&client), (true, true));
    }
}
