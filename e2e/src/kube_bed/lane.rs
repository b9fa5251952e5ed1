//! A lane: one syncgate behind a fault proxy, the Envoy of a Gateway, and a load through it. Several lie side by side on one API server, each with
//! addresses of its own, so that several faults are played at once. A fault is played on a syncgate that has just started: what it met before
//! changes how long its pauses are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::objects::{gateway, https, route};
use super::{KubeBed, PATIENCE};
use crate::address::Loopback;
use crate::envoy::Envoy;
use crate::faults::{Options, Proxy, Rule};
use crate::http;
use crate::kube::api::Api;
use crate::kube::identity::Identity;
use crate::load::{Allowed, Call, Load, Plan};
use crate::manifests::{HTTP_PORT, NAMESPACE, rule};
use crate::rbac;
use crate::scenario::Release;
use crate::settled;
use crate::syncgate::{self, Addresses, Source, Syncgate, Variant};
use crate::wait::eventually;
use crate::watching::lines::{Line, lines};
use crate::watching::witness::{self, Witness};

/// The backends between which a lane's route moves; the bed has both.
pub const BACKENDS: [&str; 2] = ["one", "two"];
/// The Secret of the lanes' HTTPS listeners, which syncgates read on demand.
pub const SECRET: &str = "lanes";
const HTTPS_PORT: u16 = 8443;
/// The host of the lane's network where its proxy listens.
const PROXY: u8 = 3;
const PROXY_PORT: u16 = 6443;
/// Requests a second.
const RATE: u32 = 20;
/// A kind is said to be in touch again after three seconds, looked at once a second: then everything is said.
const SAID: Duration = Duration::from_millis(4_500);

/// A running lane. Dropping it ends its processes.
#[derive(Debug)]
pub struct Lane {
    // Dropped in this order: nothing outlives what it talks to.
    load: Option<Load>,
    _envoy: Envoy,
    syncgate: Syncgate,
    proxy: Proxy,
    name: String,
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    api: Api,
    allowed: Allowed,
    /// Which of the backends answers now.
    turn: usize,
    /// The version of the snapshot for each of them.
    versions: BTreeMap<&'static str, String>,
    net: Loopback,
}

/// What became of one fault.
#[derive(Debug)]
pub struct Outcome {
    /// How often it acted.
    pub played: u64,
    /// Until every source was in sync again, from the fault's end.
    pub in_sync: Duration,
    /// Until a change that was written at the fault's end was at Envoy.
    pub change: Duration,
    /// What was said since the fault began.
    pub lines: Vec<Line>,
    /// The rows, which did not change.
    pub rows: u64,
}

impl Lane {
    /// Starts everything and waits until the load runs.
    pub async fn start(bed: &KubeBed, number: usize) -> Result<Self> {
        let (net, name) = (Loopback::claim()?, format!("lane-{number}"));
        let home = bed.home.join(&name);
        std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        let listener = https(HTTPS_PORT, &format!("secure-{name}.example.com"), SECRET);
        bed.api().create(&gateway(&name, net.gateway(), &[listener])).await?;
        bed.apply(&[route(NAMESPACE, &name, &host(&name), &[&name], &[rule("/", BACKENDS[0])])]).await?;

        let user = bed.plane.identity(rbac::USER)?;
        let listen = (net.host(PROXY), PROXY_PORT).into();
        let options = Options::new(&format!("https://{}", user.server), &user.ca);
        let proxy = Proxy::start(&Options { listen, ..options }).await?;
        let kubeconfig = home.join("syncgate.kubeconfig");
        Identity { ca: proxy.ca().to_owned(), ..user.by_way_of(proxy.address()) }.kubeconfig(&kubeconfig)?;
        let program = bed.setup.syncgate.clone();
        let syncgate = serve(&program, &kubeconfig, &net, &home.join("first.log"))?;
        let gateway = format!("{NAMESPACE}/{name}");
        let bootstrap = syncgate::bootstrap(&program, &gateway, net.xds(), Variant::Delta, net.envoy_admin()).await?;
        let mut envoy = Envoy::start(bed.setup.envoy(Release::Newest), &bootstrap, net.envoy_admin(), &home)?;
        envoy.answers(PATIENCE).await?;
        let at = (net.gateway(), HTTP_PORT).into();
        settled::answered_by(at, &host(&name), "/", BACKENDS[0]).await?;
        let allowed = Allowed::only([BACKENDS[0]]);
        let calls = vec![Call { host: host(&name), path: "/".into(), allowed: allowed.clone() }];
        let load = Load::start(Plan { target: at, tls: None, rate: RATE, connections: 4, calls }).await?;
        let (api, versions) = (bed.api().clone(), BTreeMap::new());
        let load = Some(load);
        Ok(Self {
            load,
            _envoy: envoy,
            syncgate,
            proxy,
            name,
            program,
            kubeconfig,
            home,
            api,
            allowed,
            turn: 0,
            versions,
            net,
        })
    }

    /// Starts a new syncgate in the place of the old one, and waits until Envoy has taken from it what there is.
    pub async fn renew(&mut self, log: &str) -> Result<()> {
        self.proxy.clear().await?;
        self.syncgate.kill().await?;
        self.syncgate = serve(&self.program, &self.kubeconfig, &self.net, &self.home.join(format!("{log}.log")))?;
        self.syncgate.ready(PATIENCE).await?;
        let admin = self.net.admin();
        eventually("Envoy to hold what there is", PATIENCE, async || {
            let clients = self.syncgate.debug("/debug/clients").await?;
            let types = clients["clients"][0]["types"].as_object().context("no client")?;
            ensure!(types.len() >= 4 && types.values().all(|of_type| of_type["settled"] == true), "{clients}");
            in_sync(&witness::sources(admin).await?)
        })
        .await?;
        self.ensure_version(BACKENDS[self.turn]).await
    }

    /// How many watches go through the proxy.
    #[must_use]
    pub fn open_watches(&self) -> u64 {
        self.proxy.counts().open_watches as u64
    }

    /// Plays these rules for a time, and sees to it that nothing is lost meanwhile. Then everything has to be as before within `bound`, and a
    /// change that is written right then at Envoy.
    pub async fn play(&mut self, rules: Vec<Rule>, time: Duration, bound: Duration) -> Result<Outcome> {
        let (health, admin) = (self.net.health(), self.net.admin());
        let (before, said) = (witness::rows(&witness::sources(admin).await?), lines(&self.syncgate.log()).len());
        let (witness, played) = (Witness::start(health, Some((admin, before.clone()))), self.proxy.counts().played());
        self.proxy.set(rules).await?;
        tokio::time::sleep(time).await;
        self.ensure_version(BACKENDS[self.turn]).await?;
        let played = self.proxy.counts().played() - played;
        self.proxy.clear().await?;

        let over = Instant::now();
        let new = self.move_route().await?;
        let (at, host) = ((self.net.gateway(), HTTP_PORT).into(), host(&self.name));
        let arrives = async {
            eventually("the change to be at Envoy", bound, async || {
                let answer = http::get(at, &host, "/").await?;
                ensure!(answer.backend() == Some(new), "{} from {:?}", answer.status, answer.backend());
                Ok(())
            })
            .await
            .map(|()| over.elapsed())
        };
        let synced = async {
            let synced =
                eventually("all sources to be in sync", bound, async || in_sync(&witness::sources(admin).await?));
            synced.await.map(|()| over.elapsed())
        };
        let (change, in_sync) = tokio::join!(arrives, synced);
        let (change, in_sync) = (change?, in_sync?);
        settled::answered_by(at, &host, "/", new).await?;
        self.allowed.set([new]);
        self.ensure_version(new).await?;
        tokio::time::sleep(SAID).await;
        witness.ensure_clean()?;
        self.load.as_ref().context("it runs")?.ensure_clean_so_far()?;
        let lines = lines(&self.syncgate.log()).split_off(said);
        Ok(Outcome { played, in_sync, change, lines, rows: before.values().sum() })
    }

    /// Ends the load, which must have been clean.
    pub async fn stop(&mut self) -> Result<String> {
        let report = self.load.take().context("it runs")?.stop().await?;
        report.ensure_clean(f64::from(RATE) * 0.75)?;
        Ok(format!("{}: {} requests, {} failed", self.name, report.sent, report.failed))
    }

    /// The ends of the logs.
    #[must_use]
    pub fn with_logs(&self, reason: anyhow::Error) -> anyhow::Error {
        reason.context(format!("{} in {}:\n{}", self.name, self.home.display(), self.syncgate.log_tail()))
    }

    /// Writes the lane's route anew, past the proxy. Gives the backend that it leads to now.
    async fn move_route(&mut self) -> Result<&'static str> {
        self.turn = 1 - self.turn;
        let new = BACKENDS[self.turn];
        self.allowed.set(BACKENDS);
        let moved = route(NAMESPACE, &self.name, &host(&self.name), &[&self.name], &[rule("/", new)]);
        self.api.apply(&moved).await.map(|_| new)
    }

    /// The same content has the same version, whichever syncgate serves it and whatever it went through.
    async fn ensure_version(&mut self, backend: &'static str) -> Result<()> {
        let gateway = format!("{NAMESPACE}/{}", self.name);
        let version = syncgate::version(&self.program, self.net.admin(), &gateway).await?;
        let known = self.versions.entry(backend).or_insert_with(|| version.clone());
        ensure!(*known == version, "the snapshot that leads to {backend} has version {version}, and had {known}");
        Ok(())
    }
}

fn host(name: &str) -> String {
    format!("{name}.example.com")
}

fn serve(
    program: &std::path::Path,
    kubeconfig: &std::path::Path,
    net: &Loopback,
    log: &std::path::Path,
) -> Result<Syncgate> {
    let flags = vec!["--log-format=json".to_owned()];
    let source = Source::Kubernetes { kubeconfig: kubeconfig.to_owned(), flags };
    let at = Addresses { xds: net.xds(), health: net.health(), admin: net.admin() };
    Syncgate::start(program, &source, at, log)
}

fn in_sync(sources: &witness::Sources) -> Result<()> {
    let other = sources.iter().find(|(_, (state, _))| state != "synced");
    ensure!(other.is_none() && !sources.is_empty(), "{other:?}");
    Ok(())
}
