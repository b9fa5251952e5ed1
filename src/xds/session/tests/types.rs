//! Rules of the types beside those of clusters, endpoints, listeners, routes and secrets, which share the session.

use super::order::size;
use super::*;

#[test]
fn rule_24_a_virtual_host_is_asked_for_by_any_name_it_goes_by() {
    let mut client = Client::new(Variant::Delta, "v:web/shop=1@web/a.shop,web/b.shop v:web/other=1@web/other.org");
    assert_eq!(client.subscribe("VHDS", "web/a.shop"), "VHDS web/shop=1");
    let aliases = &client.received.last().expect("just received").resources()[0].aliases;
    assert_eq!(aliases[..], ["web/a.shop", "web/b.shop"]);
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.snapshot("v:web/shop=2@web/a.shop,web/b.shop"), "VHDS web/shop=2");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.subscribe("VHDS", "web/b.shop web/shop"), "VHDS web/shop=2");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.unsubscribe("VHDS", "web/a.shop web/shop"), "");
    assert_eq!(client.snapshot("v:web/shop=3@web/a.shop,web/b.shop"), "VHDS web/shop=3");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.unsubscribe("VHDS", "web/b.shop"), "");
    assert_eq!(client.snapshot("v:web/shop=4@web/a.shop,web/b.shop"), "");
}

#[test]
fn rule_24_a_host_that_nothing_goes_by_is_answered_without_a_resource_and_stays_asked_for() {
    let mut client = Client::new(Variant::Delta, "");
    assert_eq!(client.subscribe("VHDS", "web/new.shop"), "VHDS ?web/new.shop");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.snapshot("v:web/shop=1@web/new.shop"), "VHDS web/shop=1");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.snapshot(""), "VHDS -web/shop");
    assert_eq!(client.nack("VHDS"), "");
    assert_eq!(client.snapshot("v:web/shop=1@web/new.shop"), "VHDS web/shop=1");
    // Asked for while a response is in flight, and there before its turn.
    assert_eq!(client.subscribe("VHDS", "web/late.shop"), "");
    assert_eq!(client.snapshot("v:web/late=1@web/late.shop v:web/shop=1@web/new.shop"), "");
    assert_eq!(client.ack("VHDS"), "VHDS web/late=1");
    // And there when it was asked for, and gone before its turn.
    assert_eq!(client.subscribe("VHDS", "web/new.shop"), "");
    assert_eq!(client.snapshot("v:web/late=1@web/late.shop"), "");
    assert_eq!(client.ack("VHDS"), "VHDS ?web/new.shop");
    assert_eq!(client.ack("VHDS"), "VHDS -web/shop");
    assert_eq!(client.ack("VHDS"), "");
}

#[test]
fn rule_24_an_alias_may_move_to_another_virtual_host() {
    let mut client = Client::new(Variant::Delta, "v:web/old=1@web/a v:web/new=1@web/b");
    assert_eq!(client.subscribe("VHDS", "web/a"), "VHDS web/old=1");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.snapshot("v:web/old=1 v:web/new=1@web/a,web/b"), "VHDS web/new=1 web/old=1");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.snapshot("v:web/old=2 v:web/new=2@web/a,web/b"), "VHDS web/new=2");
}

#[test]
fn rule_24_aliases_resume_what_is_held_under_its_name() {
    let mut client = Client::new(Variant::Delta, "v:web/shop=1@web/a");
    assert_eq!(client.reconnect("VHDS", "web/a", "web/shop=1@web/a"), "");
    assert_eq!(client.snapshot("v:web/shop=2@web/a"), "VHDS web/shop=2");
    let mut client = Client::new(Variant::Delta, "");
    assert_eq!(client.reconnect("VHDS", "web/a", "web/shop=1@web/a"), "VHDS ?web/a");
    assert_eq!(client.ack("VHDS"), "VHDS -web/shop");
    assert_eq!(client.ack("VHDS"), "");
}

/// Also what is held and not wanted by any name is removed, whatever becomes of it meanwhile.
#[test]
fn rule_24_a_host_that_is_held_may_come_and_go_under_names_that_nobody_asks_for() {
    let mut client = Client::new(Variant::Delta, "");
    assert_eq!(client.reconnect("VHDS", "web/a", "web/shop=1"), "VHDS ?web/a");
    assert_eq!(client.snapshot("v:web/shop=1@web/b"), "");
    assert_eq!(client.snapshot(""), "");
    assert_eq!(client.ack("VHDS"), "VHDS -web/shop");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.snapshot("v:web/shop=2@web/b"), "");
    assert_eq!(client.snapshot("v:web/shop=2@web/a"), "VHDS web/shop=2");
}

#[test]
fn bounded_the_names_that_a_virtual_host_goes_by_count_for_the_size_of_a_response() {
    let aliases =
        |host: usize| (0..100).map(move |at| format!("web/host-{host}-{at}.shop.example")).collect::<Vec<_>>();
    let hosts: Vec<String> = (0..100).map(|at| format!("v:web/{at:02}=1@{}", aliases(at).join(","))).collect();
    let mut client = Client::new(Variant::Delta, &hosts.join(" "));
    client.session.limits.response = 100_000;
    client.subscribe("VHDS", "*");
    client.ack_all();
    assert!(client.received.len() > 2, "{} responses", client.received.len());
    assert!(client.received.iter().all(|response| size(response) <= 100_000));
    let sent: BTreeSet<&ArcStr> =
        client.received.iter().flat_map(|response| response.resources()).map(|resource| &resource.name).collect();
    assert_eq!(sent.len(), hosts.len());
}

#[test]
fn rule_24_state_of_the_world_has_no_virtual_hosts() {
    let mut client = Client::new(Variant::StateOfTheWorld, "v:web/shop=1@web/a r:web=1");
    assert_eq!(client.subscribe("VHDS", "web/a web/shop"), "");
    assert_eq!(client.snapshot("v:web/shop=2@web/a r:web=1"), "");
    assert_eq!(client.after(60_000), "");
    assert_eq!(client.subscribe("RDS", "web"), "RDS web=1");
    assert_eq!(client.session.progress().iter().map(|of| of.kind.short()).collect::<Vec<_>>(), ["RDS"]);
}

#[test]
fn rule_26_an_extension_that_is_gone_is_removed_after_the_listeners_that_did_with_it() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "l:web=1 x:filter=1 x:other=1");
        assert_eq!(client.snapshot("l:web=2 x:other=1"), "LDS web=2");
        assert_eq!(client.after(3_000), "");
        assert_eq!(client.ack("LDS"), "");
        match variant {
            // State of the world has no words for it (rule 13).
            Variant::StateOfTheWorld => assert_eq!(client.after(60_000), ""),
            Variant::Delta => {
                assert_eq!(client.after(1_000), "ECDS -filter");
                assert_eq!(client.nack("ECDS"), "");
                assert_eq!(client.snapshot("l:web=2 x:other=2"), "ECDS other=2");
                assert_eq!(client.ack("ECDS"), "");
                assert_eq!(client.after(1_000), "ECDS -filter");
                assert_eq!(client.ack("ECDS"), "");
            }
        }
        assert_eq!(client.after(60_000), "");
        assert_eq!(client.snapshot("l:web=2 x:filter=3 x:other=2"), {
            if variant == Variant::Delta { "ECDS filter=3" } else { "ECDS filter=3 other=2" }
        });
    }
}

#[test]
fn rule_39_secrets_runtimes_extensions_and_scopes_are_types_of_names() {
    for variant in BOTH {
        for kind in ["SDS", "RTDS", "ECDS", "SRDS"] {
            let letter = letter_of(kind_of(kind));
            let mut client = Client::new(variant, &format!("{letter}:a=1 {letter}:b=1"));
            assert_eq!(client.subscribe(kind, ""), "", "an empty list is no interest");
            assert_eq!(client.subscribe(kind, "a"), format!("{kind} a=1"));
            assert_eq!(client.ack(kind), "");
            let missing = client.subscribe(kind, "late");
            match variant {
                Variant::StateOfTheWorld => assert_eq!(missing, ""),
                Variant::Delta => assert_eq!(missing, format!("{kind} -late")),
            }
            client.ack_all();
            let world = format!("{letter}:a=1 {letter}:b=2 {letter}:late=1");
            assert_eq!(client.snapshot(&world), format!("{kind} late=1"), "partial, and only what is wanted");
            assert_eq!(client.nack(kind), "");
            assert_eq!(client.snapshot(&world.replace("a=1", "a=2")), format!("{kind} a=2 late=1"));
            assert_eq!(client.ack(kind), "");
            assert_eq!(client.unsubscribe(kind, "late"), "");
            assert_eq!(client.snapshot(&format!("{letter}:a=2 {letter}:late=2")), "");
            assert_eq!(client.subscribe(kind, "late"), format!("{kind} late=2"));
            assert_eq!(client.ack(kind), "");
        }
    }
}

#[test]
fn rule_39_a_scope_or_a_runtime_that_is_gone_is_removed_at_once() {
    for (kind, letter) in [("SRDS", "o"), ("RTDS", "t")] {
        let mut client = Client::settled(Variant::Delta, &format!("{letter}:a=1 {letter}:b=1"));
        assert_eq!(client.snapshot(&format!("{letter}:b=2")), format!("{kind} b=2"));
        assert_eq!(client.ack(kind), format!("{kind} -a"));
        assert_eq!(client.ack(kind), "");
    }
}

#[test]
fn rule_39_named_types_are_resumed_by_their_versions() {
    for kind in ["SDS", "RTDS", "ECDS", "SRDS"] {
        let letter = letter_of(kind_of(kind));
        let mut client = Client::new(Variant::Delta, &format!("{letter}:a=1 {letter}:b=2"));
        assert_eq!(client.reconnect(kind, "a b gone", "a=1 b=1 gone=1"), format!("{kind} b=2"));
    }
}

#[test]
fn rule_39_two_clusters_may_share_one_load_assignment() {
    for variant in BOTH {
        let world = "c:a=1@both c:b=1@both e:both=1 l:web=1>web r:web=1>a,b";
        let mut client = Client::settled(variant, world);
        assert_eq!(client.snapshot(&world.replace("e:both=1", "e:both=2")), "EDS both=2");
        assert_eq!(client.ack("EDS"), "");
        let changed = "c:a=2@both c:b=1@both e:both=2 l:web=1>web r:web=2>a,b";
        let clusters = if variant == Variant::Delta { "CDS a=2" } else { "CDS a=2 b=1" };
        assert_eq!(client.snapshot(changed), format!("{clusters} | EDS both=2"));
        assert_eq!(client.ack("EDS"), "");
        assert_eq!(client.ack("CDS"), "RDS web=2");
        assert_eq!(client.ack("RDS"), "");
        // The one that stays keeps it.
        assert_eq!(client.snapshot("c:b=1@both e:both=2 l:web=1>web r:web=3>b"), "RDS web=3");
        assert_eq!(client.ack("RDS"), "");
        assert_eq!(client.after(1_000), if variant == Variant::Delta { "CDS -a" } else { "CDS b=1" });
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.snapshot("c:b=1@both e:both=3 l:web=1>web r:web=3>b"), "EDS both=3");
    }
}

#[test]
fn rule_27_virtual_hosts_come_after_the_routes_and_clusters_go_after_them() {
    let mut client = Client::settled(Variant::Delta, "c:a=1 e:a=1 l:web=1>web r:web=1>a v:web/x=1>a v:web/y=1>a");
    assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=2>web r:web=2>b v:web/x=2>b"), "CDS b=1");
    assert_eq!(client.ack("CDS"), "");
    assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
    assert_eq!(client.ack("EDS"), "LDS web=2");
    assert_eq!(client.ack("LDS"), "RDS web=2");
    assert_eq!(client.ack("RDS"), "VHDS web/x=2");
    assert_eq!(client.ack("VHDS"), "VHDS -web/y");
    assert_eq!(client.after(3_000), "");
    assert_eq!(client.ack("VHDS"), "");
    assert_eq!(client.after(1_000), "CDS -a");
    assert_eq!(client.ack("CDS"), "EDS -a");
    // Routes that are never acknowledged are waited for only so long.
    client.ack("EDS");
    assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=2>web r:web=3>b v:web/x=3>b"), "RDS web=3");
    assert_eq!(client.after(4_999), "");
    assert_eq!(client.after(1), "VHDS web/x=3");
}

#[test]
fn rule_27_scopes_come_before_the_routes_and_wait_for_their_clusters() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 e:a=1 l:web=1 o:s=1>web r:web=1>a");
        client.snapshot("c:a=1 c:b=1 e:a=1 e:b=1 l:web=1 o:s=2>web r:web=2>b");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "SRDS s=2");
        assert_eq!(client.ack("SRDS"), "RDS web=2");
    }
}

#[test]
fn rule_27_an_extension_waits_for_the_clusters_it_names_and_they_go_after_it() {
    for variant in BOTH {
        let mut client = Client::settled(variant, "c:a=1 e:a=1 x:authz=1>a");
        client.snapshot("c:b=1 e:b=1 x:authz=2>b");
        assert_eq!(client.ack("CDS"), "");
        assert_eq!(client.subscribe("EDS", "b"), "EDS b=1");
        assert_eq!(client.ack("EDS"), "ECDS authz=2");
        assert_eq!(client.after(3_000), "");
        assert_eq!(client.ack("ECDS"), "");
        assert_eq!(client.after(1_000), if variant == Variant::Delta { "CDS -a" } else { "CDS b=1" });
    }
}
