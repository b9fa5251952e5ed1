//! Each case that the door holds or lets pass.

use super::*;

#[test]
fn while_lists_are_incomplete_everything_passes_in_order_and_markers_come_last() {
    let now = Instant::now();
    let mut door = Door::new();
    let events = vec![route("r", &[("missing", 80)]), Event::Listed(Kind::HttpRoute), service("a", &[80])];
    door.offer(Arrival::of(Delta::new(now, events)), now);
    let expected = vec![route("r", &[("missing", 80)]), service("a", &[80]), Event::Listed(Kind::HttpRoute)];
    assert_eq!(door.ready(now), LetIn { events: expected, arrived: Some(now) });
    assert_eq!((door.held_count(), door.next_deadline()), (0, None));
}

#[test]
fn a_route_that_moves_to_a_service_to_come_waits_for_it() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![route("r", &[("b", 80)])]), []);
    assert_eq!(rig.why(), ["HTTPRoute default/r: refers to Service default/b, which is not there"]);
    assert_eq!(rig.at(ms(100)), []);
    assert_eq!(rig.offer(vec![service("b", &[80])]), [service("b", &[80]), route("r", &[("b", 80)])]);
    assert_eq!((rig.door.held(), rig.door.next_deadline()), (vec![], None));
}

#[test]
fn it_is_let_in_after_500_ms_all_the_same() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.offer(vec![route("r", &[("b", 80)])]);
    let held = &rig.door.held()[0];
    assert_eq!((held.delete, held.since, held.until), (false, rig.start, rig.start + HOLD));
    assert_eq!(rig.door.next_deadline(), Some(rig.start + HOLD));
    assert_eq!(rig.at(ms(499)), []);
    assert_eq!(rig.at(ms(500)), [route("r", &[("b", 80)])]);
    assert_eq!(rig.door.held_count(), 0);
}

#[test]
fn a_reference_that_dangles_already_holds_nothing() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("gone", 80)])]);
    let update = route("r", &[("gone", 80), ("a", 80)]);
    assert_eq!(rig.offer(vec![update.clone()]), [update]);
}

#[test]
fn a_service_that_a_route_refers_to_is_deleted_when_the_route_has_moved() {
    let mut rig = Rig::with(vec![service("a", &[80]), service("b", &[80]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![delete(Kind::Service, "a")]), []);
    assert_eq!(
        rig.why(),
        ["Service default/a: HTTPRoute default/r still refers to Service default/a and would lose it"]
    );
    assert!(rig.door.held()[0].delete);
    rig.at(ms(200));
    let moved = route("r", &[("b", 80)]);
    assert_eq!(sorted(rig.offer(vec![moved.clone()])), [moved, delete(Kind::Service, "a")]);
}

#[test]
fn a_service_that_a_route_keeps_referring_to_is_deleted_after_500_ms() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![delete(Kind::Service, "a")]), []);
    assert_eq!(rig.at(ms(500)), [delete(Kind::Service, "a")]);
}

#[test]
fn a_service_and_its_route_that_go_together_go_at_once() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    let gone = vec![delete(Kind::HttpRoute, "r"), delete(Kind::Service, "a")];
    assert_eq!(rig.offer(gone.clone()), gone);
    assert_eq!(rig.offer(vec![delete(Kind::Service, "never there")]), [delete(Kind::Service, "never there")]);
}

#[test]
fn a_port_that_a_route_refers_to_stays_until_the_route_has_moved() {
    let mut rig = Rig::with(vec![service("a", &[80, 81]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![service("a", &[80])]), [service("a", &[80])], "nobody refers to 81");
    assert_eq!(rig.offer(vec![service("a", &[90])]), []);
    let moved = route("r", &[("a", 90)]);
    assert_eq!(sorted(rig.offer(vec![moved.clone()])), [moved, service("a", &[90])]);
}

#[test]
fn a_route_that_moves_to_a_port_to_come_waits_for_it() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![route("r", &[("a", 90)])]), []);
    assert_eq!(rig.why(), ["HTTPRoute default/r: refers to port 90 of Service default/a, which has no such port"]);
    assert_eq!(rig.offer(vec![service("a", &[90])]).len(), 2, "the port and the route change places in one batch");
}

#[test]
fn a_secret_is_replaced_in_either_order() {
    let behind = || vec![class(), secret("old"), gateway("g", &["old"])];
    let mut rig = Rig::with(behind());
    assert_eq!(rig.offer(vec![gateway("g", &["new"])]), []);
    assert_eq!(rig.offer(vec![delete(Kind::Secret, "old")]), []);
    assert_eq!(rig.offer(vec![secret("new")]).len(), 3);

    let mut rig = Rig::with(behind());
    assert_eq!(rig.offer(vec![secret("new")]), [secret("new")]);
    assert_eq!(rig.offer(vec![delete(Kind::Secret, "old")]), []);
    assert_eq!(rig.offer(vec![gateway("g", &["new"])]).len(), 2);

    let mut rig = Rig::with(behind());
    assert_eq!(rig.offer(vec![secret("old")]), [secret("old")], "a renewed certificate passes at once");
}

#[test]
fn a_new_route_waits_for_its_service_since_it_may_stand_before_others() {
    let mut rig = Rig::with(vec![]);
    assert_eq!(rig.offer(vec![route("r", &[("a", 80)])]), []);
    assert_eq!(rig.offer(vec![service("a", &[80])]).len(), 2);
    let second = route("r2", &[("a", 80)]);
    assert_eq!(rig.offer(vec![second.clone()]), [second], "what resolves passes at once");
}

#[test]
fn consent_is_part_of_a_reference() {
    let mut rig =
        Rig::with(vec![service("apps/a", &[80]), grant("apps/g", "shop"), route("shop/r", &[("apps/a", 80)])]);
    assert_eq!(rig.offer(vec![delete(Kind::ReferenceGrant, "apps/g")]), []);
    let why = "ReferenceGrant apps/g: HTTPRoute shop/r still refers to Service apps/a and would lose it";
    assert_eq!(rig.why(), [why]);
    assert_eq!(rig.offer(vec![grant("apps/other", "shop")]).len(), 2, "another grant takes its place");
    assert_eq!(rig.offer(vec![delete(Kind::ReferenceGrant, "apps/other")]), []);
    assert_eq!(rig.at(ms(500)), [delete(Kind::ReferenceGrant, "apps/other")]);

    assert_eq!(rig.offer(vec![route("shop/r2", &[("apps/a", 80)])]), []);
    let why = "HTTPRoute shop/r2: refers to Service apps/a, which no ReferenceGrant in namespace apps permits";
    assert_eq!(rig.why(), [why]);
    assert_eq!(rig.offer(vec![grant("apps/g", "elsewhere")]).len(), 1, "a grant for others does not help");
    assert_eq!(rig.offer(vec![grant("apps/g", "shop")]).len(), 2);
}

#[test]
fn a_certificate_of_another_namespace_needs_consent_too() {
    let mut rig = Rig::with(vec![class(), secret("certs/c")]);
    assert_eq!(rig.offer(vec![gateway("edge/g", &["certs/c"])]), []);
    assert_eq!(rig.offer(vec![grant("certs/routes", "edge")]).len(), 1, "a grant for routes does not help a Gateway");
    let for_gateways = grant_of("certs/gateways", (Kind::Gateway, "edge"), Kind::Secret);
    assert_eq!(rig.offer(vec![for_gateways]).len(), 2);
}

#[test]
fn of_two_grants_of_which_one_would_do_one_stays() {
    let behind = vec![
        service("apps/a", &[80]),
        grant("apps/g", "shop"),
        grant("apps/h", "shop"),
        route("shop/r", &[("apps/a", 80)]),
    ];
    let mut rig = Rig::with(behind);
    let both = vec![delete(Kind::ReferenceGrant, "apps/g"), delete(Kind::ReferenceGrant, "apps/h")];
    assert_eq!(rig.offer(both), [delete(Kind::ReferenceGrant, "apps/h")]);
    assert_eq!(rig.offer(vec![delete(Kind::HttpRoute, "shop/r")]).len(), 2);
}

#[test]
fn pods_are_never_held() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.offer(vec![delete(Kind::Service, "a")]);
    let pods = vec![pod("p"), delete(Kind::Pod, "q")];
    assert_eq!(rig.offer(pods.clone()), pods);
    assert_eq!(rig.door.held_count(), 1);
}

#[test]
fn a_newer_version_replaces_a_held_one_and_keeps_its_clock() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.offer(vec![route("r", &[("b", 80)])]);
    rig.at(ms(300));
    assert_eq!(rig.offer(vec![route("r", &[("c", 80)])]), []);
    assert_eq!(rig.why(), ["HTTPRoute default/r: refers to Service default/c, which is not there"]);
    assert_eq!(rig.offer(vec![service("b", &[80])]), [service("b", &[80])], "nobody waits for b any more");
    assert_eq!(rig.at(ms(500)), [route("r", &[("c", 80)])]);
}

#[test]
fn a_change_that_is_taken_back_never_shows() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.offer(vec![delete(Kind::Service, "a")]);
    rig.at(ms(100));
    assert_eq!(rig.offer(vec![service("a", &[80])]), [service("a", &[80])], "no delete before it");
    assert_eq!(rig.at(ms(1000)), []);

    rig.offer(vec![route("new", &[("b", 80)])]);
    assert_eq!(rig.offer(vec![delete(Kind::HttpRoute, "new")]), [delete(Kind::HttpRoute, "new")]);
    assert_eq!(rig.at(ms(2000)), []);
}

#[test]
fn changes_that_wait_for_each_other_are_let_in_as_one() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![delete(Kind::Service, "a")]), []);
    rig.at(ms(50));
    assert_eq!(rig.offer(vec![route("r", &[("b", 80)])]), []);
    assert_eq!(rig.door.held_count(), 2);
    rig.at(ms(100));
    let batch = sorted(rig.offer(vec![service("b", &[80])]));
    assert_eq!(batch, [route("r", &[("b", 80)]), delete(Kind::Service, "a"), service("b", &[80])]);
}

#[test]
fn two_services_that_swap_their_ports_do_it_in_one_batch() {
    let mut rig = Rig::with(vec![service("a", &[1]), service("b", &[2]), route("r", &[("a", 1), ("b", 2)])]);
    assert_eq!(rig.offer(vec![service("a", &[2])]), []);
    assert_eq!(rig.offer(vec![service("b", &[1])]), []);
    assert_eq!(rig.offer(vec![route("r", &[("a", 2), ("b", 1)])]).len(), 3);
}

#[test]
fn what_expires_takes_along_whoever_waited_for_it_alone() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.offer(vec![route("r", &[("never", 80)])]);
    rig.at(ms(400));
    rig.offer(vec![delete(Kind::Service, "a")]);
    assert_eq!(rig.at(ms(500)).len(), 2);
    assert_eq!(rig.door.next_deadline(), None);
}

#[test]
fn the_earliest_arrival_of_a_batch_counts() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    rig.offer(vec![delete(Kind::Service, "a")]);
    rig.now += ms(100);
    rig.door.offer(Arrival::of(Delta::new(rig.now, vec![delete(Kind::HttpRoute, "r")])), rig.now);
    assert_eq!(rig.door.ready(rig.now).arrived, Some(rig.start));
}

#[test]
fn a_list_that_is_whole_is_whole_behind_the_door_too() {
    let mut rig = Rig::with(vec![]);
    rig.offer(vec![route("r", &[("a", 80)])]);
    let more = vec![route("r2", &[("a", 80)]), Event::Listed(Kind::HttpRoute)];
    let expected = [route("r", &[("a", 80)]), route("r2", &[("a", 80)]), Event::Listed(Kind::HttpRoute)];
    assert_eq!(rig.offer(more), expected);
}

#[test]
fn a_route_that_contradicts_itself_keeps_nobody_else_out() {
    let behind = vec![service("apps/c", &[1]), grant("apps/g", "shop"), route("shop/q", &[("apps/c", 1)])];
    let mut rig = Rig::with(behind);
    let never = route("shop/r", &[("apps/c", 1), ("apps/c", 2)]);
    assert_eq!(rig.offer(vec![never, delete(Kind::ReferenceGrant, "apps/g"), service("apps/c", &[2])]), []);
    let moved = route("shop/q", &[("apps/c", 2)]);
    assert_eq!(rig.offer(vec![moved.clone()]), [moved, service("apps/c", &[2])]);
    assert_eq!(rig.door.held_count(), 2);
}
