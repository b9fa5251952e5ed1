//! The load assignment of one Service port: a fold of its endpoints, encoded zone by zone.
//!
//! ```text
//!  ClusterLoadAssignment = cluster_name, endpoints of zone "", endpoints of zone "a", …
//! ```
//!
//! Invariant: zones and endpoints are sorted, and whether a load assignment is [`Chunks`] or one piece depends on the
//! number of its endpoints alone, so equal endpoints give equal bytes and versions whatever their history.

use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as envoy;

use crate::graph::{Fold, Member};
use crate::resource::{Chunks, Parts, PartsBuilder, Resource, ResourceType, encode};

use super::super::keys::ClusterKey;
use super::super::led::Led;
use super::claims::Claims;
use super::{Address, Endpoint, MemberKey};

/// With more claims than this, endpoints are kept encoded in chunks, so that a change costs one of them. Below it,
/// encoding all of them costs about as much as one chunk does (64 rows), and the many Services with few endpoints need
/// not hold their encoded rows twice.
pub(super) const CHUNKED_ABOVE: usize = 64;

/// `cluster_name` and `endpoints` of a ClusterLoadAssignment.
const CLUSTER_NAME: u32 = 1;
const ENDPOINTS: u32 = 2;
/// `locality` and `lb_endpoints` of a LocalityLbEndpoints.
const LOCALITY: u32 = 1;
const LB_ENDPOINTS: u32 = 2;

/// Endpoints by zone; endpoints without one have the empty zone.
type Zones<T> = BTreeMap<ArcStr, T>;

/// Everything that is claimed for one Service port.
#[derive(Debug, Default)]
pub(super) struct LoadAssignment {
    /// Whether the port is led to.
    exists: bool,
    /// All claims. Of several to one address the first is the endpoint, and the others wait for it to go.
    claims: Claims,
    /// The encoded endpoints while there are many claims.
    chunks: Option<Zones<Chunks<Address>>>,
}

impl Member<ClusterKey, Led> for LoadAssignment {
    fn put(&mut self, _: &ClusterKey, _: &Arc<Led>) {
        self.exists = true;
    }

    fn del(&mut self, _: &ClusterKey, _: &Arc<Led>) {
        self.exists = false;
    }
}

impl Member<MemberKey, Endpoint> for LoadAssignment {
    fn put(&mut self, member: &MemberKey, endpoint: &Arc<Endpoint>) {
        let address = member.address();
        self.change(address, |claims| claims.put(address, member.source(), endpoint.clone()));
    }

    fn del(&mut self, member: &MemberKey, _: &Arc<Endpoint>) {
        let address = member.address();
        self.change(address, |claims| claims.del(address, member.source()));
    }
}

impl Fold<ClusterKey> for LoadAssignment {
    type Row = Resource;

    fn row(&mut self, key: &ClusterKey) -> Option<Resource> {
        if !self.exists {
            return None;
        }
        let name = key.resource_name();
        let cluster_name = encode::bytes_field(CLUSTER_NAME, name.as_bytes());
        let body = match &mut self.chunks {
            Some(zones) => chunked(&cluster_name, zones),
            None => whole(&cluster_name, self.endpoints()),
        };
        Some(Resource::new(ResourceType::ClusterLoadAssignment, name, body, []))
    }
}

/// Whether an encoded load assignment holds more than its name.
pub fn has_endpoints(assignment: &Resource) -> bool {
    assignment.body.len() > encode::bytes_field(CLUSTER_NAME, assignment.name.as_bytes()).len()
}

impl LoadAssignment {
    /// Changes the claims to an address, and the encoded endpoint with them.
    fn change(&mut self, address: Address, change: impl FnOnce(&mut Claims)) {
        let before = self.claims.first(address).cloned();
        change(&mut self.claims);
        if self.claims.len() <= CHUNKED_ABOVE {
            self.chunks = None;
        } else if self.chunks.is_none() {
            self.chunks = Some(self.encode_zones());
        } else {
            let after = self.claims.first(address).cloned();
            self.replace(address, before, after);
        }
    }

    /// Replaces the encoded endpoint at this address.
    fn replace(&mut self, address: Address, before: Option<Arc<Endpoint>>, after: Option<Arc<Endpoint>>) {
        let Some(zones) = &mut self.chunks else { return };
        if before == after {
            return;
        }
        if let Some(before) = before
            && let Some(rows) = zones.get_mut(&before.zone)
        {
            rows.del(&address);
            if rows.is_empty() {
                zones.remove(&before.zone);
            }
        }
        if let Some(after) = after {
            zones.entry(after.zone.clone()).or_default().put(address, lb_endpoint(address, &after));
        }
    }

    fn encode_zones(&self) -> Zones<Chunks<Address>> {
        let mut zones = Zones::<Chunks<Address>>::new();
        for (address, endpoint) in self.endpoints() {
            zones.entry(endpoint.zone.clone()).or_default().put(address, lb_endpoint(address, endpoint));
        }
        zones
    }

    /// The endpoints in order: the first claim to each address.
    fn endpoints(&self) -> impl Iterator<Item = (Address, &Endpoint)> {
        let mut last = None;
        let first = self.claims.iter().filter(move |(address, _)| last.replace(*address) != Some(*address));
        first.map(|(address, endpoint)| (address, &**endpoint))
    }
}

/// A load assignment in one piece.
fn whole<'a>(cluster_name: &[u8], endpoints: impl Iterator<Item = (Address, &'a Endpoint)>) -> Parts {
    let mut zones = Zones::<Vec<u8>>::new();
    for (address, endpoint) in endpoints {
        let zone = zones.entry(endpoint.zone.clone()).or_insert_with(|| locality(&endpoint.zone));
        zone.extend_from_slice(&lb_endpoint(address, endpoint));
    }
    let mut body = cluster_name.to_vec();
    for zone in zones.values() {
        body.extend_from_slice(&encode::bytes_field(ENDPOINTS, zone));
    }
    // In its exact size: it lives long, and there are many.
    body.shrink_to_fit();
    Parts::leaf(body)
}

/// A load assignment of shared chunks.
fn chunked(cluster_name: &[u8], zones: &mut Zones<Chunks<Address>>) -> Parts {
    let mut body = PartsBuilder::new();
    body.put(cluster_name);
    for (zone, rows) in zones {
        let mut endpoints = PartsBuilder::new();
        endpoints.put(&locality(zone));
        endpoints.put_parts(rows.parts());
        body.put_nested(ENDPOINTS, endpoints.finish());
    }
    body.finish()
}

/// The field `locality`; nothing for the empty zone.
fn locality(zone: &ArcStr) -> Vec<u8> {
    if zone.is_empty() {
        return Vec::new();
    }
    let locality = core::Locality { zone: zone.to_string(), ..Default::default() };
    encode::message_field(LOCALITY, &locality).into()
}

/// One field `lb_endpoints`.
fn lb_endpoint(at: Address, endpoint: &Endpoint) -> bytes::Bytes {
    let additional = endpoint
        .additional
        .as_deref()
        .map(|&ip| envoy::endpoint::AdditionalAddress { address: Some(socket_address(Address { ip, port: at.port })) });
    let endpoint = envoy::Endpoint {
        address: Some(socket_address(at)),
        additional_addresses: additional.into_iter().collect(),
        ..Default::default()
    };
    let lb_endpoint = envoy::LbEndpoint {
        host_identifier: Some(envoy::lb_endpoint::HostIdentifier::Endpoint(endpoint)),
        ..Default::default()
    };
    encode::message_field(LB_ENDPOINTS, &lb_endpoint)
}

fn socket_address(at: Address) -> core::Address {
    let socket = core::SocketAddress {
        address: at.ip.to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(at.port.into())),
        ..Default::default()
    };
    core::Address { address: Some(core::address::Address::SocketAddress(socket)) }
}
