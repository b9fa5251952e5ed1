//! The Kubernetes objects that scenarios write, as small as they can be.

use std::net::IpAddr;

use serde_json::{Value, json};

/// The namespace of everything that a scenario writes.
pub const NAMESPACE: &str = "demo";
/// The Gateway that the scenarios' Envoy belongs to.
pub const GATEWAY: &str = "demo/web";
/// The port of the Gateway's HTTP listener.
pub const HTTP_PORT: u16 = 8080;
/// The port of every Service and of every pod behind it.
pub const BACKEND_PORT: u16 = 8000;

/// The GatewayClass of syncgate.
#[must_use]
pub fn gateway_class() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "syncgate"},
        "spec": {"controllerName": "syncgate.dev/controller"},
    })
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}})
}

/// The Gateway on `address` with HTTP listeners named `http-<port>`.
#[must_use]
pub fn gateway(address: IpAddr, ports: &[u16]) -> Value {
    let listeners: Vec<Value> =
        ports.iter().map(|port| json!({"name": format!("http-{port}"), "port": port, "protocol": "HTTP"})).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "gatewayClassName": "syncgate",
            "addresses": [{"type": "IPAddress", "value": address.to_string()}],
            "listeners": listeners,
        },
    })
}

/// A Service that selects the pods labelled `app: <name>`.
#[must_use]
pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": BACKEND_PORT, "targetPort": "http"}]},
    })
}

/// A ready pod labelled `app: <app>`.
#[must_use]
pub fn pod(name: &str, app: &str, ip: IpAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": app}},
        "spec": {"containers": [{"name": "web", "ports": [{"name": "http", "containerPort": BACKEND_PORT}]}]},
        "status": {
            "phase": "Running", "podIP": ip.to_string(), "podIPs": [{"ip": ip.to_string()}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// A rule that sends a path prefix to a Service.
#[must_use]
pub fn rule(prefix: &str, service: &str) -> Value {
    json!({
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
        "backendRefs": [{"name": service, "port": BACKEND_PORT}],
    })
}

/// An HTTPRoute of the Gateway for one host.
#[must_use]
pub fn route(name: &str, host: &str, rules: &[Value]) -> Value {
    route_on(name, host, None, rules)
}

/// The same, attached only to the listener on `port`.
#[must_use]
pub fn route_on(name: &str, host: &str, port: Option<u16>, rules: &[Value]) -> Value {
    let mut parent = json!({"name": "web"});
    if let Some(port) = port {
        parent["sectionName"] = format!("http-{port}").into();
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"parentRefs": [parent], "hostnames": [host], "rules": rules},
    })
}
