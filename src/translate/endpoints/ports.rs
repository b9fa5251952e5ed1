//! Which ports of a Service a route can name.

use std::sync::Arc;

use arcstr::ArcStr;

use crate::graph::{Out, Stop};
use crate::model::{ObjectKey, Protocol, Service, ServicePort, ServiceType};

use super::super::keys::{AppProtocol, ClusterKey};

/// A Service port that a route can name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortFacts {
    /// The port's name; empty for the one unnamed port.
    pub name: ArcStr,
    /// The port asks for TLS to its endpoints by its `appProtocol` (`https`, `kubernetes.io/wss`). Only a
    /// BackendTLSPolicy could say whom to trust, so no route is served by it.
    pub wants_tls: bool,
}

/// Transform: a Service → its usable ports.
pub(super) fn of_service(
    key: &ObjectKey,
    service: &Arc<Service>,
    out: &mut Out<ClusterKey, PortFacts>,
) -> Result<(), Stop> {
    for (cluster, port) in usable(key, service) {
        let wants_tls = matches!(port.app_protocol.as_deref(), Some("https" | "kubernetes.io/wss"));
        out.put(cluster, PortFacts { name: port.name.clone(), wants_tls });
    }
    Ok(())
}

/// The TCP ports of a Service that has endpoints of its own, with the key of each one's cluster. Of two ports with one
/// number, which the API server would refuse, the first counts.
pub fn usable<'a>(key: &'a ObjectKey, service: &'a Service) -> impl Iterator<Item = (ClusterKey, &'a ServicePort)> {
    let ports: &[ServicePort] = match service.kind {
        ServiceType::Cluster => &service.ports,
        ServiceType::ExternalName(_) => &[],
    };
    let is_usable = |port: &ServicePort| port.protocol == Protocol::Tcp && port.port != 0;
    let is_first = move |at: usize| ports[..at].iter().all(|p| p.port != ports[at].port || !is_usable(p));
    ports.iter().enumerate().filter(move |(at, port)| is_usable(port) && is_first(*at)).map(|(_, port)| {
        let protocol = AppProtocol::of(port.app_protocol.as_deref());
        (ClusterKey::new(key.clone(), port.port, protocol), port)
    })
}
