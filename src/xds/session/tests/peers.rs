//! Where other control planes fail, played against this one. The names are those of the table in `docs/xds.md`; each
//! comment names the peers' issues.

use super::*;

/// What either variant says of a change of one of two clusters.
fn one_of_two(variant: Variant, delta: &str, state_of_the_world: &str) -> String {
    match variant {
        Variant::Delta => delta.to_owned(),
        Variant::StateOfTheWorld => state_of_the_world.to_owned(),
    }
}

/// go-control-plane #46, #962; kgateway #14701: a NACK repeats the old version, which differs from the newest, which is
/// sent at once, which is refused.
#[test]
fn peer_a_nack_starts_no_storm() {
    for variant in BOTH {
        for (kind, one, two) in [
            ("CDS", "c:a=1", "c:a=2"),
            ("EDS", "e:a=1", "e:a=2"),
            ("LDS", "l:a=1", "l:a=2"),
            ("RDS", "r:a=1", "r:a=2"),
            ("SDS", "s:a=1", "s:a=2"),
        ] {
            let mut client = Client::settled(variant, one);
            assert_eq!(client.snapshot(two), format!("{kind} a=2"));
            for _ in 0..10 {
                assert_eq!(client.nack(kind), "");
                assert_eq!(client.after(10_000), "");
            }
            assert_eq!(client.session.next_deadline(client.now), None);
        }
    }
}

/// go-control-plane: what a delta client is taken to have is noted when it is sent, so a NACK changes nothing, and what
/// was refused is not sent again when it changes back. It also never learns of a removal it refused.
#[test]
fn peer_a_refused_delta_is_not_taken_for_a_success() {
    let mut client = Client::settled(Variant::Delta, "c:a=1 c:b=1");
    assert_eq!(client.snapshot("c:a=2 c:b=1"), "CDS a=2");
    assert_eq!(client.nack("CDS"), "");
    assert_eq!(client.session.progress()[0].open, 1);
    assert_eq!(client.snapshot("c:a=1 c:b=1"), "CDS a=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.session.progress()[0].open, 0);
    let mut client = Client::settled(Variant::Delta, "l:a=1 l:b=1");
    assert_eq!(client.snapshot("l:a=1"), "LDS -b");
    assert_eq!(client.nack("LDS"), "");
    assert_eq!(client.snapshot("l:a=2"), "LDS a=2");
    assert_eq!(client.ack("LDS"), "LDS -b");
}

/// Envoy Gateway #6287, #9029; kuma #4556: the removal of a cluster goes with the cluster that replaces it, so that for a
/// moment the routes lead nowhere.
#[test]
fn peer_nothing_breaks_before_it_is_made() {
    for variant in BOTH {
        let mut client = Client::settled(variant, WORLD);
        let after = "c:b=1 e:b=1 l:web=1>web r:web=2>b";
        assert_eq!(client.snapshot(after), one_of_two(variant, "CDS b=1", "CDS a=1 b=1"));
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "RDS web=2");
        // The old cluster stays until the routes have left it, and the requests that are under way.
        assert_eq!(client.after(4_000), "");
        assert_eq!(client.ack("RDS"), "");
        assert_eq!(client.after(999), "");
        assert_eq!(client.after(1), one_of_two(variant, "CDS -a", "CDS b=1"));
        assert_eq!(client.unsubscribe("EDS", "a"), "");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.after(60_000), "");
    }
}

/// go-control-plane #63, #119, #349, #426; kgateway #14688: nothing is sent unless the names that are asked for are those
/// of the snapshot, and a request that is not answered is forgotten.
#[test]
fn peer_a_client_that_asks_for_some_names_is_answered() {
    for variant in BOTH {
        let mut client = Client::new(variant, "e:a=1 e:b=1 e:c=1 r:a=1 r:b=1");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.subscribe("RDS", "b"), "RDS b=1");
        assert_eq!(client.ack("RDS"), "");
        // A name that is not there does not keep back the one that is.
        assert_eq!(client.subscribe("EDS", "a later"), "EDS a=1");
        assert_eq!(client.ack("EDS"), one_of_two(variant, "EDS -later", ""));
        client.ack_all();
        assert_eq!(client.snapshot("e:a=1 e:b=2 e:c=2 r:a=2 r:b=2"), "EDS b=2 | RDS b=2");
        client.ack_all();
        assert_eq!(client.snapshot("e:a=1 e:b=2 e:c=2 e:later=1 r:a=2 r:b=2"), "EDS later=1");
    }
}

/// go-control-plane #245, #583, #1035; Envoy Gateway #2345: a cluster that changed waits for its load assignment, which did
/// not change and is not sent: it is warming for ever.
#[test]
fn peer_a_cluster_that_changed_gets_its_load_assignment() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 c:b=1 e:a=1 e:b=1");
        let both = one_of_two(variant, "CDS a=2 | EDS a=1", "CDS a=2 b=1 | EDS a=1");
        assert_eq!(client.snapshot("c:a=2 c:b=1 e:a=1 e:b=1"), both);
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "");
        // Changed back before the answer: what is warming is another cluster than the one that is in use.
        client.snapshot("c:a=3 c:b=1 e:a=1 e:b=1");
        assert_eq!(client.snapshot("c:a=2 c:b=1 e:a=1 e:b=1"), "");
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), both);
    }
}

/// kgateway #14184, #14352: a proxy is given nothing as long as one of its backends has no endpoints.
#[test]
fn peer_a_backend_without_endpoints_keeps_nothing_back() {
    for variant in BOTH {
        let world = "c:a=1 c:b=1 c:lost=1 e:a=1 e:b= l:web=1>web r:web=1>a,b,lost";
        let mut client = Client::new(variant, world);
        assert_eq!(client.subscribe("CDS", ""), "CDS a=1 b=1 lost=1");
        let assignments = client.subscribe("EDS", "a b lost");
        assert_eq!(assignments, "EDS a=1 b=");
        assert_eq!(client.ack("EDS"), one_of_two(variant, "EDS -lost", ""));
        client.ack_all();
        assert_eq!(client.subscribe("LDS", ""), "LDS web=1");
        assert_eq!(client.subscribe("RDS", "web"), "RDS web=1");
        client.ack_all();
        // The last endpoint of one goes when a route of another moves.
        let next = "c:a=1 c:b=1 c:lost=1 e:a= e:b=1 l:web=1>web r:web=2>b,lost";
        assert_eq!(client.snapshot(next), "EDS a= b=1 | RDS web=2");
    }
}

/// kgateway #657; Envoy Gateway #9198, #9463: one bad route or secret, and no change of anything reaches the proxy.
#[test]
fn peer_one_bad_resource_does_not_hold_up_the_others() {
    for variant in BOTH {
        let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:other=1>a r:web=1>a s:x=1 s:y=1";
        let mut client = Client::settled(variant, world);
        let bad = world.replace("r:web=1>a", "r:web=bad>b").replace("s:x=1", "s:x=bad");
        assert_eq!(client.snapshot(&bad), "RDS web=bad | SDS x=bad");
        assert_eq!(client.nack("RDS"), "");
        assert_eq!(client.nack("SDS"), "");
        let next = bad.replace("c:a=1", "c:a=2").replace("e:b=1", "e:b=2");
        assert_eq!(client.snapshot(&next), one_of_two(variant, "CDS a=2 | EDS a=1 b=2", "CDS a=2 b=1 | EDS a=1 b=2"));
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "");
        // Of the same type too.
        let next = next.replace("r:other=1>a", "r:other=2>b").replace("s:y=1", "s:y=2");
        assert_eq!(client.snapshot(&next), "RDS other=2 web=bad | SDS x=bad y=2");
    }
}

/// istio #41494; java-control-plane #463: what goes while a delta client is away is never removed, since only the new
/// session's own pushes are compared.
#[test]
fn peer_what_went_while_the_client_was_away_is_removed() {
    let mut client = Client::new(Variant::Delta, "c:a=1 e:a=1 l:web=1>web r:web=1>a");
    assert_eq!(client.reconnect("CDS", "", "a=1 gone=1"), "CDS");
    assert_eq!(client.reconnect("EDS", "a gone", "a=1 gone=1"), "EDS a=1");
    // Nothing has to come in its place, so the listener goes at once and the cluster after a linger.
    assert_eq!(client.reconnect("LDS", "", "web=1 old=1"), "LDS -old");
    assert_eq!(client.reconnect("RDS", "web", "web=1"), "");
    assert_eq!(client.ack("EDS"), "EDS -gone");
    assert_eq!(client.ack("EDS"), "");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.ack("LDS"), "");
    assert_eq!(client.after(1_000), "CDS -gone");
    assert_eq!(client.ack("CDS"), "");
    // State of the world says it by leaving out.
    let mut client = Client::new(Variant::StateOfTheWorld, "c:a=1 l:web=1");
    assert_eq!(client.reconnect("CDS", "", "a=1 gone=1"), "CDS a=1");
    assert_eq!(client.reconnect("LDS", "", "web=1 old=1"), "LDS web=1");
}

/// istio #35263: thousands of proxies reconnect at once, and each is sent everything.
#[test]
fn peer_a_reconnect_costs_what_changed() {
    let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a s:x=1";
    for variant in BOTH {
        let mut client = Client::new(variant, world);
        assert_eq!(client.reconnect("CDS", "", "a=1 b=1"), one_of_two(variant, "CDS", ""));
        assert_eq!(client.reconnect("LDS", "", "web=1"), one_of_two(variant, "LDS", ""));
        // State of the world does not say which names a version stands for, and load assignments are sent anyway.
        assert_eq!(client.reconnect("EDS", "a b", "a=1 b=1"), "EDS a=1 b=1");
        assert_eq!(client.reconnect("RDS", "web", "web=1"), one_of_two(variant, "", "RDS web=1"));
        assert_eq!(client.reconnect("SDS", "x", "x=1"), one_of_two(variant, "", "SDS x=1"));
    }
}

/// Envoy Gateway #7115: what a proxy gets depends on the replica that it reaches, and changes with each reconnect.
#[test]
fn peer_replicas_agree() {
    let reversed = |world: &str| world.split_whitespace().rev().collect::<Vec<_>>().join(" ");
    let world = "c:a=1 c:b=1>x e:a=1 e:b=1 l:one=1>web l:web=1>web r:web=1>a,b s:x=1";
    for kind in ResourceType::ALL {
        assert_eq!(snapshot(world).set(kind).version(), snapshot(&reversed(world)).set(kind).version());
    }
    for variant in BOTH {
        let mut other = Client::new(variant, &reversed(world));
        assert_eq!(other.reconnect("CDS", "", "a=1 b=1"), one_of_two(variant, "CDS", ""));
        assert_eq!(other.reconnect("LDS", "", "one=1 web=1"), one_of_two(variant, "LDS", ""));
    }
}

/// Envoy Gateway #8889, #6140: a push that says nothing new closes websockets and compiles regular expressions again.
#[test]
fn peer_an_equal_snapshot_is_not_sent() {
    let world = "c:a=1 c:b=1 e:a=1 e:b=1 l:web=1>web r:web=1>a s:x=1";
    for variant in BOTH {
        let mut client = Client::settled(variant, world);
        for _ in 0..3 {
            assert_eq!(client.snapshot(world), "");
            assert_eq!(client.after(60_000), "");
        }
        assert_eq!(client.session.next_deadline(client.now), None);
    }
}
