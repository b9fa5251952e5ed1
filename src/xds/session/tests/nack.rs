//! Rules of refused responses.

use super::*;

#[test]
fn rule_08_a_nack_is_the_presence_of_an_error_whatever_it_says() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1");
        assert_eq!(client.snapshot("c:a=2"), "CDS a=2");
        let kind = kind_of("CDS");
        client.accepted[kind.index()] = client.offered[kind.index()].clone();
        let ask = client.ask(kind, vec![], vec![]);
        client.session.poll_answers();
        assert_eq!(client.send(kind, client.nonce[kind.index()].clone(), Some(""), ask), "");
        assert!(matches!(&client.session.poll_answers()[..], [Answer::Refused(refusal)] if refusal.message.is_empty()));
    }
}

#[test]
fn rule_09_after_a_nack_nothing_is_sent_until_the_content_changes() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 e:a=1 l:x=1");
        assert_eq!(client.snapshot("c:a=2 e:a=1 l:x=1"), "CDS a=2 | EDS a=1");
        client.nack("CDS");
        client.ack_all();
        assert_eq!(client.after(60_000), "");
        assert_eq!(client.nack("CDS"), "");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.snapshot("c:a=2 e:a=1 l:x=2"), "LDS x=2");
        assert_eq!(client.snapshot("c:a=3 e:a=1 l:x=2"), "CDS a=3 | EDS a=1");
    }
}

#[test]
fn rule_09_a_newer_version_that_exists_already_is_sent_at_once() {
    for variant in BOTH {
        for (kind, a, b, c) in [("CDS", "c:a=1", "c:a=2", "c:a=3"), ("RDS", "r:a=1", "r:a=2", "r:a=3")] {
            let mut client = Client::settled(variant, a);
            assert_eq!(client.snapshot(b), format!("{kind} a=2"));
            assert_eq!(client.snapshot(c), "");
            assert_eq!(client.nack(kind), format!("{kind} a=3"));
            assert_eq!(client.ack(kind), "");
        }
    }
}

/// The cluster that it belongs to has to stay until the routes have left it.
#[test]
fn rule_09_what_was_refused_together_with_what_is_gone_is_sent_at_once() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:a=1 c:b=1 e:a=1 e:b=bad l:web=1>web r:web=1>a");
        assert_eq!(client.snapshot(WORLD), "");
        assert_eq!(client.unsubscribe("EDS", "a"), "");
        assert_eq!(client.subscribe("EDS", "a b"), "EDS a=1 b=bad");
        assert_eq!(client.nack("EDS"), "EDS a=1");
        assert_eq!(client.ack("EDS"), "");
    }
}

#[test]
fn rule_09_a_full_set_that_was_refused_is_another_one_without_what_goes() {
    let mut client = Client::new(Variant::StateOfTheWorld, "c:old=bad l:web=1");
    assert_eq!(client.subscribe("LDS", ""), "LDS web=1");
    assert_eq!(client.ack("LDS"), "");
    assert_eq!(client.reconnect("CDS", "", "old=1"), "CDS old=bad");
    assert_eq!(client.snapshot("c:a=1 l:web=2"), "LDS web=2");
    // The client may have the old cluster, so it stays as long as the old listener does.
    assert_eq!(client.after(5_000), "CDS a=1 old=bad");
    assert_eq!(client.nack("CDS"), "");
    assert_eq!(client.after(1_000), "CDS a=1");
    assert_eq!(client.nack("CDS"), "");
    assert_eq!(client.after(60_000), "", "once");
}

#[test]
fn rule_25_everything_in_a_refused_response_is_sent_at_the_next_change() {
    let mut client = Client::settled(Variant::Delta, "l:a=1 l:b=1 l:d=1");
    assert_eq!(client.snapshot("l:a=2 l:b=2 l:d=1"), "LDS a=2 b=2");
    assert_eq!(client.nack("LDS"), "");
    assert_eq!(client.snapshot("l:a=2 l:b=2 l:d=2"), "LDS a=2 b=2 d=2");
    assert_eq!(client.ack("LDS"), "");
    let mut client = Client::settled(Variant::StateOfTheWorld, "e:a=1 e:b=1 e:d=1");
    assert_eq!(client.snapshot("e:a=2 e:b=2 e:d=1"), "EDS a=2 b=2");
    assert_eq!(client.nack("EDS"), "");
    assert_eq!(client.snapshot("e:a=2 e:b=2 e:d=2"), "EDS a=2 b=2 d=2");
}

#[test]
fn rule_25_a_change_that_came_before_the_nack_is_the_next_change() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "l:a=1 l:b=1");
        client.snapshot("l:a=2 l:b=1");
        assert_eq!(client.snapshot("l:a=2 l:b=2"), "");
        assert_eq!(client.nack("LDS"), "LDS a=2 b=2");
        assert_eq!(client.nack("LDS"), "");
    }
    let mut client = Client::settled(Variant::StateOfTheWorld, "e:a=1 e:b=1");
    assert_eq!(client.snapshot("e:a=2 e:b=1"), "EDS a=2");
    assert_eq!(client.snapshot("e:a=2 e:b=2"), "");
    assert_eq!(client.nack("EDS"), "EDS a=2 b=2");
}

#[test]
fn rule_25_a_refused_removal_is_sent_again() {
    let mut client = Client::settled(Variant::Delta, "l:a=1 l:b=1");
    assert_eq!(client.snapshot("l:b=1"), "LDS -a");
    assert_eq!(client.nack("LDS"), "");
    assert_eq!(client.snapshot("l:b=2"), "LDS b=2");
    assert_eq!(client.ack("LDS"), "LDS -a");
    assert_eq!(client.ack("LDS"), "");
}

#[test]
fn rule_25_a_removal_never_shares_a_response_with_upserts() {
    let mut client = Client::settled(Variant::Delta, "l:a=1 l:b=1");
    assert_eq!(client.snapshot("l:b=2"), "LDS b=2");
    assert_eq!(client.ack("LDS"), "LDS -a");
    assert_eq!(client.ack("LDS"), "");
}

#[test]
fn rule_25_a_nack_keeps_its_details_until_everything_is_acknowledged() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 c:b=1");
        client.snapshot("c:a=2 c:b=1");
        client.nack("CDS");
        let refusal = client.session.progress()[0].refusal.clone().expect("kept");
        assert_eq!((refusal.message.as_str(), refusal.names.as_slice()), ("bad", &[ArcStr::from("a")][..]));
        assert_eq!(refusal.nonce, client.nonce[0]);
        client.snapshot("c:a=3 c:b=1");
        assert!(client.session.progress()[0].refusal.is_some());
        client.ack("CDS");
        assert_eq!(client.session.progress()[0].refusal, None);
    }
}

#[test]
fn a_client_that_refuses_one_type_goes_on_with_the_others() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=2>b";
        let clusters = client.snapshot(world);
        assert!(clusters.starts_with("CDS "), "{clusters}");
        assert_eq!(client.nack("CDS"), "RDS web=2");
    }
}

/// What had gone was refused with the rest of the set: without it that is another set, whenever the refusal comes.
#[test]
fn rule_25_a_set_is_tried_again_without_what_went_meanwhile() {
    let mut client = Client::after_all(&["c:a=1 l:web=1", "c:b=1 l:web=1"]);
    assert_eq!(client.reconnect("CDS", "", "a=1"), "CDS a=1 b=1");
    assert_eq!(client.reconnect("LDS", "", "web=1"), "");
    assert_eq!(client.after(2_000), "", "a can go, behind the answer");
    assert_eq!(client.nack("CDS"), "CDS b=1");
}
