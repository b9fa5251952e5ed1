//! Facts about a scope as a whole: let in at once and in one piece.

use super::*;

#[test]
fn what_is_firm_passes_at_once_whatever_refers_to_it() {
    let mut rig = Rig::with(vec![service("a", &[80]), service("b", &[80]), route("r", &[("a", 80), ("b", 80)])]);
    let gone = vec![delete(Kind::Service, "a"), delete(Kind::Service, "b")];
    assert_eq!(rig.firmly(gone.clone()), gone);
    assert_eq!((rig.door.held_count(), rig.door.next_deadline()), (0, None));
    let dangling = route("q", &[("never", 80)]);
    assert_eq!(rig.firmly(vec![dangling.clone()]), [dangling]);
}

#[test]
fn it_takes_the_place_of_an_older_change_that_waits() {
    let mut rig = Rig::with(vec![service("a", &[80]), route("r", &[("a", 80)])]);
    assert_eq!(rig.offer(vec![route("r", &[("b", 80)]), delete(Kind::Service, "a")]).len(), 0);
    assert_eq!(
        rig.firmly(vec![delete(Kind::HttpRoute, "r")]),
        [delete(Kind::HttpRoute, "r"), delete(Kind::Service, "a"),]
    );
    assert_eq!((rig.at(ms(1000)), rig.door.next_deadline()), (vec![], None), "nothing comes late");
    assert!(rig.door.is_idle());
}

#[test]
fn it_frees_what_waited_for_it() {
    let mut rig = Rig::with(vec![]);
    assert_eq!(rig.offer(vec![route("r", &[("a", 80)])]), []);
    assert_eq!(rig.firmly(vec![service("a", &[80])]), [service("a", &[80]), route("r", &[("a", 80)])]);
}

#[test]
fn a_namespace_that_leaves_goes_with_its_secrets_and_what_was_wanted_for_it() {
    let behind = vec![class(), secret("shop/s"), gateway("shop/g", &["shop/s"])];
    let mut rig = Rig::covering(Some(&["shop"]), behind);
    assert_eq!(rig.wants(), ["Secret shop/s"]);
    let gone = vec![delete(Kind::Gateway, "shop/g"), delete(Kind::Secret, "shop/s")];
    let mut events = vec![covers(&[Kind::Secret], Some(&[]))];
    events.extend(gone.clone());
    assert_eq!(rig.firmly(events), gone);
    assert_eq!(rig.wants(), Vec::<String>::new());
}
