//! Which endpoints a pod is.

use std::net::IpAddr;
use std::sync::Arc;

use arcstr::ArcStr;

use crate::graph::{Index, Lens, Out, Stop};
use crate::model::{ObjectKey, Pod, Protocol, Service, TargetPort};

use super::{Address, Endpoint, MemberKey, Source, ports};

/// One pair of a Service's selector in the Service's namespace. Each Service is filed under one pair only, and each pod
/// looks its own pairs up: filing the pods under theirs would cost memory for each pair of each pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SelectorPair {
    namespace: ArcStr,
    label: ArcStr,
    value: ArcStr,
}

/// Index keys of a Service: the first pair of its selector.
pub(super) fn first_selector_pair(key: &ObjectKey, service: &Service, out: &mut Vec<SelectorPair>) {
    let first = service.selector.as_ref().and_then(|selector| selector.iter().next());
    out.extend(first.map(|(label, value)| SelectorPair {
        namespace: key.namespace.clone(),
        label: label.clone(),
        value: value.clone(),
    }));
}

/// Transform: a pod → an endpoint of each port of each Service that selects it.
pub(super) fn members(
    key: &ObjectKey,
    pod: &Arc<Pod>,
    selected: Lens<'_, Index<SelectorPair, ObjectKey, Service>>,
    out: &mut Out<MemberKey, Endpoint>,
) -> Result<(), Stop> {
    let Some((ip, additional)) = addresses(pod) else { return Ok(()) };
    for (label, value) in pod.labels.iter() {
        let pair = SelectorPair { namespace: key.namespace.clone(), label: label.clone(), value: value.clone() };
        for (service_key, service) in selected.of(&pair)? {
            if !selects(&service, pod) {
                continue;
            }
            for (cluster, port) in ports::usable(&service_key, &service) {
                let Some(port) = target_port(&port.target, pod) else { continue };
                let source = Source::Pod(key.name.clone());
                let member = MemberKey { cluster, address: Address { ip, port }, source };
                out.put(member, Endpoint { zone: pod.zone.clone().unwrap_or_default(), additional });
            }
        }
    }
    Ok(())
}

/// Whether traffic of the Service may go to the pod now.
fn selects(service: &Service, pod: &Pod) -> bool {
    let ready = service.publish_not_ready || (pod.ready && !pod.terminating);
    ready && service.selector.as_ref().is_some_and(|selector| pod.labels.contains_all(selector))
}

/// The pod's own address, and the first of the other family; `None` for a pod that is never an endpoint.
fn addresses(pod: &Pod) -> Option<(IpAddr, Option<IpAddr>)> {
    let first = *pod.ips.first().filter(|_| !pod.finished)?;
    Some((first, pod.ips.iter().copied().find(|ip| ip.is_ipv4() != first.is_ipv4())))
}

/// The container port that the target means in this pod. Only TCP ports have an answer to a TCP port's name.
fn target_port(target: &TargetPort, pod: &Pod) -> Option<u16> {
    let number = match target {
        TargetPort::Number(number) => *number,
        TargetPort::Name(name) => {
            pod.named_ports.iter().find(|port| port.name == *name && port.protocol == Protocol::Tcp)?.port
        }
    };
    Some(number).filter(|port| *port != 0)
}
