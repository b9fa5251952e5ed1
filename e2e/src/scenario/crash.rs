//! syncgate goes away and comes back. Envoy lives on with what it has, and learns only what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::changes::call;
use super::{REQUIRED_RATE, SCHEDULED_RATE, say};
use crate::bed::{Bed, PATIENCE, Setup};
use crate::envoy::Stats;
use crate::load::Allowed;
use crate::manifests::{HTTP_PORT, pod, route, route_on, rule, service};
use crate::syncgate::Variant;

/// A second listener, none of whose routes changes.
const QUIET_PORT: u16 = 8090;
/// Services and routes that do not change: enough that sending them again stands out.
const QUIET: u8 = 60;
/// Of what Envoy received at its first connection, the part that may come again after a restart: the one changed route configuration, and
/// every load assignment, which some releases of Envoy want again for each cluster. All clusters once more would make it three quarters.
const RESENT_SHARE: f64 = 0.45;
/// What Envoy counts for clusters, listeners and routes that it was given and took as new.
const TAKEN: &str = r"^(cluster_manager\.cluster_(added|modified|removed)|listener_manager\.listener_(added|modified|removed|create_success|in_place_updated)|http\..*\.rds\..*\.config_reload)$";
/// The bytes of syncgate that Envoy counts.
const RECEIVED: &str = "cluster.syncgate.upstream_cx_rx_bytes_total";
/// What Envoy counts for responses and bytes that it was sent.
const SENT: &str = r"^(cluster_manager\.cds\.update_success|listener_manager\.lds\.update_success|http\..*\.rds\..*\.update_success|cluster\.syncgate\.upstream_cx_rx_bytes_total)$";

/// `kill -9`; a route and an endpoint change; start.
pub(super) async fn crash(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "crash", &[HTTP_PORT, QUIET_PORT])?;
    bed.deploy("one").await?;
    bed.deploy("two").await?;
    let [moving, old_pod] = bed.backend("old").await?;
    let [_, new_pod] = bed.backend("new").await?;
    let endpoint = |mut pod: Value, address_of: &Value| {
        pod["status"] = address_of["status"].clone();
        pod
    };
    let routes = |shop: &str| {
        [
            route_on("shop", "shop.example.com", Some(HTTP_PORT), &[rule("/", shop)]),
            route_on("keep", "keep.example.com", Some(HTTP_PORT), &[rule("/1", "one"), rule("/2", "two")]),
            route_on("moving", "moving.example.com", Some(HTTP_PORT), &[rule("/", "old")]),
        ]
    };
    bed.folder().write("moving.yaml", &[moving.clone(), old_pod.clone()])?;
    bed.folder().write("routes.yaml", &routes("one"))?;
    bed.folder().write("quiet.yaml", &quiet())?;
    bed.start().await?;
    bed.answered_by("shop.example.com", "/", "one").await?;
    bed.answered_by("moving.example.com", "/", "old").await?;

    let (shop, pods, kept) = (Allowed::only(["one"]), Allowed::only(["old"]), Allowed::only(["two"]));
    let calls = vec![
        call("shop.example.com", "/", &shop),
        call("moving.example.com", "/", &pods),
        call("keep.example.com", "/2", &kept),
    ];
    let load = bed.load(SCHEDULED_RATE, calls).await?;
    sleep(Duration::from_secs(1)).await;
    let before = Seen::of(&mut bed).await?;

    bed.syncgate()?.kill().await?;
    bed.folder().write("routes.yaml", &routes("two"))?;
    bed.folder().write("moving.yaml", &[moving, endpoint(old_pod, &new_pod)])?;
    sleep(Duration::from_secs(1)).await;
    load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason.context("while syncgate was down")))?;
    shop.set(["one", "two"]);
    pods.set(["old", "new"]);
    bed.start_syncgate()?.ready(PATIENCE).await?;
    bed.answered_by("shop.example.com", "/", "two").await?;
    bed.answered_by("moving.example.com", "/", "new").await?;
    shop.set(["two"]);
    pods.set(["new"]);
    sleep(Duration::from_secs(2)).await;

    let after = Seen::of(&mut bed).await?;
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("crash: {report}"));
    let shown = report
        .ensure_clean(REQUIRED_RATE)
        .and_then(|()| only_the_change_was_taken(&before, &after))
        .and_then(|()| nothing_unchanged_was_sent(setup.variant, &before, &after));
    shown.map_err(|reason| bed.with_logs(reason))
}

/// SIGTERM, and start again; then a change, so that the new process is known to be heard.
pub(super) async fn rollout(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "rollout", &[HTTP_PORT])?;
    bed.deploy("one").await?;
    bed.deploy("two").await?;
    bed.folder().write("route.yaml", &[route("shop", "shop.example.com", &[rule("/", "one")])])?;
    bed.start().await?;
    bed.answered_by("shop.example.com", "/", "one").await?;

    let allowed = Allowed::only(["one"]);
    let load = bed.load(SCHEDULED_RATE, vec![call("shop.example.com", "/", &allowed)]).await?;
    sleep(Duration::from_secs(1)).await;
    for (old, new) in [("one", "two"), ("two", "one")] {
        bed.syncgate()?.terminate(PATIENCE).await?;
        bed.start_syncgate()?.ready(PATIENCE).await?;
        sleep(Duration::from_secs(1)).await;
        load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason))?;
        allowed.set([old, new]);
        bed.folder().write("route.yaml", &[route("shop", "shop.example.com", &[rule("/", new)])])?;
        bed.answered_by("shop.example.com", "/", new).await?;
        allowed.set([new]);
    }
    bed.converged().await?;
    let report = load.stop().await?;
    say(&format!("rollout: {report}"));
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))
}

fn quiet() -> Vec<Value> {
    let service_and_route = |number: u8| {
        let name = format!("quiet-{number}");
        let ip = std::net::Ipv4Addr::new(10, 0, 0, number).into();
        [
            service(&name),
            pod(&format!("{name}-0"), &name, ip),
            route_on(&name, &format!("{name}.example.com"), Some(QUIET_PORT), &[rule("/", &name)]),
        ]
    };
    (1..=QUIET).flat_map(service_and_route).collect()
}

/// What Envoy tells of its configuration and of how it came.
#[derive(Debug)]
struct Seen {
    taken: Stats,
    sent: Stats,
    /// `last_updated` of each cluster, listener and route configuration.
    updated: BTreeMap<String, String>,
    log: String,
}

impl Seen {
    async fn of(bed: &mut Bed) -> Result<Self> {
        let envoy = bed.envoy()?;
        let dump = envoy.config_dump().await?;
        let mut updated = BTreeMap::new();
        for section in dump["configs"].as_array().context("no configs in the dump")? {
            for kind in ["dynamic_active_clusters", "dynamic_listeners", "dynamic_route_configs"] {
                for entry in section[kind].as_array().into_iter().flatten() {
                    updated.extend(update_of(kind, entry));
                }
            }
        }
        let (taken, sent) = (envoy.stats(TAKEN).await?, envoy.stats(SENT).await?);
        Ok(Self { taken, sent, updated, log: envoy.log() })
    }

    /// Counters that moved from `self` to `later`.
    fn moved(earlier: &Stats, later: &Stats) -> BTreeMap<String, u64> {
        let grown = later
            .iter()
            .map(|(name, now)| (name.clone(), now - earlier.get(name).copied().unwrap_or_default().min(*now)));
        grown.filter(|(_, by)| *by > 0).collect()
    }
}

fn update_of(kind: &str, entry: &Value) -> Option<(String, String)> {
    let (name, updated) = match kind {
        "dynamic_active_clusters" => (&entry["cluster"]["name"], &entry["last_updated"]),
        "dynamic_listeners" => (&entry["name"], &entry["active_state"]["last_updated"]),
        _ => (&entry["route_config"]["name"], &entry["last_updated"]),
    };
    Some((format!("{kind} {}", name.as_str()?), updated.as_str()?.to_owned()))
}

/// By what Envoy runs: one route configuration changed, and nothing else did.
fn only_the_change_was_taken(before: &Seen, after: &Seen) -> Result<()> {
    let clusters = before.updated.keys().filter(|name| name.starts_with("dynamic_active_clusters")).count();
    ensure!(clusters > usize::from(QUIET), "the dump should list every cluster: {:?}", before.updated);
    let names = before.updated.keys().chain(after.updated.keys()).collect::<BTreeSet<_>>().into_iter();
    let changed: Vec<_> = names.filter(|name| before.updated.get(*name) != after.updated.get(*name)).collect();
    let the_route = format!("dynamic_route_configs demo/web/{HTTP_PORT}");
    ensure!(changed == [&the_route], "Envoy took something else than the changed route as new: {changed:?}");
    let taken = Seen::moved(&before.taken, &after.taken);
    ensure!(taken.values().sum::<u64>() == 1, "something else than the changed route was taken: {taken:?}");
    Ok(())
}

/// By what Envoy received.
fn nothing_unchanged_was_sent(variant: Variant, before: &Seen, after: &Seen) -> Result<()> {
    let sent = Seen::moved(&before.sent, &after.sent);
    say(&format!("crash: what was sent: {sent:?}"));
    // For each response Envoy logs how many clusters of it were the same as those that it had.
    let repeated = after.log.lines().find(|line| line.contains("(skipped ") && !line.contains("(skipped 0 "));
    ensure!(repeated.is_none(), "unchanged clusters were sent again: {repeated:?}");
    if variant == Variant::Sotw {
        // Whole sets or nothing: the version that Envoy names is current, so nothing.
        let sets = sent.keys().find(|name| name.contains(".cds.") || name.contains(".lds."));
        ensure!(sets.is_none(), "an unchanged set was sent again: {sent:?}");
        return Ok(());
    }
    let quiet_routes = sent.keys().find(|name| name.contains(&format!("demo/web/{QUIET_PORT}")));
    ensure!(quiet_routes.is_none(), "an unchanged route configuration was sent again: {sent:?}");
    let received = |stats: &Stats| stats.get(RECEIVED).copied().context("Envoy does not count the bytes of syncgate");
    let (first, again) = (received(&before.sent)?, received(&after.sent)? - received(&before.sent)?);
    let share = again as f64 / first as f64;
    say(&format!("crash: {again} bytes came after the restart, {first} at first ({:.0} %)", share * 100.0));
    ensure!(share < RESENT_SHARE, "{again} bytes after the restart, {first} at first: more than what changed was sent");
    Ok(())
}
