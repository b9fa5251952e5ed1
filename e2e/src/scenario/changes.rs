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

/// A route moves to a Service that nobody has seen yet: the route's file comes first, then the other order.
pub(super) async fn new_service(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "new-service", &[HTTP_PORT])?;
    bed.deploy("v0").await?;
    bed.folder().write("route.yaml", &[route("shop", HOST, &[rule("/", "v0")])])?;
    bed.start().await?;
    bed.answered_by(HOST, "/", "v0").await?;

    let allowed = Allowed::only(["v0"]);
    let load = bed.load(SCHEDULED_RATE, vec![call(HOST, "/", &allowed)]).await?;
    sleep(Duration::from_secs(1)).await;
    for version in 1..=6 {
        let (old, new) = (format!("v{}", version - 1), format!("v{version}"));
        let objects = bed.backend(&new).await?;
        let moved = [route("shop", HOST, &[rule("/", &new)])];
        let file = format!("{new}.yaml");
        allowed.set([&old, &new]);
        if version % 2 == 1 {
            bed.folder().write("route.yaml", &moved)?;
            sleep(AHEAD).await;
            bed.folder().write(&file, &objects)?;
        } else {
            bed.folder().write(&file, &objects)?;
            sleep(AHEAD).await;
            bed.folder().write("route.yaml", &moved)?;
        }
        bed.answered_by(HOST, "/", &new).await?;
        allowed.set([&new]);
        // The Service that nobody names any more goes, as a rollout's does.
        bed.folder().remove(&format!("{old}.yaml"))?;
        sleep(Duration::from_millis(500)).await;
        load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason))?;
    }
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("new-service: {report}"));
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))
}
