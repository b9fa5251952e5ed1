//! One scenario's world: backends, a folder of manifests, syncgate and an Envoy, on addresses of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::address::Loopback;
use crate::backend::Backend;
use crate::envoy::Envoy;
use crate::folder::Folder;
use crate::http::{self, Answer};
use crate::load::{Call, Load, Plan};
use crate::manifests::{self, BACKEND_PORT, GATEWAY, HTTP_PORT};
use crate::settled;
pub use crate::settled::PATIENCE;
use crate::syncgate::{self, Addresses, Source, Syncgate, Variant};

/// The first host of the network that backends use.
const FIRST_BACKEND: u8 = 10;

/// What a scenario runs on.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The Envoy.
    pub envoy: PathBuf,
    /// How it talks to syncgate.
    pub variant: Variant,
    /// The program under test.
    pub syncgate: PathBuf,
    /// Where scenarios keep their folders and logs.
    pub work: PathBuf,
}

/// The world. Dropping it ends every process.
#[derive(Debug)]
pub struct Bed {
    setup: Setup,
    net: Loopback,
    home: PathBuf,
    folder: Folder,
    backends: Vec<Backend>,
    syncgate: Option<Syncgate>,
    envoy: Option<Envoy>,
}

impl Bed {
    /// A new world with nothing running and no manifest written.
    pub fn new(setup: &Setup, scenario: &str) -> Result<Self> {
        let net = Loopback::claim()?;
        let home = setup.work.join(format!("{scenario}-{}-{}", setup.variant.as_str(), net.gateway()));
        if home.exists() {
            std::fs::remove_dir_all(&home).with_context(|| format!("empty {}", home.display()))?;
        }
        std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        let folder = Folder::create(home.join("manifests"))?;
        Ok(Self { setup: setup.clone(), net, home, folder, backends: Vec::new(), syncgate: None, envoy: None })
    }

    /// The same with the class, the namespace and a Gateway with these HTTP ports written.
    pub fn with_gateway(setup: &Setup, scenario: &str, ports: &[u16]) -> Result<Self> {
        let bed = Self::new(setup, scenario)?;
        bed.write_gateway(ports)?;
        Ok(bed)
    }

    /// Writes the class, the namespace and the Gateway.
    pub fn write_gateway(&self, ports: &[u16]) -> Result<()> {
        let gateway = manifests::gateway(self.net.gateway(), ports);
        let objects = [manifests::gateway_class(), manifests::namespace(manifests::NAMESPACE), gateway];
        self.folder.write("gateway.yaml", &objects)
    }

    /// The folder that syncgate watches.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where logs and the bootstrap are kept.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the Gateway's HTTP listener is.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        (self.net.gateway(), HTTP_PORT).into()
    }

    /// Starts a backend and returns the Service and the pod that stand for it.
    pub async fn backend(&mut self, name: &str) -> Result<[Value; 2]> {
        let ip = self.net.host(FIRST_BACKEND + u8::try_from(self.backends.len())?);
        self.backends.push(Backend::start(name, (ip, BACKEND_PORT).into()).await?);
        Ok([manifests::service(name), manifests::pod(&format!("{name}-0"), name, ip)])
    }

    /// Starts a backend and writes its Service and pod to `<name>.yaml`.
    pub async fn deploy(&mut self, name: &str) -> Result<()> {
        let objects = self.backend(name).await?;
        self.folder.write(&format!("{name}.yaml"), &objects)
    }

    fn addresses(&self) -> Addresses {
        Addresses { xds: self.net.xds(), health: self.net.health(), admin: self.net.admin() }
    }

    /// Starts syncgate on the folder (or again, after it was ended) without waiting for anything.
    pub fn start_syncgate(&mut self) -> Result<&mut Syncgate> {
        self.start_syncgate_with(Vec::new())
    }

    /// Starts syncgate on the folder with more flags, without waiting for anything.
    pub fn start_syncgate_with(&mut self, flags: Vec<String>) -> Result<&mut Syncgate> {
        let log = self.home.join("syncgate.log");
        let source = Source::FolderWith(self.folder.path().to_owned(), flags);
        let started = Syncgate::start(&self.setup.syncgate, &source, self.addresses(), &log)?;
        Ok(self.syncgate.insert(started))
    }

    /// Where syncgate serves ADS.
    #[must_use]
    pub fn xds(&self) -> SocketAddr {
        self.net.xds()
    }

    /// What `syncgate bootstrap` prints with these flags for an Envoy of the Gateway.
    pub async fn bootstrap(&self, flags: &[String]) -> Result<String> {
        let Setup { syncgate, variant, .. } = &self.setup;
        syncgate::bootstrap_with(syncgate, GATEWAY, self.net.xds(), *variant, self.net.envoy_admin(), flags).await
    }

    /// Starts an Envoy of the Gateway whose bootstrap is made with more flags, and waits until its admin interface answers.
    pub async fn start_envoy_with(&mut self, flags: &[String]) -> Result<&mut Envoy> {
        let (admin, bootstrap) = (self.net.envoy_admin(), self.bootstrap(flags).await?);
        // The one before has to be gone: they share an address.
        self.envoy = None;
        let envoy = self.envoy.insert(Envoy::start(&self.setup.envoy, &bootstrap, admin, &self.home)?);
        envoy.answers(PATIENCE).await?;
        Ok(envoy)
    }

    /// Starts an Envoy of the Gateway and waits until its admin interface answers.
    pub async fn start_envoy(&mut self) -> Result<&mut Envoy> {
        self.start_envoy_with(&[]).await
    }

    /// Starts both and waits until Envoy is ready.
    pub async fn start(&mut self) -> Result<()> {
        self.start_syncgate()?.ready(PATIENCE).await?;
        self.start_envoy().await?.ready(PATIENCE).await
    }

    /// The running syncgate.
    pub fn syncgate(&mut self) -> Result<&mut Syncgate> {
        self.syncgate.as_mut().context("syncgate was not started")
    }

    /// One series of syncgate's metrics; 0 if there is none.
    pub async fn metric(&self, series: &str) -> Result<f64> {
        let syncgate = self.syncgate.as_ref().context("syncgate was not started")?;
        Ok(syncgate.metrics().await?.get(series).copied().unwrap_or_default())
    }

    /// The running Envoy.
    pub fn envoy(&mut self) -> Result<&mut Envoy> {
        self.envoy.as_mut().context("Envoy was not started")
    }

    /// One GET through Envoy, on a connection of its own.
    pub async fn get(&self, host: &str, path: &str) -> Result<Answer> {
        http::get(self.http(), host, path).await
    }

    /// Waits until `backend` answers, and goes on answering.
    pub async fn answered_by(&self, host: &str, path: &str, backend: &str) -> Result<()> {
        let settled = settled::answered_by(self.http(), host, path, backend).await;
        settled.map_err(|reason| self.with_logs(reason))
    }

    /// Waits until Envoy runs exactly the clusters, endpoints, listeners and route configurations that the folder stands for.
    pub async fn converged(&self) -> Result<()> {
        let envoy = self.envoy.as_ref().context("Envoy was not started")?;
        let translated = syncgate::translated(&self.setup.syncgate, self.folder.path(), GATEWAY).await?;
        settled::runs(envoy, translated).await.map_err(|reason| self.with_logs(reason))
    }

    /// Starts a load on the HTTP listener.
    pub async fn load(&self, rate: u32, calls: Vec<Call>) -> Result<Load> {
        Load::start(Plan { target: self.http(), tls: None, rate, connections: 16, calls }).await
    }

    /// Adds the ends of the logs to an error.
    #[must_use]
    pub fn with_logs(&self, reason: anyhow::Error) -> anyhow::Error {
        let syncgate = self.syncgate.as_ref().map(Syncgate::log_tail).unwrap_or_default();
        let envoy = self.envoy.as_ref().map(Envoy::log_tail).unwrap_or_default();
        let home = self.home.display();
        reason.context(format!("logs in {home}\n--- syncgate\n{syncgate}\n--- envoy\n{envoy}\n---"))
    }
}
