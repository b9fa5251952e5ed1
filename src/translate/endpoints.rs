//! Where requests can go: Services, Pods and hand-written EndpointSlices → clusters and load assignments.
//!
//! ```text
//!                                 led ports ─┬─► clusters
//!  services ─(by one selector pair)─┐    │   │
//!  pods ────────────────────────────┴► members ─► load assignments
//!  slices ─(service by name)─► slice members ┘
//! ```
//!
//! Endpoints come from the pods themselves, by the rules of Kubernetes' endpoint-slice controller (F25 to F28):
//!
//! | Case | Here |
//! |---|---|
//! | pod `Failed` or `Succeeded`, or without an IP | no endpoint, whatever else it says |
//! | pod terminating or not ready | no endpoint, unless the Service says `publishNotReadyAddresses` |
//! | several pod IPs (dual stack) | one endpoint at the first; the first of the other family is its additional address, which Envoy tries when the first does not answer, so a dual-stack pod gets no double share |
//! | `ipFamilies` of the Service | addresses of the families that it names; a pod that has none of them is no endpoint |
//! | host network | the pod's IP is the node's: an endpoint like any other |
//! | target port by name | each pod's own TCP port of this name; a pod without it is no endpoint of that port |
//! | no selector | nothing from pods; hand-written EndpointSlices count, beside a selector too |
//! | ExternalName | no ports, so no cluster |
//! | headless | like any other Service |
//! | UDP and SCTP ports | not routable over HTTP: no cluster |
//! | no endpoint at all | an empty load assignment, present (rule 30) |
//!
//! An endpoint that is not ready is left out rather than sent as `UNHEALTHY`: Envoy routes to unhealthy hosts when too
//! many of them are (its panic threshold), and a pod that is not ready is not to be routed to.
//!
//! Invariant: a load assignment is a function of the endpoints it holds, so a change of a pod or a Service that moves
//! no endpoint changes no row (F31). A cluster and its load assignment are made once and shared by all Gateways.
//!
//! Only ports that something leads to have any of it ([`led`](super::led)). Must not know: routes and Gateways.

mod assignment;
mod claims;
pub mod judge;
mod pods;
mod ports;
mod slices;

use std::net::IpAddr;

use arcstr::ArcStr;

use crate::graph::{GraphBuilder, Input, Rows};
use crate::model::{EndpointSlice, ObjectKey, Pod, Service};
use crate::resource::Resource;

use super::clusters;
use super::keys::{AppProtocol, ClusterKey};
use super::led::Led;
use assignment::LoadAssignment;
pub use assignment::has_endpoints;
pub use ports::{PortFacts, usable as usable_ports};

/// What this stage derives, all by the same key.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints {
    /// For each Service port that is led to its cluster.
    pub clusters: Rows<ClusterKey, Resource>,
    /// For each of them its load assignment, with zero endpoints too.
    pub assignments: Rows<ClusterKey, Resource>,
}

/// Draws the node from Services to each port that a route can name.
pub fn ports(graph: &mut GraphBuilder, services: Input<ObjectKey, Service>) -> Rows<ClusterKey, PortFacts> {
    graph.derive("service ports", services).rows(ports::of_service)
}

/// Draws the nodes from Services, Pods and EndpointSlices to the clusters and load assignments of the ports in `led`.
pub fn build(
    graph: &mut GraphBuilder,
    services: Input<ObjectKey, Service>,
    pods: Input<ObjectKey, Pod>,
    slices: Input<ObjectKey, EndpointSlice>,
    led: Rows<ClusterKey, Led>,
) -> Endpoints {
    let selected = graph.index("services by selector", services, pods::first_selector_pair);
    let members = graph.derive("pod members", pods).reading(selected).reading(led.present()).rows(pods::members);
    let slice_members =
        graph.derive("slice members", slices).reading(services).reading(led.present()).rows(slices::members);
    let assignments = graph
        .fold::<LoadAssignment, _>("load assignments")
        .from(led, |key, _| key.clone())
        .from(members, |member, _| member.cluster())
        .from(slice_members, |member, _| member.cluster())
        .rows();
    let clusters = graph.derive("clusters", led).rows(clusters::of_port);
    Endpoints { clusters, assignments }
}

/// One claim to be an endpoint of a cluster.
///
/// There are as many of them as there are pods, so its fields lie side by side: the parts that it is made of would have
/// gaps between them. The order is that of cluster, address and source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MemberKey {
    service: ObjectKey,
    service_port: u16,
    protocol: AppProtocol,
    ip: IpAddr,
    port: u16,
    origin: Origin,
    name: ArcStr,
}

impl MemberKey {
    pub(crate) fn new(cluster: ClusterKey, address: Address, source: Source) -> Self {
        let ClusterKey { service, port: service_port, protocol } = cluster;
        let Address { ip, port } = address;
        let Source { origin, name } = source;
        Self { service, service_port, protocol, ip, port, origin, name }
    }

    /// What it is an endpoint of.
    pub(crate) fn cluster(&self) -> ClusterKey {
        ClusterKey::new(self.service.clone(), self.service_port, self.protocol)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Address {
        Address { ip: self.ip, port: self.port }
    }

    /// Who says so.
    pub(crate) fn source(&self) -> Source {
        Source { origin: self.origin, name: self.name.clone() }
    }
}

/// Where an endpoint listens. Two claims to one address in one cluster are one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
}

/// Who says that there is an endpoint. Of several claims to one address the first in this order counts: a pod's
/// before a slice's, then by name. The namespace is the Service's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) origin: Origin,
    pub(crate) name: ArcStr,
}

/// What says that there is an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// A Pod.
    Pod,
    /// An EndpointSlice.
    Slice,
}

impl Source {
    /// Not after any other: names are not empty.
    pub(crate) const FIRST: Source = Source { origin: Origin::Pod, name: ArcStr::new() };

    /// The Pod of this name.
    pub(crate) fn pod(name: ArcStr) -> Self {
        Self { origin: Origin::Pod, name }
    }

    /// The EndpointSlice of this name.
    pub(crate) fn slice(name: ArcStr) -> Self {
        Self { origin: Origin::Slice, name }
    }
}

/// What else is known of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    /// The zone; empty when unknown.
    pub(crate) zone: ArcStr,
    /// The address of the other family, of a dual-stack pod. Few have one, so it is kept elsewhere.
    pub(crate) additional: Option<Box<IpAddr>>,
}

#[cfg(test)]
mod tests;
