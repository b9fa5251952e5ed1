//! A minute of random changes under load: nothing fails, Envoy refuses nothing, nothing warms for long, and in the end Envoy runs what
//! the folder stands for.
//!
//! Two hosts carry the load: one whose route never changes while its Service's pods come and go, one whose route moves among Services that
//! stay. Around them hosts, rules, Services and a listener come, change and go, also in orders that leave names without anything behind them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::changes::call;
use super::{REQUIRED_RATE, SCHEDULED_RATE, say};
use crate::bed::{Bed, Setup};
use crate::envoy::Envoy;
use crate::load::Allowed;
use crate::manifests::{HTTP_PORT, route, rule};
use crate::random::Random;

const PINNED: &str = "pinned.example.com";
const MOVING: &str = "moving.example.com";
/// Services that always exist, and such that come and go.
const STAYING: usize = 3;
const SERVICES: usize = 6;
/// Hosts that come and go.
const HOSTS: usize = 8;
/// Pods of the pinned Service; one of them always stays.
const PODS: usize = 3;
/// Another listener that comes and goes.
const OTHER_PORT: u16 = HTTP_PORT + 1;
/// Between two changes, at most.
const PAUSE: Duration = Duration::from_millis(200);
/// Nothing may warm for longer.
const WARM: Duration = Duration::from_secs(5);

fn seconds() -> u64 {
    std::env::var("SYNCGATE_CHURN_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// What changes, and what it needs for that.
struct Churn {
    bed: Bed,
    random: Random,
    /// The Service and the pod of each backend.
    services: Vec<[Value; 2]>,
    pods: Vec<Value>,
    changes: u64,
}

pub(super) async fn churn(setup: &Setup) -> Result<()> {
    let seed = std::env::var("SYNCGATE_CHURN_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut churn = Churn::start(setup, seed).await?;
    let pinned = Allowed::any_of((0..PODS).map(|pod| format!("pod-{pod}")).collect());
    let moving = Allowed::any_of((0..STAYING).map(service).collect());
    let load = churn.bed.load(SCHEDULED_RATE, vec![call(PINNED, "/", &pinned), call(MOVING, "/", &moving)]).await?;
    let (start, mut warming) = (Instant::now(), Warming::default());
    while start.elapsed() < Duration::from_secs(seconds()) {
        churn.change()?;
        sleep(PAUSE.mul_f64(churn.random.unit())).await;
        warming.look(churn.bed.envoy()?).await.map_err(|reason| churn.bed.with_logs(reason))?;
        load.ensure_clean_so_far().map_err(|reason| churn.bed.with_logs(reason))?;
    }
    churn.bed.converged().await?;
    let report = load.stop().await?;
    let rejected = churn.bed.envoy()?.stats("update_rejected$").await?;
    say(&format!(
        "churn, seed {seed}: {} changes, warming for {:.1?} at most; {report}",
        churn.changes, warming.longest
    ));
    let refused: Vec<_> = rejected.iter().filter(|(_, count)| **count > 0).collect();
    ensure!(refused.is_empty(), "Envoy refused: {refused:?}");
    report.ensure_clean(REQUIRED_RATE).map_err(|reason| churn.bed.with_logs(reason))
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

impl Churn {
    async fn start(setup: &Setup, seed: u64) -> Result<Self> {
        let mut bed = Bed::with_gateway(setup, "churn", &[HTTP_PORT])?;
        let mut services = Vec::new();
        for number in 0..SERVICES {
            services.push(bed.backend(&service(number)).await?);
        }
        let mut pods = Vec::new();
        for number in 0..PODS {
            let [_, mut pod] = bed.backend(&format!("pod-{number}")).await?;
            pod["metadata"]["labels"] = json!({"app": "pinned"});
            pods.push(pod);
        }
        let mut churn = Self { bed, random: Random::new(seed), services, pods, changes: 0 };
        for number in 0..SERVICES {
            churn.write_service(number, false)?;
        }
        let mut pinned = churn.services[0][0].clone();
        pinned["metadata"]["name"] = "pinned".into();
        pinned["spec"]["selector"] = json!({"app": "pinned"});
        churn.bed.folder().write("pinned.yaml", &[pinned, route("pinned", PINNED, &[rule("/", "pinned")])])?;
        churn.write_pods()?;
        churn.move_to(0)?;
        churn.bed.start().await?;
        churn.bed.answered_by(MOVING, "/", &service(0)).await?;
        Ok(churn)
    }

    fn change(&mut self) -> Result<()> {
        self.changes += 1;
        match self.random.below(12) {
            0 | 1 => {
                let number = self.random.below(STAYING);
                self.move_to(number)
            }
            2 | 3 => self.write_pods(),
            4 => {
                let (number, speaks) = (self.random.below(SERVICES), self.random.once_in(2));
                self.write_service(number, speaks)
            }
            5 => {
                let number = STAYING + self.random.below(SERVICES - STAYING);
                self.remove(&format!("{}.yaml", service(number)))
            }
            6 => {
                let ports: &[u16] = if self.random.once_in(2) { &[HTTP_PORT] } else { &[HTTP_PORT, OTHER_PORT] };
                self.bed.write_gateway(ports)
            }
            7 => {
                let host = self.random.below(HOSTS);
                self.remove(&format!("host-{host}.yaml"))
            }
            _ => self.write_host(),
        }
    }

    fn remove(&self, file: &str) -> Result<()> {
        if self.bed.folder().path().join(file).exists() { self.bed.folder().remove(file) } else { Ok(()) }
    }

    /// A Service with its pod; its cluster is another one when it says what its port speaks.
    fn write_service(&self, number: usize, speaks: bool) -> Result<()> {
        let [mut object, pod] = self.services[number].clone();
        if speaks {
            object["spec"]["ports"][0]["appProtocol"] = "http".into();
        }
        self.bed.folder().write(&format!("{}.yaml", service(number)), &[object, pod])
    }

    /// Some of the pinned Service's pods, one of them for sure.
    fn write_pods(&mut self) -> Result<()> {
        let stays = self.random.below(PODS);
        let chosen: Vec<Value> =
            (0..PODS).filter(|pod| *pod == stays || self.random.once_in(2)).map(|pod| self.pods[pod].clone()).collect();
        self.bed.folder().write("pods.yaml", &chosen)
    }

    fn move_to(&self, number: usize) -> Result<()> {
        self.bed.folder().write("moving.yaml", &[route("moving", MOVING, &[rule("/", &service(number))])])
    }

    /// A host with a few rules, to Services that may not be there.
    fn write_host(&mut self) -> Result<()> {
        let number = self.random.below(HOSTS);
        let rules: Vec<Value> = (0..=self.random.below(4))
            .map(|at| rule(&format!("/{at}"), &service(self.random.below(SERVICES))))
            .collect();
        let object = route(&format!("host-{number}"), &format!("host-{number}.example.com"), &rules);
        self.bed.folder().write(&format!("host-{number}.yaml"), &[object])
    }
}

/// Since when something warms without a break.
#[derive(Default)]
struct Warming {
    since: Option<Instant>,
    longest: Duration,
}

impl Warming {
    async fn look(&mut self, envoy: &Envoy) -> Result<()> {
        let warming = envoy.stats("(warming_clusters|total_listeners_warming)$").await?;
        ensure!(warming.len() == 2, "Envoy does not say what warms: {warming:?}");
        if warming.values().all(|count| *count == 0) {
            self.since = None;
            return Ok(());
        }
        let lasts = self.since.get_or_insert_with(Instant::now).elapsed();
        self.longest = self.longest.max(lasts);
        ensure!(lasts < WARM, "{warming:?} for {lasts:?}");
        Ok(())
    }
}
