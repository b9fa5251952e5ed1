//! What a seeded namespace holds beside its pods.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Plan;
use crate::certificates::Authority;
use crate::draws::Draws;
use crate::kube::objects;
use crate::kube::resource::Resource;

/// The label `app.kubernetes.io/managed-by` of everything that was seeded.
pub const MANAGED_BY: &str = "syncgate-e2e";
/// On a namespace: what its names follow from.
pub(super) const ORIGIN: &str = "syncgate-e2e/seed";
/// Gateway API allows a Gateway 64 listeners.
const LISTENERS: u32 = 32;
/// What numbers are drawn for.
const ROUTE: u64 = 4;
const SECRET: u64 = 5;

/// ReplicaSets, which only own pods here.
pub(super) static REPLICA_SETS: Resource =
    Resource { api_version: "apps/v1", kind: "ReplicaSet", plural: "replicasets", namespaced: true };

/// The labels of a Service and its pods.
pub(super) fn labels(namespace: &str, app: &str) -> Value {
    json!({
        "app": app, "tier": "backend", "team": format!("team-{namespace}"),
        "app.kubernetes.io/name": app, "app.kubernetes.io/instance": format!("{app}-{namespace}"),
        "app.kubernetes.io/version": "v1.27.3", "app.kubernetes.io/managed-by": MANAGED_BY,
    })
}

pub(super) fn namespace(plan: &Plan, number: u32) -> Value {
    let name = plan.namespace(number);
    let mut namespace = objects::namespace(&name, &json!({"app.kubernetes.io/managed-by": MANAGED_BY, "team": name}));
    namespace["metadata"]["annotations"] = json!({ORIGIN: plan.origin()});
    namespace
}

pub(super) fn service(plan: &Plan, namespace: u32, number: u32) -> Value {
    let (app, namespace) = (plan.service(number), plan.namespace(namespace));
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": app, "labels": labels(&namespace, &app)},
        "spec": {"selector": {"app": app}, "ports": [
            {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"},
            {"name": "metrics", "port": 9090, "targetPort": "metrics"},
        ]},
    })
}

/// Owns the pods of a Service without asking for any, so that it may be there whether controllers run or not.
pub(super) fn replica_set(plan: &Plan, namespace: u32, service: u32) -> Value {
    let nothing = json!({"syncgate-e2e/selects": "nothing"});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": plan.namespace(namespace), "name": plan.replica_set(namespace, service)},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": nothing},
            "template": {"metadata": {"labels": nothing}, "spec": {"containers": [{"name": "web", "image": "web"}]}},
        },
    })
}

/// Whether the Secret of a number holds a certificate; every second one holds other things.
const fn is_tls(number: u32) -> bool {
    number.is_multiple_of(2)
}

pub(super) fn secret(plan: &Plan, namespace: u32, number: u32, authority: &Authority) -> Result<Value> {
    let (within, name) = (plan.namespace(namespace), secret_name(number));
    if is_tls(number) {
        return authority.secret(&within, &name, &host_of_secret(plan, namespace, number));
    }
    let mut draws = Draws::of(plan.seed, &[SECRET, namespace.into(), number.into()]);
    let mut value = |length| STANDARD.encode(draws.hex(length));
    let data = json!({"username": value(8), "password": value(32), "settings.json": value(1500)});
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"namespace": within, "name": name}, "data": data,
    }))
}

fn secret_name(number: u32) -> String {
    if is_tls(number) { format!("tls-{number}") } else { format!("settings-{number}") }
}

/// The first certificate is that of all hosts of the namespace's routes.
fn host_of_secret(plan: &Plan, namespace: u32, number: u32) -> String {
    let domain = plan.domain(namespace);
    if number == 0 { format!("*.{domain}") } else { format!("tls-{number}.{domain}") }
}

/// A Gateway with a listener for HTTP and one for each certificate.
pub(super) fn gateway(plan: &Plan, namespace: u32, number: u32) -> Value {
    let mut listeners = vec![json!({"name": "http", "port": 80, "protocol": "HTTP"})];
    let certificates = (0..plan.secrets).filter(|secret| is_tls(*secret)).take(LISTENERS as usize);
    listeners.extend(certificates.map(|secret| {
        json!({
            "name": secret_name(secret), "port": 443, "protocol": "HTTPS",
            "hostname": host_of_secret(plan, namespace, secret),
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": secret_name(secret)}]},
        })
    }));
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"namespace": plan.namespace(namespace), "name": gateway_name(number)},
        "spec": {"gatewayClassName": "syncgate", "listeners": listeners},
    })
}

fn gateway_name(number: u32) -> String {
    format!("web-{number}")
}

pub(super) fn route_name(number: u32) -> String {
    format!("route-{number}")
}

/// A route of one host with rules of three kinds: all of a path, a part of the traffic to another Service, and filters.
pub(super) fn route(plan: &Plan, namespace: u32, number: u32) -> Value {
    let mut draws = Draws::of(plan.seed, &[ROUTE, namespace.into(), number.into()]);
    let mut service = || {
        let drawn = draws.below(plan.services.max(1).into());
        json!({"name": plan.service(u32::try_from(drawn).unwrap_or_default()), "port": 80})
    };
    let weighted = |mut of: Value, weight: u32| {
        of["weight"] = json!(weight);
        of
    };
    let path = |kind: &str, value: &str| json!({"path": {"type": kind, "value": value}});
    let parent = match &plan.gateway {
        Some(gateway) => json!({"namespace": gateway.namespace, "name": gateway.name}),
        None => json!({"name": gateway_name(number % plan.gateways.max(1))}),
    };
    let mut canary = path("PathPrefix", "/api");
    canary["headers"] = json!([{"name": "x-canary", "value": "always"}]);
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"namespace": plan.namespace(namespace), "name": route_name(number)},
        "spec": {
            "parentRefs": [parent], "hostnames": [plan.host(namespace, number)],
            "rules": [
                {"matches": [canary], "backendRefs": [service()]},
                {
                    "matches": [path("PathPrefix", "/api")],
                    "backendRefs": [weighted(service(), 90), weighted(service(), 10)],
                },
                {
                    "matches": [path("PathPrefix", "/static")], "backendRefs": [service()],
                    "filters": [
                        {"type": "URLRewrite", "urlRewrite": {
                            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"},
                        }},
                        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {
                            "set": [{"name": "cache-control", "value": "max-age=300"}],
                        }},
                    ],
                },
                {"matches": [path("Exact", "/favicon.ico"), path("PathPrefix", "/")], "backendRefs": [service()]},
            ],
        },
    })
}

impl Plan {
    /// The host of a route.
    #[must_use]
    pub fn host(&self, namespace: u32, route: u32) -> String {
        format!("{}.{}", route_name(route), self.domain(namespace))
    }

    pub(super) fn route_uid(&self, namespace: u32, route: u32) -> String {
        Draws::of(self.seed, &[ROUTE, namespace.into(), route.into()]).uid()
    }

    fn domain(&self, namespace: u32) -> String {
        format!("{}.example", self.namespace(namespace))
    }
}
