//! Rules of order and warming.

use super::*;

const NEXT: &str = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=2>b";
const LAST: &str = "c:b=1 e:b=1 l:web=1>web r:web=2>b";

#[test]
fn rule_27_clusters_assignments_listeners_routes_then_removals_delta() {
    let mut client = Client::settled(Variant::Delta, WORLD);
    assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=2>web r:web=2>b"), "CDS b=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "LDS web=2");
    assert_eq!(client.ack("LDS"), "RDS web=2");
    assert_eq!(client.after(3_000), "");
    assert_eq!(client.ack("RDS"), "");
    assert_eq!(client.after(999), "");
    assert_eq!(client.after(1), "CDS -a");
    assert_eq!(client.ack("CDS"), "EDS -a");
    assert_eq!(client.ack("EDS"), "");
}

#[test]
fn rule_27_state_of_the_world_has_an_interim_set_of_old_and_new() {
    let mut client = Client::settled(Variant::StateOfTheWorld, WORLD);
    assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=2>web r:web=2>b"), "CDS a=1 b=1");
    assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.ack("CDS"), "LDS web=2");
    assert_eq!(client.ack("LDS"), "RDS web=2");
    assert_eq!(client.ack("RDS"), "");
    assert_eq!(client.after(1_000), "CDS b=1");
    assert_eq!(client.unsubscribe("EDS", "a"), "");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.after(60_000), "");
}

#[test]
fn rule_27_a_cluster_waits_for_its_secret() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 e:a=1 l:web=1>web r:web=1>a s:x=1");
        client.snapshot("c:a=1 c:b=1>y e:a=1 e:b=1 l:web=1>web r:web=2>b s:x=1 s:y=1");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.subscribe("SDS", "y"), "SDS y=1");
        assert_eq!(client.ack("SDS"), "RDS web=2");
    }
}

#[test]
fn rule_27_steps_that_a_client_did_not_subscribe_to_are_skipped() {
    for variant in BOTH {
        let mut client = Client::new(variant, WORLD);
        client.subscribe("CDS", "");
        client.subscribe("RDS", "web");
        client.ack_all();
        client.snapshot(NEXT);
        assert_eq!(client.ack("CDS"), "RDS web=2");
    }
}

#[test]
fn rule_27_routes_of_clusters_that_are_made_do_not_wait_for_others() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 e:a=1 l:web=1>r1,r2 r:r1=1>a r:r2=1>a");
        let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>r1,r2 r:r1=2>b r:r2=2>a";
        assert!(client.snapshot(world).ends_with(" | RDS r2=2"));
    }
}

#[test]
fn rule_27_removals_wait_for_the_listeners_that_are_removed() {
    let mut client = Client::settled(Variant::Delta, "c:a=1 e:a=1 l:x=1>x l:y=1>y r:x=1 r:y=1>a");
    assert_eq!(client.snapshot("l:x=1>x r:x=1"), "LDS -y");
    assert_eq!(client.after(4_000), "");
    assert_eq!(client.ack("LDS"), "");
    assert_eq!(client.after(1_000), "CDS -a");
    assert_eq!(client.ack("CDS"), "EDS -a | RDS -y");
}

#[test]
fn rule_27_a_cluster_that_returns_is_not_removed() {
    for variant in BOTH {
        let mut client = Client::settled(variant, NEXT);
        client.snapshot(LAST);
        assert_eq!(client.after(500), "");
        assert_eq!(client.snapshot(NEXT), "");
        assert_eq!(client.after(10_000), "");
    }
}

#[test]
fn rule_28_an_acknowledged_cluster_is_not_a_warm_one() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot(NEXT);
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.after(1_000), "");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "RDS web=2");
    }
}

#[test]
fn rule_29_a_changed_cluster_brings_its_unchanged_load_assignment() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a");
        let clusters = client.snapshot("c:a=2 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a");
        match variant {
            Variant::StateOfTheWorld => assert_eq!(clusters, "CDS a=2 b=1 | EDS a=1"),
            Variant::Delta => assert_eq!(clusters, "CDS a=2 | EDS a=1"),
        }
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "");
    }
}

#[test]
fn rule_29_a_load_assignment_that_is_asked_for_meanwhile_is_sent_once() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot(NEXT);
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.ack("EDS"), "RDS web=2");
    }
}

#[test]
fn rule_29_a_cluster_that_has_to_stay_gets_the_load_assignment_that_is_gone() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot(NEXT);
        // The client got `b` and asks for its endpoints, when it is gone already.
        assert_eq!(client.snapshot(WORLD), "");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "");
        let removal = if variant == Variant::Delta { "CDS -b" } else { "CDS a=1" };
        assert_eq!(client.after(1_000), removal);
        assert_eq!(client.ack("CDS"), "");
        // Then it is gone for this client too, whether that can be said or not.
        let gone = if variant == Variant::Delta { "EDS -b" } else { "" };
        assert_eq!(client.after(1_000), gone);
        client.ack_all();
        assert_eq!(client.subscribe("EDS", "b b"), gone);
    }
}

#[test]
fn rule_29_a_load_assignment_that_goes_while_an_older_one_is_in_flight_is_sent_again() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        assert_eq!(client.snapshot(&WORLD.replace("e:a=1", "e:a=2")), "EDS a=2");
        // The changed cluster waits for endpoints, and all of it is gone before it can get them.
        assert_eq!(client.snapshot(&WORLD.replace("c:a=1 e:a=1", "c:a=2 e:a=3")), "CDS a=2");
        assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=1>web r:web=2>b"), "");
        assert_eq!(client.ack("EDS"), "EDS a=2");
    }
}

#[test]
fn rule_29_listeners_bring_no_unchanged_routes() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        assert_eq!(client.snapshot("c:a=1 e:a=1 l:web=2>web r:web=1>a"), "LDS web=2");
        assert_eq!(client.ack("LDS"), "");
    }
}

#[test]
fn a_client_that_never_acknowledges_is_waited_for_only_so_long() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:b=1 e:b=1 l:web=2>web r:web=2>b");
        assert_eq!(client.after(4_999), "");
        assert_eq!(client.after(1), "LDS web=2 | RDS web=2");
        // The type that has something newer to say says it once, and then the client is left alone.
        let once_more = client.after(60_000);
        match variant {
            Variant::StateOfTheWorld => assert_eq!(once_more, "CDS b=1"),
            Variant::Delta => assert_eq!(once_more, "CDS -a"),
        }
        assert_eq!(client.after(60_000), "");
        assert_eq!(client.session.next_deadline(client.now), None);
    }
}

#[test]
fn clusters_that_do_not_warm_do_not_hold_up_newer_ones_for_ever() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        assert_eq!(client.snapshot("c:a=2 e:a=1 l:web=1>web r:web=1>a"), "CDS a=2 | EDS a=1");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.after(60_000), "");
        let newer = client.snapshot("c:a=2 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a");
        assert_eq!(newer, "CDS a=2 b=1 | EDS a=1");
        assert_eq!(client.ack("CDS"), "");
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:a=2 e:a=1 l:web=1>web r:web=1>a");
        assert_eq!(client.snapshot("c:a=3 e:a=1 l:web=1>web r:web=1>a"), "");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.after(4_999), "");
        let late = client.nonce[0].clone();
        assert_eq!(client.after(1), "CDS a=3 | EDS a=1");
        let ask = client.ask(kind_of("CDS"), vec![], vec![]);
        assert_eq!(client.send(kind_of("CDS"), late, Some("too late"), ask), "");
        assert_eq!(client.ack("CDS"), "");
    }
}

#[test]
fn a_cluster_that_never_warms_can_be_removed() {
    let mut client = Client::settled(Variant::Delta, WORLD);
    let with = |more: &str| format!("{WORLD} {more}");
    assert_eq!(client.snapshot(&with("c:bad=1>secret")), "CDS bad=1");
    assert_eq!(client.snapshot(&with("c:new=1")), "");
    // Clusters are not answered as long as one of them is not warm.
    assert_eq!(client.after(4_999), "");
    assert_eq!(client.after(1), "CDS -bad");
    assert_eq!(client.ack("CDS"), "CDS new=1");
}

#[test]
fn a_cluster_that_never_warms_can_be_removed_while_a_removal_is_under_way() {
    let mut client = Client::settled(Variant::Delta, "c:a=1 c:bad=1 c:old=1 e:a=1 l:web=1>web r:web=1>a");
    client.snapshot("c:a=1 c:bad=1 e:a=1 l:web=1>web r:web=1>a");
    assert_eq!(client.after(500), "");
    assert_eq!(client.snapshot("c:a=1 c:bad=2>secret e:a=1 l:web=1>web r:web=1>a"), "CDS bad=2");
    // The cluster is warming for ever, so nothing of clusters is answered.
    assert_eq!(client.after(5_500), "CDS -old");
    client.snapshot("c:a=1 e:a=1 l:web=1>web r:web=1>a");
    assert_eq!(client.after(12_000), "CDS -bad -old");
    assert_eq!(client.ack("CDS"), "");
}

#[test]
fn a_cluster_that_waits_behind_an_unanswered_one_has_its_own_clock() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:a=1 c:bad=1>secret e:a=1 l:web=1>web r:web=1>a");
        client.snapshot("c:a=1 c:b=1 c:bad=1>secret e:a=1 e:b=1 l:web=1>web r:web=2>b");
        // The routes do not leave together with the cluster, but when it is there, or after a hold of their own.
        assert!(
            client.after(5_000).ends_with("b=1") || client.received.last().is_some_and(|r| r.kind == kind_of("CDS"))
        );
        assert_eq!(client.after(4_999), "");
        assert_eq!(client.after(1), "RDS web=2");
    }
}

/// In delta: state of the world says of no secret that it is gone.
#[test]
fn rule_19_that_a_secret_is_gone_is_said_after_the_listener_that_does_without_it() {
    let mut client = Client::settled(Variant::Delta, "l:web=1");
    assert_eq!(client.snapshot("l:web=2 s:x=1"), "LDS web=2");
    assert_eq!(client.snapshot("l:web=1"), "");
    assert_eq!(client.subscribe("SDS", "x"), "");
    assert_eq!(client.ack("LDS"), "LDS web=1 | SDS -x");
}

#[test]
fn new_subscriptions_are_answered_at_once() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a r:new=1>a s:x=1");
        assert_eq!(client.subscribe("RDS", "new"), "RDS new=1");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.subscribe("SDS", "x"), "SDS x=1");
    }
}

/// The listener that asks replaces one that serves: it must not come into use before its clusters.
#[test]
fn routes_that_are_asked_for_wait_for_clusters_that_are_being_made() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        assert_eq!(client.snapshot("c:a=1 e:a=1 l:web=2>new r:new=1>a r:web=1>a"), "LDS web=2");
        client.snapshot("c:a=1 c:b=1 e:a=1 e:b=1 l:web=2>new r:new=2>b r:web=1>a");
        assert_eq!(client.subscribe("RDS", "new"), "");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("LDS"), "");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "RDS new=2");
        // As everything else, for so long only.
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:new=2>b r:web=1>a");
        assert_eq!(client.subscribe("RDS", "new"), "");
        assert_eq!(client.after(4_999), "");
        assert_eq!(client.after(1), "RDS new=2");
    }
}

#[test]
fn endpoints_never_wait_for_anything_else() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot(NEXT);
        let world = NEXT.replace("e:a=1", "e:a=2");
        assert_eq!(client.snapshot(&world), "EDS a=2");
    }
}

#[test]
fn what_waits_behind_an_unanswered_answer_has_a_clock() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "l:web=1>web r:web=1 r:new=1");
        if variant == Variant::Delta {
            client.unsubscribe("RDS", "new");
        } else {
            client.names[kind_of("RDS").index()].retain(|name| name != "new");
            client.change("RDS", "", "");
        }
        assert_eq!(client.snapshot("l:web=2>web r:web=2 r:new=1"), "LDS web=2");
        assert_eq!(client.after(3_000), "");
        assert_eq!(client.subscribe("RDS", "new"), "RDS new=1");
        // The listeners are waited for no longer, but the answer is on its way; it is not waited for for ever either.
        assert_eq!(client.after(2_500), "");
        assert_eq!(client.after(2_500), "RDS new=1 web=2");
        assert_eq!(client.after(60_000), "");
    }
}

#[test]
fn endpoints_that_change_all_the_time_do_not_hold_up_the_routes() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        client.snapshot(NEXT);
        client.ack("CDS");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.snapshot(&NEXT.replace("e:b=1", "e:b=2")), "");
        // The client has endpoints for the cluster, and newer ones are on their way.
        assert_eq!(client.ack("EDS"), "EDS b=2 | RDS web=2");
    }
}

#[test]
fn a_changed_cluster_is_not_made_by_endpoints_from_before_the_change() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 e:a=1 l:web=1>web r:web=1>a");
        assert_eq!(client.snapshot("c:a=1 e:a=2 l:web=1>web r:web=1>a"), "EDS a=2");
        assert_eq!(client.snapshot("c:a=2 e:a=3 l:web=1>web r:web=2>a"), "CDS a=2");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.ack("EDS"), "EDS a=3");
        assert_eq!(client.snapshot("c:a=2 e:a=4 l:web=1>web r:web=2>a"), "");
        assert_eq!(client.ack("EDS"), "EDS a=4 | RDS web=2");
    }
}

/// A client that was sent a change of `a`'s endpoints when those of `b` and the route to it changed together.
fn moved_during_churn(variant: Variant) -> Client {
    let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a";
    let mut client = Client::settled(variant, world);
    let churn = world.replace("e:a=1", "e:a=2");
    assert_eq!(client.snapshot(&churn), "EDS a=2");
    assert_eq!(client.snapshot(&churn.replace("e:b=1", "e:b=2").replace("r:web=1>a", "r:web=2>b")), "");
    client
}

#[test]
fn routes_do_not_overtake_the_endpoints_they_lead_to() {
    for variant in BOTH {
        let mut client = moved_during_churn(variant);
        assert_eq!(client.ack("EDS"), "EDS b=2 | RDS web=2");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("RDS"), "");
    }
}

#[test]
fn endpoints_that_are_never_acknowledged_do_not_hold_the_routes_for_ever() {
    for variant in BOTH {
        assert_eq!(moved_during_churn(variant).after(5_000), "EDS a=2 b=2 | RDS web=2");
    }
}

/// gRPC clients accept 4 MiB unless they are told otherwise.
const ACCEPTED: usize = 4_000_000;

pub(super) fn size(response: &Response) -> usize {
    crate::xds::wire::encode(response).expect("fits").iter().map(bytes::Bytes::len).sum()
}

#[test]
fn bounded_a_large_delta_comes_in_parts_and_then_what_needs_it() {
    let filling = "x".repeat(2_000);
    let world = |version: u8, clusters: std::ops::Range<usize>| {
        let cluster = |at: usize| format!("c:service/demo/app-{at:05}/80/http={version}{filling} e:a{at}=1");
        let clusters: Vec<String> = clusters.map(cluster).collect();
        format!("{} l:web=1>web r:web={version}>service/demo/app-04999/80/http", clusters.join(" "))
    };
    let mut client = Client::settled(Variant::Delta, "l:web=0>web r:web=0>");
    client.received.clear();
    client.snapshot(&world(1, 0..5_000));
    client.ack_all();
    let kinds: Vec<ResourceType> = client.received.iter().map(|response| response.kind).collect();
    use ResourceType::{Cluster as C, Listener as L, RouteConfiguration as R};
    assert_eq!(kinds, [C, C, C, C, L, R], "10 MB of clusters, then the routes to them");
    assert!(client.received.iter().all(|response| size(response) < ACCEPTED));
    let named: BTreeSet<&ArcStr> =
        client.received.iter().flat_map(|response| response.resources()).map(|resource| &resource.name).collect();
    assert_eq!(named.len(), 5_001);
    // And all of them go, in parts too: names alone are as large if there are more of them.
    client.session.limits.response = 400_000;
    client.received.clear();
    client.snapshot("l:web=1>web r:web=2>");
    client.ack_all();
    client.after(1_000);
    client.ack_all();
    let removed: Vec<usize> = client
        .received
        .iter()
        .filter_map(|response| match &response.body {
            Body::Delta { removed, .. } if !removed.is_empty() => Some(removed.len()),
            _ => None,
        })
        .collect();
    assert!(removed.len() > 1 && removed.iter().sum::<usize>() == 5_000, "{removed:?}");
    assert!(client.received.iter().all(|response| size(response) <= 400_000));
}

#[test]
fn bounded_a_resource_that_is_too_large_goes_alone() {
    let mut client = Client::new(Variant::Delta, "c:a=1 c:b=1 c:d=1");
    client.session.limits.response = 10;
    assert_eq!(client.subscribe("CDS", ""), "CDS a=1");
    assert_eq!(client.ack("CDS"), "CDS b=1");
    // What changes meanwhile has its turn, after those that were not sent yet.
    assert_eq!(client.snapshot("c:a=2 c:b=1 c:d=1"), "");
    assert_eq!(client.ack("CDS"), "CDS d=1");
    assert_eq!(client.ack("CDS"), "CDS a=2");
    assert_eq!(client.ack("CDS"), "");
}

/// A removal that is never answered, since a cluster is not warm, must not keep away what would make it warm.
#[test]
fn a_part_that_makes_way_for_a_removal_has_its_turn_after_it() {
    let mut client = Client::new(Variant::Delta, "c:a=1 c:d=1");
    client.session.limits.response = 10;
    assert_eq!(client.subscribe("CDS", ""), "CDS a=1");
    assert_eq!(client.ack("CDS"), "CDS d=1");
    assert_eq!(client.ack("CDS"), "");
    // The new `a` does not become warm. Then there is a better one, and another cluster before its turn.
    assert_eq!(client.snapshot("c:a=2 c:b=1"), "CDS a=2");
    assert_eq!(client.snapshot("c:a=3 c:b=1"), "");
    let texts = client.after(60_000);
    assert!(texts.contains("CDS -d") && texts.contains("CDS a=3") && texts.contains("CDS b=1"), "{texts}");
    let rest = texts.split_once("CDS -d").map(|(_, rest)| rest);
    assert!(rest.is_some_and(|rest| rest.contains("CDS a=3")), "{texts}");
}

#[test]
fn a_part_that_is_never_answered_holds_up_the_others_for_a_while() {
    let mut client = Client::new(Variant::Delta, "c:a=1 c:b=1");
    client.session.limits.response = 10;
    assert_eq!(client.subscribe("CDS", ""), "CDS a=1");
    assert_eq!(client.after(4_999), "");
    assert_eq!(client.after(1), "CDS b=1");
    // A client that is slow is given more time.
    assert_eq!(client.after(9_999), "");
    assert_eq!(client.after(1), "CDS a=1");
    assert_eq!(client.after(19_999), "");
    assert_eq!(client.ack("CDS"), "CDS b=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.after(60_000), "");
}
