//! What each Gateway needs, and the resources themselves under the Gateway's name.
//!
//! Invariant `own_only`: a resource is a Gateway's because the Gateway's own listeners and attached routes name it.
//! Clusters, load assignments and secrets are shared rows; nothing is copied for a Gateway.

use std::sync::Arc;

use super::attachment::Attached;
use super::certificates::Certificate;
use super::keys::ClusterKey;
use super::names::{PortKey, ResourceKey, TableKey, secret_name};
use super::ports::Bound;
use super::routes::Compiled;
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::ObjectKey;
use crate::resource::{Resource, ResourceType};

/// What a Gateway needs. Its producers speak of different types of resources, so no two have a key in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// A shared cluster.
    Cluster(ClusterKey),
    /// A shared load assignment.
    Assignment(ClusterKey),
    /// A shared secret.
    Secret(ObjectKey),
    /// A resource of this Gateway alone.
    Own(Arc<Resource>),
}

/// Attached route → the clusters and load assignments that its Gateways need.
pub(crate) fn of_route(
    route: &ObjectKey,
    attached: &Arc<Attached>,
    compiled: Lens<'_, Rows<ObjectKey, Compiled>>,
    out: &mut Out<ResourceKey, Need>,
) -> Result<(), Stop> {
    let Some(compiled) = compiled.get(route)? else { return Ok(()) };
    let gateways: std::collections::BTreeSet<&ObjectKey> =
        attached.places.iter().map(|place| &place.table.at.gateway).collect();
    for cluster in compiled.clusters.iter() {
        let name = cluster.resource_name();
        for gateway in &gateways {
            let key = |kind| ResourceKey { gateway: (*gateway).clone(), kind, name: name.clone() };
            out.put(key(ResourceType::Cluster), Need::Cluster(cluster.clone()));
            out.put(key(ResourceType::ClusterLoadAssignment), Need::Assignment(cluster.clone()));
        }
    }
    Ok(())
}

/// Route configuration → itself.
pub(crate) fn of_table(table: &TableKey, config: &Arc<Resource>, out: &mut Out<ResourceKey, Need>) -> Result<(), Stop> {
    let key = ResourceKey { gateway: table.at.gateway.clone(), kind: config.kind, name: config.name.clone() };
    out.put(key, Need::Own(config.clone()));
    Ok(())
}

/// Bound port → its listener, secrets and authorities.
pub(crate) fn of_port(port: &PortKey, bound: &Arc<Bound>, out: &mut Out<ResourceKey, Need>) -> Result<(), Stop> {
    let key = |kind, name| ResourceKey { gateway: port.gateway.clone(), kind, name };
    if let Some(listener) = &bound.listener {
        out.put(key(listener.kind, listener.name.clone()), Need::Own(listener.clone()));
        if let Some(authorities) = &bound.authorities {
            out.put(key(authorities.kind, authorities.name.clone()), Need::Own(authorities.clone()));
        }
    }
    for secret in &bound.secrets {
        out.put(key(ResourceType::Secret, secret_name(secret)), Need::Secret(secret.clone()));
    }
    Ok(())
}

/// Need → the resource.
pub(crate) fn resource(
    key: &ResourceKey,
    need: &Arc<Need>,
    clusters: Lens<'_, Rows<ClusterKey, Resource>>,
    assignments: Lens<'_, Rows<ClusterKey, Resource>>,
    certificates: Lens<'_, Rows<ObjectKey, Certificate>>,
    out: &mut Out<ResourceKey, Resource>,
) -> Result<(), Stop> {
    let found = match &**need {
        Need::Cluster(cluster) => clusters.get(cluster)?,
        Need::Assignment(cluster) => assignments.get(cluster)?,
        Need::Own(resource) => Some(resource.clone()),
        Need::Secret(secret) => certificates.get(secret)?.and_then(|certificate| certificate.0.clone().ok()),
    };
    if let Some(resource) = found {
        out.put_arc(key.clone(), resource);
    }
    Ok(())
}
