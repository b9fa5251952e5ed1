//! Namespaces that live for moments, as continuous integration makes them: a namespace, rights in it, a Service, pods,
//! a route; then its deletion, which is over only when the namespace is gone.
//!
//! A namespace goes when somebody has emptied it and taken its finalizer away. With a controller manager that is its
//! work; without one it is done here, and only for the kinds that are made here.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Addresses, Tally};
use crate::kube::api::{Api, Refusal};
use crate::kube::objects;
use crate::kube::resource::{HTTP_ROUTES, NAMESPACES, PODS, ROLE_BINDINGS, ROLES, Resource, SERVICES};
use crate::seed::GatewayName;

/// How long a deletion may take: a controller manager with a long queue needs some seconds.
const GONE: Duration = Duration::from_secs(60);
/// A controller manager that is up ends an empty namespace well within this.
const PROBE: Duration = Duration::from_secs(10);
/// How often somebody asks whether a namespace is gone.
const POLL: Duration = Duration::from_millis(20);
/// What is in a namespace, in the order of its deletion.
static KINDS: [&Resource; 5] = [&PODS, &SERVICES, &HTTP_ROUTES, &ROLE_BINDINGS, &ROLES];
/// The name of the Service, and of the rights.
const SERVICE: &str = "web";
const READER: &str = "reader";

/// What to make and delete.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Namespaces are called <PREFIX>-0, <PREFIX>-1, …
    #[arg(long, default_value = "ci")]
    pub prefix: String,
    /// How many come and go.
    #[arg(long, default_value_t = 20)]
    pub count: u32,
    /// How many are there at once.
    #[arg(long, default_value_t = 2)]
    pub at_once: u32,
    /// Use as few names as are there at once: a namespace is followed by one of the same name.
    #[arg(long)]
    pub reuse_names: bool,
    /// Milliseconds from the last object of a namespace to its deletion.
    #[arg(long, default_value_t = 500)]
    pub live_ms: u64,
    /// After so many seconds no namespace is begun any more.
    #[arg(long, default_value_t = 300)]
    pub seconds: u64,
    /// Running and ready pods of each.
    #[arg(long, default_value_t = 2)]
    pub pods: u32,
    /// Addresses of the pods in turn; without them, some of 172.16.0.0/12 that nothing listens on.
    #[arg(long, value_name = "IP,IP", value_delimiter = ',')]
    pub addresses: Vec<IpAddr>,
    /// The port of each pod.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Let these users read each namespace, by a Role and a RoleBinding in it.
    #[arg(long, value_name = "USER,USER", value_delimiter = ',')]
    pub readers: Vec<String>,
    /// The Gateway of each namespace's route, such as one that was seeded; without it there is no route.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub gateway: Option<GatewayName>,
    /// Who ends a deleted namespace; found out by a trial of ten seconds if left out.
    #[arg(long, value_enum)]
    pub end: Option<End>,
}

impl Default for Plan {
    /// As the command has it.
    fn default() -> Self {
        Self {
            prefix: "ci".to_owned(),
            count: 20,
            at_once: 2,
            reuse_names: false,
            live_ms: 500,
            seconds: 300,
            pods: 2,
            addresses: Vec::new(),
            port: 8080,
            readers: Vec::new(),
            gateway: None,
            end: None,
        }
    }
}

/// Who ends a deleted namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// The controller manager.
    Controllers,
    /// We: no controller manager runs.
    Ourselves,
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Report {
    /// Namespaces with all that is in them; latency is from the first request to the last answer.
    pub made: Tally,
    /// Namespaces that went; latency is from their deletion to the first answer that they are not found.
    pub gone: Tally,
    /// Who ended them.
    pub end: End,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl Report {
    /// Fails if one could not be made or did not go.
    pub fn ensure_clean(&self) -> Result<()> {
        self.made.ensure_clean()?;
        self.gone.ensure_clean()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.gone.done as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON);
        write!(f, "{} namespaces came and went in {:.1?} ({rate:.1}/s), ", self.gone.done, self.elapsed)?;
        match self.end {
            End::Controllers => write!(f, "ended by the controller manager")?,
            End::Ourselves => write!(f, "ended by ourselves")?,
        }
        write!(f, "\n  made: {}\n  gone: {}", self.made, self.gone)
    }
}

/// Makes and deletes namespaces until as many as planned are gone or the time is up. None is left behind by a run that
/// comes to its end.
pub async fn run(api: &Api, plan: &Plan) -> Result<Report> {
    ensure!(plan.at_once > 0, "churn needs room for one namespace at once");
    let end = match plan.end {
        Some(end) => end,
        None => trial(api, &format!("{}-trial", plan.prefix)).await?,
    };
    eprintln!("{} namespaces from {}-0 on, {} at once", plan.count, plan.prefix, plan.at_once);
    let addresses = Arc::new(Addresses::new(&plan.addresses));
    let (plan, start, mut under_way) = (Arc::new(plan.clone()), Instant::now(), JoinSet::new());
    for number in 0..plan.at_once {
        let (api, plan, addresses) = (api.clone(), Arc::clone(&plan), Arc::clone(&addresses));
        let lane = Lane { api, plan, addresses, end, made: Tally::new()?, gone: Tally::new()? };
        under_way.spawn(lane.run(number, start));
    }
    let mut report = Report { made: Tally::new()?, gone: Tally::new()?, end, elapsed: Duration::ZERO };
    while let Some(ended) = under_way.join_next().await {
        let lane = ended?;
        report.made.add(lane.made)?;
        report.gone.add(lane.gone)?;
    }
    report.elapsed = start.elapsed();
    Ok(report)
}

/// Whether a controller manager ends namespaces: deletes an empty one and looks.
async fn trial(api: &Api, name: &str) -> Result<End> {
    api.create(&objects::namespace(name, &json!({}))).await?;
    api.delete(&NAMESPACES, "", name).await?;
    if wait_until_gone(api, name, PROBE).await.is_ok() {
        return Ok(End::Controllers);
    }
    finalize(api, name).await?;
    wait_until_gone(api, name, PROBE).await?;
    Ok(End::Ourselves)
}

/// Every `at_once`-th namespace, one after the other.
struct Lane {
    api: Api,
    plan: Arc<Plan>,
    addresses: Arc<Addresses>,
    end: End,
    made: Tally,
    gone: Tally,
}

impl Lane {
    async fn run(mut self, lane: u32, start: Instant) -> Self {
        let plan = Arc::clone(&self.plan);
        for number in (lane..plan.count).step_by(plan.at_once as usize) {
            if start.elapsed() > Duration::from_secs(plan.seconds) {
                break;
            }
            let name = format!("{}-{}", plan.prefix, if plan.reuse_names { lane } else { number });
            let since = Instant::now();
            let made = self.make(&name).await;
            let whole = made.is_ok();
            self.made.record(&name, since.elapsed(), made);
            if whole {
                sleep(Duration::from_millis(plan.live_ms)).await;
            }
            // One that was made in part goes as well.
            let since = Instant::now();
            let gone = self.delete(&name).await;
            self.gone.record(&name, since.elapsed(), gone);
        }
        self
    }

    async fn make(&self, name: &str) -> Result<()> {
        let (api, plan) = (&self.api, &self.plan);
        api.create(&objects::namespace(name, &json!({"team": "ci"}))).await?;
        if !plan.readers.is_empty() {
            let readers: Vec<&str> = plan.readers.iter().map(String::as_str).collect();
            api.create(&objects::role(name, READER, &rules())).await?;
            api.create(&objects::role_binding(name, READER, &readers)).await?;
        }
        api.create(&objects::service(name, SERVICE, 80)).await?;
        for number in 0..plan.pods {
            let (pod, ip) = (format!("{SERVICE}-{number}"), self.addresses.next());
            let mut pod = objects::pod(name, &pod, SERVICE, ip, plan.port);
            // With grace, it would wait for a kubelet to end it, and its namespace with it.
            pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
            api.create_with_status(&pod).await?;
        }
        if let Some(gateway) = &plan.gateway {
            api.create(&route(name, gateway)).await?;
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.api.delete(&NAMESPACES, "", name).await?;
        if self.end == End::Ourselves {
            for kind in KINDS {
                empty(&self.api, kind, name).await?;
            }
            finalize(&self.api, name).await?;
        }
        wait_until_gone(&self.api, name, GONE).await
    }
}

/// The right to read what syncgate reads.
fn rules() -> [Value; 3] {
    let kinds: [&[&str]; 3] =
        [&["/pods", "/services", "/secrets"], &["discovery.k8s.io/endpointslices"], &["gateway.networking.k8s.io/*"]];
    kinds.map(|kinds| objects::rule(&["get", "list", "watch"], kinds))
}

fn route(namespace: &str, gateway: &GatewayName) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"namespace": namespace, "name": SERVICE},
        "spec": {
            "parentRefs": [{"namespace": gateway.namespace, "name": gateway.name}],
            "hostnames": [format!("{namespace}.example")],
            "rules": [{"backendRefs": [{"name": SERVICE, "port": 80}]}],
        },
    })
}

/// Deletes all objects of a kind; a kind that is not served has none.
async fn empty(api: &Api, kind: &Resource, namespace: &str) -> Result<()> {
    let options = json!({"gracePeriodSeconds": 0});
    let answer = api.raw(Method::DELETE, &kind.collection(namespace), Some(&options)).await?;
    ensure!(matches!(answer.status, 200 | 404), "empty {}: {} {}", kind.plural, answer.status, answer.text());
    Ok(())
}

/// Takes the finalizer away that the server gives each namespace.
async fn finalize(api: &Api, name: &str) -> Result<()> {
    let path = format!("{}/finalize", NAMESPACES.object("", name));
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
    let answer = api.raw(Method::PUT, &path, Some(&body)).await?;
    ensure!(matches!(answer.status, 200 | 404), "finalize {name}: {} {}", answer.status, answer.text());
    Ok(())
}

/// Asks until the namespace is not found: a deletion's end is nothing that the server tells by itself.
async fn wait_until_gone(api: &Api, name: &str, limit: Duration) -> Result<()> {
    let since = Instant::now();
    loop {
        match api.get(&NAMESPACES, "", name).await {
            Err(reason) if Refusal::code_of(&reason) == Some(404) => return Ok(()),
            Err(reason) => return Err(reason),
            Ok(there) if since.elapsed() > limit => {
                bail!("namespace {name} is not gone after {limit:?}: {}", there["status"]);
            }
            Ok(_) => sleep(POLL).await,
        }
    }
}
