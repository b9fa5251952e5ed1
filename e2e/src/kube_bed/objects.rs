//! Gateways and routes of a bed on Kubernetes. The Gateways lie in the namespace `demo` and take routes from every namespace.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::manifests::{BACKEND_PORT, HTTP_PORT, NAMESPACE};

const VERSION: &str = "gateway.networking.k8s.io/v1";

/// A Gateway on `address` with an HTTP listener and these.
#[must_use]
pub fn gateway(name: &str, address: IpAddr, listeners: &[Value]) -> Value {
    let mut all = vec![http("http", HTTP_PORT)];
    all.extend(listeners.iter().cloned());
    json!({
        "apiVersion": VERSION, "kind": "Gateway", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "gatewayClassName": "syncgate",
            "addresses": [{"type": "IPAddress", "value": address.to_string()}],
            "listeners": all,
        },
    })
}

/// An HTTP listener.
#[must_use]
pub fn http(name: &str, port: u16) -> Value {
    json!({"name": name, "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}})
}

/// An HTTPS listener named `https` for one host.
#[must_use]
pub fn https(port: u16, host: &str, secret: &str) -> Value {
    json!({
        "name": "https", "port": port, "protocol": "HTTPS", "hostname": host,
        "tls": {"certificateRefs": [{"name": secret}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    })
}

/// A route of these Gateways for one host.
#[must_use]
pub fn route(namespace: &str, name: &str, host: &str, gateways: &[&str], rules: &[Value]) -> Value {
    let parents: Vec<Value> = gateways.iter().map(|gateway| json!({"name": gateway, "namespace": NAMESPACE})).collect();
    json!({
        "apiVersion": VERSION, "kind": "HTTPRoute", "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": parents, "hostnames": [host], "rules": rules},
    })
}

/// The same route, attached to the listeners of this name only.
#[must_use]
pub fn on_listener(mut route: Value, listener: &str) -> Value {
    for parent in route["spec"]["parentRefs"].as_array_mut().into_iter().flatten() {
        parent["sectionName"] = listener.into();
    }
    route
}

/// A rule that sends everything to a Service of another namespace.
#[must_use]
pub fn rule_into(namespace: &str, service: &str) -> Value {
    json!({"backendRefs": [{"name": service, "namespace": namespace, "port": BACKEND_PORT}]})
}

/// Lets the routes of one namespace lead to the Services of another.
#[must_use]
pub fn grant(namespace: &str, from: &str) -> Value {
    json!({
        "apiVersion": VERSION, "kind": "ReferenceGrant", "metadata": {"name": format!("from-{from}"), "namespace": namespace},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": from}],
            "to": [{"group": "", "kind": "Service"}],
        },
    })
}
