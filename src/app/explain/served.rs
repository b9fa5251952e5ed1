//! Which Envoy resources carry an object. Names say what a thing is, so they are found by name.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};
use prost::Message;

use crate::{
    app::pipeline::Pipeline,
    model::{Kind, ObjectKey, ObjectRef},
    resource::{Resource, ResourceType},
    snapshot::Snapshot,
    translate::{Status, names},
};

use super::lines::list;

/// The resources that carry the object, Gateway by Gateway.
pub(super) fn served(out: &mut String, pipeline: &Pipeline, object: &ObjectRef, status: Option<&Status>) {
    let none = match object.kind {
        Kind::Gateway => "not served: it is not of a GatewayClass of ours, or has no listener that can be served",
        Kind::Service => "not served: no route of an accepted Gateway refers to it",
        Kind::Secret => "not served: no listener of an accepted Gateway can use it",
        Kind::HttpRoute => "not served: no route configuration carries a rule of it",
        // They have effect through others only, which say so.
        _ => return,
    };
    let entries: Vec<String> = match object.kind {
        Kind::HttpRoute => status.map(|status| of_route(pipeline, &object.key, status)).unwrap_or_default(),
        _ => pipeline.world().iter().flat_map(|snapshot| carried_by(snapshot, object)).collect(),
    };
    list(out, "served as", none, entries);
}

fn carried_by(snapshot: &Snapshot, object: &ObjectRef) -> Vec<String> {
    let ObjectKey { namespace, name } = &object.key;
    let (prefix, kinds): (String, &[ResourceType]) = match object.kind {
        Kind::Gateway if *snapshot.gateway() == arcstr::format!("{}", object.key) => {
            (String::new(), &ResourceType::ALL)
        }
        Kind::Service => {
            (format!("service/{namespace}/{name}/"), &[ResourceType::Cluster, ResourceType::ClusterLoadAssignment])
        }
        Kind::Secret => {
            let resource = snapshot.set(ResourceType::Secret).get(&names::secret_name(&object.key));
            return resource.map(|resource| line(snapshot, resource)).into_iter().collect();
        }
        _ => return Vec::new(),
    };
    let resources = kinds.iter().flat_map(|&kind| snapshot.set(kind).iter());
    resources.filter(|resource| resource.name.starts_with(&prefix)).map(|resource| line(snapshot, resource)).collect()
}

fn line(snapshot: &Snapshot, resource: &Arc<Resource>) -> String {
    let Resource { kind, name, version, body, .. } = &**resource;
    format!("{} {name} of Gateway {} ({} bytes, version {version})", kind.short(), snapshot.gateway(), body.len())
}

/// The route configurations of the route's parents that have one of its rules, with the host names.
fn of_route(pipeline: &Pipeline, key: &ObjectKey, status: &Status) -> Vec<String> {
    let mut parents: Vec<&ObjectKey> = status.parents.iter().map(|parent| &parent.parent.target).collect();
    parents.sort_unstable();
    parents.dedup();
    let mut found = Vec::new();
    for parent in parents {
        let Some(snapshot) = pipeline.world().get(&parent.to_string()) else { continue };
        for resource in snapshot.set(ResourceType::RouteConfiguration).iter() {
            // Encoded by us: what does not decode could not be served either.
            let Ok(configuration) = RouteConfiguration::decode(resource.body.to_bytes()) else { continue };
            let hosts = configuration.virtual_hosts.iter().filter(|host| host.routes.iter().any(|r| is_of(r, key)));
            let domains: Vec<&str> = hosts.flat_map(|host| &host.domains).map(String::as_str).collect();
            if !domains.is_empty() {
                let name = &resource.name;
                found.push(format!("RDS {name} of Gateway {parent}, for {}", domains.join(", ")));
            }
        }
    }
    found
}

fn is_of(envoy: &Route, key: &ObjectKey) -> bool {
    let whole = names::route_name(key, None);
    envoy.name.strip_prefix(&whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
