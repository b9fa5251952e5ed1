//! Who refers to what: GatewayClasses, Secrets, ConfigMaps, Namespaces and ReferenceGrants have effect through others only.

use crate::{
    app::pipeline::Pipeline,
    model::{AllowedRoutes, FromNamespaces, Kind, Namespace, Object, ObjectKey, ObjectRef, ReferenceGrant, references},
};

use super::lines::list;

/// The Gateways and routes that refer to the object.
pub(super) fn referrers(out: &mut String, pipeline: &Pipeline, target: &ObjectRef) {
    let referrers = every_reference(pipeline).filter(|(_, to)| to == target).map(|(from, _)| from);
    list(out, "referred to by", "nothing refers to it", referrers);
}

/// What a grant permits, and which references need it.
pub(super) fn grant(out: &mut String, pipeline: &Pipeline, key: &ObjectKey, grant: &ReferenceGrant) {
    let permits = grant.from.iter().flat_map(|from| {
        grant.to.iter().map(move |to| {
            let which = to.name.as_ref().map_or_else(|| "every".to_owned(), |name| format!("{name}, a"));
            format!(
                "{} of namespace {} → {which} {} of namespace {}",
                from.kind, from.namespace, to.kind, key.namespace
            )
        })
    });
    list(out, "permits", "permits nothing: `from` or `to` is empty", permits);
    let uses = every_reference(pipeline).filter(|(from, to)| {
        let referrer = (from.kind.group(), from.kind.as_str(), from.key.namespace.as_str());
        let crosses = to.key.namespace == key.namespace && from.key.namespace != key.namespace;
        crosses && grant.permits(referrer, (to.kind.group(), to.kind.as_str(), to.key.name.as_str()))
    });
    let uses = uses.map(|(from, to)| format!("{from} → {to}"));
    list(out, "references that it permits", "no effect: there is no reference that it permits", uses);
}

/// Which listeners take routes of a namespace.
pub(super) fn namespace(out: &mut String, pipeline: &Pipeline, name: &str, namespace: &Namespace) {
    let mut gateways: Vec<_> = pipeline.graph.iter(pipeline.outputs.gateways).collect();
    gateways.sort_unstable_by_key(|(key, _)| *key);
    let listeners = gateways.into_iter().flat_map(|(key, gateway)| {
        let open =
            gateway.listeners.iter().filter(|l| l.takes_http_routes() && allows(&l.allowed, key, name, namespace));
        open.map(move |listener| format!("listener {} of Gateway {key}", listener.name)).collect::<Vec<_>>()
    });
    let none = "no listener allows routes of this namespace (see allowedRoutes of the Gateways)";
    list(out, "routes of this namespace are allowed by", none, listeners);
}

fn allows(allowed: &AllowedRoutes, gateway: &ObjectKey, name: &str, namespace: &Namespace) -> bool {
    match &allowed.from {
        FromNamespaces::All => true,
        FromNamespaces::Same => gateway.namespace == name,
        FromNamespaces::Selector(selector) => selector.matches(&namespace.labels),
        FromNamespaces::None | FromNamespaces::Unknown(_) => false,
    }
}

/// Every reference of every Gateway and route, sorted by referrer.
fn every_reference(pipeline: &Pipeline) -> impl Iterator<Item = (ObjectRef, ObjectRef)> {
    let (graph, inputs) = (&pipeline.graph, &pipeline.inputs);
    let gateways = graph.iter(inputs.gateways).map(|(key, value)| (Kind::Gateway, key, Object::Gateway(value.clone())));
    let routes = graph.iter(inputs.routes).map(|(key, value)| (Kind::HttpRoute, key, Object::HttpRoute(value.clone())));
    let mut all: Vec<(ObjectRef, ObjectRef)> = gateways
        .chain(routes)
        .flat_map(|(kind, key, object)| {
            let from = ObjectRef::new(kind, key.clone());
            references::references(key, &object).into_iter().map(move |to| (from.clone(), to)).collect::<Vec<_>>()
        })
        .collect();
    all.sort_unstable();
    all.into_iter()
}
