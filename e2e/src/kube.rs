//! A real Kubernetes API server without nodes: etcd, kube-apiserver and, where a test wants it, kube-controller-manager, on addresses of
//! its own. Only the real one shows what rights, revisions, watches and outages are like.
//!
//! Each part can be stopped, killed, paused and started again with its data and its address kept, and etcd's data can be put back to what
//! they were. `make` builds the program; `SYNCGATE_KUBE` names the folder that it and Gateway API's CRDs lie in.

pub mod api;
pub mod audit;
pub mod identity;
pub mod objects;
mod part;
pub mod resource;
mod setup;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::address::Loopback;
use crate::certificates::Authority;
use crate::http;
use crate::wait::eventually;
use api::Api;
use audit::AuditLog;
use identity::Identity;
use part::Part;

/// The variable that names the folder of the program and the CRDs.
const VARIABLE: &str = "SYNCGATE_KUBE";
/// How long a start may take; it takes two seconds on an idle machine.
const START: Duration = Duration::from_secs(60);
/// How many identities there are unless a test names its own.
pub const IDENTITIES: usize = 32;

/// The folder of the program and the CRDs for a test. Without the variable it says so and gives none, and the test counts as passed;
/// `make e2e` always sets it.
pub fn installed(test: &str) -> Result<Option<PathBuf>> {
    let Some(folder) = std::env::var_os(VARIABLE) else {
        // Past the harness, which would swallow it.
        let mut terminal = std::io::stderr();
        writeln!(terminal, "SKIPPED {test}: {VARIABLE} names no Kubernetes; `make e2e` builds one and sets it")?;
        return Ok(None);
    };
    Ok(Some(folder.into()))
}

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the program and the CRDs.
    pub kube: PathBuf,
    /// Where data, keys and logs are kept, in a folder `kube` that each start empties.
    pub home: PathBuf,
    /// More flags of kube-apiserver, such as `--watch-cache=false` or `--feature-gates=WatchList=false`.
    pub server_flags: Vec<String>,
    /// Whether Gateway API's CRDs are there.
    pub crds: bool,
    /// Whether kube-controller-manager runs: it ends namespaces that are deleted, and makes Pods and EndpointSlices.
    pub controllers: bool,
    /// The users that the server knows, beside an administrator.
    pub identities: Vec<String>,
}

impl Options {
    /// A server with the CRDs, without controllers, that knows `user-0` to `user-31`.
    #[must_use]
    pub fn new(kube: impl Into<PathBuf>, home: impl Into<PathBuf>) -> Self {
        Self {
            kube: kube.into(),
            home: home.into(),
            server_flags: Vec::new(),
            crds: true,
            controllers: false,
            identities: users(IDENTITIES),
        }
    }
}

/// The names `user-0`, `user-1`, …
#[must_use]
pub fn users(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user-{number}")).collect()
}

/// What etcd held at one moment: a folder. It fits every control plane of the same release, so that a large state is written only once.
#[derive(Debug, Clone)]
pub struct Snapshot(PathBuf);

impl Snapshot {
    /// One that was kept before.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is. It goes with the control plane's home unless it is moved elsewhere.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// The running control plane. Dropping it ends every process.
#[derive(Debug)]
pub struct ControlPlane {
    options: Options,
    home: PathBuf,
    etcd_address: SocketAddr,
    authority: Authority,
    admin: Identity,
    identities: Vec<Identity>,
    api: Api,
    // Dropped in this order: no part outlives one that it talks to.
    controllers: Part,
    server: Part,
    etcd: Part,
    snapshots: usize,
    _net: Loopback,
}

impl ControlPlane {
    /// Starts all parts and waits until they answer and the CRDs are served.
    pub async fn start(options: Options) -> Result<Self> {
        let mut plane = setup::prepare(options)?;
        plane.start_etcd().await?;
        plane.start_server().await?;
        if plane.options.crds {
            plane.apply_crds().await?;
        }
        if plane.options.controllers {
            plane.start_controllers()?;
        }
        Ok(plane)
    }

    /// Where logs and data are kept.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the server listens, with TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.admin.server
    }

    /// Who signed the server's certificate; a proxy before the server gets its own from it.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The administrator, who may do everything and whom no rate limit of the server holds back.
    #[must_use]
    pub fn admin(&self) -> &Identity {
        &self.admin
    }

    /// One of the users that the options name. It may do nothing until a binding says otherwise.
    pub fn identity(&self, name: &str) -> Result<&Identity> {
        let found = self.identities.iter().find(|identity| identity.name == name);
        found.with_context(|| format!("no identity {name}: name it in Options::identities"))
    }

    /// The administrator's client.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Who asked what of the server.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog::at(self.home.join(setup::AUDIT_LOG))
    }

    /// Starts the server and waits until it is ready.
    pub async fn start_server(&mut self) -> Result<()> {
        let api = &self.api;
        let ready = async || {
            let answer = api.raw(hyper::Method::GET, "/readyz?verbose", None).await?;
            ensure!(answer.status == 200, "/readyz is {}: {}", answer.status, answer.text());
            Ok(())
        };
        self.server.start("the API server to be ready", START, ready).await
    }

    /// Ends the server as a rollout does (SIGTERM) and waits for its end; open watches end cleanly.
    pub async fn stop_server(&mut self) -> Result<()> {
        self.server.stop().await
    }

    /// Ends the server as a crash does (SIGKILL).
    pub async fn kill_server(&mut self) -> Result<()> {
        self.server.kill().await
    }

    /// Makes the server go silent without closing anything (SIGSTOP).
    pub fn pause_server(&self) -> Result<()> {
        self.server.pause()
    }

    /// Ends a pause.
    pub fn resume_server(&self) -> Result<()> {
        self.server.resume()
    }

    /// Starts etcd and waits until it answers.
    pub async fn start_etcd(&mut self) -> Result<()> {
        let address = self.etcd_address;
        let healthy = async || {
            let answer = http::get(address, "etcd", "/health").await?;
            ensure!(answer.status == 200, "/health is {}: {}", answer.status, answer.text());
            Ok(())
        };
        self.etcd.start("etcd to be healthy", START, healthy).await
    }

    /// Ends etcd (SIGTERM) and waits for its end, which takes it five seconds while a server watches it.
    pub async fn stop_etcd(&mut self) -> Result<()> {
        self.etcd.stop().await
    }

    /// Ends etcd at once (SIGKILL). What it acknowledged is kept. Requests to the server hang meanwhile; it comes back to etcd by a back-off
    /// of its own, after half a minute's absence some ten seconds late.
    pub async fn kill_etcd(&mut self) -> Result<()> {
        self.etcd.kill().await
    }

    /// Makes etcd go silent (SIGSTOP).
    pub fn pause_etcd(&self) -> Result<()> {
        self.etcd.pause()
    }

    /// Ends a pause.
    pub fn resume_etcd(&self) -> Result<()> {
        self.etcd.resume()
    }

    /// Starts the controllers without waiting for anything: they wait for the server themselves.
    pub fn start_controllers(&mut self) -> Result<()> {
        self.controllers.spawn()
    }

    /// Ends the controllers.
    pub async fn stop_controllers(&mut self) -> Result<()> {
        self.controllers.stop().await
    }

    /// Keeps what etcd holds now. Nobody notices: etcd is paused for the moment of the copy, and starts from it as after a crash.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        self.snapshots += 1;
        let copy = self.home.join(format!("snapshot-{}", self.snapshots));
        let running = self.etcd.is_running();
        if running {
            self.etcd.pause()?;
        }
        let copied = setup::copy_folder(&self.home.join(setup::ETCD_DATA), &copy);
        if running {
            self.etcd.resume()?;
        }
        copied.map(|()| Snapshot(copy))
    }

    /// Puts etcd back to a snapshot and starts it and the server anew, as one restores a cluster.
    pub async fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.replace_data(Some(snapshot)).await
    }

    /// Empties etcd, and starts it and the server anew. The CRDs are gone too; `apply_crds` brings them back.
    pub async fn wipe(&mut self) -> Result<()> {
        self.replace_data(None).await
    }

    async fn replace_data(&mut self, by: Option<&Snapshot>) -> Result<()> {
        let data = self.home.join(setup::ETCD_DATA);
        self.server.kill().await?;
        self.etcd.kill().await?;
        std::fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
        if let Some(Snapshot(copy)) = by {
            setup::copy_folder(copy, &data)?;
        }
        self.start_etcd().await?;
        self.start_server().await
    }

    /// Applies Gateway API's CRDs and waits until they are served.
    pub async fn apply_crds(&self) -> Result<()> {
        let since = std::time::Instant::now();
        let mut applied = JoinSet::new();
        for object in setup::crds(&self.options.kube)? {
            let api = self.api.clone();
            applied.spawn(async move { api.apply(&object).await });
        }
        let applied: Vec<Value> = applied.join_all().await.into_iter().collect::<Result<_>>()?;
        let definitions: Vec<&Value> =
            applied.iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect();
        for definition in &definitions {
            self.served(definition).await?;
        }
        say(&format!("{} CRDs: served after {:.1?}", definitions.len(), since.elapsed()));
        Ok(())
    }

    async fn served(&self, definition: &Value) -> Result<()> {
        let name = definition["metadata"]["name"].as_str().context("a CRD without a name")?;
        eventually(&format!("{name} to be established"), START, async || {
            let now = self.api.get(&resource::CRDS, "", name).await?;
            let conditions = now["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let established = conditions.iter().any(|at| at["type"] == "Established" && at["status"] == "True");
            ensure!(established, "its conditions are {conditions:?}");
            Ok(())
        })
        .await
    }
}

/// A line of progress on standard error; a test harness shows it only for a test that fails.
fn say(line: &str) {
    eprintln!("{line}");
}
