//! A Service and its first pod come apart: who would lead to the Service alone waits for the pod.

use super::*;

/// A door behind which a route leads to a Service with endpoints, and where Services have none by themselves from here on.
fn rig() -> Rig {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.backs = false;
    rig
}

#[test]
fn a_route_that_moves_to_a_service_waits_for_its_first_endpoint() {
    let mut rig = rig();
    let moved = route("r", &[("b", 80)]);
    assert_eq!(rig.offer(vec![service("b", &[80])]), [service("b", &[80])]);
    assert_eq!(rig.offer(vec![moved.clone()]), []);
    let why = "HTTPRoute default/r: leads to port 80 of Service default/b, which has no ready endpoint yet";
    assert_eq!(rig.why(), [why]);
    assert_eq!(rig.at(ms(499)), []);
    assert_eq!(rig.back("b", 81, true), [], "another port");
    assert_eq!(rig.back("b", 80, true), [moved]);
    assert_eq!((rig.door.held(), rig.door.next_deadline()), (vec![], None));
}

#[test]
fn so_does_a_new_route_since_it_may_stand_before_others() {
    let mut rig = rig();
    let new = route("new", &[("b", 80)]);
    assert_eq!(rig.offer(vec![new.clone()]), []);
    assert_eq!(rig.offer(vec![service("b", &[80])]), [service("b", &[80])], "the Service itself does not wait");
    assert_eq!(rig.back("b", 80, true), [new]);
}

#[test]
fn no_longer_than_500_ms() {
    let mut rig = rig();
    let moved = route("r", &[("b", 80)]);
    rig.offer(vec![service("b", &[80]), moved.clone()]);
    assert_eq!(rig.door.next_deadline(), Some(rig.start + HOLD));
    assert_eq!(rig.at(ms(500)), [moved]);
    let more = route("r", &[("b", 80), ("a", 80)]);
    assert_eq!(rig.offer(vec![more.clone()]), [more], "it leads there already");
}

#[test]
fn a_service_that_lost_its_endpoints_is_waited_for_as_a_new_one_is() {
    let mut rig = rig();
    assert_eq!(rig.back("a", 80, false), []);
    let new = route("new", &[("a", 80)]);
    assert_eq!(rig.offer(vec![new.clone()]), []);
    assert_eq!(rig.back("a", 80, true), [new]);
}

/// The two clocks began at different times.
#[test]
fn what_it_is_about_to_leave_stays_as_long_as_it_waits() {
    let mut rig = rig();
    let moved = route("r", &[("b", 80)]);
    assert_eq!(rig.offer(vec![delete(Kind::Service, "a")]), []);
    rig.at(ms(300));
    assert_eq!(rig.offer(vec![service("b", &[80]), moved.clone()]), [service("b", &[80])]);
    assert_eq!(rig.at(ms(600)), [], "the deletion has waited for 600 ms");
    assert_eq!(sorted(rig.back("b", 80, true)), [moved, delete(Kind::Service, "a")]);
}

/// The Service's change waits for the route, so the route must not wait for what only that change can bring.
#[test]
fn a_port_that_is_new_is_not_waited_for() {
    let mut rig = rig();
    assert_eq!(rig.offer(vec![service("a", &[90])]), []);
    assert_eq!(rig.offer(vec![route("r", &[("a", 90)])]).len(), 2);
}

/// It has no endpoints of its own and never will.
#[test]
fn nor_is_a_service_elsewhere() {
    let mut rig = rig();
    let external = Service {
        kind: ServiceType::ExternalName("example.com".into()),
        ports: vec![ServicePort {
            name: ArcStr::new(),
            port: 80,
            target: TargetPort::Number(80),
            protocol: Protocol::Tcp,
            app_protocol: None,
        }],
        ..Service::default()
    };
    rig.offer(vec![Event::Put(object(Kind::Service, "b"), Object::Service(Arc::new(external)))]);
    let moved = route("r", &[("b", 80)]);
    assert_eq!(rig.offer(vec![moved.clone()]), [moved]);
}

#[test]
fn nor_is_what_cannot_be_read() {
    let mut rig = Rig::covering(Some(&["shop"]), vec![service("shop/a", &[80]), grant("apps/g", "shop")]);
    rig.backs = false;
    let new = route("shop/r", &[("apps/b", 80)]);
    assert_eq!(rig.offer(vec![new.clone()]), []);
    rig.offer(vec![known(&wants_grants("apps"))]);
    let let_in = rig.offer(vec![unavailable(&wants_backend("apps/b"), "is forbidden")]);
    assert_eq!(let_in, [new, no_service("apps/b", "is forbidden")]);
}

/// Endpoints are derived only where something leads, so the graph hears of every port that a waiting change leads to, also of
/// those that it does not wait for at present; otherwise two of them could take turns for ever.
#[test]
fn the_graph_is_told_where_waiting_changes_lead() {
    let mut rig = rig();
    let port = |name: &str, port| PortRef { service: key(name), port };
    rig.offer(vec![service("b", &[80]), service("c", &[80])]);
    let told = |rig: &Rig| rig.graph.awaited.iter().cloned().collect::<Vec<_>>();
    let both = route("new", &[("b", 80), ("c", 80)]);
    assert_eq!(rig.offer(vec![both.clone()]), []);
    assert_eq!(told(&rig), [port("b", 80), port("c", 80)]);
    assert_eq!(rig.offer(vec![route("other", &[("c", 80)])]), []);
    assert_eq!(rig.offer(vec![delete(Kind::HttpRoute, "other")]), [delete(Kind::HttpRoute, "other")]);
    assert_eq!(rig.back("b", 80, true), []);
    assert_eq!(told(&rig), [port("b", 80), port("c", 80)]);
    assert_eq!(rig.back("c", 80, true), [both]);
    assert_eq!(rig.door.newly_awaited().len(), 2, "from here on the route itself leads there");
    assert_eq!(rig.door.newly_awaited(), []);
}

/// Otherwise there would be a moment with neither of them.
#[test]
fn a_route_to_where_nothing_led_takes_the_place_of_another_in_one_batch() {
    let mut rig = rig();
    rig.backs = true;
    rig.offer(vec![service("b", &[80])]);
    let (gone, new) = (delete(Kind::HttpRoute, "r"), route("new", &[("b", 80)]));
    rig.door.offer(Arrival::of(Delta::new(rig.now, vec![gone.clone(), new.clone()])), rig.now);
    let backings = rig.graph.await_ports(rig.door.newly_awaited());
    assert_eq!(backings.len(), 1, "{backings:?}");
    rig.door.back(backings);
    assert_eq!(sorted(rig.door.ready(rig.now).events), sorted(vec![gone, new]));
}
