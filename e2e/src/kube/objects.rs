//! Objects as the API server takes them: small, but whole enough to pass its validation. Namespaces, Gateways and routes of `manifests`
//! pass it as well.

use std::net::IpAddr;

use serde_json::{Value, json};

/// The node that pods are on. No such Node exists, and none is needed.
pub const NODE: &str = "node-0";
const RBAC: &str = "rbac.authorization.k8s.io";
const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// A namespace with labels.
#[must_use]
pub fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A rule of a role: what may be done with which kinds, given as `group/plural` (`/pods` is of the core group).
#[must_use]
pub fn rule(verbs: &[&str], resources: &[&str]) -> Value {
    let (groups, plurals): (Vec<&str>, Vec<&str>) =
        resources.iter().map(|resource| resource.split_once('/').unwrap_or(("", resource))).unzip();
    json!({"verbs": verbs, "apiGroups": groups, "resources": plurals})
}

/// The same for objects of these names only.
#[must_use]
pub fn rule_for_names(verbs: &[&str], resources: &[&str], names: &[&str]) -> Value {
    let mut rule = rule(verbs, resources);
    rule["resourceNames"] = json!(names);
    rule
}

/// Rights in one namespace.
#[must_use]
pub fn role(namespace: &str, name: &str, rules: &[Value]) -> Value {
    json!({"apiVersion": RBAC_VERSION, "kind": "Role", "metadata": {"namespace": namespace, "name": name}, "rules": rules})
}

/// Gives users the rights of a Role of the same name.
#[must_use]
pub fn role_binding(namespace: &str, role: &str, users: &[&str]) -> Value {
    binding("RoleBinding", json!({"namespace": namespace, "name": role}), "Role", role, users)
}

/// Gives users the rights of a ClusterRole of the same name in one namespace only.
#[must_use]
pub fn cluster_role_bound_in(namespace: &str, role: &str, users: &[&str]) -> Value {
    binding("RoleBinding", json!({"namespace": namespace, "name": role}), "ClusterRole", role, users)
}

/// Rights everywhere.
#[must_use]
pub fn cluster_role(name: &str, rules: &[Value]) -> Value {
    json!({"apiVersion": RBAC_VERSION, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

/// Gives users the rights of a ClusterRole of the same name everywhere.
#[must_use]
pub fn cluster_role_binding(role: &str, users: &[&str]) -> Value {
    binding("ClusterRoleBinding", json!({"name": role}), "ClusterRole", role, users)
}

fn binding(kind: &str, metadata: Value, role_kind: &str, role: &str, users: &[&str]) -> Value {
    let subjects: Vec<Value> =
        users.iter().map(|user| json!({"apiGroup": RBAC, "kind": "User", "name": user})).collect();
    json!({
        "apiVersion": RBAC_VERSION, "kind": kind, "metadata": metadata, "subjects": subjects,
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
    })
}

/// A Service on `port` that selects the pods labelled `app: <name>` and leads to their port `http`.
#[must_use]
pub fn service(namespace: &str, name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
    })
}

/// A pod labelled `app: <app>` with a port `http`, and the status of a ready one. `Api::create_with_status` writes both.
#[must_use]
pub fn pod(namespace: &str, name: &str, app: &str, ip: IpAddr, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": app}},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": port}]}],
        },
        "status": ready(ip),
    })
}

/// The status of a ready pod.
#[must_use]
pub fn ready(ip: IpAddr) -> Value {
    status(ip, "Running", "True")
}

/// The status of a running pod that is not ready.
#[must_use]
pub fn unready(ip: IpAddr) -> Value {
    status(ip, "Running", "False")
}

fn status(ip: IpAddr, phase: &str, ready: &str) -> Value {
    let ip = ip.to_string();
    json!({
        "phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}],
        "conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Initialized", "status": "True"},
            {"type": "ContainersReady", "status": ready}, {"type": "Ready", "status": ready},
        ],
    })
}
