//! What is read on demand: what is wanted, what waits for it, and what stands in for what cannot be read.

use super::*;

const SECOND: u64 = 1000;

#[test]
fn a_secret_is_wanted_as_long_as_a_spec_refers_to_it() {
    let mut rig = Rig::covering(None, vec![class()]);
    assert_eq!(rig.door.new_wants().map(|wants| wants.len()), None, "nothing was ever wanted");
    assert_eq!(rig.offer(vec![gateway("g", &["s", "t"])]), []);
    assert_eq!(rig.wants(), ["Secret default/s", "Secret default/t"]);
    assert_eq!(rig.door.new_wants().map(|wants| wants.len()), Some(2));
    assert_eq!(rig.door.new_wants().map(|wants| wants.len()), None, "told once");
    assert_eq!(rig.offer(vec![gateway("h", &["t"])]), []);
    rig.offer(vec![delete(Kind::Gateway, "g")]);
    assert_eq!(rig.wants(), ["Secret default/t"]);
    let turn = rig.door.wants().get(&wants_secret("t")).copied();
    rig.offer(vec![delete(Kind::Gateway, "h")]);
    assert!(rig.door.new_wants().is_some_and(|wants| wants.is_empty()));
    rig.offer(vec![gateway("h", &["t"])]);
    assert!(rig.door.wants().get(&wants_secret("t")).copied() > turn, "to be answered anew");
}

#[test]
fn a_gateway_waits_for_the_secret_it_is_the_first_to_refer_to() {
    let mut rig = Rig::covering(None, vec![class()]);
    let update = gateway("g", &["s"]);
    assert_eq!(rig.offer(vec![update.clone()]), []);
    assert_eq!(rig.why(), ["Gateway default/g: waits for Secret default/s to be read"]);
    assert_eq!(rig.at(ms(3 * SECOND)), []);
    assert_eq!(rig.offer(vec![secret("s"), known(&wants_secret("s"))]), [update, secret("s")]);
    assert_eq!((rig.door.held_count(), rig.door.next_deadline()), (0, None));
    let second = gateway("h", &["s"]);
    assert_eq!(rig.offer(vec![second.clone()]), [second], "it is known by now");
}

#[test]
fn what_is_known_not_to_exist_is_waited_for_like_anything_else_that_dangles() {
    let mut rig = Rig::covering(None, vec![class()]);
    let update = gateway("g", &["s"]);
    rig.offer(vec![update.clone()]);
    rig.at(ms(100));
    assert_eq!(rig.offer(vec![known(&wants_secret("s"))]), [], "it may be on its way");
    assert_eq!(rig.why(), ["Gateway default/g: refers to Secret default/s, which is not there"]);
    assert_eq!(rig.at(ms(500)), [update]);

    let update = gateway("h", &["t"]);
    rig.offer(vec![update.clone()]);
    rig.at(ms(3 * SECOND));
    assert_eq!(rig.offer(vec![known(&wants_secret("t"))]), [update], "it has waited long enough by then");
}

#[test]
fn what_cannot_be_read_is_stood_in_for_until_it_can() {
    let mut rig = Rig::covering(None, vec![class()]);
    let want = wants_secret("s");
    rig.offer(vec![gateway("g", &["s"])]);
    let let_in = rig.offer(vec![unavailable(&want, "is forbidden")]);
    assert_eq!(let_in, [gateway("g", &["s"]), no_secret("s", "is forbidden")]);
    assert_eq!(rig.offer(vec![gateway("h", &["s"])]), [gateway("h", &["s"])], "waiting would not help");
    assert_eq!(rig.offer(vec![unavailable(&want, "is gone")]), [no_secret("s", "is gone")]);
    assert_eq!(rig.offer(vec![unavailable(&want, "is gone")]), []);
    assert_eq!(rig.offer(vec![secret("s"), known(&want)]), [secret("s")], "the row takes its place");
    assert_eq!(rig.offer(vec![unavailable(&want, "is lost")]), [], "what is known stays known");
    rig.offer(vec![delete(Kind::Secret, "s")]);
    rig.now += HOLD;
    assert_eq!(rig.ready(), [delete(Kind::Secret, "s"), no_secret("s", "is lost")]);
    assert_eq!(rig.offer(vec![known(&want)]), [delete(Kind::Secret, "s")]);
    rig.offer(vec![unavailable(&want, "is lost")]);
    let gone = rig.offer(vec![delete(Kind::Gateway, "g"), delete(Kind::Gateway, "h")]);
    assert_eq!(gone.last(), Some(&delete(Kind::Secret, "s")), "nobody wants it any more");
    rig.firmly(vec![Event::Delete(ObjectRef::new(Kind::GatewayClass, ObjectKey::cluster("syncgate")))]);
    assert!(rig.door.is_idle(), "{:?}", rig.door);
}

#[test]
fn bounded_nothing_waits_for_a_demand_longer_than_10_s() {
    let mut rig = Rig::covering(None, vec![class()]);
    rig.offer(vec![gateway("g", &["s"])]);
    assert_eq!(rig.door.next_deadline(), Some(rig.start + DEMAND));
    rig.at(ms(4 * SECOND));
    assert_eq!(rig.offer(vec![gateway("h", &["s"])]), []);
    assert_eq!(rig.at(ms(10 * SECOND - 1)), []);
    let late = "not delivered within 10 s; see whether its source is well (`syncgate status`)";
    let let_in = rig.at(ms(10 * SECOND));
    assert_eq!(let_in, [gateway("g", &["s"]), gateway("h", &["s"]), no_secret("s", late)]);
    assert_eq!(rig.wants(), ["Secret default/s"], "still");
    assert_eq!(rig.offer(vec![secret("s"), known(&wants_secret("s"))]), [secret("s")]);
}

#[test]
fn bounded_what_nobody_waits_for_is_unavailable_after_10_s_too() {
    let mut rig = Rig::with(vec![class(), secret("other"), gateway("g", &["s"])]);
    assert_eq!(rig.offer(vec![covers(&[Kind::Secret], None)]), []);
    assert_eq!((rig.wants(), rig.door.held_count()), (vec!["Secret default/s".to_owned()], 0));
    assert_eq!(rig.at(ms(10 * SECOND)).len(), 1);
    assert_eq!(rig.offer(vec![known(&wants_secret("s"))]), [delete(Kind::Secret, "s")]);
}

#[test]
fn bounded_a_demand_that_a_stream_of_updates_renews_waits_10_s_in_all() {
    let mut rig = Rig::covering(None, vec![class()]);
    let mut passed = Vec::new();
    for step in 0..120_u64 {
        rig.now = rig.start + ms(100 * step);
        let let_in = rig.offer(vec![gateway("g", &[&format!("s-{step}")])]);
        let gateways = let_in.iter().filter(|event| matches!(event, Event::Put(name, _) if name.kind == Kind::Gateway));
        passed.extend(gateways.map(|_| step * 100));
    }
    assert_eq!(passed, [10 * SECOND]);
    assert_eq!(rig.wants().len(), 2, "what is in use, and what is to come");
}

#[test]
fn bounded_demands_beyond_the_cap_pass_unheld() {
    let start = Instant::now();
    let mut rig = Rig { door: Door::with_max_held(2), graph: Graph::default(), backs: true, start, now: start };
    rig.offer(vec![covers(&[Kind::Secret], None), class()]);
    rig.offer(Kind::ALL.map(Event::Listed).to_vec());
    let gateways = (0..5).map(|n| gateway(&n.to_string(), &["s"])).collect();
    assert_eq!((rig.offer(gateways).len(), rig.door.held_count()), (3, 2));
}

#[test]
fn a_backend_elsewhere_is_wanted_when_its_namespace_consents() {
    let mut rig = Rig::covering(Some(&["shop"]), vec![service("shop/a", &[80]), route("shop/r", &[("shop/a", 80)])]);
    assert_eq!(rig.wants(), Vec::<String>::new(), "what is covered is read unasked");
    let update = route("shop/r", &[("apps/c", 80)]);
    assert_eq!(rig.offer(vec![update.clone()]), []);
    let why = "HTTPRoute shop/r: waits for the ReferenceGrants of namespace apps to be read";
    assert_eq!((rig.wants(), rig.why()), (vec!["the ReferenceGrants of namespace apps".to_owned()], vec![why.into()]));
    rig.at(ms(2 * SECOND));
    let consent = grant("apps/g", "shop");
    assert_eq!(rig.offer(vec![consent.clone(), known(&wants_grants("apps"))]), [consent]);
    assert_eq!(rig.why(), ["HTTPRoute shop/r: waits for Service apps/c with its endpoints to be read"]);
    assert_eq!(rig.wants().len(), 2);
    assert_eq!(rig.door.next_deadline(), Some(rig.start + DEMAND), "one clock for all of it");
    assert_eq!(rig.offer(vec![service("apps/c", &[80]), pod("apps/p")]).len(), 2, "the rows pass");
    assert_eq!(rig.door.held_count(), 1, "there may be more of them");
    assert_eq!(rig.offer(vec![known(&wants_backend("apps/c"))]), [update]);
    rig.offer(vec![delete(Kind::ReferenceGrant, "apps/g")]);
    assert_eq!(rig.wants().len(), 2, "consent that is taken back counts until it is let in");
    rig.at(ms(3 * SECOND));
    assert_eq!(rig.wants(), ["the ReferenceGrants of namespace apps"]);
}

#[test]
fn without_consent_nothing_more_is_read_and_nothing_blocks() {
    let mut rig = Rig::covering(Some(&["shop"]), vec![]);
    let update = route("shop/r", &[("apps/c", 80)]);
    rig.offer(vec![update.clone()]);
    rig.at(ms(SECOND));
    let others = grant("apps/g", "elsewhere");
    assert_eq!(rig.offer(vec![others.clone(), known(&wants_grants("apps"))]), [others, update]);
    assert_eq!(rig.wants(), ["the ReferenceGrants of namespace apps"]);
    rig.offer(vec![grant("apps/h", "shop")]);
    assert_eq!(rig.wants().len(), 2, "consent may come later");
}

#[test]
fn grants_that_cannot_be_read_are_an_error_of_their_own() {
    let mut rig = Rig::covering(Some(&["shop"]), vec![]);
    let update = route("shop/r", &[("apps/c", 80)]);
    rig.offer(vec![update.clone()]);
    let let_in = rig.offer(vec![unavailable(&wants_grants("apps"), "are forbidden")]);
    assert_eq!(let_in, [update, no_grants("apps", "are forbidden")]);
    let let_in = rig.offer(vec![grant("apps/g", "shop"), known(&wants_grants("apps"))]);
    let stand_in = ObjectRef::new(Kind::ReferenceGrant, ObjectKey::new("apps", ""));
    assert_eq!(let_in, [grant("apps/g", "shop"), Event::Delete(stand_in)]);
    let let_in = rig.offer(vec![unavailable(&wants_backend("apps/c"), "is forbidden")]);
    assert_eq!(let_in, [no_service("apps/c", "is forbidden")]);
    assert_eq!(rig.offer(vec![service("apps/c", &[90])]), [service("apps/c", &[90])], "takes nothing from anyone");
}

#[test]
fn a_secret_of_another_namespace_is_read_only_with_consent() {
    let mut rig = Rig::covering(None, vec![class()]);
    assert_eq!(rig.offer(vec![gateway("edge/g", &["certs/c"])]), []);
    assert_eq!(rig.wants(), Vec::<String>::new());
    rig.offer(vec![grant("certs/routes", "edge")]);
    assert_eq!(rig.wants(), Vec::<String>::new(), "consent to routes is none to Gateways");
    rig.offer(vec![grant_of("certs/gateways", (Kind::Gateway, "edge"), Kind::Secret)]);
    assert_eq!(rig.wants(), ["Secret certs/c"]);
    assert_eq!(rig.offer(vec![secret("certs/c"), known(&wants_secret("certs/c"))]).len(), 2);
}

#[test]
fn no_dangling_a_service_stays_while_the_route_that_leaves_it_waits_for_a_demand() {
    let behind = vec![service("shop/a", &[80]), route("shop/r", &[("shop/a", 80)]), grant("apps/g", "shop")];
    let mut rig = Rig::covering(Some(&["shop"]), behind);
    let moved = route("shop/r", &[("apps/c", 80)]);
    assert_eq!(rig.offer(vec![moved.clone(), delete(Kind::Service, "shop/a")]), []);
    rig.offer(vec![known(&wants_grants("apps"))]);
    assert_eq!(rig.at(ms(4 * SECOND)), []);
    let let_in = rig.offer(vec![service("apps/c", &[80]), known(&wants_backend("apps/c"))]);
    assert_eq!(sorted(let_in), [moved, service("apps/c", &[80]), delete(Kind::Service, "shop/a")]);
    assert_eq!(rig.door.next_deadline(), None);
}

#[test]
fn an_answer_stays_good_when_another_object_takes_over() {
    let mut rig = Rig::covering(None, vec![class(), secret("s"), gateway("g", &["s"])]);
    let before = rig.door.wants().clone();
    let let_in = rig.offer(vec![delete(Kind::Gateway, "g"), gateway("h", &["s"])]);
    assert_eq!(let_in, [delete(Kind::Gateway, "g"), gateway("h", &["s"])]);
    assert_eq!(*rig.door.wants(), before);
}

#[test]
fn gated_secrets_are_whole_when_what_is_wanted_at_the_start_is_answered() {
    let start = Instant::now();
    let mut rig = Rig { door: Door::new(), graph: Graph::default(), backs: true, start, now: start };
    rig.offer(vec![covers(&[Kind::Secret], Some(&["shop"])), class(), gateway("shop/g", &["shop/s"])]);
    assert_eq!(rig.offer(vec![route("shop/r", &[("apps/c", 80)])]).len(), 1, "at the start everything passes");
    rig.at(ms(20 * SECOND));
    let others = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::Secret).map(Event::Listed);
    assert_eq!(rig.offer(others().collect()), others().collect::<Vec<_>>());
    assert_eq!((rig.door.held_count(), rig.door.next_deadline()), (2, Some(rig.now + DEMAND)));
    let expected = [
        "Gateway shop/g: waits for Secret shop/s to be read",
        "HTTPRoute shop/r: waits for the ReferenceGrants of namespace apps to be read",
    ];
    assert_eq!(rig.why(), expected);
    assert_eq!(rig.offer(vec![secret("shop/s"), known(&wants_secret("shop/s"))]), [secret("shop/s")]);
    rig.offer(vec![grant("apps/g", "shop"), known(&wants_grants("apps"))]);
    assert_eq!(rig.why(), ["HTTPRoute shop/r: waits for Service apps/c with its endpoints to be read"]);
    let last = rig.offer(vec![service("apps/c", &[80]), known(&wants_backend("apps/c"))]);
    assert_eq!(last, [service("apps/c", &[80]), Event::Listed(Kind::Secret)]);
    assert_eq!((rig.door.held_count(), rig.door.next_deadline()), (0, None));
    assert_eq!(rig.offer(vec![gateway("shop/h", &["shop/t"])]), [], "from here on changes wait");
}

#[test]
fn gated_demands_hold_the_start_10_s_at_most() {
    let start = Instant::now();
    let mut rig = Rig { door: Door::new(), graph: Graph::default(), backs: true, start, now: start };
    rig.offer(vec![covers(&[Kind::Secret], None), class(), gateway("g", &["s"])]);
    rig.at(ms(30 * SECOND));
    rig.offer(Kind::ALL.into_iter().filter(|kind| *kind != Kind::Secret).map(Event::Listed).collect());
    assert_eq!(rig.at(ms(40 * SECOND - 1)), []);
    let let_in = rig.at(ms(40 * SECOND));
    assert!(
        matches!(&let_in[..], [Event::Put(stand_in, _), Event::Listed(Kind::Secret)]
        if *stand_in == object(Kind::Secret, "s")),
        "{let_in:?}"
    );
    assert_eq!((rig.door.held_count(), rig.door.next_deadline()), (0, None));
    let ready = Rig::covering(None, vec![class()]);
    assert_eq!(ready.door.next_deadline(), None, "nothing wanted, nothing waited for");
}

#[test]
fn a_namespace_that_comes_into_the_scope_or_leaves_it_changes_what_is_wanted() {
    let behind = vec![grant("apps/g", "shop"), service("apps/c", &[80]), route("shop/r", &[("apps/c", 80)])];
    let mut rig = Rig::covering(Some(&["shop", "apps"]), behind);
    assert_eq!(rig.wants(), Vec::<String>::new());
    rig.offer(vec![covers(&[Kind::Secret], Some(&["shop"]))]);
    assert_eq!(rig.wants(), ["the ReferenceGrants of namespace apps"]);
    rig.offer(vec![known(&wants_grants("apps"))]);
    assert_eq!(rig.wants().len(), 2);
    let waiting = route("shop/q", &[("apps/d", 80)]);
    assert_eq!(rig.offer(vec![waiting.clone()]), []);
    assert_eq!(rig.wants().len(), 3);
    rig.at(ms(SECOND));
    assert_eq!(
        rig.offer(vec![covers(&[Kind::Secret], None)]),
        [waiting],
        "it waits for nothing that is read on demand"
    );
    assert_eq!(rig.wants(), Vec::<String>::new());
    rig.offer(vec![covers(&[Kind::Secret], Some(&[]))]);
    assert_eq!(rig.wants(), Vec::<String>::new(), "what is outside wants nothing");
}

#[test]
fn the_secrets_of_others_gateways_are_not_read() {
    let named = |controller: &str| {
        let name = ObjectRef::new(Kind::GatewayClass, ObjectKey::cluster("syncgate"));
        let class = GatewayClass { controller: controller.into(), ..GatewayClass::default() };
        Event::Put(name, Object::GatewayClass(Arc::new(class)))
    };
    let mut rig = Rig::covering(None, vec![named("example.com/other")]);
    assert_eq!(rig.offer(vec![gateway("g", &["s"])]), [], "it waits for its Secret like any other reference");
    assert_eq!(rig.wants(), Vec::<String>::new());
    rig.offer(vec![named(CONTROLLER)]);
    assert_eq!(rig.wants(), ["Secret default/s"]);
    rig.offer(vec![named("example.com/other")]);
    assert_eq!(rig.wants(), Vec::<String>::new());
}
