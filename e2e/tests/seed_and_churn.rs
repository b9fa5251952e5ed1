//! The seeder fills a real API server with what it says, the same by either way and again for more; the churner changes
//! what it says and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use syncgate_e2e::churn;
use syncgate_e2e::churn::namespaces::End;
use syncgate_e2e::churn::pods::Change;
use syncgate_e2e::kube::api::Api;
use syncgate_e2e::kube::resource::{
    GATEWAYS, HTTP_ROUTES, NAMESPACES, PODS, ROLE_BINDINGS, Resource, SECRETS, SERVICES,
};
use syncgate_e2e::kube::{self, ControlPlane, Options};
use syncgate_e2e::seed::{self, Etcd, GatewayName, Plan};

/// Where etcd of every control plane listens.
const ETCD_PORT: u16 = 2379;

/// A control plane with its files in a folder of the test's own, and its etcd; none where none is built.
async fn start(test: &str, options: impl FnOnce(&mut Options)) -> Result<Option<(ControlPlane, Etcd)>> {
    let Some(kube) = kube::installed(test)? else { return Ok(None) };
    let mut chosen = Options::new(&kube, Path::new(env!("CARGO_TARGET_TMPDIR")).join(test));
    options(&mut chosen);
    let plane = ControlPlane::start(chosen).await?;
    let etcd = SocketAddr::from((plane.address().ip(), ETCD_PORT));
    Ok(Some((plane, Etcd { kube, url: format!("http://{etcd}") })))
}

fn small() -> Plan {
    Plan { namespaces: 2, services: 3, pods: 40, secrets: 3, gateways: 2, routes: 5, ..Plan::default() }
}

async fn items(api: &Api, kind: &Resource, namespace: &str) -> Result<Vec<Value>> {
    api.list(kind, namespace).await?["items"].as_array().cloned().context("a list without items")
}

/// What two pods of the same name differ in when different servers, or different ways, made them.
fn without_identity(mut pod: Value) -> Value {
    let owner = pod["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or_default().to_owned();
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        pod["metadata"][field] = json!(null);
    }
    for entry in pod["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        entry["time"] = json!(null);
    }
    for container in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
        container["containerID"] = json!(null);
    }
    serde_json::from_str(&pod.to_string().replace(&owner, "owner")).unwrap_or_default()
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects
        .into_iter()
        .map(|object| (object["metadata"]["name"].as_str().unwrap_or_default().to_owned(), object))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_copied_into_etcd_is_what_the_server_would_have_stored() -> Result<()> {
    let Some((by_api, _)) = start("seed-api", |_| ()).await? else { return Ok(()) };
    let Some((by_etcd, etcd)) = start("seed-etcd", |_| ()).await? else { return Ok(()) };
    let plan = small();
    let slow = seed::fill(by_api.api(), &plan, None).await?;
    let fast = seed::fill(by_etcd.api(), &plan, Some(&etcd)).await?;
    for kind in ["Namespace", "Service", "Pod", "Secret", "Gateway", "HTTPRoute"] {
        ensure!(slow.of(kind).created == fast.of(kind).created, "{kind}: {slow} and {fast}");
    }
    for namespace in ["load-0", "load-1"] {
        let pods = by_name(items(by_api.api(), &PODS, namespace).await?);
        let copies = by_name(items(by_etcd.api(), &PODS, namespace).await?);
        ensure!(pods.len() == 40 && pods.keys().eq(copies.keys()), "{pods:?}");
        for (one, other) in pods.into_values().zip(copies.into_values()) {
            let (one, other) = (without_identity(one), without_identity(other));
            ensure!(one == other, "by the API {one:#}\nas a copy {other:#}");
        }
        let routes = by_name(items(by_api.api(), &HTTP_ROUTES, namespace).await?);
        let copies = by_name(items(by_etcd.api(), &HTTP_ROUTES, namespace).await?);
        ensure!(routes.len() == 5 && routes.keys().eq(copies.keys()), "{routes:?}");
        for (one, other) in routes.values().zip(copies.values()) {
            ensure!(one["spec"] == other["spec"], "by the API {one:#}\nas a copy {other:#}");
        }
    }
    // The server takes a copy for its own: it can be changed and deleted, and its id is kept.
    let name = plan.pod(0, 39);
    let changed = by_etcd.api().patch_status(&PODS, "load-0", &name, &json!({"message": "seen"})).await?;
    ensure!(changed["status"]["message"] == "seen" && changed["metadata"]["uid"].is_string(), "{changed:#}");
    let route = by_etcd.api().get(&HTTP_ROUTES, "load-0", "route-4").await?;
    by_etcd.api().replace(&route).await?;
    by_etcd.api().delete(&PODS, "load-0", &name).await?;
    ensure!(items(by_etcd.api(), &PODS, "load-0").await?.len() == 39);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_plan_adds_and_another_one_is_refused() -> Result<()> {
    let Some((plane, etcd)) = start("seed-more", |_| ()).await? else { return Ok(()) };
    let api = plane.api();
    let addresses = vec!["127.64.0.1".parse()?, "127.64.0.2".parse()?];
    let first = Plan { addresses: addresses.clone(), port: 8000, ..small() };
    seed::fill(api, &first, Some(&etcd)).await?;
    let more = Plan { namespaces: 3, pods: 70, routes: 8, ..first.clone() };
    let report = seed::fill(api, &more, Some(&etcd)).await?;
    ensure!(report.of("Pod").created == 2 * 30 + 70 && report.of("Pod").existing == 80, "{report}");
    ensure!(report.of("HTTPRoute").created == 2 * 3 + 8 && report.of("Namespace").existing == 2, "{report}");
    let again = seed::fill(api, &more, None).await?;
    ensure!(again.created() == 0, "{again}");

    let counts: [(&Resource, usize); 5] =
        [(&SERVICES, 3), (&PODS, 70), (&SECRETS, 3), (&GATEWAYS, 2), (&HTTP_ROUTES, 8)];
    for (kind, count) in counts {
        let found = items(api, kind, "load-1").await?.len();
        ensure!(found == count, "{found} {} instead of {count}", kind.plural);
    }
    let mut seen = BTreeSet::new();
    for pod in items(api, &PODS, "load-2").await? {
        let ready = pod["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|at| at["type"] == "Ready" && at["status"] == "True");
        ensure!(
            ready
                && pod["status"]["phase"] == "Running"
                && pod["spec"]["containers"][0]["ports"][0]["containerPort"] == 8000,
            "{pod:#}"
        );
        ensure!(pod["status"]["podIPs"] == json!([{"ip": pod["status"]["podIP"]}]), "{pod:#}");
        seen.extend(pod["status"]["podIP"].as_str().map(str::to_owned));
    }
    ensure!(seen == addresses.iter().map(ToString::to_string).collect(), "{seen:?}");

    let other = Plan { services: 4, ..first };
    let refused = seed::fill(api, &other, None).await.err().context("another number of services was taken")?;
    ensure!(refused.to_string().contains("--prefix"), "{refused:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_change_as_planned_and_stay_as_many() -> Result<()> {
    let Some((plane, etcd)) = start("churn-pods", |_| ()).await? else { return Ok(()) };
    let api = plane.api();
    seed::fill(api, &small(), Some(&etcd)).await?;
    let before = by_name(items(api, &PODS, "").await?);
    let plan = churn::pods::Plan { rate: 40, seconds: 3, targets: 60, ..churn::pods::Plan::default() };
    let report = churn::pods::run(api, &plan).await?;
    report.ensure_clean()?;
    ensure!(report.targets == 60 && report.due == 120 && report.done() > 20, "{report}");
    let after = by_name(items(api, &PODS, "").await?);
    ensure!(after.len() == before.len(), "{} pods became {}", before.len(), after.len());
    let new = after.keys().filter(|name| !before.contains_key(*name)).count();
    // A pod that replaced another may be replaced itself.
    ensure!(new > 0 && new as u64 <= report.of(Change::Replace), "{new} new pods: {report}");
    let ready = |pod: &Value| {
        pod["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|at| at["type"] == "Ready" && at["status"] == "True")
    };
    let unready = after.values().filter(|pod| !ready(pod)).count() as u64;
    ensure!(unready <= report.of(Change::Readiness), "{unready} unready pods: {report}");

    // The same again meets what the first run left behind.
    let again = churn::pods::Plan { seconds: 1, ..plan.clone() };
    churn::pods::run(api, &again).await?.ensure_clean()?;

    let after = by_name(items(api, &PODS, "").await?);
    let idle = churn::pods::Plan { readiness: 0, address: 0, replace: 0, seconds: 1, seed: 2, ..plan };
    let report = churn::pods::run(api, &idle).await?;
    report.ensure_clean()?;
    ensure!(report.of(Change::Idle) == report.done() && report.done() > 0, "{report}");
    let still = by_name(items(api, &PODS, "").await?);
    for (name, pod) in &still {
        let was = after.get(name).with_context(|| format!("{name} is new"))?;
        ensure!(pod["status"]["podIP"] == was["status"]["podIP"] && ready(pod) == ready(was), "{pod:#}");
    }
    Ok(())
}

/// Runs the same churn and looks at what is left. Without `told` the churner finds out by itself who ends namespaces.
async fn come_and_go(api: &Api, told: Option<End>, end: End) -> Result<()> {
    let plan = churn::namespaces::Plan {
        count: 4,
        reuse_names: end == End::Ourselves,
        live_ms: 0,
        readers: vec!["user-0".to_owned()],
        gateway: Some(GatewayName { namespace: "load-0".to_owned(), name: "web-0".to_owned() }),
        end: told,
        ..churn::namespaces::Plan::default()
    };
    let report = churn::namespaces::run(api, &plan).await?;
    report.ensure_clean()?;
    ensure!(report.end == end && report.made.done == 4 && report.gone.done == 4, "{report}");
    let left: Vec<Value> = items(api, &NAMESPACES, "").await?;
    let ours = |namespace: &&Value| namespace["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("ci-"));
    ensure!(!left.iter().any(|namespace| ours(&namespace)), "{left:#?}");
    for kind in [&PODS, &SERVICES, &HTTP_ROUTES, &ROLE_BINDINGS] {
        for object in items(api, kind, "").await? {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            ensure!(!namespace.starts_with("ci-"), "{object:#} outlived its namespace");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_come_and_go_without_controllers() -> Result<()> {
    let Some((plane, _)) = start("churn-alone", |_| ()).await? else { return Ok(()) };
    come_and_go(plane.api(), None, End::Ourselves).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_end_namespaces_and_leave_seeded_pods_alone() -> Result<()> {
    let Some((plane, etcd)) = start("churn-controllers", |options| options.controllers = true).await? else {
        return Ok(());
    };
    seed::fill(plane.api(), &small(), Some(&etcd)).await?;
    // At first they may still be starting, which looks as if there were none.
    come_and_go(plane.api(), Some(End::Controllers), End::Controllers).await?;
    come_and_go(plane.api(), None, End::Controllers).await?;
    // By now the garbage collector has looked at every pod and its owner.
    let pods = items(plane.api(), &PODS, "load-0").await?.len();
    ensure!(pods == 40, "{pods} of 40 seeded pods are left");
    Ok(())
}
