//! Which endpoints a hand-written EndpointSlice holds.

use std::sync::Arc;

use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{EndpointSlice, ObjectKey, Protocol, Service};

use super::{Address, Endpoint, MemberKey, Source, ports};

/// Transform: an EndpointSlice → its endpoints for each port of the Service that its label names, matched by the port's
/// name. It counts beside the pods of a Service that has a selector too.
pub(super) fn members(
    key: &ObjectKey,
    slice: &Arc<EndpointSlice>,
    services: Lens<'_, Rows<ObjectKey, Service>>,
    out: &mut Out<MemberKey, Endpoint>,
) -> Result<(), Stop> {
    let Some(name) = &slice.service else { return Ok(()) };
    let service_key = ObjectKey::new(key.namespace.clone(), name.clone());
    let Some(service) = services.get(&service_key)? else { return Ok(()) };
    for (cluster, service_port) in ports::usable(&service_key, &service) {
        let mut numbers = slice
            .ports
            .iter()
            .filter(|port| port.name == service_port.name && port.protocol == Protocol::Tcp)
            .filter_map(|port| port.port.filter(|number| *number != 0));
        let Some(port) = numbers.next() else { continue };
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready && !endpoint.terminating) {
            let Some(ip) = endpoint.addresses.first() else { continue };
            let source = Source::Slice(key.name.clone());
            let member = MemberKey { cluster: cluster.clone(), address: Address { ip: *ip, port }, source };
            out.put(member, Endpoint { zone: endpoint.zone.clone().unwrap_or_default(), additional: None });
        }
    }
    Ok(())
}
