//! syncgate's endpoints against those of Kubernetes' own endpoint-slice controller: both watch the same random Services and Pods, and after
//! each batch of changes, once neither moves any more, they must agree on every Service port.
//!
//! ```text
//!  random changes ─► API server ─┬─► endpoint-slice controller ─► EndpointSlices ─┐
//!                                └─► syncgate ─► ADS ─► load assignments ─────────┴─► equal?
//! ```

mod changes;
mod compare;
mod objects;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::address::Loopback;
use crate::ads::Ads;
use crate::bed::PATIENCE;
use crate::kube::resource::{ENDPOINT_SLICES, PODS, Resource, SERVICES};
use crate::kube::{ControlPlane, Options};
use crate::syncgate::{Addresses, Source, Syncgate};
use crate::wait::eventually;
use changes::World;
use compare::Clusters;

/// Both families, so that Services of one, the other and both can be made.
const SERVICE_RANGES: &str = "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112";
/// The two may disagree for this long after the last change of a batch.
const SETTLE: Duration = Duration::from_secs(15);
/// Neither side may have moved for this long before it counts as settled: either might not have begun.
const QUIET: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);
/// Changes of the first batch, which fills the empty world, and at most of any other.
const FILL: usize = 160;
const CHANGES: usize = 16;
/// Where all changes are noted.
const CHANGES_LOG: &str = "changes.log";

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The folder of Kubernetes.
    pub kube: PathBuf,
    /// The program under test.
    pub syncgate: PathBuf,
    /// Where data and logs are kept.
    pub work: PathBuf,
    /// What the changes follow from.
    pub seed: u64,
    /// How many batches.
    pub batches: usize,
}

/// What was compared.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Changes of Services and Pods.
    pub changes: usize,
    /// Service ports, summed over the batches; each is a cluster.
    pub clusters: usize,
    /// Their endpoints, summed likewise.
    pub endpoints: usize,
    /// After each batch's last change, when syncgate's endpoints moved last.
    pub syncgate: Vec<Duration>,
    /// The same for the controller's slices, seen by polling.
    pub controller: Vec<Duration>,
}

/// Runs all batches; the first difference that stays is an error.
pub async fn run(plan: &Plan) -> Result<Report> {
    let mut bench = Bench::start(plan).await?;
    let mut report = Report::default();
    for batch in 0..plan.batches {
        let compared = bench.batch(batch, &mut report).await;
        let home = bench.plane.home().display();
        compared
            .with_context(|| format!("seed {}, batch {batch}; {CHANGES_LOG} and the logs are in {home}", plan.seed))?;
    }
    Ok(report)
}

/// Everything that runs. Dropped in this order: nothing outlives what it talks to.
#[derive(Debug)]
struct Bench {
    ads: Ads,
    _syncgate: Syncgate,
    plane: ControlPlane,
    world: World,
    _net: Loopback,
}

/// Both sides' endpoints, and when each side moved last after the changes.
#[derive(Debug)]
struct Settled {
    endpoints: Clusters,
    syncgate: Duration,
    controller: Duration,
}

impl Bench {
    async fn start(plan: &Plan) -> Result<Self> {
        let mut options = Options::new(&plan.kube, &plan.work);
        options.controllers = true;
        // The last one counts.
        options.server_flags.push(SERVICE_RANGES.to_owned());
        let plane = ControlPlane::start(options).await?;
        let kubeconfig = plane.home().join("syncgate.kubeconfig");
        plane.admin().kubeconfig(&kubeconfig)?;

        let net = Loopback::claim()?;
        let world = World::prepare(plane.api(), net.gateway(), plan.seed).await?;
        let at = Addresses { xds: net.xds(), health: net.health(), admin: net.admin() };
        let source = Source::Kubernetes { kubeconfig, flags: Vec::new() };
        let mut syncgate = Syncgate::start(&plan.syncgate, &source, at, &plane.home().join("syncgate.log"))?;
        syncgate.ready(PATIENCE).await?;
        let connect = async || Ads::connect(at.xds, objects::GATEWAY, "differential").await;
        let ads = eventually("the ADS listener", PATIENCE, connect).await?;
        Ok(Self { ads, _syncgate: syncgate, plane, world, _net: net })
    }

    async fn batch(&mut self, batch: usize, report: &mut Report) -> Result<()> {
        let count = if batch == 0 { FILL } else { 1 + self.world.random.below(CHANGES) };
        let log = self.world.change(count).await?;
        self.note(batch, &log)?;
        let settled = self.settle().await?;
        let services = self.count(&SERVICES).await?;
        let pods = self.count(&PODS).await?;
        let endpoints = settled.endpoints.values().map(|found| found.len()).sum::<usize>();
        eprintln!(
            "batch {batch}: {} changes; {services} Services, {pods} pods, {} clusters, {endpoints} endpoints equal; \
             syncgate settled after {} ms, the controller after {} ms",
            log.len(),
            settled.endpoints.len(),
            settled.syncgate.as_millis(),
            settled.controller.as_millis(),
        );
        report.changes += log.len();
        report.clusters += settled.endpoints.len();
        report.endpoints += endpoints;
        report.syncgate.push(settled.syncgate);
        report.controller.push(settled.controller);
        Ok(())
    }

    fn note(&self, batch: usize, log: &[String]) -> Result<()> {
        let path = self.plane.home().join(CHANGES_LOG);
        let file = File::options().create(true).append(true).open(&path);
        let mut file = file.with_context(|| format!("open {}", path.display()))?;
        Ok(writeln!(file, "batch {batch}\n  {}", log.join("\n  "))?)
    }

    /// How many objects there are in the namespaces of the test.
    async fn count(&self, resource: &Resource) -> Result<usize> {
        let mut count = 0;
        for namespace in objects::NAMESPACES {
            let list = self.plane.api().list(resource, namespace).await?;
            count += list["items"].as_array().map_or(0, Vec::len);
        }
        Ok(count)
    }

    /// Waits until both sides are at rest and equal.
    async fn settle(&self) -> Result<Settled> {
        let since = Instant::now();
        let mut wanted = self.wanted().await?;
        let mut wanted_since = since;
        loop {
            let view = self.ads.view()?;
            let served = compare::by_syncgate(&view.assignments);
            let quiet = since.max(wanted_since).max(view.changed).elapsed() >= QUIET;
            if quiet && wanted == served {
                return Ok(Settled {
                    endpoints: wanted,
                    syncgate: view.changed.saturating_duration_since(since),
                    controller: wanted_since.saturating_duration_since(since),
                });
            }
            if since.elapsed() >= SETTLE {
                let services = self.plane.api().list(&SERVICES, "").await?;
                let pods = self.plane.api().list(&PODS, "").await?;
                let difference = compare::difference(&wanted, &served, &services, &pods);
                ensure!(wanted == served, "still different after {SETTLE:?}:\n{difference}");
                bail!("equal, but not at rest after {SETTLE:?}");
            }
            tokio::time::sleep(POLL).await;
            let now = self.wanted().await?;
            if now != wanted {
                wanted = now;
                wanted_since = Instant::now();
            }
        }
    }

    /// What the slices mean now. The Services are read first: a slice that is newer than its Service is seen again by the next look.
    async fn wanted(&self) -> Result<Clusters> {
        let services = self.plane.api().list(&SERVICES, "").await?;
        let slices = self.plane.api().list(&ENDPOINT_SLICES, "").await?;
        compare::by_controller(&services, &slices)
    }
}
