//! What may be seen of Namespaces, and how that changes.

use super::*;
use crate::watch::board::Life::{Active, Gone, Unknown};

/// Nobody may list all Namespaces.
const NOT_ALL: [Refused; 2] = [NO_LIST, NO_WATCH];
const NO_LIST: Refused = Refused { verb: "list", resource: "namespaces", namespace: "", name: "" };
const NO_WATCH: Refused = Refused { verb: "watch", ..NO_LIST };
const NO_GET_OF_BLOG: Refused = Refused { verb: "get", name: "blog", ..NO_LIST };
const NOTHING_IN_BLOG: Refused = refused("", "blog");

fn life(world: &World, name: &str) -> Option<Life> {
    world.life(name).map(|status| status.life)
}

/// Whether the labels of a Namespace are known.
fn is_seen(world: &World, name: &str) -> bool {
    world.seen.get(name).is_some_and(|namespace| namespace.unavailable.is_none())
}

#[tokio::test]
async fn one_namespace_that_may_not_be_seen_makes_no_other_blind_and_rights_that_come_are_noticed() {
    let mut world = World::of(&["shop", "blog"], selected(&["shop", "blog"], &[])).await;
    world.api.service("blog", "web");
    world.api.refuse(&[NO_LIST, NO_WATCH, NO_GET_OF_BLOG, NOTHING_IN_BLOG]);
    world.run();
    until("one is read", || life(&world, "shop") == Some(Active) && is_seen(&world, "shop")).await;
    until("one is unknown", || life(&world, "blog") == Some(Unknown)).await;
    let reason = world.life("blog").unwrap().reason;
    assert!(reason.contains("resources: [\"namespaces\"], verbs: [\"get\"], resourceNames: [\"blog\"]"), "{reason}");
    assert!(world.has("Namespace blog") && !is_seen(&world, "blog"));

    world.api.refuse(&[NO_LIST, NO_WATCH, NO_GET_OF_BLOG]);
    until("it is read", || life(&world, "blog") == Some(Active) && world.has("Service blog/web")).await;
    world.api.refuse(&NOT_ALL);
    until("it is seen", || is_seen(&world, "blog")).await;
    world.api.refuse(&[]);
    let all = Target::all(Kind::Namespace, None);
    until("all are seen", || world.cx.board.has_delivered(&all) && world.has("Namespace kube-system")).await;
    for row in ["Namespace blog", "Namespace shop", "Service blog/web"] {
        assert_eq!((world.has(row), world.deleted(row)), (true, 0), "{row}");
    }
    world.api.delete("namespaces", "", "blog");
    until("its end is seen", || life(&world, "blog") == Some(Gone) && !world.has("Service blog/web")).await;
}

#[tokio::test]
async fn what_is_told_of_a_namespace_that_is_not_there_goes_when_that_is_seen() {
    let mut world = World::of(&["shop"], selected(&["shop", "blog"], &[])).await;
    world.api.refuse(&[NO_LIST, NO_WATCH, NO_GET_OF_BLOG, NOTHING_IN_BLOG]);
    world.run();
    until("it is told of as unknown", || world.has("Namespace blog")).await;
    world.api.refuse(&NOT_ALL);
    until("it is gone", || life(&world, "blog") == Some(Gone) && !world.has("Namespace blog")).await;
    world.select(&["blog"], &[]);
    until("what left the selection is told of no more", || !world.has("Namespace shop")).await;
}

#[tokio::test]
async fn a_name_that_is_added_is_judged_by_its_own_rights() {
    let mut world = World::of(&["shop", "blog"], Selection::default()).await;
    world.api.refuse(&[NO_LIST, NO_WATCH, NO_GET_OF_BLOG]);
    world.run();
    until("nothing is selected", || world.cx.board.complaint(Matter::Empty).is_some()).await;
    world.select(&["shop", "blog"], &[]);
    until("both are watched", || life(&world, "shop") == Some(Active) && life(&world, "blog") == Some(Active)).await;
    until("one is seen", || is_seen(&world, "shop")).await;
    assert!(!is_seen(&world, "blog"));
}

#[tokio::test]
async fn a_selector_without_the_right_to_list_is_named_and_holds_up_no_name() {
    let mut world =
        World::of(&["shop", "blog"], Selection::new(&["shop".into()], Some("team=web"), &[]).unwrap()).await;
    let labelled = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {"team": "web"}}});
    world.api.put("namespaces", "", "blog", labelled);
    world.api.service("shop", "web");
    world.api.refuse(&NOT_ALL);
    world.run();
    until("the right is named", || world.cx.board.complaint(Matter::Labels).is_some()).await;
    let reason = world.cx.board.complaint(Matter::Labels).unwrap();
    assert!(reason.contains("in a ClusterRole with the rule") && reason.contains("[\"list\", \"watch\"]"), "{reason}");
    until("those by name are watched", || world.has("Service shop/web")).await;
    assert_eq!(life(&world, "blog"), None);

    world.api.refuse(&[]);
    until("those by label are too", || life(&world, "blog") == Some(Active)).await;
    until("nothing is named", || world.cx.board.complaint(Matter::Labels).is_none()).await;
    assert_eq!(world.deleted("Service shop/web"), 0);
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_not_waited_for() {
    let mut world = World::of(&["shop"], selected(&["shop", "stuck"], &[])).await;
    let dying =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    world.api.put("namespaces", "", "stuck", dying);
    world.api.refuse(&[refused("", "stuck")]);
    world.run();
    let required = |name: &str| {
        let source = world.cx.board.source(&Target::all(Kind::Pod, Some(name.into())));
        source.map(|source| source.required)
    };
    until("both are judged", || required("shop") == Some(true) && required("stuck").is_some()).await;
    assert_eq!(required("stuck"), Some(false), "its RoleBinding may be gone for good");
    until("it is told", || life(&world, "stuck") == Some(Life::Terminating)).await;
}

#[tokio::test]
async fn one_that_comes_to_be_deleted_at_the_start_is_waited_for_no_more() {
    let mut world = World::of(&["shop", "stuck"], selected(&["shop", "stuck"], &[])).await;
    world.api.refuse(&[refused("pods", "stuck")]);
    world.run();
    let pods = Target::all(Kind::Pod, Some("stuck".into()));
    let required = || world.cx.board.source(&pods).map(|source| source.required);
    until("the start waits for it", || required() == Some(true)).await;
    let dying =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    world.api.put("namespaces", "", "stuck", dying);
    until("it does no more", || required() == Some(false)).await;
}

#[tokio::test]
async fn a_selection_of_namespaces_that_do_not_exist_is_as_good_as_none() {
    let mut world = World::of(&["shop"], selected(&["nowhere"], &[])).await;
    world.run();
    until("it is said", || world.cx.board.complaint(Matter::Empty).is_some()).await;
    let reason = world.cx.board.complaint(Matter::Empty).unwrap();
    assert!(reason.contains("none of the selected namespaces exists (nowhere"), "{reason}");
    assert!(!world.cx.board.is_listed());
    world.api.namespace("nowhere");
    until("the start is over", || world.cx.board.is_listed()).await;
}
