//! The namespaces that are watched, what they hold, and how they come and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};

use super::rights::Rights;
use crate::kube::api::{Api, Refusal};
use crate::kube::objects::{namespace, pod, service};
use crate::kube::resource::{
    ENDPOINT_SLICES, GATEWAYS, HTTP_ROUTES, NAMESPACES, PODS, REFERENCE_GRANTS, ROLE_BINDINGS, Resource, SERVICES,
};
use crate::manifests::BACKEND_PORT;
use crate::wait::eventually;

/// The kinds that every namespace holds.
const KINDS: [(&str, &Resource); 6] = [
    ("Gateway", &GATEWAYS),
    ("HTTPRoute", &HTTP_ROUTES),
    ("ReferenceGrant", &REFERENCE_GRANTS),
    ("Service", &SERVICES),
    ("Pod", &PODS),
    ("EndpointSlice", &ENDPOINT_SLICES),
];
const GATEWAY_VERSION: &str = "gateway.networking.k8s.io/v1";
/// Keeps an object, and its namespace with it, from being deleted.
const FINALIZER: &str = "example.com/held";
/// Who may read a namespace in namespaced scope: the binding's name.
const BINDING: &str = super::rights::ROLE;
const PATIENCE: Duration = Duration::from_secs(30);

/// What a namespace holds, by kind.
pub type Rows = BTreeMap<String, u64>;

/// Creates a namespace, the right for these users to read it, and its objects: one of every kind but two Services and `pods` pods.
pub async fn create(api: &Api, name: &str, pods: u8, users: &[&str]) -> Result<()> {
    api.create(&namespace(name, &json!({}))).await?;
    fill(api, name, pods, users).await
}

async fn fill(api: &Api, name: &str, pods: u8, users: &[&str]) -> Result<()> {
    for object in Rights::inside(name, users) {
        api.create(&object).await?;
    }
    api.create_all(objects(name, pods), 8).await.map(drop)
}

fn objects(name: &str, pods: u8) -> Vec<Value> {
    let ports = json!([{"name": "http", "port": BACKEND_PORT, "protocol": "TCP"}]);
    let mut objects = vec![
        json!({
            "apiVersion": GATEWAY_VERSION, "kind": "Gateway", "metadata": {"namespace": name, "name": "web"},
            "spec": {"gatewayClassName": "syncgate", "listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}]},
        }),
        json!({
            "apiVersion": GATEWAY_VERSION, "kind": "HTTPRoute", "metadata": {"namespace": name, "name": "web"},
            "spec": {
                "parentRefs": [{"name": "web"}], "hostnames": [format!("{name}.example.com")],
                "rules": [{"backendRefs": [{"name": "web", "port": BACKEND_PORT}]}],
            },
        }),
        json!({
            "apiVersion": GATEWAY_VERSION, "kind": "ReferenceGrant", "metadata": {"namespace": name, "name": "web"},
            "spec": {
                "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "elsewhere"}],
                "to": [{"group": "", "kind": "Service"}],
            },
        }),
        service(name, "web", BACKEND_PORT),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": name, "name": "by-hand"},
            "spec": {"ports": [{"name": "http", "port": BACKEND_PORT}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"namespace": name, "name": "by-hand", "labels": {"kubernetes.io/service-name": "by-hand"}},
            "endpoints": [{"addresses": ["192.0.2.9"]}], "ports": ports,
        }),
    ];
    let ip = |number: u8| [192, 0, 2, 10 + number].into();
    objects.extend((0..pods).map(|number| pod(name, &format!("web-{number}"), "web", ip(number), BACKEND_PORT)));
    objects
}

/// What the API server holds of the kinds that syncgate reads in one namespace; in all of them if the name is empty.
pub async fn held(api: &Api, name: &str) -> Result<Rows> {
    let managed = json!(["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"]);
    let mut rows = Rows::new();
    for (kind, resource) in KINDS {
        let list = api.list(resource, name).await?;
        let items = list["items"].as_array().with_context(|| format!("no items of {kind}"))?;
        let by = |item: &Value| item["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].clone();
        let read = items.iter().filter(|item| !managed.as_array().is_some_and(|managed| managed.contains(&by(item))));
        let count = u64::try_from(read.count())?;
        if count > 0 {
            rows.insert(kind.to_owned(), count);
        }
    }
    Ok(rows)
}

/// Of what a syncgate holds only the kinds that namespaces hold.
#[must_use]
pub fn namespaced(mut rows: Rows) -> Rows {
    rows.retain(|kind, _| KINDS.iter().any(|(known, _)| known == kind));
    rows
}

/// Deletes a namespace without waiting for its end. Its pods end at once, as a kubelet reports it; without that the namespace would wait.
pub async fn delete(api: &Api, name: &str) -> Result<()> {
    api.delete(&NAMESPACES, "", name).await?;
    clear(api, name, &PODS).await
}

async fn clear(api: &Api, name: &str, resource: &Resource) -> Result<()> {
    let path = format!("{}?gracePeriodSeconds=0", resource.collection(name));
    let answer = api.raw(Method::DELETE, &path, None).await?;
    ensure!(answer.status == 200, "delete all {}: {}", resource.plural, answer.text());
    Ok(())
}

/// Waits until a namespace does not exist.
pub async fn gone(api: &Api, name: &str) -> Result<()> {
    eventually(&format!("namespace {name} to be gone"), PATIENCE, async || {
        let gone = api.get(&NAMESPACES, "", name).await.err().context("it is still there")?;
        ensure!(Refusal::code_of(&gone) == Some(404), "{gone:#}");
        Ok(())
    })
    .await
}

/// Keeps the Gateway of a namespace from being deleted, or lets go of it.
pub async fn hold(api: &Api, name: &str, held: bool) -> Result<()> {
    let finalizers = if held { json!([FINALIZER]) } else { json!([]) };
    let patch = json!({"metadata": {"finalizers": finalizers}});
    api.patch(&GATEWAYS, name, "web", &patch).await.map(drop)
}

/// Takes away the right to read a namespace.
pub async fn unbind(api: &Api, name: &str) -> Result<()> {
    api.delete(&ROLE_BINDINGS, name, BINDING).await.map(drop)
}

/// Gives it back.
pub async fn bind(api: &Api, name: &str, users: &[&str]) -> Result<()> {
    let [_, binding] = Rights::inside(name, users);
    api.create(&binding).await.map(drop)
}

/// Deletes a namespace with everything in it and creates it again with as many objects, by hand: the controller would take five
/// seconds. Gives the time that it did not exist for.
pub async fn recreate(api: &Api, name: &str, pods: u8, users: &[&str]) -> Result<Duration> {
    for (_, resource) in KINDS {
        clear(api, name, resource).await?;
    }
    api.delete(&ROLE_BINDINGS, name, BINDING).await?;
    let mut deleted = api.delete(&NAMESPACES, "", name).await?;
    deleted["spec"]["finalizers"] = json!([]);
    let answer = api.raw(Method::PUT, &format!("{}/finalize", NAMESPACES.object("", name)), Some(&deleted)).await?;
    ensure!(answer.status == 200, "finalize {name}: {}", answer.text());
    let since = Instant::now();
    api.create(&namespace(name, &json!({}))).await?;
    let away = since.elapsed();
    // The Role went with the namespace only if its controller was quicker.
    for object in Rights::inside(name, users) {
        api.apply(&object).await?;
    }
    api.create_all(objects(name, pods), 8).await?;
    Ok(away)
}
