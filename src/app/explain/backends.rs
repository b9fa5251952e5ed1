//! Pods, Services and EndpointSlices: who is an endpoint of what, and who is none for which reason.
//!
//! Invariant: every verdict comes from `translate::endpoints::judge`, which the transforms ask too, so what is
//! explained is what is done.

use crate::{
    app::pipeline::Pipeline,
    model::{EndpointSlice, Kind, Labels, ObjectKey, ObjectRef, Pod, Protocol, Service, ServicePort, ServiceType},
    translate::{
        endpoints::{
            judge::{self, NotEndpoint},
            usable_ports,
        },
        keys::ClusterKey,
    },
};

use super::{
    lines::{self, list},
    references,
};

/// What a pod is an endpoint of.
pub(super) fn pod(out: &mut String, pipeline: &Pipeline, key: &ObjectKey, pod: &Pod) {
    let services = in_namespace(pipeline, key);
    let selecting = services.filter(|(_, service)| judge::selects(service, pod) != Err(NotEndpoint::NotSelected));
    let entries = selecting.flat_map(|(service_key, service)| {
        let verdicts: Vec<String> = usable_ports(service_key, service)
            .map(|(cluster, port)| verdict(pipeline, &cluster, of_pod(service, port, pod)))
            .collect();
        match verdicts.is_empty() {
            true => vec![format!("Service {service_key}: none of its ports can be routed to")],
            false => verdicts,
        }
    });
    let none = format!("no Service in namespace {} selects it by its labels ({})", key.namespace, labels(&pod.labels));
    list(out, "Services that select it", &none, entries);
}

/// What a Service's ports lead to, and which routes refer to it.
pub(super) fn service(out: &mut String, pipeline: &Pipeline, key: &ObjectKey, service: &Service) {
    let unusable = service.ports.iter().filter_map(|port| {
        let protocol = match &port.protocol {
            Protocol::Tcp => return None,
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
            Protocol::Unknown(protocol) => protocol,
        };
        Some(format!("no cluster for port {}: {protocol} does not carry HTTP", port.port))
    });
    let clusters = usable_ports(key, service).map(|(cluster, port)| {
        let pods = endpoints_of_pods(pipeline, key, service, port);
        let slices = endpoints_of_slices(pipeline, key, port);
        let unled = unless_led(pipeline, &cluster);
        format!("{cluster}: {pods} endpoints from pods, {slices} from EndpointSlices{unled}")
    });
    lines::unavailable(out, service.unavailable.as_ref());
    let none = match &service.kind {
        _ if service.unavailable.is_some() => "no cluster: its ports are not known".to_owned(),
        ServiceType::ExternalName(host) => {
            format!("no cluster: it is an ExternalName ({host}), not a set of endpoints")
        }
        ServiceType::Cluster => "no cluster: it has no ports".to_owned(),
    };
    list(out, "clusters", &none, clusters.chain(unusable));
    if service.unavailable.is_none() {
        pods_left_out(out, pipeline, key, service);
    }
    references::referrers(out, pipeline, &ObjectRef::new(Kind::Service, key.clone()));
}

/// The selected pods that are no endpoints, each with the reason.
fn pods_left_out(out: &mut String, pipeline: &Pipeline, key: &ObjectKey, service: &Service) {
    let Some(selector) = &service.selector else {
        out.push_str("\nit has no selector: its endpoints are those of EndpointSlices written by hand\n");
        return;
    };
    let ports: Vec<_> = usable_ports(key, service).collect();
    let mut selected = 0_usize;
    let mut left_out = Vec::new();
    for (pod_key, pod) in pods_of(pipeline, key, service) {
        selected += 1;
        let mut reasons = ports.iter().filter_map(|(_, port)| of_pod(service, port, pod).err()).collect::<Vec<_>>();
        reasons.dedup();
        left_out.extend(reasons.into_iter().map(|reason| format!("Pod {pod_key}: no endpoint, because {reason}")));
    }
    let none = match selected {
        0 => format!("no pod in namespace {} has the labels of its selector ({})", key.namespace, labels(selector)),
        _ => format!("every pod that it selects is an endpoint ({selected})"),
    };
    list(out, "pods that it selects and that are no endpoints", &none, left_out);
}

/// What an EndpointSlice's entries are endpoints of.
pub(super) fn slice(out: &mut String, pipeline: &Pipeline, key: &ObjectKey, slice: &EndpointSlice) {
    let Some(name) = &slice.service else {
        out.push_str("\nno effect: it has no label kubernetes.io/service-name\n");
        return;
    };
    let service_key = ObjectKey::new(key.namespace.clone(), name.clone());
    let Some(service) = pipeline.graph.get(pipeline.inputs.services, &service_key) else {
        out.push_str(&format!("\nno effect: its Service {service_key} does not exist\n"));
        return;
    };
    let entries =
        usable_ports(&service_key, &service).flat_map(|(cluster, port)| match judge::slice_port(port, slice) {
            Err(reason) => vec![verdict(pipeline, &cluster, Err(reason))],
            Ok(number) => slice
                .endpoints
                .iter()
                .map(|entry| judge::slice_address(entry).map(|ip| format!("{ip} port {number}")))
                .map(|endpoint| verdict(pipeline, &cluster, endpoint))
                .collect(),
        });
    list(out, "what its entries are", &format!("Service {service_key} has no port that can be routed to"), entries);
}

fn verdict(pipeline: &Pipeline, cluster: &ClusterKey, endpoint: Result<String, NotEndpoint>) -> String {
    match endpoint {
        Ok(address) => format!("{cluster}: endpoint at {address}{}", unless_led(pipeline, cluster)),
        Err(reason) => format!("{cluster}: no endpoint, because {reason}"),
    }
}

/// What is said of a cluster that is not made, since nobody would use it.
fn unless_led(pipeline: &Pipeline, cluster: &ClusterKey) -> &'static str {
    match pipeline.graph.get(pipeline.outputs.assignments, cluster) {
        Some(_) => "",
        None => ", once a route of a Gateway of syncgate's leads there; no Envoy is told of it until then",
    }
}

/// The address at which the pod is an endpoint of the port, as the transform decides it.
fn of_pod(service: &Service, port: &ServicePort, pod: &Pod) -> Result<String, NotEndpoint> {
    judge::exists(pod)?;
    judge::selects(service, pod)?;
    let addresses = judge::addresses(service, pod)?;
    Ok(format!("{} port {}", addresses.primary, judge::target_port(port, pod)?))
}

fn endpoints_of_pods(pipeline: &Pipeline, key: &ObjectKey, service: &Service, port: &ServicePort) -> usize {
    pods_of(pipeline, key, service).filter(|(_, pod)| of_pod(service, port, pod).is_ok()).count()
}

fn endpoints_of_slices(pipeline: &Pipeline, key: &ObjectKey, port: &ServicePort) -> usize {
    let slices = pipeline.graph.iter(pipeline.inputs.slices);
    slices
        .filter(|(slice, value)| slice.namespace == key.namespace && value.service.as_ref() == Some(&key.name))
        .filter(|(_, slice)| judge::slice_port(port, slice).is_ok())
        .map(|(_, slice)| slice.endpoints.iter().filter(|entry| judge::slice_address(entry).is_ok()).count())
        .sum()
}

/// The pods that a Service selects, endpoints or not.
fn pods_of<'a>(
    pipeline: &'a Pipeline,
    key: &'a ObjectKey,
    service: &'a Service,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Pod)> {
    let mut pods: Vec<(&ObjectKey, &Pod)> = pipeline
        .graph
        .iter(pipeline.inputs.pods)
        .filter(|(pod, _)| pod.namespace == key.namespace)
        .map(|(key, pod)| (key, &**pod))
        .filter(|(_, pod)| judge::selects(service, pod) != Err(NotEndpoint::NotSelected))
        .collect();
    pods.sort_unstable_by_key(|(key, _)| *key);
    pods.into_iter()
}

/// The Services of the key's namespace, by name.
fn in_namespace<'a>(pipeline: &'a Pipeline, key: &'a ObjectKey) -> impl Iterator<Item = (&'a ObjectKey, &'a Service)> {
    let services = pipeline.graph.iter(pipeline.inputs.services);
    let mut services: Vec<(&ObjectKey, &Service)> = services
        .filter(|(service, _)| service.namespace == key.namespace)
        .map(|(key, service)| (key, &**service))
        .collect();
    services.sort_unstable_by_key(|(key, _)| *key);
    services.into_iter()
}

fn labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}
