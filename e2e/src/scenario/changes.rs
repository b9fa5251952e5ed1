//! Changes of the folder under load: nothing fails, and nobody else's backend ever answers.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{REQUIRED_RATE, SCHEDULED_RATE, say};
use crate::bed::{Bed, Setup};
use crate::load::{Allowed, Call};
use crate::manifests::{HTTP_PORT, route, rule};

/// How far a route runs ahead of the Service that it moves to.
const AHEAD: Duration = Duration::from_millis(100);
const HOST: &str = "shop.example.com";
const BYSTANDER: &str = "blog.example.com";

pub(super) fn call(host: &str, path: &str, allowed: &Allowed) -> Call {
    Call { host: host.into(), path: path.into(), allowed: allowed.clone() }
}

/// One route goes to and fro between two Services; another one stands by.
pub(super) async fn edit_route(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "edit-route", &[HTTP_PORT])?;
    for name in ["one", "two", "blog"] {
        bed.deploy(name).await?;
    }
    bed.folder().write("shop-route.yaml", &[route("shop", HOST, &[rule("/", "one")])])?;
    bed.folder().write("blog-route.yaml", &[route("blog", BYSTANDER, &[rule("/", "blog")])])?;
    bed.start().await?;
    bed.answered_by(HOST, "/", "one").await?;
    bed.answered_by(BYSTANDER, "/", "blog").await?;

    let (shop, blog) = (Allowed::only(["one"]), Allowed::only(["blog"]));
    let load = bed.load(SCHEDULED_RATE, vec![call(HOST, "/", &shop), call(BYSTANDER, "/", &blog)]).await?;
    sleep(Duration::from_secs(1)).await;
    for (old, new) in [("one", "two"), ("two", "one"), ("one", "two"), ("two", "one")] {
        shop.set([old, new]);
        bed.folder().write("shop-route.yaml", &[route("shop", HOST, &[rule("/", new)])])?;
        bed.answered_by(HOST, "/", new).await?;
        shop.set([new]);
        load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason))?;
        sleep(Duration::from_millis(300)).await;
    }
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("edit-route: {report}"));
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))
}

/// In which order the parts of a move are written.
#[derive(Debug, Clone, Copy)]
enum Order {
    RouteAhead,
    ServiceAhead,
    /// Everything in a burst, the old Service's end too: what replaces it must be in use before it goes.
    AtOnce,
}

/// A route moves to a Service that nobody has seen yet, and the old one goes.
pub(super) async fn new_service(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "new-service", &[HTTP_PORT])?;
    bed.deploy("v0").await?;
    bed.folder().write("route.yaml", &[route("shop", HOST, &[rule("/", "v0")])])?;
    bed.start().await?;
    bed.answered_by(HOST, "/", "v0").await?;

    let allowed = Allowed::only(["v0"]);
    let load = bed.load(SCHEDULED_RATE, vec![call(HOST, "/", &allowed)]).await?;
    sleep(Duration::from_secs(1)).await;
    let orders = [Order::RouteAhead, Order::ServiceAhead, Order::AtOnce].repeat(3);
    for (version, order) in (1..).zip(orders) {
        let (old, new) = (format!("v{}", version - 1), format!("v{version}"));
        let objects = bed.backend(&new).await?;
        let moved = [route("shop", HOST, &[rule("/", &new)])];
        let (old_file, new_file) = (format!("{old}.yaml"), format!("{new}.yaml"));
        allowed.set([&old, &new]);
        match order {
            Order::RouteAhead => {
                bed.folder().write("route.yaml", &moved)?;
                sleep(AHEAD).await;
                bed.folder().write(&new_file, &objects)?;
            }
            Order::ServiceAhead => {
                bed.folder().write(&new_file, &objects)?;
                sleep(AHEAD).await;
                bed.folder().write("route.yaml", &moved)?;
            }
            Order::AtOnce => {
                bed.folder().remove(&old_file)?;
                bed.folder().write(&new_file, &objects)?;
                bed.folder().write("route.yaml", &moved)?;
            }
        }
        bed.answered_by(HOST, "/", &new).await?;
        allowed.set([&new]);
        if !matches!(order, Order::AtOnce) {
            bed.folder().remove(&old_file)?;
        }
        sleep(Duration::from_millis(300)).await;
        load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason.context(format!("{order:?}"))))?;
    }
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("new-service: {report}"));
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))
}
