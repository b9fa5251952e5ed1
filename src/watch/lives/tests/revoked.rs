//! Rights that were there and are taken away.

use super::*;
use crate::watch::Policy;
use crate::watch::board::Life::{Active, Revoked};

async fn world() -> World {
    let mut world = World::of(&["shop"], selected(&["shop"], &[])).await;
    world.cx.settings.revoked = Policy { hold: Duration::from_millis(300), drop: true };
    world.api.service("shop", "web");
    world.api.pod("shop", "web-0");
    world.route("shop", "all");
    world.run();
    until("it is read", || {
        ["Service shop/web", "Pod shop/web-0", "HTTPRoute shop/all"].iter().all(|row| world.has(row))
    })
    .await;
    world
}

#[tokio::test]
async fn what_is_dropped_leaves_in_one_step_though_open_watches_do_not_show_it_yet() {
    let world = world().await;
    let pods = Target::all(Kind::Pod, Some("shop".into()));
    // Only the pods' watch ends.
    world.api.refuse(&[refused("pods", "shop")]);
    world.api.cut();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.api.refuse(&[refused("pods", "shop"), refused("services", "shop")]);
    until("it is dropped", || !world.has("Pod shop/web-0")).await;
    assert_eq!(world.deleted_with("Pod shop/web-0"), ["Pod shop/web-0", "Service shop/web"]);
    assert!(world.has("HTTPRoute shop/all"), "which may be read");
    world.api.service("shop", "late");
    assert!(world.cx.board.source(&pods).is_some_and(|source| source.rows == 0));

    world.api.refuse(&[refused("", "shop")]);
    world.api.cut();
    until("what is refused later goes too", || !world.has("HTTPRoute shop/all")).await;
    assert!(!world.has("Service shop/late"), "an open watch tells nothing more");
    assert_eq!(world.life("shop").unwrap().life, Revoked);

    world.api.refuse(&[]);
    let all = ["Service shop/web", "Service shop/late", "Pod shop/web-0", "HTTPRoute shop/all"];
    until("all of it comes back", || all.iter().all(|row| world.has(row))).await;
    until("and that is told", || world.life("shop").unwrap().life == Active).await;
}
