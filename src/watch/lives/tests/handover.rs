//! A namespace that is read for a reference, and as a whole.

use super::*;
use crate::model::{ObjectKey, Want};

fn backend() -> Want {
    Want::Backend(ObjectKey::new("shared", "web"))
}

async fn world(selection: Selection) -> World {
    let mut world = World::of(&["shop", "shared"], selection).await;
    world.api.service("shared", "web");
    world.api.pod("shared", "web-0");
    world.api.put(
        "httproutes",
        "shared",
        "own",
        json!({"kind": "HTTPRoute", "apiVersion": "gateway.networking.k8s.io/v1"}),
    );
    world.run();
    world
}

const SERVICE: &str = "Service shared/web";
const POD: &str = "Pod shared/web-0";

#[tokio::test]
async fn what_comes_to_be_watched_stays_when_nothing_refers_to_it_any_more() {
    let world = world(selected(&["shop"], &["shared"])).await;
    world.wants.send_replace(Wants::unit(backend(), 1));
    until("it is read for the reference", || world.has(POD) && world.has(SERVICE)).await;

    world.select(&["shop", "shared"], &[]);
    world.wants.send_replace(Wants::default());
    let own = Target::all(Kind::Pod, Some("shared".into()));
    until("it is watched", || world.cx.board.has_delivered(&own)).await;
    let demanded = own.clone().on_demand();
    until("the demand has ended", || world.cx.board.source(&demanded).is_none()).await;
    assert_eq!((world.deleted(POD), world.deleted(SERVICE)), (0, 0), "the watched namespace has them");

    world.api.delete("pods", "shared", "web-0");
    until("what goes now is gone", || !world.has(POD)).await;
    assert!(world.has(SERVICE));
}

#[tokio::test]
async fn what_is_watched_no_longer_stays_for_those_who_refer_to_it() {
    let world = world(selected(&["shop", "shared"], &[])).await;
    until("it is watched", || world.has(POD) && world.has(SERVICE) && world.has("HTTPRoute shared/own")).await;

    world.select(&["shop"], &["shared"]);
    until("its routes are gone", || !world.has("HTTPRoute shared/own")).await;
    world.wants.send_replace(Wants::unit(backend(), 1));
    let own = Target::all(Kind::Pod, Some("shared".into()));
    until("its own sources have ended", || world.cx.board.source(&own).is_none()).await;
    assert_eq!((world.deleted(POD), world.deleted(SERVICE)), (0, 0), "a reference needs them");

    world.wants.send_replace(Wants::default());
    until("nobody needs it", || !world.has(POD) && !world.has(SERVICE)).await;
}

#[tokio::test]
async fn what_leaves_and_comes_back_was_never_away() {
    let world = world(selected(&["shop", "shared"], &["shared"])).await;
    until("it is watched", || world.has(POD) && world.has("HTTPRoute shared/own")).await;
    world.select(&["shop"], &["shared"]);
    until("its routes are gone", || !world.has("HTTPRoute shared/own")).await;
    world.select(&["shop", "shared"], &["shared"]);
    until("its routes are back", || world.has("HTTPRoute shared/own")).await;
    tokio::time::sleep(world.cx.settings.handover + 2 * TICK).await;
    assert_eq!((world.deleted(POD), world.deleted(SERVICE)), (0, 0));
    world.api.delete("pods", "shared", "web-0");
    until("what goes now is gone", || !world.has(POD)).await;
}
