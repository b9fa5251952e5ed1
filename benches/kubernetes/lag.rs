//! How late a client is told of a pod's change, and what that costs the program.
//!
//! Open loop: a change is due by the schedule. Each changes whether a pod is ready, so that its address comes to a load
//! assignment or goes from it; lag counts from the return of the status write, and is zero if the client knew before that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use syncgate_e2e::kube::api::Api;
use syncgate_e2e::kube::resource::PODS;
use syncgate_e2e::usage;
use tokio::task::JoinSet;

use super::bed::{Bed, GATEWAY, Running};
use super::client::{Client, Moves};

/// Writes under way at once.
const LANES: usize = 32;
/// Each pod is changed again after so many others.
const TARGETS: usize = 1_000;
/// The client has been told of everything by then.
const SETTLES: Duration = Duration::from_secs(2);

/// What came of one rate.
pub(crate) struct Measured {
    made: usize,
    took: Duration,
    /// Sorted.
    lags: Vec<Duration>,
    processor: Duration,
}

impl Measured {
    pub(crate) fn print(&self, pods: u32, rate: u32) {
        let ms = |share: f64| {
            let last = self.lags.len().saturating_sub(1);
            self.lags.get((last as f64 * share) as usize).map_or(f64::NAN, |lag| lag.as_secs_f64() * 1e3)
        };
        let cpu = self.processor.as_secs_f64();
        println!(
            "{pods:>7} {rate:>8} {:>8.0} | {:>9.2} {:>9.2} {:>9.2} {:>8} | {:>8.1} % {:>12.3}",
            self.made as f64 / self.took.as_secs_f64(),
            ms(0.5),
            ms(0.99),
            ms(1.0),
            self.made - self.lags.len(),
            cpu / self.took.as_secs_f64() * 100.0,
            cpu * 1e3 / self.made as f64,
        );
    }
}

/// A pod that is changed.
struct Target {
    namespace: String,
    name: String,
    ip: String,
    ready: bool,
}

/// What was written: the address, when the write returned, and whether the pod is ready from then on.
type Written = Vec<(String, Instant, bool)>;

/// Changes pods at this rate.
pub(crate) async fn measure(bed: &Bed, running: &Running, rate: u32, time: Duration) -> Result<Measured> {
    let client = Client::connect(bed.xds(), GATEWAY).await?;
    whole(&client).await?;
    let targets = targets(bed.api(), &client.addresses()).await?;
    client.take_moves();
    let (busy, start) = (usage::processor(running.pid)?, Instant::now());
    let (written, changed) = change(bed.api(), targets, rate, time).await?;
    let took = start.elapsed();
    tokio::time::sleep(SETTLES).await;
    let processor = usage::processor(running.pid)? - busy;
    let lags = lags(&written, client.take_moves());
    // As it was, for the next rate.
    for target in changed.into_iter().filter(|target| !target.ready) {
        bed.api().patch_status(&PODS, &target.namespace, &target.name, &status(true)).await?;
    }
    Ok(Measured { made: written.len(), took, lags, processor })
}

/// Waits until nothing new comes.
async fn whole(client: &Client) -> Result<()> {
    let start = Instant::now();
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = client.assignments();
        if now > 0 && now == before {
            return Ok(());
        }
        ensure!(
            start.elapsed() < Duration::from_secs(60),
            "the client is still not whole, with {now} load assignments"
        );
        before = now;
    }
}

/// Pods that the client has the address of, spread over namespaces.
async fn targets(api: &Api, served: &BTreeSet<String>) -> Result<VecDeque<Target>> {
    let list: Value = serde_json::from_slice(
        &api.get_as(&format!("/api/v1/pods?limit={}", TARGETS), "application/json").await?.body,
    )?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pods = list["items"].as_array().into_iter().flatten().map(|pod| Target {
        namespace: text(&pod["metadata"]["namespace"]),
        name: text(&pod["metadata"]["name"]),
        ip: text(&pod["status"]["podIP"]),
        ready: true,
    });
    let found: VecDeque<Target> = pods.filter(|pod| served.contains(&pod.ip)).take(TARGETS).collect();
    ensure!(!found.is_empty(), "the client has no pod's address");
    Ok(found)
}

/// What was written, and the pods as they are then.
async fn change(
    api: &Api,
    targets: VecDeque<Target>,
    rate: u32,
    time: Duration,
) -> Result<(Written, VecDeque<Target>)> {
    let count = (time.as_secs_f64() * f64::from(rate)) as usize;
    let (targets, next) = (Arc::new(Mutex::new(targets)), Arc::new(Mutex::new(0_usize)));
    let start = Instant::now();
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let (api, targets, next) = (api.clone(), targets.clone(), next.clone());
        lanes.spawn(async move {
            let mut written = Written::new();
            loop {
                let turn = {
                    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                    *next += 1;
                    *next - 1
                };
                let due = start + Duration::from_secs_f64(turn as f64 / f64::from(rate));
                // What a server that falls behind has not taken by then is left out.
                if turn >= count || start.elapsed() > time {
                    return anyhow::Ok(written);
                }
                tokio::time::sleep_until(due.into()).await;
                let taken = targets.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(mut target) = taken else { continue };
                target.ready = !target.ready;
                api.patch_status(&PODS, &target.namespace, &target.name, &status(target.ready)).await?;
                written.push((target.ip.clone(), Instant::now(), target.ready));
                targets.lock().unwrap_or_else(PoisonError::into_inner).push_back(target);
            }
        });
    }
    let mut all = Written::new();
    while let Some(written) = lanes.join_next().await {
        all.extend(written??);
    }
    let changed = std::mem::take(&mut *targets.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((all, changed))
}

fn status(ready: bool) -> Value {
    let word = if ready { "True" } else { "False" };
    let condition = |kind: &str| json!({"type": kind, "status": word});
    json!({"conditions": [condition("ContainersReady"), condition("Ready")]})
}

/// The lag of each change that the client was told of, sorted.
fn lags(written: &Written, moves: BTreeMap<String, Moves>) -> Vec<Duration> {
    let mut by_address: BTreeMap<&String, Vec<(Instant, bool)>> = BTreeMap::new();
    for (ip, at, ready) in written {
        by_address.entry(ip).or_default().push((*at, *ready));
    }
    let mut lags = Vec::new();
    for (ip, mut changes) in by_address {
        changes.sort_unstable_by_key(|(at, _)| *at);
        let mut told = moves.get(ip).into_iter().flatten();
        for (at, ready) in changes {
            // In the order of the changes; one that a later one took back before it was told is unseen.
            if let Some((seen, _)) = told.by_ref().find(|(_, there)| *there == ready) {
                lags.push(seen.saturating_duration_since(at));
            }
        }
    }
    lags.sort_unstable();
    lags
}
