//! Both sides in one form: for each cluster the pods behind it, each with all its addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::objects;
use crate::ads::Assignments;

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// One pod as one port of a Service means it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    addresses: BTreeSet<SocketAddr>,
    zone: String,
}

/// The endpoints of each cluster.
pub(super) type Clusters = BTreeMap<String, BTreeSet<Endpoint>>;

/// What syncgate serves: an address and its additional ones are one endpoint.
pub(super) fn by_syncgate(assignments: &Assignments) -> Clusters {
    let clusters = assignments.iter().map(|(cluster, endpoints)| {
        let endpoints = endpoints.iter().map(|endpoint| Endpoint {
            addresses: endpoint.additional.iter().chain([&endpoint.address]).copied().collect(),
            zone: endpoint.zone.clone(),
        });
        (cluster.clone(), endpoints.collect())
    });
    clusters.collect()
}

/// What the controller's slices mean for a gateway that serves as syncgate documents it. This is where the two may differ:
///
/// - Only TCP ports are clusters: nothing else carries HTTP.
/// - An endpoint is served while it is `ready`. What is `serving` but terminating is not, as for kube-proxy while others are ready.
/// - The controller has a slice for each family, syncgate one endpoint with an additional address: the entries of one pod are one endpoint.
/// - Pods that share addresses (host network) and a port are one endpoint of syncgate's.
/// - A Service whose selector went away keeps the slices that it had, because the controller does not look at it any more; syncgate knows
///   of no pod that it selects. The same goes for one that became an `ExternalName`, which is no cluster at all.
///
/// The zone is the pod's label for syncgate and the Node's for the controller; the pods of this test have their Node's.
pub(super) fn by_controller(services: &Value, slices: &Value) -> Result<Clusters> {
    let mut clusters = Clusters::new();
    for service in items(services) {
        let metadata = &service["metadata"];
        let (namespace, name) = (text(metadata, "namespace"), text(metadata, "name"));
        if !objects::NAMESPACES.contains(&namespace) || service["spec"]["type"] == "ExternalName" {
            continue;
        }
        let selects = service["spec"]["selector"].is_object();
        let own: Vec<&Value> = items(slices).filter(|slice| selects && is_of(slice, namespace, name)).collect();
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            if port["protocol"] != "TCP" {
                continue;
            }
            let protocol = if port["appProtocol"] == "kubernetes.io/h2c" { "h2c" } else { "http" };
            let cluster = format!("service/{namespace}/{name}/{}/{protocol}", port["port"]);
            let endpoints = of_port(&own, text(port, "name")).with_context(|| cluster.clone())?;
            clusters.insert(cluster, endpoints);
        }
    }
    Ok(clusters)
}

fn is_of(slice: &Value, namespace: &str, service: &str) -> bool {
    let metadata = &slice["metadata"];
    let label = |name: &str| text(&metadata["labels"], name);
    text(metadata, "namespace") == namespace && label(SERVICE_NAME) == service && label(MANAGED_BY) == CONTROLLER
}

/// The ready endpoints of the port of this name.
fn of_port(slices: &[&Value], name: &str) -> Result<BTreeSet<Endpoint>> {
    let mut pods: BTreeMap<&str, Endpoint> = BTreeMap::new();
    for slice in slices {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let Some(port) = ports.find(|port| text(port, "name") == name && port["protocol"] == "TCP") else { continue };
        let port = u16::try_from(port["port"].as_u64().context("a port without a number")?)?;
        for entry in slice["endpoints"].as_array().into_iter().flatten() {
            if entry["conditions"]["ready"] != true {
                continue;
            }
            let zone = text(entry, "zone").to_owned();
            let nothing = Endpoint { addresses: BTreeSet::new(), zone };
            let endpoint = pods.entry(text(&entry["targetRef"], "uid")).or_insert(nothing);
            for address in entry["addresses"].as_array().into_iter().flatten() {
                let ip: IpAddr = address.as_str().context("an address that is no text")?.parse()?;
                endpoint.addresses.insert((ip, port).into());
            }
        }
    }
    Ok(pods.into_values().collect())
}

/// Where they differ, with the Services and the pods that it is about.
pub(super) fn difference(wanted: &Clusters, served: &Clusters, services: &Value, pods: &Value) -> String {
    let mut text = String::new();
    let names: BTreeSet<&String> = wanted.keys().chain(served.keys()).collect();
    for cluster in names.into_iter().filter(|name| wanted.get(*name) != served.get(*name)) {
        let (Some(by_controller), Some(by_syncgate)) = (wanted.get(cluster), served.get(cluster)) else {
            let whose = if wanted.contains_key(cluster) { "missing in syncgate" } else { "only in syncgate" };
            text += &format!("{cluster}: {whose}\n");
            continue;
        };
        let only_controller: Vec<&Endpoint> = by_controller.difference(by_syncgate).collect();
        let only_syncgate: Vec<&Endpoint> = by_syncgate.difference(by_controller).collect();
        text +=
            &format!("{cluster}:\n  only in the slices: {only_controller:?}\n  only in syncgate: {only_syncgate:?}\n");
        let both = only_controller.iter().chain(&only_syncgate);
        let addresses: BTreeSet<IpAddr> = both.flat_map(|found| &found.addresses).map(SocketAddr::ip).collect();
        text += &service_in_short(cluster, services);
        for pod in items(pods).filter(|pod| has_one_of(pod, &addresses)) {
            text += &format!("  {}\n", pod_in_short(pod));
        }
    }
    text
}

fn service_in_short(cluster: &str, services: &Value) -> String {
    let is_it = |service: &&Value| {
        let metadata = &service["metadata"];
        cluster.starts_with(&format!("service/{}/{}/", text(metadata, "namespace"), text(metadata, "name")))
    };
    items(services).find(is_it).map(|service| format!("  Service {}\n", service["spec"])).unwrap_or_default()
}

fn has_one_of(pod: &Value, addresses: &BTreeSet<IpAddr>) -> bool {
    let mut ips = pod["status"]["podIPs"].as_array().into_iter().flatten();
    ips.any(|ip| text(ip, "ip").parse().is_ok_and(|ip| addresses.contains(&ip)))
}

fn pod_in_short(pod: &Value) -> Value {
    let ports = |list: &str| -> Value {
        pod["spec"][list].as_array().into_iter().flatten().map(|container| container["ports"].clone()).collect()
    };
    let (metadata, status) = (&pod["metadata"], &pod["status"]);
    json!({
        "namespace": metadata["namespace"], "name": metadata["name"], "labels": metadata["labels"],
        "deletionTimestamp": metadata["deletionTimestamp"], "node": pod["spec"]["nodeName"],
        "ports": ports("containers"), "initPorts": ports("initContainers"),
        "phase": status["phase"], "podIPs": status["podIPs"], "conditions": status["conditions"],
    })
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}
