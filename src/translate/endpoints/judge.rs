//! Whether a pod, or an entry of an EndpointSlice, is an endpoint of a Service port, and if not, why not. The transforms
//! and `explain` ask here, so that what is explained is what is done (invariant `explained`).

use std::net::IpAddr;

use arcstr::ArcStr;

use crate::model::{EndpointSlice, Pod, Protocol, Service, ServicePort, SliceEndpoint, TargetPort};

/// Why something is no endpoint of a Service port. The text goes on from "no endpoint, because".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEndpoint {
    /// `status.phase` is `Failed` or `Succeeded`.
    #[error("the pod has finished")]
    Finished,
    /// No (usable) address.
    #[error("it has no IP address")]
    NoAddress,
    /// None of its addresses is of a family that the Service names.
    #[error("it has no IP address of the Service's family")]
    OtherFamily,
    /// The Service's selector does not match the pod's labels, or there is no selector.
    #[error("the Service does not select it")]
    NotSelected,
    /// `deletionTimestamp` is set, or the condition `terminating`.
    #[error("it is terminating")]
    Terminating,
    /// The condition `Ready` is not true.
    #[error("it is not ready")]
    NotReady,
    /// The Service's `targetPort` is a name that no container gives to a TCP port.
    #[error("the pod has no TCP port named {0}")]
    NoPortNamed(ArcStr),
    /// The slice has no TCP port with a number and the name of the Service's port.
    #[error("the EndpointSlice has no TCP port with a number and the name {0:?}, as the Service's port has")]
    NoSlicePort(ArcStr),
}

/// Where a pod can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The first of the pod's addresses that the Service's families contain.
    pub primary: IpAddr,
    /// The first such one of the other family.
    pub additional: Option<IpAddr>,
}

/// Whether a pod can be an endpoint of some Service.
///
/// # Errors
/// Why it is none of any Service.
pub fn exists(pod: &Pod) -> Result<(), NotEndpoint> {
    if pod.finished {
        Err(NotEndpoint::Finished)
    } else if pod.ips.is_empty() {
        Err(NotEndpoint::NoAddress)
    } else {
        Ok(())
    }
}

/// The addresses of such a pod that a Service can have as an endpoint.
///
/// # Errors
/// When the pod has none of the Service's families.
pub fn addresses(service: &Service, pod: &Pod) -> Result<Addresses, NotEndpoint> {
    let mut usable = pod.ips.iter().filter(|ip| service.families.contains(*ip));
    let primary = usable.next().ok_or(NotEndpoint::OtherFamily)?;
    Ok(Addresses { primary, additional: usable.find(|ip| ip.is_ipv4() != primary.is_ipv4()) })
}

/// Whether the Service selects the pod and its traffic may go there now.
///
/// # Errors
/// Why not.
pub fn selects(service: &Service, pod: &Pod) -> Result<(), NotEndpoint> {
    if !service.selector.as_ref().is_some_and(|selector| pod.labels.contains_all(selector)) {
        Err(NotEndpoint::NotSelected)
    } else if service.publish_not_ready {
        Ok(())
    } else if pod.terminating {
        Err(NotEndpoint::Terminating)
    } else if pod.ready {
        Ok(())
    } else {
        Err(NotEndpoint::NotReady)
    }
}

/// The container port that a Service port means in this pod. Only a TCP port answers to the name in a TCP port.
///
/// # Errors
/// When no container has a port of that name.
pub fn target_port(port: &ServicePort, pod: &Pod) -> Result<u16, NotEndpoint> {
    match &port.target {
        TargetPort::Number(number) => Ok(*number),
        TargetPort::Name(name) => {
            let mut named = pod.named_ports.iter().filter(|p| p.name == *name && p.protocol == Protocol::Tcp);
            named.next().map(|p| p.port).ok_or_else(|| NotEndpoint::NoPortNamed(name.clone()))
        }
    }
}

/// The port of a slice's endpoints that a Service port means: that of the same name.
///
/// # Errors
/// When the slice has none, or one without a number (all ports), which names no address.
pub fn slice_port(port: &ServicePort, slice: &EndpointSlice) -> Result<u16, NotEndpoint> {
    let named = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == Protocol::Tcp);
    named.filter_map(|p| p.port).next().ok_or_else(|| NotEndpoint::NoSlicePort(port.name.clone()))
}

/// The address of a slice's entry: the first, as the API says.
///
/// # Errors
/// Why the entry is no endpoint of any port.
pub fn slice_address(endpoint: &SliceEndpoint) -> Result<IpAddr, NotEndpoint> {
    if endpoint.terminating {
        Err(NotEndpoint::Terminating)
    } else if !endpoint.ready {
        Err(NotEndpoint::NotReady)
    } else {
        endpoint.addresses.first().copied().ok_or(NotEndpoint::NoAddress)
    }
}
