//! The references of an object's spec, read by one function: the door makes demands and holds of them.

use super::{Gateway, Kind, ListenerProtocol, Object, ObjectKey, ObjectRef};

/// Every object that the spec of `object` (named `key`) refers to by name: backends, certificates, authorities, parents, class.
/// Sorted and without duplicates. References to kinds that syncgate does not read are left out, and so are those that
/// have no effect: of a rule with problems, and to names that could not be read.
#[must_use]
pub fn references(key: &ObjectKey, object: &Object) -> Vec<ObjectRef> {
    let mut found = match object {
        Object::Gateway(gateway) => {
            let class = ObjectRef::new(Kind::GatewayClass, ObjectKey::cluster(gateway.class.clone()));
            certificates(gateway).chain(authorities(gateway)).chain([class]).collect()
        }
        Object::HttpRoute(route) => {
            let parents = route.parents.iter().filter_map(|p| reference(&p.group, &p.kind, &p.target));
            let rules = route.rules.iter().filter(|rule| rule.problems.is_empty());
            let backends =
                rules.flat_map(|rule| &rule.backends).filter_map(|b| reference(&b.group, &b.kind, &b.target));
            parents.chain(backends).collect()
        }
        // Services find their pods, and slices their Service, by label; the others refer to nothing.
        Object::GatewayClass(_)
        | Object::ReferenceGrant(_)
        | Object::Namespace(_)
        | Object::Service(_)
        | Object::Pod(_)
        | Object::EndpointSlice(_)
        | Object::Secret(_)
        | Object::ConfigMap(_) => Vec::new(),
    };
    found.retain(|target| !target.key.name.is_empty() && (target.kind, &target.key) != (object.kind(), key));
    found.sort_unstable();
    found.dedup();
    found
}

fn certificates(gateway: &Gateway) -> impl Iterator<Item = ObjectRef> {
    let terminated = gateway.listeners.iter().filter_map(|l| l.tls.as_ref()).flat_map(|tls| &tls.certificates);
    let found = terminated.filter_map(|c| reference(&c.group, &c.kind, &c.target));
    found.filter(|target| target.kind == Kind::Secret)
}

/// The authorities of clients, as far as an HTTPS listener asks for them.
fn authorities(gateway: &Gateway) -> impl Iterator<Item = ObjectRef> {
    let asking = gateway.listeners.iter().filter(|listener| listener.protocol == ListenerProtocol::Https);
    let validations = asking.filter_map(|listener| gateway.frontend.of(listener.port).ok().flatten());
    let named = validations.flat_map(|validation| &validation.authorities);
    let found = named.filter_map(|c| reference(&c.group, &c.kind, &c.target));
    found.filter(|target| target.kind == Kind::ConfigMap)
}

fn reference(group: &str, kind: &str, target: &ObjectKey) -> Option<ObjectRef> {
    let kind = Kind::find(group, kind)?;
    let key = if kind.is_cluster_scoped() { ObjectKey::cluster(target.name.clone()) } else { target.clone() };
    Some(ObjectRef::new(kind, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::decode::decode;

    fn of(tree: serde_json::Value) -> Vec<String> {
        let decoded = decode(&tree, None).expect("decodes");
        references(&decoded.at.key, &decoded.object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_route_refers_to_its_parents_and_backends_once() {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "r", "namespace": "shop"},
            "spec": {
                "parentRefs": [{"name": "gw", "namespace": "infra"}, {"name": "mesh", "kind": "Service", "group": ""}],
                "rules": [
                    {"backendRefs": [{"name": "b", "port": 80}, {"name": "a", "port": 80, "namespace": "other"}]},
                    {"backendRefs": [{"name": "b", "port": 81}, {"name": "f", "kind": "Function", "group": "x.io"}]},
                    {"backendRefs": [{"name": "refused"}]},
                ],
            },
        });
        assert_eq!(of(route), ["Gateway infra/gw", "Service other/a", "Service shop/b", "Service shop/mesh"]);
    }

    #[test]
    fn a_gateway_refers_to_its_class_and_certificates() {
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "gw", "namespace": "infra"},
            "spec": {"gatewayClassName": "syncgate", "listeners": [
                {"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "crt"}]}},
                {"name": "b", "port": 443, "protocol": "HTTPS", "hostname": "b.example",
                 "tls": {"certificateRefs": [{"name": "crt"}, {"name": "own", "namespace": "shop"}]}},
            ]},
        });
        assert_eq!(of(gateway), ["GatewayClass syncgate", "Secret infra/crt", "Secret shop/own"]);
    }

    #[test]
    fn a_gateway_refers_to_the_authorities_of_its_https_ports() {
        let names = |refs: serde_json::Value| json!({"validation": {"caCertificateRefs": refs}});
        let map = |name: &str| json!({"group": "", "kind": "ConfigMap", "name": name});
        let listener = |port, protocol: &str| json!({"name": format!("l{port}"), "port": port, "protocol": protocol});
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "gw", "namespace": "infra"},
            "spec": {
                "gatewayClassName": "syncgate",
                "tls": {"frontend": {
                    "default": names(json!([map("all"), {"group": "", "kind": "Secret", "name": "no-map"},
                        {"group": "", "kind": "ConfigMap", "name": "own", "namespace": "shop"}])),
                    "perPort": [
                        {"port": 80, "tls": names(json!([map("clear")]))},
                        {"port": 8443, "tls": names(json!([map("ours")]))},
                        {"port": 9443, "tls": names(json!([map("unused")]))},
                    ],
                }},
                "listeners": [listener(80, "HTTP"), listener(443, "HTTPS"), listener(8443, "HTTPS")],
            },
        });
        assert_eq!(
            of(gateway),
            ["GatewayClass syncgate", "ConfigMap infra/all", "ConfigMap infra/ours", "ConfigMap shop/own"]
        );
    }

    #[test]
    fn selectors_are_no_references() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}});
        assert_eq!(of(service), Vec::<String>::new());
    }
}
