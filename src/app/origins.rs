//! From a resource that an Envoy refused to the objects that it comes from.
//!
//! Names say what a thing is, and routes in Envoy carry the name of their HTTPRoute; so nothing but the refused resources
//! themselves is looked at, and the graph's thread is not asked.

use std::collections::BTreeSet;

use arcstr::ArcStr;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::Message;

use crate::{
    model::Kind,
    resource::{Resource, ResourceType},
    xds::Refusal,
};

/// The most objects that are named; a route table may have thousands.
const MOST: usize = 20;

/// Route tables that are larger are not looked into, in bytes: a NACK must not cost more than some milliseconds.
const LARGEST: usize = 1 << 20;

/// What stands around a name in a sentence and in no name.
const AROUND: &[char] = &[':', ',', ';', '.', '\'', '"', '`', '(', ')', '[', ']', '<', '>', '{', '}', '='];

/// The objects of the resources that the client means, such as `HTTPRoute demo/shop`: at most [`MOST`], and how many more.
#[must_use]
pub fn objects(refusal: &Refusal) -> Vec<ArcStr> {
    let mut found = Vec::new();
    for resource in &refusal.blamed {
        match resource.kind {
            ResourceType::RouteConfiguration => found.extend(of_routes(resource, &refusal.message)),
            ResourceType::Listener => found.extend(of_port(&resource.name)),
            ResourceType::Cluster | ResourceType::ClusterLoadAssignment => found.extend(of_cluster(&resource.name)),
            ResourceType::Secret => found.extend(of_secret(&resource.name).or_else(|| of_clients(&resource.name))),
            // Derived from nothing yet.
            ResourceType::ScopedRouteConfiguration
            | ResourceType::VirtualHost
            | ResourceType::TypedExtensionConfig
            | ResourceType::Runtime => {}
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|object| seen.insert(object.clone()));
    if found.len() > MOST {
        let more = found.len() - MOST;
        found.truncate(MOST);
        found.push(arcstr::format!("and {more} more"));
    }
    found
}

/// `<namespace>/<gateway>/<port>`, and what may follow.
fn of_port(name: &str) -> Option<ArcStr> {
    let mut parts = name.split('/');
    let (namespace, gateway) = (parts.next()?, parts.next()?);
    parts.next().map(|port| arcstr::format!("{} {namespace}/{gateway} port {port}", Kind::Gateway))
}

/// `service/<namespace>/<name>/<port>/<protocol>`.
fn of_cluster(name: &str) -> Option<ArcStr> {
    let mut parts = name.strip_prefix("service/")?.split('/');
    let (namespace, service, port) = (parts.next()?, parts.next()?, parts.next()?);
    Some(arcstr::format!("{} {namespace}/{service} port {port}", Kind::Service))
}

/// `secret/<namespace>/<name>`.
fn of_secret(name: &str) -> Option<ArcStr> {
    let (namespace, secret) = name.strip_prefix("secret/")?.split_once('/')?;
    Some(arcstr::format!("{} {namespace}/{secret}", Kind::Secret))
}

/// `clients/` and what a port is called.
fn of_clients(name: &str) -> Option<ArcStr> {
    of_port(name.strip_prefix("clients/")?)
}

/// `route/<namespace>/<name>`, and perhaps `/<rule>`.
fn of_route(name: &str) -> Option<ArcStr> {
    let mut parts = name.strip_prefix("route/")?.splitn(3, '/');
    let (namespace, route) = (parts.next()?, parts.next()?);
    Some(arcstr::format!("{} {namespace}/{route}", Kind::HttpRoute))
}

/// The HTTPRoutes of a route table, then its Gateway. If the client's words name a virtual host, a domain or a route, only
/// what they name.
fn of_routes(table: &Resource, message: &str) -> Vec<ArcStr> {
    let decoded = (table.body.len() <= LARGEST).then(|| RouteConfiguration::decode(table.body.to_bytes()).ok());
    let hosts = decoded.flatten().map(|table| table.virtual_hosts).unwrap_or_default();
    let words: BTreeSet<&str> = message.split_whitespace().flat_map(|word| [word, word.trim_matches(AROUND)]).collect();
    let is_named = |name: &String| !name.is_empty() && words.contains(name.as_str());
    let is_meant = |host: &&VirtualHost| is_named(&host.name) || host.domains.iter().any(is_named);
    let routes = || hosts.iter().flat_map(|host| &host.routes).map(|route| &route.name);
    let named: BTreeSet<ArcStr> = routes().filter(|name| is_named(name)).filter_map(|name| of_route(name)).collect();
    let of_hosts = hosts.iter().filter(is_meant).flat_map(|host| &host.routes);
    let of_hosts: BTreeSet<ArcStr> = of_hosts.filter_map(|route| of_route(&route.name)).collect();
    let meant = [named, of_hosts].into_iter().find(|found| !found.is_empty());
    let meant = meant.unwrap_or_else(|| routes().filter_map(|name| of_route(name)).collect());
    meant.into_iter().chain(of_port(&table.name)).collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use envoy_types::pb::envoy::config::route::v3::Route;

    use super::*;
    use crate::{
        app::offline::Offline,
        model::{ObjectKey, ObjectRef},
        resource::{Parts, encode},
    };

    fn refusal(message: &str, blamed: Vec<Arc<Resource>>) -> Refusal {
        let kind = blamed[0].kind;
        Refusal { kind, nonce: String::new(), message: message.into(), names: vec![], blamed, at: Instant::now() }
    }

    fn table(hosts: &[(&str, &[&str])]) -> Arc<Resource> {
        let host = |(host, routes): &(&str, &[&str])| VirtualHost {
            name: (*host).into(),
            domains: vec![(*host).into()],
            routes: routes.iter().map(|name| Route { name: (*name).into(), ..Default::default() }).collect(),
            ..Default::default()
        };
        let virtual_hosts = hosts.iter().map(host).collect();
        let message = RouteConfiguration { name: "demo/web/80".into(), virtual_hosts, ..Default::default() };
        let body = Parts::leaf(encode::message(&message));
        Arc::new(Resource::new(ResourceType::RouteConfiguration, "demo/web/80", body, []))
    }

    /// The example with two HTTPS listeners, with a certificate for one of them.
    fn example() -> Offline {
        let dir = tempfile::tempdir().unwrap();
        for name in ["gateway.yaml", "routes.yaml", "services.yaml"] {
            std::fs::copy(std::path::Path::new("examples/https-split").join(name), dir.path().join(name)).unwrap();
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
        let data =
            serde_json::json!({ "tls.crt": params.self_signed(&key).unwrap().pem(), "tls.key": key.serialize_pem() });
        let secret = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "shop-tls", "namespace": "demo" },
            "type": "kubernetes.io/tls",
            "stringData": data,
        });
        std::fs::write(dir.path().join("secret.json"), secret.to_string()).unwrap();
        Offline::load(dir.path()).unwrap()
    }

    #[test]
    fn explained_every_resource_that_is_served_is_traced_back() {
        let world = example();
        let resources = world.world().iter().flat_map(|of| ResourceType::ALL.map(|kind| of.set(kind).clone()));
        let mut kinds = BTreeSet::new();
        for resource in resources.flat_map(|set| set.iter().cloned().collect::<Vec<_>>()) {
            let objects = objects(&refusal("bad", vec![resource.clone()]));
            assert!(!objects.is_empty(), "{} {} comes from nothing", resource.kind, resource.name);
            for object in objects {
                let (kind, rest) = object.split_once(' ').expect("kind and name");
                let name = rest.split_once(' ').map_or(rest, |(name, _)| name);
                let (namespace, name) = name.split_once('/').expect("namespace and name");
                let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).expect("a kind");
                assert!(
                    world.explain(&ObjectRef::new(kind, ObjectKey::new(namespace, name))).0,
                    "there is no {object}"
                );
                kinds.insert(kind);
            }
        }
        assert_eq!(kinds, [Kind::Gateway, Kind::HttpRoute, Kind::Service, Kind::Secret].into());
    }

    #[test]
    fn of_a_route_table_what_the_words_name_is_meant() {
        let hosts: [(&str, &[&str]); 2] =
            [("a.example", &["route/demo/a", "route/demo/b/buy"]), ("b.example", &["route/demo/c", "misdirected"])];
        let said = |words: &str| objects(&refusal(words, vec![table(&hosts)])).join(", ");
        assert_eq!(said("bad"), "HTTPRoute demo/a, HTTPRoute demo/b, HTTPRoute demo/c, Gateway demo/web port 80");
        assert_eq!(said("duplicate domain 'b.example'."), "HTTPRoute demo/c, Gateway demo/web port 80");
        assert_eq!(said("route/demo/b/buy: no cluster"), "HTTPRoute demo/b, Gateway demo/web port 80");
    }

    #[test]
    fn bounded_thousands_of_routes_are_counted() {
        let names: Vec<String> = (0..100).map(|at| format!("route/demo/r{at:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let objects = objects(&refusal("bad", vec![table(&[("a.example", &names)])]));
        assert_eq!((objects.len(), objects[MOST].as_str()), (MOST + 1, "and 81 more"));
    }

    #[test]
    fn names_of_others_come_from_nothing() {
        for name in ["", "x", "service/", "service/a", "secret/a"] {
            let resource = |kind| Arc::new(Resource::new(kind, name, Parts::empty(), []));
            for kind in [ResourceType::Cluster, ResourceType::Secret, ResourceType::Listener] {
                let objects = objects(&refusal("bad", vec![resource(kind)]));
                assert!(objects.is_empty() || name.contains('/'), "{name}: {objects:?}");
            }
        }
    }
}
