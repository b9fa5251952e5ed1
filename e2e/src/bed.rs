//! One scenario's world: backends, a folder of manifests, syncgate and an Envoy, on addresses of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::address::Loopback;
use crate::backend::Backend;
use crate::envoy::Envoy;
use crate::folder::Folder;
use crate::http::{self, Answer};
use crate::load::{Call, Load, Plan};
use crate::manifests::{self, BACKEND_PORT, GATEWAY, HTTP_PORT};
use crate::syncgate::{self, Addresses, Source, Syncgate, Variant};
use crate::wait::eventually;

/// How long anything may take that should take a fraction of a second; generous, because two cores carry everything.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Answers in a row, each on a connection of its own, after which a change counts as arrived at every worker of Envoy.
const SETTLED: usize = 20;
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
        let log = self.home.join("syncgate.log");
        let folder = Source::Folder(self.folder.path().into());
        let started = Syncgate::start(&self.setup.syncgate, &folder, self.addresses(), &log)?;
        Ok(self.syncgate.insert(started))
    }

    /// Starts an Envoy of the Gateway and waits until its admin interface answers.
    pub async fn start_envoy(&mut self) -> Result<&mut Envoy> {
        let admin = self.net.envoy_admin();
        let bootstrap =
            syncgate::bootstrap(&self.setup.syncgate, GATEWAY, self.net.xds(), self.setup.variant, admin).await?;
        let envoy = self.envoy.insert(Envoy::start(&self.setup.envoy, &bootstrap, admin, &self.home)?);
        envoy.answers(PATIENCE).await?;
        Ok(envoy)
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
        let mut seen = 0;
        let what = format!("{backend} to answer {host}{path}");
        let settled = eventually(&what, PATIENCE, async || {
            while seen < SETTLED {
                let answer = self.get(host, path).await?;
                let right = answer.status == 200 && answer.backend() == Some(backend);
                seen = if right { seen + 1 } else { 0 };
                ensure!(right, "{} from {:?}: {}", answer.status, answer.backend(), answer.text().trim());
            }
            Ok(())
        });
        settled.await.map_err(|reason| self.with_logs(reason))
    }

    /// Waits until Envoy runs exactly the clusters, listeners and route configurations that the folder stands for.
    pub async fn converged(&self) -> Result<()> {
        let envoy = self.envoy.as_ref().context("Envoy was not started")?;
        let translated = syncgate::translated(&self.setup.syncgate, self.folder.path()).await?;
        let kinds = ["Cluster", "Listener", "RouteConfiguration"];
        let key =
            |resource: &Value| Some((resource["@type"].as_str()?.to_owned(), resource["name"].as_str()?.to_owned()));
        let mut wanted: BTreeMap<_, _> =
            translated.into_iter().filter_map(|resource| Some((key(&resource)?, resource))).collect();
        wanted.retain(|(kind, _), _| kind.rsplit('.').next().is_some_and(|kind| kinds.contains(&kind)));
        ensure!(!wanted.is_empty(), "the folder stands for nothing");
        let equal = eventually("Envoy to run what the folder stands for", PATIENCE, async || {
            let running = envoy.running().await?;
            for key in wanted.keys().chain(running.keys()) {
                let (wanted, running) = (wanted.get(key), running.get(key));
                ensure!(wanted == running, "{key:?}: wanted {wanted:#?}, running {running:#?}");
            }
            Ok(())
        });
        equal.await.map_err(|reason| self.with_logs(reason))
    }

    /// Starts a load on the HTTP listener.
    pub async fn load(&self, rate: u32, calls: Vec<Call>) -> Result<Load> {
        Load::start(Plan { target: self.http(), rate, connections: 16, calls }).await
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
