//! Which endpoints a hand-written EndpointSlice holds.

use std::sync::Arc;

use crate::graph::{Lens, Out, Present, Rows, Stop};
use crate::model::{EndpointSlice, ObjectKey, Service};

use super::super::keys::ClusterKey;
use super::super::led::Led;
use super::{Address, Endpoint, MemberKey, Source, judge, ports};

/// Transform: an EndpointSlice → its endpoints for each port of the Service that its label names, matched by the port's
/// name. It counts beside the pods of a Service that has a selector too.
pub(super) fn members(
    key: &ObjectKey,
    slice: &Arc<EndpointSlice>,
    services: Lens<'_, Rows<ObjectKey, Service>>,
    led: Lens<'_, Present<ClusterKey, Led>>,
    out: &mut Out<MemberKey, Endpoint>,
) -> Result<(), Stop> {
    let Some(name) = &slice.service else { return Ok(()) };
    let service_key = ObjectKey::new(key.namespace.clone(), name.clone());
    let Some(service) = services.get(&service_key)? else { return Ok(()) };
    for (cluster, port) in ports::usable(&service_key, &service) {
        if !led.has(&cluster) {
            continue;
        }
        let Ok(port) = judge::slice_port(port, slice) else { continue };
        for endpoint in &slice.endpoints {
            let Ok(ip) = judge::slice_address(endpoint) else { continue };
            let address = Address { ip, port };
            let source = Source::slice(key.name.clone());
            let zone = endpoint.zone.clone().unwrap_or_default();
            out.put(MemberKey::new(cluster.clone(), address, source), Endpoint { zone, additional: None });
        }
    }
    Ok(())
}
