//! Rules of reconnecting.

use super::*;

#[test]
fn rule_16_a_current_version_of_a_pure_wildcard_is_not_sent_again() {
    for (kind, world) in [("CDS", "c:a=1 c:b=1"), ("LDS", "l:a=1 l:b=1")] {
        let mut client = Client::new(Variant::StateOfTheWorld, world);
        assert_eq!(client.reconnect(kind, "", "a=1 b=1"), "");
        assert_eq!(client.snapshot("c:a=2 c:b=1 l:a=2 l:b=1"), format!("{kind} a=2 b=1"));
    }
}

#[test]
fn rule_16_other_versions_and_subscriptions_are_sent_again() {
    let resume = |kind, world, names, held| Client::new(Variant::StateOfTheWorld, world).reconnect(kind, names, held);
    assert_eq!(resume("CDS", "c:a=1 c:b=1", "", "a=1 b=0"), "CDS a=1 b=1");
    assert_eq!(resume("CDS", "c:a=1 c:b=1", "a b", "a=1 b=1"), "CDS a=1 b=1");
    assert_eq!(resume("CDS", "c:a=1 c:b=1", "* a", "a=1 b=1"), "CDS a=1 b=1");
    assert_eq!(resume("EDS", "e:a=1 e:b=1", "a b", "a=1 b=1"), "EDS a=1 b=1");
    assert_eq!(resume("RDS", "r:a=1", "a", "a=1"), "RDS a=1");
}

#[test]
fn rule_16_a_version_is_not_believed_after_a_nack() {
    let mut client = Client::settled(Variant::StateOfTheWorld, "c:a=1 c:b=1");
    client.snapshot("c:a=2 c:b=2");
    client.nack("CDS");
    let doubts = client.session.doubts();
    let mut client = Client::resuming(Variant::StateOfTheWorld, "c:a=1 c:b=1", doubts);
    assert_eq!(client.reconnect("CDS", "", "a=1 b=1"), "CDS a=1 b=1");
    assert_ne!(client.session.doubts(), Doubts::new());
    client.ack("CDS");
    assert_eq!(client.session.doubts(), Doubts::new());
}

#[test]
fn rule_18_names_that_are_held_yield_to_the_versions_in_the_first_message() {
    let mut client = Client::new(Variant::Delta, "r:a=1 r:b=2 s:x=1");
    assert_eq!(client.reconnect("RDS", "a b", "a=1 b=1"), "RDS b=2");
    assert_eq!(client.reconnect("SDS", "x", "x=1"), "");
    assert_eq!(client.ack("RDS"), "");
    assert_eq!(client.subscribe("RDS", "a"), "RDS a=1");
}

#[test]
fn rule_18_load_assignments_are_sent_again_on_every_reconnect() {
    let mut client = Client::new(Variant::Delta, "c:a=1 e:a=1");
    assert_eq!(client.reconnect("CDS", "", "a=1"), "CDS");
    assert_eq!(client.reconnect("EDS", "a", "a=1"), "EDS a=1");
}

#[test]
fn rule_20_the_differences_are_sent_and_vanished_names_are_removed() {
    let mut client = Client::new(Variant::Delta, "l:a=1 l:b=2 l:d=1");
    assert_eq!(client.reconnect("LDS", "*", "a=1 b=1 gone=1"), "LDS b=2 d=1");
    assert_eq!(client.ack("LDS"), "LDS -gone");
    assert_eq!(client.ack("LDS"), "");
}

#[test]
fn rule_20_vanished_clusters_are_removed_after_the_routes() {
    let mut client = Client::new(Variant::Delta, "c:b=1 e:b=1 l:web=1>web r:web=2>b");
    assert_eq!(client.reconnect("CDS", "", "a=1"), "CDS b=1");
    assert_eq!(client.reconnect("EDS", "a", "a=1"), "EDS -a");
    assert_eq!(client.reconnect("LDS", "", "web=1"), "LDS");
    assert_eq!(client.reconnect("RDS", "web", "web=1"), "");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.ack("LDS"), "");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "RDS web=2");
    assert_eq!(client.after(900), "");
    assert_eq!(client.ack("RDS"), "");
    assert_eq!(client.after(1_000), "CDS -a");
}

#[test]
fn rule_20_versions_that_are_held_are_not_a_subscription() {
    let mut client = Client::new(Variant::Delta, "r:a=2 r:b=2");
    assert_eq!(client.reconnect("RDS", "a", "a=2 b=1"), "");
    assert_eq!(client.snapshot("r:a=2 r:b=3"), "");
}

#[test]
fn rule_20_names_in_doubt_are_sent_whatever_version_the_client_names() {
    let mut client = Client::settled(Variant::Delta, "l:a=1 l:b=1 l:d=1");
    client.snapshot("l:a=2 l:b=2 l:d=1");
    client.nack("LDS");
    let doubts = client.session.doubts();
    let mut client = Client::resuming(Variant::Delta, "l:a=1 l:b=1 l:d=1", doubts);
    assert_eq!(client.reconnect("LDS", "", "a=1 b=1 d=1"), "LDS a=1 b=1");
}

#[test]
fn rule_20_names_in_doubt_that_are_gone_are_removed() {
    let mut client = Client::settled(Variant::Delta, "l:a=1");
    assert_eq!(client.snapshot("l:a=2 l:b=1"), "LDS a=2 b=1");
    client.nack("LDS");
    // The client may have taken b, but names only what came with a whole success.
    let mut client = Client::resuming(Variant::Delta, "l:a=1", client.session.doubts());
    assert_eq!(client.reconnect("LDS", "", "a=1"), "LDS a=1");
    assert_eq!(client.ack("LDS"), "LDS -b");
}

/// Envoy asks a new stream for no clusters as long as one of them is warming.
#[test]
fn rule_32_resumed_routes_wait_for_the_first_request_for_clusters() {
    let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=2>b";
    let mut client = Client::new(Variant::Delta, world);
    assert_eq!(client.reconnect("LDS", "", "web=1"), "LDS");
    assert_eq!(client.reconnect("RDS", "web", "web=1"), "");
    assert_eq!(client.reconnect("CDS", "", "a=1"), "CDS b=1");
    assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
    client.ack("EDS");
    assert_eq!(client.ack("CDS"), "RDS web=2");
    // As long as everything else is waited for.
    let mut client = Client::new(Variant::Delta, world);
    client.reconnect("RDS", "web", "web=1");
    assert_eq!(client.after(4_999), "");
    assert_eq!(client.after(1), "RDS web=2");
}

/// Its last stream was lost while a cluster was warming, whose load assignment is gone since.
#[test]
fn rule_32_a_client_that_waits_for_endpoints_that_are_gone_is_told_that_there_are_none() {
    for variant in BOTH {
        let mut client = Client::new(variant, WORLD);
        let gone = client.reconnect("EDS", "a gone", "a=1");
        client.reconnect("LDS", "", "web=1>web");
        client.reconnect("RDS", "web", "web=1>a");
        client.ack_all();
        match variant {
            Variant::Delta => assert_eq!(gone, "EDS a=1", "and behind it, that the other one is gone"),
            Variant::StateOfTheWorld => assert_eq!(client.after(4_999), ""),
        }
        let late = client.after(1);
        match variant {
            Variant::Delta => assert_eq!(written(client.received.last().expect("some")), "EDS -gone"),
            // A message with its name alone; and the routes have waited long enough.
            Variant::StateOfTheWorld => assert_eq!(late, "EDS gone=\n\u{4}gone | RDS web=1"),
        }
        client.ack_all();
        assert_eq!(client.after(60_000), "", "once");
        client.reconnect("CDS", "", "a=1");
        client.ack_all();
        assert_eq!(client.snapshot(&format!("{WORLD} e:gone=2")), "EDS gone=2");
    }
}

#[test]
fn rule_27_vanished_clusters_linger_after_routes_that_are_resumed_later() {
    let mut client = Client::new(Variant::Delta, "c:a=1 e:a=1 l:web=1>web r:web=1>a");
    assert_eq!(client.reconnect("CDS", "", "b=1"), "CDS a=1");
    assert_eq!(client.subscribe("EDS", "a"), "EDS a=1");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.reconnect("LDS", "", "web=0>web"), "LDS web=1");
    assert_eq!(client.reconnect("RDS", "web", "web=0>b"), "");
    assert_eq!(client.after(1_500), "");
    assert_eq!(client.ack("LDS"), "RDS web=1");
    assert_eq!(client.ack("RDS"), "");
    assert_eq!(client.after(999), "");
    assert_eq!(client.after(1), "CDS -b");
}

/// In state of the world a client does not say which clusters it holds.
#[test]
fn rule_27_clusters_that_went_while_the_client_was_away_linger_in_a_set_of_old_and_new() {
    let worlds = [WORLD, "c:b=1 e:b=1 l:web=1>web r:web=1>b"];
    let mut client = Client::after_all(&worlds);
    assert_eq!(client.reconnect("CDS", "", "a=1"), "CDS a=1 b=1");
    assert_eq!(client.reconnect("EDS", "a", "a=1"), "EDS a=1", "as it was");
    client.reconnect("LDS", "", "web=1");
    assert_eq!(client.reconnect("RDS", "web", "web=1"), "", "it waits for b");
    client.ack("EDS");
    assert_eq!(client.subscribe("EDS", "a b"), "EDS b=1");
    client.ack("EDS");
    assert_eq!(client.ack("CDS"), "RDS web=1");
    assert_eq!(client.after(2_000), "");
    client.ack("RDS");
    assert_eq!(client.after(999), "");
    assert_eq!(client.after(1), "CDS b=1");
    client.ack("CDS");
    assert_eq!(client.after(60_000), "");
}

#[test]
fn rule_27_only_what_a_client_may_hold_lingers_while_it_was_away() {
    let worlds = ["c:a=1 e:a=1", "c:b=1 e:b=1", "c:b=2 e:b=1"];
    let resume = |held: &str| Client::after_all(&worlds).reconnect("CDS", "", held);
    assert_eq!(resume("b=1"), "CDS b=2", "it has been told that a is gone");
    assert_eq!(resume("b=2"), "", "it has what there is");
    assert_eq!(Client::after_all(&worlds).subscribe("CDS", ""), "CDS b=2", "it is new");
    assert_eq!(resume("a=1 b=1"), "CDS a=1 b=2", "it was between the two");
    let named = Client::after_all(&worlds).reconnect("CDS", "b", "b=0");
    assert_eq!(named, "CDS b=2", "it does not want the other");
    let mut late = Client::after_all(&worlds);
    late.reconnect("LDS", "", "x=1");
    late.after(60_000);
    assert_eq!(late.reconnect("CDS", "", "a=1"), "CDS b=2", "that was too long ago");
    // What goes between the stream's beginning and its first request for clusters is not known from before.
    let mut client = Client::after_all(&worlds[..2]);
    client.snapshot("c:d=1");
    assert_eq!(client.reconnect("CDS", "", "b=1"), "CDS b=1 d=1");
}

/// What the first response of a stream held may be in use already: it stays until the routes have left it.
#[test]
fn rule_27_a_response_that_is_given_up_takes_nothing_away() {
    let mut client = Client::new(Variant::StateOfTheWorld, "c:a=1 c:new=1 e:a=1 l:web=1>web r:web=1>a");
    assert_eq!(client.reconnect("CDS", "", "a=0"), "CDS a=1 new=1");
    client.reconnect("LDS", "", "web=1");
    client.reconnect("RDS", "web", "web=1");
    client.snapshot("c:b=1 e:b=1 l:web=1>web r:web=2>b");
    assert!(client.after(5_000).starts_with("CDS a=1 b=1 new=1"));
}

#[test]
fn rule_21_a_resumed_wildcard_is_answered_without_resources() {
    let mut client = Client::new(Variant::Delta, "c:a=1");
    assert_eq!(client.reconnect("CDS", "*", "a=1"), "CDS");
}

#[test]
fn rule_29_after_a_reconnect_too_a_new_cluster_brings_its_load_assignment() {
    for variant in BOTH {
        let mut client = Client::new(variant, "c:a=2 e:a=1");
        assert_eq!(client.reconnect("CDS", "", "a=1"), "CDS a=2");
        assert_eq!(client.reconnect("EDS", "a", "a=1"), "EDS a=1");
        assert_eq!(client.ack_all(), "");
    }
}

#[test]
fn rule_32_a_stream_that_is_lost_is_resumed_by_another_session() {
    for variant in BOTH {
        let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=2>b";
        let mut client = Client::new(variant, world);
        let clusters = client.reconnect("CDS", "", "a=1 b=1");
        let listeners = client.reconnect("LDS", "", "web=1");
        match variant {
            Variant::StateOfTheWorld => assert_eq!((clusters.as_str(), listeners.as_str()), ("", "")),
            Variant::Delta => assert_eq!((clusters.as_str(), listeners.as_str()), ("CDS", "LDS")),
        }
        assert_eq!(client.reconnect("RDS", "web", "web=1"), "RDS web=2");
    }
}
