//! Which Service ports anything leads to: only these have a cluster, endpoints and a load assignment.
//!
//! Most pods of a large cluster are behind no route of ours, and most Services have ports that none leads to. What nobody
//! reads is not derived: such a pod costs its own row and nothing else.
//!
//! Must not know: endpoints.

use std::sync::Arc;

use super::attachment::Attached;
use super::endpoints::usable_ports;
use super::keys::ClusterKey;
use super::routes::Compiled;
use crate::graph::{Fold, Lens, Member, Out, Rows, Stop};
use crate::model::{ObjectKey, PortRef, Service};

/// Something leads to this Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Led;

/// Attached route → the Service ports that it leads to. A route that no Gateway of ours serves leads nowhere.
pub(crate) fn by_route(
    route: &ObjectKey,
    attached: &Arc<Attached>,
    compiled: Lens<'_, Rows<ObjectKey, Compiled>>,
    out: &mut Out<(ClusterKey, ObjectKey), Led>,
) -> Result<(), Stop> {
    if attached.places.is_empty() {
        return Ok(());
    }
    let Some(compiled) = compiled.get(route)? else { return Ok(()) };
    for cluster in compiled.clusters.iter() {
        out.put((cluster.clone(), route.clone()), Led);
    }
    Ok(())
}

/// Service port that a change leads to which waits at the door → itself, if it exists.
pub fn by_waiting(
    port: &PortRef,
    _: &Arc<Led>,
    services: Lens<'_, Rows<ObjectKey, Service>>,
    out: &mut Out<ClusterKey, Led>,
) -> Result<(), Stop> {
    let Some(service) = services.get(&port.service)? else { return Ok(()) };
    let found = usable_ports(&port.service, &service).find(|(cluster, _)| cluster.port == port.port);
    if let Some((cluster, _)) = found {
        out.put(cluster, Led);
    }
    Ok(())
}

/// Everything that leads to one Service port.
#[derive(Debug, Default)]
pub(crate) struct LedFold;

impl<K> Member<K, Led> for LedFold {
    fn put(&mut self, _: &K, _: &Arc<Led>) {}

    fn del(&mut self, _: &K, _: &Arc<Led>) {}
}

impl Fold<ClusterKey> for LedFold {
    type Row = Led;

    /// Called only for groups that have members.
    fn row(&mut self, _: &ClusterKey) -> Option<Led> {
        Some(Led)
    }
}
