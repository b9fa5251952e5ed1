//! Pods change at a constant rate. Open loop: a change is due by the schedule, not by the answer to the one before, so
//! a server that falls behind shows as latency. Each pod is changed by one task alone, which knows what it wrote last.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Addresses, Tally};
use crate::draws::Draws;
use crate::kube::api::{Api, Refusal};
use crate::kube::resource::{NAMESPACES, PODS};
use crate::seed::MANAGED_BY;

/// What to change, and how often.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Changes a second.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Only pods of these namespaces; without them, of all that were seeded.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// How many pods are changed, again and again; as many of each namespace.
    #[arg(long, default_value_t = 500)]
    pub targets: u32,
    /// The share of changes by which a ready pod becomes unready, or the other way round.
    #[arg(long, default_value_t = 30)]
    pub readiness: u32,
    /// The share of changes that give a pod another address.
    #[arg(long, default_value_t = 10)]
    pub address: u32,
    /// The share of changes that create a pod and delete the one that it replaces.
    #[arg(long, default_value_t = 20)]
    pub replace: u32,
    /// The share of changes of a status that no endpoint depends on.
    #[arg(long, default_value_t = 40)]
    pub idle: u32,
    /// New addresses in turn; without them, some of 172.16.0.0/12 that nothing listens on.
    #[arg(long, value_name = "IP,IP", value_delimiter = ',')]
    pub addresses: Vec<IpAddr>,
    /// How many changes are under way at once.
    #[arg(long, default_value_t = 16)]
    pub at_once: u32,
    /// What the choice of pods and changes follows from. New names and addresses are others in each run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for Plan {
    /// As the command has it.
    fn default() -> Self {
        Self {
            rate: 50,
            seconds: 10,
            namespaces: Vec::new(),
            targets: 500,
            readiness: 30,
            address: 10,
            replace: 20,
            idle: 40,
            addresses: Vec::new(),
            at_once: 16,
            seed: 1,
        }
    }
}

/// A sort of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Ready becomes unready, or the other way round.
    Readiness,
    /// The pod has another address.
    Address,
    /// A new pod takes its place; then it is deleted.
    Replace,
    /// Nothing that matters to an endpoint.
    Idle,
}

impl Plan {
    /// Each sort as often as its share.
    fn change(&self, draws: &mut Draws) -> Change {
        let shares = [
            (self.readiness, Change::Readiness),
            (self.address, Change::Address),
            (self.replace, Change::Replace),
            (self.idle, Change::Idle),
        ];
        let total: u64 = shares.iter().map(|(share, _)| u64::from(*share)).sum();
        let mut drawn = draws.below(total.max(1));
        for (share, change) in shares {
            match drawn.checked_sub(share.into()) {
                Some(left) => drawn = left,
                None => return change,
            }
        }
        Change::Idle
    }
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Report {
    /// By sort of change; latency is counted from when a change was due to the last answer.
    pub changes: BTreeMap<Change, Tally>,
    /// How many changes were due.
    pub due: u64,
    /// How many pods could be changed.
    pub targets: usize,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl Report {
    /// How many changes the server accepted.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.changes.values().map(|tally| tally.done).sum()
    }

    /// How many changes of a sort the server accepted.
    #[must_use]
    pub fn of(&self, change: Change) -> u64 {
        self.changes.get(&change).map_or(0, |tally| tally.done)
    }

    /// Fails if a change failed.
    pub fn ensure_clean(&self) -> Result<()> {
        self.changes.values().try_for_each(Tally::ensure_clean)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.done() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON);
        let (done, due, targets) = (self.done(), self.due, self.targets);
        write!(f, "{done} of {due} changes of {targets} pods in {:.1?} ({rate:.0}/s)", self.elapsed)?;
        self.changes.iter().try_for_each(|(change, tally)| write!(f, "\n  {change:?}: {tally}"))
    }
}

/// Changes pods until the time is up. What is due by then and not begun is left out; the report has both numbers.
pub async fn run(api: &Api, plan: &Plan) -> Result<Report> {
    ensure!(plan.rate > 0 && plan.at_once > 0, "churn needs a rate above zero and room for one change at once");
    let targets = targets(api, plan).await?;
    let count = targets.len();
    eprintln!("{} changes a second of {count} pods for {} s, seed {}", plan.rate, plan.seconds, plan.seed);
    let mut shares: Vec<Vec<Target>> = (0..plan.at_once).map(|_| Vec::new()).collect();
    for (number, target) in targets.into_iter().enumerate() {
        shares[number % plan.at_once as usize].push(target);
    }
    // No lane without a pod, and so without its turns.
    shares.retain(|share| !share.is_empty());
    let addresses = Arc::new(Addresses::new(&plan.addresses));
    let (plan, start, lanes) = (Arc::new(plan.clone()), Instant::now(), shares.len());
    let mut under_way = JoinSet::new();
    for (number, targets) in (0..).zip(shares) {
        let (draws, names) = (Draws::of(plan.seed, &[number]), Draws::of_now());
        let (api, plan, addresses) = (api.clone(), Arc::clone(&plan), Arc::clone(&addresses));
        let lane = Lane { api, plan, addresses, draws, names, targets, start, changes: BTreeMap::new() };
        under_way.spawn(lane.run(number, lanes));
    }
    let mut changes: BTreeMap<Change, Tally> = BTreeMap::new();
    while let Some(ended) = under_way.join_next().await {
        for (change, tally) in ended?? {
            match changes.get_mut(&change) {
                Some(total) => total.add(tally)?,
                None => drop(changes.insert(change, tally)),
            }
        }
    }
    let due = u64::from(plan.rate) * plan.seconds;
    Ok(Report { changes, due, targets: count, elapsed: start.elapsed() })
}

/// Some pods of each namespace.
async fn targets(api: &Api, plan: &Plan) -> Result<Vec<Target>> {
    let mut namespaces = plan.namespaces.clone();
    if namespaces.is_empty() {
        let label = format!("labelSelector=app.kubernetes.io/managed-by={MANAGED_BY}");
        let found = list(api, &format!("{}?{label}", NAMESPACES.collection(""))).await?;
        namespaces
            .extend(found.iter().filter_map(|namespace| namespace["metadata"]["name"].as_str()).map(str::to_owned));
    }
    let each = plan.targets.div_ceil(u32::try_from(namespaces.len())?.max(1));
    let mut targets = Vec::new();
    for namespace in &namespaces {
        let pods = list(api, &format!("{}?limit={each}", PODS.collection(namespace))).await?;
        targets.extend(pods.into_iter().map(|object| Target { object }));
    }
    targets.truncate(plan.targets as usize);
    ensure!(!targets.is_empty(), "there is no pod to change in {} namespaces: seed some", namespaces.len());
    Ok(targets)
}

async fn list(api: &Api, path: &str) -> Result<Vec<Value>> {
    let answer = api.raw(Method::GET, path, None).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    let mut list: Value = serde_json::from_slice(&answer.body)?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        other => anyhow::bail!("{path} is no list: {other}"),
    }
}

/// A pod as it was last seen.
struct Target {
    object: Value,
}

/// One task, its pods and its turns.
struct Lane {
    api: Api,
    plan: Arc<Plan>,
    addresses: Arc<Addresses>,
    draws: Draws,
    names: Draws,
    targets: Vec<Target>,
    start: Instant,
    changes: BTreeMap<Change, Tally>,
}

impl Lane {
    async fn run(mut self, number: u64, lanes: usize) -> Result<BTreeMap<Change, Tally>> {
        let plan = Arc::clone(&self.plan);
        let end = self.start + Duration::from_secs(plan.seconds);
        for turn in (number..u64::from(plan.rate) * plan.seconds).step_by(lanes) {
            let due = self.start + Duration::from_secs_f64(turn as f64 / f64::from(plan.rate));
            sleep_until(due).await;
            if Instant::now() > end || self.targets.is_empty() {
                break;
            }
            let change = plan.change(&mut self.draws);
            let chosen = usize::try_from(self.draws.below(self.targets.len() as u64))?;
            let outcome = self.change(change, chosen).await;
            if outcome.as_ref().is_err_and(|reason| Refusal::code_of(reason) == Some(404)) {
                self.targets.swap_remove(chosen);
            }
            let tally = match self.changes.entry(change) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => new.insert(Tally::new()?),
            };
            tally.record(&format!("after {:.1?}", due - self.start), due.elapsed(), outcome);
        }
        Ok(self.changes)
    }

    async fn change(&mut self, change: Change, chosen: usize) -> Result<()> {
        let mark = self.draws.next();
        let target = &mut self.targets[chosen];
        let status = match change {
            Change::Readiness => target.other_readiness(),
            Change::Address => address(self.addresses.next()),
            Change::Idle => json!({"message": format!("probed {mark:x}")}),
            Change::Replace => {
                let new = target.successor(self.addresses.next(), &self.names.word(5));
                let created = self.api.create_with_status(&new).await?;
                let (namespace, name) = target.place()?;
                // From now on the new one is changed, even if the old one should not go.
                let (namespace, name) = (namespace.to_owned(), name.to_owned());
                target.object = created;
                return self.api.delete(&PODS, &namespace, &name).await.map(drop);
            }
        };
        let (namespace, name) = target.place()?;
        target.object = self.api.patch_status(&PODS, namespace, name, &status).await?;
        Ok(())
    }
}

fn address(ip: IpAddr) -> Value {
    json!({"podIP": ip, "podIPs": [{"ip": ip}]})
}

impl Target {
    fn place(&self) -> Result<(&str, &str)> {
        let text = |field: &str| self.object["metadata"][field].as_str();
        text("namespace").zip(text("name")).context("a pod without a name")
    }

    /// The parts of a status that say whether a pod is ready, the other way round.
    fn other_readiness(&self) -> Value {
        let since = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let list = |field: &str| self.object["status"][field].as_array().cloned().unwrap_or_default();
        let mut conditions = list("conditions");
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        let ready = !conditions.iter().any(is_ready);
        conditions.retain(|condition| condition["type"] != "Ready" && condition["type"] != "ContainersReady");
        let word = if ready { "True" } else { "False" };
        conditions.extend(
            ["ContainersReady", "Ready"]
                .map(|kind| json!({"type": kind, "status": word, "lastTransitionTime": since, "lastProbeTime": null})),
        );
        let mut containers = list("containerStatuses");
        for container in &mut containers {
            container["ready"] = json!(ready);
        }
        json!({"conditions": conditions, "containerStatuses": containers})
    }

    /// A pod like this one, with another name and address.
    fn successor(&self, ip: IpAddr, suffix: &str) -> Value {
        let name = self.object["metadata"]["name"].as_str().unwrap_or_default();
        let stem = name.rsplit_once('-').map_or(name, |(stem, _)| stem);
        let mut object = self.object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.retain(|field, _| {
                !matches!(
                    field.as_str(),
                    "uid" | "resourceVersion" | "creationTimestamp" | "managedFields" | "generation"
                )
            });
            metadata.insert("name".to_owned(), json!(format!("{stem}-{suffix}")));
        }
        object["status"]["podIP"] = json!(ip);
        object["status"]["podIPs"] = json!([{"ip": ip}]);
        object["apiVersion"] = json!("v1");
        object["kind"] = json!("Pod");
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::objects;

    fn target() -> Target {
        Target { object: objects::pod("a", "app-0-x-12345", "app-0", "10.0.0.1".parse().unwrap(), 80) }
    }

    #[test]
    fn readiness_goes_to_and_fro() {
        let mut target = target();
        let ready = |status: &Value| -> Vec<Value> {
            let conditions = status["conditions"].as_array().unwrap();
            conditions.iter().filter(|at| at["type"] == "Ready").map(|at| at["status"].clone()).collect()
        };
        let unready = target.other_readiness();
        assert_eq!((ready(&unready), unready["conditions"].as_array().unwrap().len()), (vec![json!("False")], 4));
        target.object["status"] = unready;
        assert_eq!(ready(&target.other_readiness()), [json!("True")]);
    }

    #[test]
    fn a_successor_differs_in_name_and_address() {
        let mut target = target();
        target.object["metadata"]["uid"] = json!("1");
        let new = target.successor("10.0.0.2".parse().unwrap(), "abcde");
        assert_eq!(new["metadata"], json!({"namespace": "a", "name": "app-0-x-abcde", "labels": {"app": "app-0"}}));
        assert_eq!((&new["status"]["podIP"], &new["status"]["phase"]), (&json!("10.0.0.2"), &json!("Running")));
    }

    #[test]
    fn shares_are_kept() {
        let plan = Plan { readiness: 1, address: 0, replace: 1, idle: 2, ..Plan::default() };
        let mut draws = Draws::of(1, &[]);
        let mut counts: BTreeMap<Change, u32> = BTreeMap::new();
        for _ in 0..4000 {
            *counts.entry(plan.change(&mut draws)).or_default() += 1;
        }
        assert!(!counts.contains_key(&Change::Address));
        assert!((1900..2100).contains(&counts[&Change::Idle]), "{counts:?}");
    }
}
