//! Random Services and Pods, as varied as the API server lets them be, and the fixed objects around them.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::manifests;
use crate::random::Random;

/// The Gateway that every Service port is routed from.
pub(super) const GATEWAY: &str = manifests::GATEWAY;
/// Their Services and pods have equal names and labels, and nothing to do with each other.
pub(super) const NAMESPACES: [&str; 2] = ["left", "right"];
/// Services of a namespace.
pub(super) const SERVICES: [&str; 7] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6"];
/// Numbers of the Services' ports.
const PORTS: [u16; 3] = [80, 81, 8080];
/// Names of containers' ports, which Services' target ports name.
const PORT_NAMES: [&str; 3] = ["http", "admin", "grpc"];
/// The first number of containers' ports; a Service may mean one by number, too.
const CONTAINER_PORT: usize = 8000;
const ZONE: &str = "topology.kubernetes.io/zone";

/// A node: its name, its zone if it has one, and its addresses, which pods in the host's network share.
type Node = (&'static str, Option<&'static str>, &'static [&'static str]);
const NODES: [Node; 3] = [
    ("node-0", Some("zone-a"), &["192.0.2.10", "fd00:1::10"]),
    ("node-1", Some("zone-b"), &["192.0.2.11"]),
    ("node-2", None, &["fd00:1::12", "192.0.2.12"]),
];

/// Everything that stays: nodes, because the controller passes over pods whose Node is unknown; the Gateway; and routes to every Service
/// port that there may ever be.
pub(super) fn fixed(gateway: IpAddr) -> Vec<Value> {
    let mut objects = vec![manifests::gateway_class(), manifests::namespace(manifests::NAMESPACE)];
    objects.extend(NODES.map(|(name, zone, _)| {
        let labels = zone.map_or_else(|| json!({}), |zone| json!({ZONE: zone}));
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    }));
    objects.extend(NAMESPACES.map(manifests::namespace));
    let mut gateway = manifests::gateway(gateway, &[manifests::HTTP_PORT]);
    gateway["spec"]["listeners"][0]["allowedRoutes"] = json!({"namespaces": {"from": "All"}});
    objects.push(gateway);
    objects.extend(NAMESPACES.iter().flat_map(|namespace| SERVICES.map(|service| route(namespace, service))));
    objects
}

fn route(namespace: &str, service: &str) -> Value {
    let rules = PORTS.map(|port| {
        json!({
            "matches": [{"path": {"type": "PathPrefix", "value": format!("/{port}")}}],
            "backendRefs": [{"name": service, "port": port}],
        })
    });
    let mut route = manifests::route(service, &format!("{service}.{namespace}.test"), &rules);
    route["metadata"]["namespace"] = namespace.into();
    route["spec"]["parentRefs"][0]["namespace"] = manifests::NAMESPACE.into();
    route
}

/// A Service.
pub(super) fn service(random: &mut Random, namespace: &str, name: &str) -> Value {
    let mut spec = json!({
        "selector": selector(random), "ports": service_ports(random), "publishNotReadyAddresses": random.once_in(4),
    });
    if random.once_in(4) {
        spec["clusterIP"] = "None".into();
    }
    if random.once_in(5) {
        spec["sessionAffinity"] = "ClientIP".into();
    }
    let (policy, families) = random.pick::<(&str, &[&str]), 6>([
        ("", &[]),
        ("", &[]),
        ("SingleStack", &["IPv6"]),
        ("RequireDualStack", &["IPv4", "IPv6"]),
        ("RequireDualStack", &["IPv6", "IPv4"]),
        ("PreferDualStack", &[]),
    ]);
    if !policy.is_empty() {
        spec["ipFamilyPolicy"] = policy.into();
    }
    if !families.is_empty() {
        spec["ipFamilies"] = json!(families);
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

/// A selector; sometimes none.
pub(super) fn selector(random: &mut Random) -> Value {
    let (app, tier) = (random.pick(["a", "b", "c"]), random.pick(["x", "y"]));
    match random.below(8) {
        0 => Value::Null,
        1 | 2 => json!({"app": app, "tier": tier}),
        3 => json!({"tier": tier}),
        _ => json!({"app": app}),
    }
}

/// One to three ports of a Service.
pub(super) fn service_ports(random: &mut Random) -> Value {
    let count = 1 + random.below(PORTS.len());
    let first = random.below(PORTS.len());
    let mut ports: Vec<Value> = (0..count).map(|at| service_port(random, PORTS[(first + at) % PORTS.len()])).collect();
    if random.once_in(6) {
        // The same number again: only the protocol tells them apart.
        let number = ports[0]["port"].clone();
        let protocol = if ports[0]["protocol"] == "UDP" { "TCP" } else { "UDP" };
        ports.push(json!({"name": "again", "port": number, "protocol": protocol, "targetPort": "http"}));
    } else if count == 1 && random.once_in(2) {
        ports[0]["name"] = Value::Null;
    }
    ports.into()
}

fn service_port(random: &mut Random, number: u16) -> Value {
    let mut port = json!({"name": format!("p{number}"), "port": number, "protocol": "TCP"});
    if random.once_in(8) {
        port["protocol"] = "UDP".into();
    }
    if random.once_in(8) {
        port["appProtocol"] = "kubernetes.io/h2c".into();
    }
    match random.below(5) {
        0 => {}
        1 => port["targetPort"] = (CONTAINER_PORT + random.below(3)).into(),
        _ => port["targetPort"] = random.pick(PORT_NAMES).into(),
    }
    port
}

/// A pod with its status; `address` is a number of which no other pod has addresses made.
pub(super) fn pod(random: &mut Random, namespace: &str, name: &str, address: u16) -> Value {
    let node = random.pick(NODES);
    let in_host_network = random.once_in(6);
    // Numbers differ from pod to pod, and within a pod: in the host's network they must.
    let mut number = CONTAINER_PORT + 10 * random.below(3);
    let containers = 1 + random.below(2);
    let containers: Vec<Value> = (0..containers).map(|at| container(random, &format!("c{at}"), &mut number)).collect();
    let mut spec = json!({"nodeName": node.0, "hostNetwork": in_host_network, "containers": containers});
    if random.once_in(3) {
        let mut first = container(random, "init", &mut number);
        if random.once_in(2) {
            // A sidecar: it goes on running.
            first["restartPolicy"] = "Always".into();
        }
        spec["initContainers"] = json!([first]);
    }
    let mut status = json!({"phase": "Running", "hostIP": node.2[0], "conditions": conditions(random)});
    status["hostIPs"] = node.2.iter().map(|ip| json!({"ip": ip})).collect();
    merge(&mut status, &addresses(random, in_host_network.then_some(node), address));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels(random, node.1)},
        "spec": spec, "status": status,
    })
}

fn container(random: &mut Random, name: &str, number: &mut usize) -> Value {
    let mut ports = Vec::new();
    for port in PORT_NAMES {
        if random.once_in(3) {
            continue;
        }
        let protocol = if random.once_in(8) { "UDP" } else { "TCP" };
        ports.push(json!({"name": port, "containerPort": *number, "protocol": protocol}));
        *number += 1;
    }
    json!({"name": name, "image": "image", "ports": ports})
}

/// Labels that some selectors match, with the Node's zone as the API server notes it when a pod is bound.
fn labels(random: &mut Random, zone: Option<&str>) -> Value {
    let mut labels = json!({});
    if !random.once_in(8) {
        labels["app"] = random.pick(["a", "b", "c"]).into();
    }
    if !random.once_in(4) {
        labels["tier"] = random.pick(["x", "y"]).into();
    }
    if let Some(zone) = zone {
        labels[ZONE] = zone.into();
    }
    labels
}

/// Other labels for a pod that keeps its zone.
pub(super) fn relabelled(random: &mut Random, pod: &Value) -> Value {
    labels(random, pod["metadata"]["labels"][ZONE].as_str())
}

/// Conditions of a pod that is ready in two of three cases.
pub(super) fn conditions(random: &mut Random) -> Value {
    let ready = random.pick(["True", "True", "True", "True", "False", "Unknown"]);
    json!([{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}])
}

/// Other addresses for a pod, or none yet.
pub(super) fn readdressed(random: &mut Random, pod: &Value, address: u16) -> Value {
    let is_its = |node: &&Node| pod["spec"]["nodeName"] == node.0;
    let node = NODES.iter().find(is_its).filter(|_| pod["spec"]["hostNetwork"] == true).copied();
    addresses(random, node, address)
}

fn addresses(random: &mut Random, host: Option<Node>, address: u16) -> Value {
    let v4 = format!("10.244.{}.{}", address / 250, 1 + address % 250);
    let v6 = format!("fd00::{address:x}");
    let drawn = random.below(7);
    let ips: Vec<String> = match (drawn, host) {
        (0, _) => Vec::new(),
        (_, Some((_, _, ips))) => ips.iter().map(|ip| (*ip).to_owned()).collect(),
        (1, None) => vec![v6],
        (2, None) => vec![v4, v6],
        (3, None) => vec![v6, v4],
        (_, None) => vec![v4],
    };
    let list: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"podIP": ips.first(), "podIPs": list})
}

fn merge(into: &mut Value, from: &Value) {
    for (field, value) in from.as_object().into_iter().flatten() {
        into[field.as_str()] = value.clone();
    }
}
