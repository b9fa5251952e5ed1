//! One scenario's world on Kubernetes: an API server, syncgates that ask it with no more rights than `deploy/rbac` grants, Envoys behind a
//! Service address, and pods that exist as objects only, whose addresses are those of real backends.
//!
//! It is to `kube` what `bed` is to a folder: everything that syncgate learns, it learns from the API server.

pub mod lane;
pub mod objects;
mod setup;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::address::Loopback;
use crate::backend::Backend;
use crate::balancer::{self, Balancer};
use crate::envoy::Envoy;
use crate::folder::Folder;
use crate::kube::api::Api;
use crate::kube::audit::Audit;
use crate::kube::resource::{
    CONFIG_MAPS, ENDPOINT_SLICES, GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES, NAMESPACES, PODS, REFERENCE_GRANTS, Resource,
    SECRETS, SERVICES,
};
use crate::kube::{self, ControlPlane};
use crate::load::{Call, Load, Plan, Tls};
use crate::manifests::{self, BACKEND_PORT, HTTP_PORT, NAMESPACE};
use crate::process::Signal;
use crate::rbac;
use crate::scenario::Release;
use crate::settled::{self, PATIENCE};
use crate::syncgate::{self, Addresses, Source, Syncgate, Variant};

pub use setup::{Scope, Setup};

/// Hosts of the bed's network: the Service address of syncgate, then replicas, then Gateways, then backends.
const SERVICE: u8 = 1;
const FIRST_REPLICA: u8 = 2;
const FIRST_GATEWAY: u8 = 11;
const FIRST_BACKEND: u8 = 20;
/// Where Envoys have their admin interface.
const ENVOY_ADMIN: u16 = 9901;
/// What a world consists of, as far as syncgate reads it.
const READ: [&Resource; 10] = [
    &GATEWAY_CLASSES,
    &NAMESPACES,
    &GATEWAYS,
    &HTTP_ROUTES,
    &REFERENCE_GRANTS,
    &SERVICES,
    &PODS,
    &ENDPOINT_SLICES,
    &SECRETS,
    &CONFIG_MAPS,
];

/// A running syncgate.
#[derive(Debug)]
pub struct Replica {
    /// The process.
    pub syncgate: Syncgate,
    /// How the balancer knows it.
    pub at: balancer::Replica,
    number: usize,
}

/// A Gateway and its Envoy, once that was started.
#[derive(Debug)]
struct Gateway {
    name: String,
    address: IpAddr,
    envoy: Option<Envoy>,
}

/// The world. Dropping it ends every process.
#[derive(Debug)]
pub struct KubeBed {
    // Dropped in this order: nothing outlives what it talks to.
    gateways: Vec<Gateway>,
    balancer: Balancer,
    replicas: Vec<Replica>,
    plane: ControlPlane,
    backends: Vec<Backend>,
    scope: Scope,
    kubeconfig: PathBuf,
    setup: Setup,
    home: PathBuf,
    started: usize,
    net: Loopback,
}

impl KubeBed {
    /// A new world: the API server with the class, the namespace `demo` and what syncgate may read, and nothing else running.
    pub async fn start(setup: &Setup, scenario: &str, scope: Scope) -> Result<Self> {
        let net = Loopback::claim()?;
        let home = setup.work.join(format!("{scenario}-{}", net.host(SERVICE)));
        if home.exists() {
            std::fs::remove_dir_all(&home).with_context(|| format!("empty {}", home.display()))?;
        }
        std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        let mut options = kube::Options::new(&setup.kube, &home);
        options.identities = vec![rbac::USER.to_owned()];
        // Namespaces come and go.
        options.controllers = matches!(scope, Scope::Selector(_));
        let plane = ControlPlane::start(options).await?;
        let kubeconfig = home.join("syncgate.kubeconfig");
        plane.identity(rbac::USER)?.kubeconfig(&kubeconfig)?;
        let bed = Self {
            gateways: Vec::new(),
            balancer: Balancer::start((net.host(SERVICE), 18000).into()).await?,
            replicas: Vec::new(),
            plane,
            backends: Vec::new(),
            scope,
            kubeconfig,
            setup: setup.clone(),
            home,
            started: 0,
            net,
        };
        bed.api().create(&manifests::gateway_class()).await?;
        bed.apply(&bed.scope.grants()?).await?;
        bed.namespace(NAMESPACE).await?;
        Ok(bed)
    }

    /// The administrator's client.
    #[must_use]
    pub fn api(&self) -> &Api {
        self.plane.api()
    }

    /// The control plane, to stop its parts and to restore them.
    pub fn plane(&mut self) -> &mut ControlPlane {
        &mut self.plane
    }

    /// What syncgates asked of the API server, and were told. The last requests may be missing.
    pub fn asked(&self) -> Result<Vec<Audit>> {
        let mut events = self.plane.audit().all()?;
        events.retain(|event| event.user == rbac::USER);
        Ok(events)
    }

    /// Makes the objects what they say, one after the other.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        for object in objects {
            self.api().apply(object).await?;
        }
        Ok(())
    }

    /// Creates a namespace that is watched, and grants what syncgate needs in it.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        self.api().create(&kube::objects::namespace(name, &self.scope.labels())).await?;
        self.apply(&self.scope.grants_in(name)?).await
    }

    /// Creates a Gateway of the namespace `demo` with an HTTP listener on an address of its own, and with these listeners.
    pub async fn gateway(&mut self, name: &str, listeners: &[Value]) -> Result<()> {
        let address = self.net.host(FIRST_GATEWAY + u8::try_from(self.gateways.len())?);
        self.api().create(&objects::gateway(name, address, listeners)).await?;
        self.gateways.push(Gateway { name: name.to_owned(), address, envoy: None });
        Ok(())
    }

    /// Starts a backend and gives its address, which no other has.
    pub async fn backend(&mut self, name: &str) -> Result<IpAddr> {
        let ip = self.net.host(FIRST_BACKEND + u8::try_from(self.backends.len())?);
        self.backends.push(Backend::start(name, (ip, BACKEND_PORT).into()).await?);
        Ok(ip)
    }

    /// The address of a backend that was started.
    pub fn address_of(&self, backend: &str) -> Result<IpAddr> {
        let found = self.backends.iter().find(|started| started.name() == backend);
        Ok(found.with_context(|| format!("no backend {backend} was started"))?.address().ip())
    }

    /// Starts a backend, and gives the Service and the pod that stand for it.
    pub async fn world(&mut self, namespace: &str, name: &str) -> Result<[Value; 2]> {
        let ip = self.backend(name).await?;
        let pod = kube::objects::pod(namespace, &format!("{name}-0"), name, ip, BACKEND_PORT);
        Ok([kube::objects::service(namespace, name, BACKEND_PORT), pod])
    }

    /// Starts a backend, and creates its Service and its pod.
    pub async fn deploy(&mut self, namespace: &str, name: &str) -> Result<()> {
        let objects = self.world(namespace, name).await?;
        self.api().create_all(objects, 1).await.map(drop)
    }

    /// Starts one more syncgate behind the Service address, without waiting for anything, and gives its place among the replicas.
    pub fn start_replica(&mut self) -> Result<usize> {
        // A replica takes the addresses of one that has ended long ago.
        let host = self.net.host(FIRST_REPLICA + u8::try_from(self.started)? % (FIRST_GATEWAY - FIRST_REPLICA));
        self.started += 1;
        let at = Addresses { xds: (host, 18000).into(), health: (host, 8081).into(), admin: (host, 19000).into() };
        let source = Source::Kubernetes { kubeconfig: self.kubeconfig.clone(), flags: self.scope.flags() };
        let log = self.home.join(format!("syncgate-{}.log", self.started));
        let syncgate = Syncgate::start(&self.setup.syncgate, &source, at, &log)?;
        let at = balancer::Replica { serve: at.xds, health: at.health };
        self.balancer.add(at);
        self.replicas.push(Replica { syncgate, at, number: self.started });
        Ok(self.replicas.len() - 1)
    }

    /// Starts one more and waits until it gets connections.
    pub async fn add_replica(&mut self) -> Result<usize> {
        let place = self.start_replica()?;
        self.replicas[place].syncgate.ready(PATIENCE).await?;
        self.balanced().await?;
        Ok(place)
    }

    /// Waits until every replica gets connections.
    pub async fn balanced(&self) -> Result<()> {
        let all: Vec<balancer::Replica> = self.replicas.iter().map(|replica| replica.at).collect();
        self.balancer.sends_to(&all, PATIENCE).await.map_err(|reason| self.with_logs(reason))
    }

    /// The running syncgates, the oldest first.
    #[must_use]
    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// Asks a replica to end as a rollout does (SIGTERM). It is none of the replicas any more; the balancer finds that out by its probes.
    pub fn retire(&mut self, place: usize) -> Result<Replica> {
        let replica = self.replicas.remove(place);
        replica.syncgate.signal(Signal::TERM)?;
        Ok(replica)
    }

    /// Waits until a retired replica has ended, and well.
    pub async fn ended(&self, mut replica: Replica) -> Result<()> {
        replica.syncgate.ended(PATIENCE).await?;
        self.balancer.remove(replica.at);
        Ok(())
    }

    /// Starts the Envoy of a Gateway, connected to the Service address, and waits until its admin interface answers.
    pub async fn start_envoy(&mut self, gateway: &str, release: Release, variant: Variant) -> Result<()> {
        let place = self.place(gateway)?;
        let admin: SocketAddr = (self.gateways[place].address, ENVOY_ADMIN).into();
        let name = format!("{NAMESPACE}/{gateway}");
        let bootstrap =
            syncgate::bootstrap(&self.setup.syncgate, &name, self.balancer.address(), variant, admin).await?;
        let folder = self.home.join(format!("envoy-{gateway}"));
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let envoy = Envoy::start(self.setup.envoy(release), &bootstrap, admin, &folder)?;
        self.gateways[place].envoy.insert(envoy).answers(PATIENCE).await
    }

    fn place(&self, gateway: &str) -> Result<usize> {
        let found = self.gateways.iter().position(|known| known.name == gateway);
        found.with_context(|| format!("no Gateway {gateway} was created"))
    }

    /// The Envoy of a Gateway.
    pub fn envoy(&self, gateway: &str) -> Result<&Envoy> {
        self.gateways[self.place(gateway)?].envoy.as_ref().context("its Envoy was not started")
    }

    /// Where a Gateway's HTTP listener is.
    pub fn http(&self, gateway: &str) -> Result<SocketAddr> {
        Ok((self.gateways[self.place(gateway)?].address, HTTP_PORT).into())
    }

    /// Waits until `backend` answers at every Gateway, and goes on answering.
    pub async fn answered_by(&self, host: &str, path: &str, backend: &str) -> Result<()> {
        for gateway in &self.gateways {
            let at = (gateway.address, HTTP_PORT).into();
            settled::answered_by(at, host, path, backend).await.map_err(|reason| self.with_logs(reason))?;
        }
        Ok(())
    }

    /// Waits until every Envoy runs exactly what the API server's objects stand for when they are read from a folder.
    pub async fn converged(&self) -> Result<()> {
        let folder = Folder::create(self.home.join("manifests"))?;
        for resource in READ {
            let list = self.api().list(resource, "").await?;
            let mut objects: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
            for object in &mut objects {
                object["apiVersion"] = resource.api_version.into();
                object["kind"] = resource.kind.into();
            }
            folder.write(&format!("{}.yaml", resource.plural), &objects)?;
        }
        for gateway in &self.gateways {
            let name = format!("{NAMESPACE}/{}", gateway.name);
            let wanted = syncgate::translated(&self.setup.syncgate, folder.path(), &name).await?;
            let envoy = self.envoy(&gateway.name)?;
            settled::runs(envoy, wanted).await.map_err(|reason| self.with_logs(reason.context(name)))?;
        }
        // There are private keys in it.
        std::fs::remove_dir_all(folder.path()).with_context(|| format!("remove {}", folder.path().display()))
    }

    /// Starts a load on the HTTP listener of a Gateway.
    pub async fn load(&self, gateway: &str, rate: u32, calls: Vec<Call>) -> Result<Load> {
        Load::start(Plan { target: self.http(gateway)?, tls: None, rate, connections: 16, calls }).await
    }

    /// Starts a load on the listener of that port, with TLS.
    pub async fn load_tls(&self, gateway: &str, port: u16, tls: Tls, rate: u32, calls: Vec<Call>) -> Result<Load> {
        let target = (self.http(gateway)?.ip(), port).into();
        Load::start(Plan { target, tls: Some(tls), rate, connections: 4, calls }).await
    }

    /// Adds the ends of the logs to an error.
    #[must_use]
    pub fn with_logs(&self, reason: anyhow::Error) -> anyhow::Error {
        let mut logs = format!("logs in {}", self.home.display());
        for replica in &self.replicas {
            logs.push_str(&format!("\n--- syncgate {}\n{}", replica.number, replica.syncgate.log_tail()));
        }
        for gateway in &self.gateways {
            let tail = gateway.envoy.as_ref().map(Envoy::log_tail).unwrap_or_default();
            logs.push_str(&format!("\n--- envoy of {}\n{tail}", gateway.name));
        }
        reason.context(logs)
    }
}
