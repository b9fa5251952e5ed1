//! What an API server does to those who watch it, while traffic runs through a real Envoy: it is killed, its etcd is put back to an older state, it
//! or the CRDs are absent at the start (`absent`), and every fault that the proxy knows is played (`faults`). No request fails, readiness stays,
//! and what changed is at Envoy soon after the server is back.
//!
//! With `SYNCGATE_LONG=1` the server is away for 60 s instead of 10, and faults last 45 s instead of 3.

mod absent;
mod faults;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use syncgate_e2e::http::get;
use syncgate_e2e::kube_bed::objects::route;
use syncgate_e2e::kube_bed::{KubeBed, Scope, Setup};
use syncgate_e2e::load::{Allowed, Call, Load};
use syncgate_e2e::manifests::{NAMESPACE, rule};
use syncgate_e2e::scenario::Release;
use syncgate_e2e::syncgate::Variant;
use syncgate_e2e::usage::figure;
use syncgate_e2e::wait::eventually;
use syncgate_e2e::watching::witness::Witness;
use tokio::time::sleep;

const GATEWAY: &str = "web";
/// A host whose route moves, one that is there only for a time, and one that stands by.
const MOVING: &str = "moving.example.com";
const LATE: &str = "late.example.com";
const BYSTANDER: &str = "still.example.com";
/// Requests a second: scheduled, and required because two cores carry everything.
const RATE: u32 = 200;
const REQUIRED: f64 = 150.0;
/// A change that is written right after the server's return is at Envoy within this time.
const SOON: Duration = Duration::from_secs(2);
/// After etcd was put back, the older state and every later change are served within this time.
const RESTORED: Duration = Duration::from_secs(60);

/// Whether there is time for the long form.
pub(crate) fn long() -> bool {
    std::env::var_os("SYNCGATE_LONG").is_some()
}

struct Show {
    bed: KubeBed,
    moving: Allowed,
    loads: Vec<Load>,
    witness: Witness,
}

fn moving(to: &str) -> Value {
    route(NAMESPACE, "moving", MOVING, &[GATEWAY], &[rule("/", to)])
}

fn late(name: &str) -> Value {
    route(NAMESPACE, name, &format!("{name}.example.com"), &[GATEWAY], &[rule("/", "still")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_an_etcd_that_is_restored() -> Result<()> {
    let name = "k8s-outages";
    let Some(setup) = Setup::installed(name, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let mut show = begin(&setup, name).await?;
    let pid = show.bed.replicas()[0].syncgate.pid()?;
    for event in ["killed", "restored"] {
        let played = if event == "killed" { show.killed().await } else { show.restored().await };
        played.map_err(|reason| show.bed.with_logs(reason.context(event)))?;
        show.ensure_clean().map_err(|reason| show.bed.with_logs(reason.context(event)))?;
    }
    show.bed.converged().await?;
    ensure!(show.bed.replicas()[0].syncgate.pid()? == pid, "it was not started again");
    for load in std::mem::take(&mut show.loads) {
        let report = load.stop().await?;
        figure(&format!("{name}: {} requests, {} failed", report.sent, report.failed))?;
        report.ensure_clean(REQUIRED).map_err(|reason| show.bed.with_logs(reason))?;
    }
    Ok(())
}

async fn begin(setup: &Setup, name: &str) -> Result<Show> {
    let mut bed = KubeBed::start(setup, name, Scope::Cluster).await?;
    bed.gateway(GATEWAY, &[]).await?;
    for backend in ["one", "two", "still"] {
        bed.deploy(NAMESPACE, backend).await?;
    }
    bed.apply(&[moving("one"), route(NAMESPACE, "still", BYSTANDER, &[GATEWAY], &[rule("/", "still")])]).await?;
    bed.add_replica().await?;
    bed.start_envoy(GATEWAY, Release::Newest, Variant::Delta).await?;
    bed.answered_by(MOVING, "/", "one").await?;
    bed.answered_by(BYSTANDER, "/", "still").await?;
    let allowed = Allowed::only(["one"]);
    let call = |host: &str, allowed: &Allowed| Call { host: host.into(), path: "/".into(), allowed: allowed.clone() };
    let mut loads = Vec::new();
    for call in [call(MOVING, &allowed), call(BYSTANDER, &Allowed::only(["still"]))] {
        loads.push(bed.load(GATEWAY, RATE, vec![call]).await?);
    }
    let witness = Witness::start(bed.replicas()[0].at.health, None);
    Ok(Show { bed, moving: allowed, loads, witness })
}

impl Show {
    /// The server dies and comes back; a change is written right then.
    async fn killed(&mut self) -> Result<()> {
        let outage = Duration::from_secs(if long() { 60 } else { 10 });
        self.bed.plane().kill_server().await?;
        sleep(outage).await;
        self.ensure_clean()?;
        self.bed.plane().start_server().await?;
        self.moving.set(["one", "two"]);
        let since = Instant::now();
        self.bed.apply(&[moving("two")]).await?;
        let took = self.first_answer(MOVING, Some("two"), since).await?;
        figure(&format!(
            "killed for {outage:?}: a change written right after the return was at Envoy after {took:.2?}"
        ))?;
        ensure!(took < SOON, "a change written right after the return was at Envoy only after {took:?}");
        self.bed.answered_by(MOVING, "/", "two").await?;
        self.moving.set(["two"]);
        Ok(())
    }

    /// A backup is put back: a route that moved since is where it was, one that came since is gone, and changes arrive as ever.
    async fn restored(&mut self) -> Result<()> {
        let backup = self.bed.plane().snapshot()?;
        self.moving.set(["one", "two"]);
        self.bed.apply(&[moving("one"), late("late")]).await?;
        self.bed.answered_by(MOVING, "/", "one").await?;
        self.bed.answered_by(LATE, "/", "still").await?;
        self.moving.set(["one"]);

        self.moving.set(["one", "two"]);
        self.bed.plane().restore(&backup).await?;
        let since = Instant::now();
        let older = self.first_answer(MOVING, Some("two"), since).await?;
        let gone = self.first_answer(LATE, None, since).await?;
        self.bed.answered_by(MOVING, "/", "two").await?;
        let mut later = Vec::new();
        for (to, name) in [("one", "later-1"), ("two", "later-2")] {
            let since = Instant::now();
            self.bed.apply(&[moving(to), late(name)]).await?;
            later.push(self.first_answer(MOVING, Some(to), since).await?);
            later.push(self.first_answer(&format!("{name}.example.com"), Some("still"), since).await?);
            self.bed.answered_by(MOVING, "/", to).await?;
        }
        self.moving.set(["two"]);
        let all = since.elapsed();
        figure(&format!(
            "etcd restored: the older route after {older:.2?}, what is not in the backup gone after {gone:.2?}, later changes after {later:.2?}"
        ))?;
        ensure!(older.max(gone) < RESTORED && all < RESTORED, "only after {older:?}, {gone:?}, and all of it {all:?}");
        Ok(())
    }

    /// Waits until `backend` answers, or nothing is found, and gives the time since.
    async fn first_answer(&self, host: &str, backend: Option<&str>, since: Instant) -> Result<Duration> {
        let at = self.bed.http(GATEWAY)?;
        eventually(&format!("{backend:?} to answer for {host}"), RESTORED, async || {
            let answer = get(at, host, "/").await?;
            let status = if backend.is_some() { 200 } else { 404 };
            let right = answer.status == status && (backend.is_none() || answer.backend() == backend);
            ensure!(right, "{} from {:?}", answer.status, answer.backend());
            Ok(())
        })
        .await?;
        Ok(since.elapsed())
    }

    fn ensure_clean(&self) -> Result<()> {
        self.witness.ensure_clean()?;
        self.loads.iter().try_for_each(Load::ensure_clean_so_far)
    }
}
