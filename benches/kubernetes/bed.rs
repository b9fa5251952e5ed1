//! The API server, what is in it, and the program beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use syncgate_e2e::address::Loopback;
use syncgate_e2e::kube::api::Api;
use syncgate_e2e::kube::{self, ControlPlane, Options, objects};
use syncgate_e2e::process::Process;
use syncgate_e2e::seed::{self, Etcd, GatewayName, Plan};
use syncgate_e2e::{http, manifests, rbac, usage};

/// Where etcd of every control plane listens.
const ETCD_PORT: u16 = 2379;
/// Whose the one Gateway is, to which all routes are attached.
pub(crate) const NAMESPACE: &str = "bench";
pub(crate) const GATEWAY: &str = "bench/web";
/// A namespace has so many pods, and a Service for every 20 of them.
const PODS: u32 = 1_000;
const SERVICES: u32 = 50;
/// Routes of many rules, all in the first namespace: what a route costs is no part of what a pod costs.
const ROUTES: u32 = 100;
/// Beside them a few routes lead to every Service, so that every pod is behind one: this many backends each, at most.
const BACKENDS: usize = 16;
/// The allocator has given back what is free by then.
const SETTLES: Duration = Duration::from_secs(5);
/// To be ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// An API server and the program that is measured.
pub(crate) struct Bed {
    plane: ControlPlane,
    etcd: Etcd,
    net: Loopback,
    home: PathBuf,
    kubeconfig: PathBuf,
    /// How many pods there are.
    pub(crate) pods: u32,
}

/// A program that became ready. Ends when it is dropped.
pub(crate) struct Running {
    _process: Process,
    pub(crate) pid: u32,
    pub(crate) ready: Duration,
    /// At Ready.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Running {
    /// Resident memory once what the start left free has gone back.
    pub(crate) async fn settled(&self) -> Result<u64> {
        tokio::time::sleep(SETTLES).await;
        usage::resident(self.pid)
    }
}

impl Bed {
    /// Starts it with one Gateway in it; none where no Kubernetes is built.
    pub(crate) async fn start() -> Result<Option<Self>> {
        let Some(kube) = kube::installed("the benchmark on Kubernetes")? else { return Ok(None) };
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-kubernetes");
        std::fs::create_dir_all(&home)?;
        let mut options = Options::new(&kube, &home);
        options.identities = vec![rbac::USER.to_owned()];
        let plane = ControlPlane::start(options).await?;
        let etcd = Etcd { kube, url: format!("http://{}", SocketAddr::from((plane.address().ip(), ETCD_PORT))) };
        let kubeconfig = home.join("syncgate.kubeconfig");
        plane.identity(rbac::USER)?.kubeconfig(&kubeconfig)?;
        let api = plane.api();
        for grant in rbac::cluster()? {
            api.apply(&grant).await?;
        }
        api.create(&manifests::gateway_class()).await?;
        api.create(&objects::namespace(NAMESPACE, &json!({}))).await?;
        let listener = json!({
            "name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}},
        });
        api.create(&json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"namespace": NAMESPACE, "name": "web"},
            "spec": {"gatewayClassName": "syncgate", "listeners": [listener]},
        }))
        .await?;
        Ok(Some(Self { plane, etcd, net: Loopback::claim()?, home, kubeconfig, pods: 0 }))
    }

    pub(crate) fn api(&self) -> &Api {
        self.plane.api()
    }

    /// Where ADS is.
    pub(crate) fn xds(&self) -> SocketAddr {
        self.net.xds()
    }

    /// Who syncgate is.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Adds what is missing to the Services of so many pods, and the routes to them.
    pub(crate) async fn fill_services(&self, pods: u32) -> Result<()> {
        let namespaces = pods.div_ceil(PODS);
        self.seed(&plan(1, 0, ROUTES)).await?;
        self.seed(&plan(namespaces, 0, 0)).await?;
        for namespace in self.pods.div_ceil(PODS)..namespaces {
            self.lead_to_all(&plan(namespaces, 0, 0), namespace).await?;
        }
        Ok(())
    }

    /// Adds what is missing to so many pods.
    pub(crate) async fn fill_pods(&mut self, pods: u32) -> Result<()> {
        self.seed(&plan(pods.div_ceil(PODS), PODS, 0)).await?;
        self.pods = pods;
        Ok(())
    }

    async fn seed(&self, plan: &Plan) -> Result<()> {
        eprintln!("{}", seed::fill(self.api(), plan, Some(&self.etcd)).await?);
        Ok(())
    }

    /// Routes to every Service of a namespace.
    async fn lead_to_all(&self, plan: &Plan, namespace: u32) -> Result<()> {
        let namespace = plan.namespace(namespace);
        let services: Vec<_> =
            (0..SERVICES).map(|service| json!({"name": plan.service(service), "port": 80})).collect();
        for (at, backends) in services.chunks(BACKENDS).enumerate() {
            let route = json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": {"namespace": namespace, "name": format!("all-{at}")},
                "spec": {
                    "parentRefs": [{"namespace": NAMESPACE, "name": "web"}],
                    "hostnames": [format!("all-{at}.{namespace}.example.com")],
                    "rules": [{"backendRefs": backends}],
                },
            });
            self.api().create(&route).await?;
        }
        Ok(())
    }

    /// Starts the program and waits until it is ready.
    pub(crate) async fn start_syncgate(&self) -> Result<Running> {
        let (xds, health, admin) = (self.net.xds(), self.net.health(), self.net.admin());
        let arguments = [
            "serve".to_owned(),
            "--kubernetes".to_owned(),
            format!("--kubeconfig={}", self.kubeconfig.display()),
            format!("--xds-address={xds}"),
            format!("--health-address={health}"),
            format!("--admin-address={admin}"),
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_syncgate"));
        let start = Instant::now();
        let process = Process::spawn("syncgate", program, arguments, &self.home.join("syncgate.log"))?;
        let pid = process.pid()?;
        while !is_ready(health).await {
            ensure!(start.elapsed() < PATIENCE, "not ready after {PATIENCE:?}; {}", process.log_tail());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready = start.elapsed();
        let (resident, peak) = (usage::resident(pid)?, usage::peak(pid)?);
        Ok(Running { _process: process, pid, ready, resident, peak })
    }
}

fn plan(namespaces: u32, pods: u32, routes: u32) -> Plan {
    let gateway = GatewayName { namespace: NAMESPACE.to_owned(), name: "web".to_owned() };
    let (secrets, gateways) = (0, 0);
    Plan { namespaces, services: SERVICES, pods, routes, secrets, gateways, gateway: Some(gateway), ..Plan::default() }
}

async fn is_ready(health: SocketAddr) -> bool {
    http::get(health, "syncgate", "/readyz").await.context("no answer").is_ok_and(|answer| answer.status == 200)
}
