//! Rules and routes that change places under load. Where a cluster or a route is named by its position, requests end at a neighbour's
//! backend here, or at a cluster that is already gone.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::changes::call;
use super::{REQUIRED_RATE, SCHEDULED_RATE, say};
use crate::bed::{Bed, Setup};
use crate::load::Allowed;
use crate::manifests::{HTTP_PORT, route, rule};

const ROUNDS: usize = 10;
const HOST: &str = "shop.example.com";

/// A rule for `/a` comes before the only rule of a route, and goes.
pub(super) async fn move_rules(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "move-rules", &[HTTP_PORT])?;
    bed.deploy("main").await?;
    bed.deploy("side").await?;
    let alone = [route("shop", HOST, &[rule("/", "main")])];
    let both = [route("shop", HOST, &[rule("/a", "side"), rule("/", "main")])];
    bed.folder().write("route.yaml", &alone)?;
    bed.start().await?;
    bed.answered_by(HOST, "/a", "main").await?;

    let (root, a) = (Allowed::only(["main"]), Allowed::only(["main"]));
    let load = bed.load(SCHEDULED_RATE, vec![call(HOST, "/", &root), call(HOST, "/a", &a)]).await?;
    sleep(Duration::from_secs(1)).await;
    for _ in 0..ROUNDS {
        for (objects, backend) in [(&both, "side"), (&alone, "main")] {
            a.set(["main", "side"]);
            bed.folder().write("route.yaml", objects)?;
            bed.answered_by(HOST, "/a", backend).await?;
            a.set([backend]);
            load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason))?;
        }
    }
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("move-rules: {report}"));
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))
}

/// A route is replaced by another one of the same host and another Service, in one step.
pub(super) async fn replace_route(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "replace-route", &[HTTP_PORT])?;
    for name in ["one", "two", "blog"] {
        bed.deploy(name).await?;
    }
    let version = |round: usize| (format!("shop-{round}"), if round.is_multiple_of(2) { "one" } else { "two" });
    bed.folder().write("route.yaml", &[route("shop-0", HOST, &[rule("/", "one")])])?;
    bed.folder().write("blog-route.yaml", &[route("blog", "blog.example.com", &[rule("/", "blog")])])?;
    bed.start().await?;
    bed.answered_by(HOST, "/", "one").await?;

    let (shop, blog) = (Allowed::only(["one"]), Allowed::only(["blog"]));
    let load = bed.load(SCHEDULED_RATE, vec![call(HOST, "/", &shop), call("blog.example.com", "/", &blog)]).await?;
    sleep(Duration::from_secs(1)).await;
    for round in 1..=ROUNDS {
        let (name, backend) = version(round);
        shop.set(["one", "two"]);
        bed.folder().write("route.yaml", &[route(&name, HOST, &[rule("/", backend)])])?;
        bed.answered_by(HOST, "/", backend).await?;
        shop.set([backend]);
        load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason))?;
        sleep(Duration::from_millis(200)).await;
    }
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("replace-route: {report}"));
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))
}
