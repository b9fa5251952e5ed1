//! Fills an API server with what a cluster has, so that syncgate is measured against real amounts: namespaces with
//! Services, realistic pods and their status, Secrets, Gateways and `HTTPRoutes`.
//!
//! Everything is created through the API, except that pods beyond the first of each Service, and routes beyond the
//! first of each namespace, can be written as copies of it beside the server, into etcd. What exists is left as it is:
//! a second call with larger counts adds the difference.

mod copies;
mod names;
mod objects;
mod plan;
mod pod;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::certificates::Authority;
use crate::kube::api::Api;
use crate::kube::resource::{GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES, NAMESPACES, PODS, Resource, SECRETS, SERVICES};
use crate::manifests;
pub use copies::Etcd;
use copies::Group;
use names::PodName;
pub use objects::MANAGED_BY;
use objects::REPLICA_SETS;
pub use plan::{GatewayName, Plan};
use pod::Owner;
pub use writer::Count;
use writer::{Counts, Made, create, do_all, write_status};

/// What was written.
#[derive(Debug, Clone)]
pub struct Report {
    seed: u64,
    counts: Counts,
    /// From the first request to the last.
    pub elapsed: Duration,
    /// How large a copied pod is in etcd, on average; zero if none was written.
    pub bytes_of_pod: u64,
}

impl Report {
    /// How many objects of a kind, such as `Pod`, were created and were there.
    #[must_use]
    pub fn of(&self, kind: &str) -> Count {
        self.counts.0.get(kind).copied().unwrap_or_default()
    }

    /// How many objects of all kinds were created.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.counts.0.values().map(|count| count.created).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.created() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON);
        write!(f, "seed {}: {} objects created in {:.1?} ({rate:.0}/s)", self.seed, self.created(), self.elapsed)?;
        if self.bytes_of_pod > 0 {
            write!(f, ", {} bytes for each copied pod", self.bytes_of_pod)?;
        }
        self.counts.0.iter().try_for_each(|(kind, count)| write!(f, "\n  {kind}: {count}"))
    }
}

/// Fills the server. With `etcd`, most pods and routes are written there.
pub async fn fill(api: &Api, plan: &Plan, etcd: Option<&Etcd>) -> Result<Report> {
    ensure!(plan.services > 0 || plan.pods == 0 && plan.routes == 0, "pods and routes need at least one service");
    eprintln!("seed {}: {} namespaces from {} on", plan.seed, plan.namespaces, plan.namespace(0));
    let since = Instant::now();
    let (api, plan_of_all) = (api.clone(), Arc::new(plan.clone()));
    let mut filler = Filler { api, plan: plan_of_all, owners: Arc::default(), counts: Counts::default() };
    filler.namespaces().await?;
    filler.simple(&SERVICES, plan.services, |plan, at, number| Ok(objects::service(plan, at, number))).await?;
    let bytes_of_pod = filler.pods(etcd).await?;
    let authority = Authority::new()?;
    filler
        .simple(&SECRETS, plan.secrets, move |plan, at, number| objects::secret(plan, at, number, &authority))
        .await?;
    if plan.gateways > 0 {
        filler.gateway_class().await?;
    }
    filler.simple(&GATEWAYS, plan.gateways, |plan, at, number| Ok(objects::gateway(plan, at, number))).await?;
    filler.routes(etcd).await?;
    Ok(Report { seed: plan.seed, counts: filler.counts, elapsed: since.elapsed(), bytes_of_pod })
}

/// The owners of pods by namespace and Service.
type Owners = BTreeMap<(u32, u32), Arc<Owner>>;

/// A plan under way.
struct Filler {
    api: Api,
    plan: Arc<Plan>,
    owners: Arc<Mutex<Owners>>,
    counts: Counts,
}

impl Filler {
    async fn namespaces(&mut self) -> Result<()> {
        let jobs = (0..self.plan.namespaces).map(|number| {
            let (api, plan) = (self.api.clone(), Arc::clone(&self.plan));
            async move {
                let made = create(&api, &NAMESPACES, &objects::namespace(&plan, number), MANAGED_BY).await?;
                if matches!(made, Made::New(_)) {
                    return Ok(true);
                }
                let found = api.get(&NAMESPACES, "", &plan.namespace(number)).await?;
                same_origin(&plan, &found).map(|()| false)
            }
        });
        let count = do_all("Namespace", self.plan.at_once, jobs).await?;
        self.counts.add("Namespace", count);
        Ok(())
    }

    async fn gateway_class(&mut self) -> Result<()> {
        let api = self.api.clone();
        let job = async move {
            let made = create(&api, &GATEWAY_CLASSES, &manifests::gateway_class(), MANAGED_BY).await?;
            Ok(matches!(made, Made::New(_)))
        };
        self.counts.add("GatewayClass", do_all("GatewayClass", 1, [job]).await?);
        Ok(())
    }

    /// Creates `each` objects of a kind in each namespace.
    async fn simple(
        &mut self,
        resource: &'static Resource,
        each: u32,
        object: impl Fn(&Plan, u32, u32) -> Result<Value> + Send + Sync + 'static,
    ) -> Result<()> {
        let object = Arc::new(object);
        let jobs = self.plan.pairs(each).map(|(namespace, number)| {
            let (api, plan, object) = (self.api.clone(), Arc::clone(&self.plan), Arc::clone(&object));
            async move {
                let object = object(&plan, namespace, number)?;
                Ok(matches!(create(&api, resource, &object, MANAGED_BY).await?, Made::New(_)))
            }
        });
        let count = do_all(resource.kind, self.plan.at_once, jobs).await?;
        self.counts.add(resource.kind, count);
        Ok(())
    }

    /// Creates the pods; the size of a copied one, if any was.
    async fn pods(&mut self, etcd: Option<&Etcd>) -> Result<u64> {
        let owned = self.plan.services.min(self.plan.pods);
        self.owners(owned).await?;
        let Some(etcd) = etcd else {
            self.api_pods(self.plan.pods).await?;
            return Ok(0);
        };
        self.api_pods(owned).await?;
        let groups = self.plan.pairs(owned).map(|(namespace, service)| self.plan.pod_copies(namespace, service));
        let (count, bytes) = copies::write(etcd, "Pod", groups.collect::<Result<_>>()?).await?;
        self.counts.add("Pod", count);
        Ok(bytes)
    }

    async fn routes(&mut self, etcd: Option<&Etcd>) -> Result<()> {
        let by_api = if etcd.is_some() { self.plan.routes.min(1) } else { self.plan.routes };
        self.simple(&HTTP_ROUTES, by_api, |plan, at, number| Ok(objects::route(plan, at, number))).await?;
        if let Some(etcd) = etcd
            && by_api < self.plan.routes
        {
            let groups = (0..self.plan.namespaces).map(|namespace| self.plan.route_copies(namespace)).collect();
            let (count, _) = copies::write(etcd, "HTTPRoute", groups).await?;
            self.counts.add("HTTPRoute", count);
        }
        Ok(())
    }

    /// Creates what owns the pods of the first `each` Services of each namespace, and learns the ids that the server
    /// gave them.
    async fn owners(&mut self, each: u32) -> Result<()> {
        let jobs = self.plan.pairs(each).map(|(namespace, service)| {
            let (api, plan, owners) = (self.api.clone(), Arc::clone(&self.plan), Arc::clone(&self.owners));
            async move {
                let wanted = objects::replica_set(&plan, namespace, service);
                let (now, new) = match create(&api, &REPLICA_SETS, &wanted, MANAGED_BY).await? {
                    Made::New(created) => (created, true),
                    Made::Taken => {
                        let name = plan.replica_set(namespace, service);
                        (api.get(&REPLICA_SETS, &plan.namespace(namespace), &name).await?, false)
                    }
                };
                let uid = now["metadata"]["uid"].as_str().context("a ReplicaSet without a uid")?;
                let owner = Owner::new(&plan, namespace, service, uid);
                owners.lock().unwrap_or_else(PoisonError::into_inner).insert((namespace, service), Arc::new(owner));
                Ok(new)
            }
        });
        let count = do_all("ReplicaSet", self.plan.at_once, jobs).await?;
        self.counts.add("ReplicaSet", count);
        Ok(())
    }

    /// Creates the first `each` pods of each namespace through the API.
    async fn api_pods(&mut self, each: u32) -> Result<()> {
        let jobs = self.plan.pairs(each).map(|(namespace, number)| {
            let (api, plan) = (self.api.clone(), Arc::clone(&self.plan));
            let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            let owner = owners.get(&(namespace, number % plan.services)).cloned();
            async move {
                let owner = owner.context("the owners of all pods were created before")?;
                api_pod(&api, &owner, &plan.pod_name(namespace, number)?).await
            }
        });
        let count = do_all("Pod", self.plan.at_once, jobs).await?;
        self.counts.add("Pod", count);
        Ok(())
    }
}

/// Creates one pod and writes its status; one that an earlier call left without status gets it.
async fn api_pod(api: &Api, owner: &Owner, of: &PodName) -> Result<bool> {
    let mut wanted = pod::pod(owner, of);
    let (mut now, new) = match create(api, &PODS, &wanted, pod::CREATOR).await? {
        Made::New(created) => (created, true),
        Made::Taken => (api.get(&PODS, &owner.namespace, &of.name).await?, false),
    };
    if now["status"]["podIP"].is_null() {
        now["status"] = wanted["status"].take();
        write_status(api, &PODS, &now, pod::KUBELET).await?;
    }
    Ok(new)
}

fn same_origin(plan: &Plan, namespace: &Value) -> Result<()> {
    let (name, origin) = (&namespace["metadata"]["name"], &namespace["metadata"]["annotations"][objects::ORIGIN]);
    match origin.as_str() {
        Some(origin) if origin == plan.origin() => Ok(()),
        Some(other) => Err(anyhow!(
            "namespace {name} was filled with {other}, this is {}: keep both, or choose another --prefix",
            plan.origin()
        )),
        None => Err(anyhow!("namespace {name} was not made by this program: choose another --prefix")),
    }
}

impl Plan {
    /// The pods of a Service beyond its first.
    fn pod_copies(&self, namespace: u32, service: u32) -> Result<Group> {
        let rest = (service..self.pods).step_by(self.services as usize).skip(1);
        let copies: Result<_> = rest.map(|pod| Ok(copies::of_pod(&self.pod_name(namespace, pod)?))).collect();
        let (within, like) = (self.namespace(namespace), self.pod(namespace, service));
        Ok(Group { resource: "pods", namespace: within, like, copies: copies? })
    }

    /// The routes of a namespace beyond the first.
    fn route_copies(&self, namespace: u32) -> Group {
        let copy =
            |number| copies::of_custom(&objects::route(self, namespace, number), &self.route_uid(namespace, number));
        Group {
            resource: "gateway.networking.k8s.io/httproutes",
            namespace: self.namespace(namespace),
            like: objects::route_name(0),
            copies: (1..self.routes).map(copy).collect(),
        }
    }
}
