//! A small world with one of each: what is said of every kind, and of what has no effect.

mod unavailable;

use crate::{
    app::offline::Offline,
    model::{Kind, ObjectKey, ObjectRef},
};

const WORLD: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: syncgate}
spec: {controllerName: syncgate.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: somebody}
spec: {controllerName: somebody.example/controller}
---
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: Namespace
metadata: {name: far}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: demo}
spec:
  gatewayClassName: syncgate
  listeners:
  - {name: http, port: 80, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: demo}
spec:
  gatewayClassName: somebody
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com]
  rules:
  - backendRefs: [{name: shop, port: 80}, {name: far, namespace: far, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: stranger, namespace: far}
spec:
  parentRefs: [{name: web, namespace: demo}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: tardy, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com]
  rules:
  - matches: [{path: {value: /only}}, {path: {value: /}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: consent, namespace: far}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: demo}]
  to: [{group: '', kind: Service}]
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: web}, {name: metrics, port: 9090}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: far}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: good, namespace: demo, labels: {app: shop}}
spec: {containers: [{name: c, ports: [{name: web, containerPort: 3000}]}]}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: demo, labels: {app: shop}}
spec: {containers: [{name: c, ports: [{name: web, containerPort: 3000}]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: nameless, namespace: demo, labels: {app: shop}}
status: {phase: Running, podIP: 10.0.0.3, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: demo, labels: {app: cart}}
status: {phase: Running, podIP: 10.0.0.4, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: far-1, namespace: far, labels: {kubernetes.io/service-name: far}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [10.1.0.1]}
- {addresses: [10.1.0.2], conditions: {ready: false}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: lost, namespace: far}
addressType: IPv4
---
apiVersion: v1
kind: Secret
metadata: {name: unused, namespace: demo}
type: kubernetes.io/tls
data: {}
";

fn world() -> Offline {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("world.yaml"), WORLD).unwrap();
    Offline::load(dir.path()).unwrap()
}

#[track_caller]
fn says(world: &Offline, kind: Kind, name: &str, expected: &[&str]) {
    let key = match name.split_once('/') {
        Some((namespace, name)) => ObjectKey::new(namespace, name),
        None => ObjectKey::cluster(name),
    };
    let (found, said) = world.explain(&ObjectRef::new(kind, key));
    assert!(found, "{said}");
    for expected in expected {
        assert!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
}

#[test]
fn explained_pods_say_of_which_services_they_are_endpoints_and_why_not() {
    let world = world();
    says(&world, Kind::Pod, "demo/good", &["service/demo/shop/80/http: endpoint at 10.0.0.1 port 3000\n"]);
    says(&world, Kind::Pod, "demo/slow", &["service/demo/shop/80/http: no endpoint, because it is not ready"]);
    let no_port = "service/demo/shop/80/http: no endpoint, because the pod has no TCP port named web";
    says(&world, Kind::Pod, "demo/nameless", &[no_port]);
    says(&world, Kind::Pod, "demo/alone", &["no Service in namespace demo selects it by its labels (app=cart)"]);
}

#[test]
fn explained_services_count_their_endpoints_and_name_who_refers_to_them() {
    let world = world();
    let expected = [
        "service/demo/shop/80/http: 1 endpoints from pods, 0 from EndpointSlices\n",
        "no cluster for port 53: UDP does not carry HTTP",
        "Pod demo/slow: no endpoint, because it is not ready",
        "Pod demo/nameless: no endpoint, because the pod has no TCP port named web",
        "referred to by:\n  HTTPRoute demo/shop\n",
        "CDS service/demo/shop/80/http of Gateway demo/web",
    ];
    says(&world, Kind::Service, "demo/shop", &expected);
    let expected = ["service/far/far/80/http: 0 endpoints from pods, 1 from EndpointSlices", "it has no selector"];
    says(&world, Kind::Service, "far/far", &expected);
}

/// Of such a port nothing is derived, and what is explained is what is done.
#[test]
fn explained_ports_that_no_route_leads_to_are_said_to_have_no_effect() {
    let (world, unled) =
        (world(), ", once a route of a Gateway of syncgate's leads there; no Envoy is told of it until then\n");
    let expected = format!("service/demo/shop/9090/http: 2 endpoints from pods, 0 from EndpointSlices{unled}");
    says(&world, Kind::Service, "demo/shop", &[&expected]);
    let expected = format!("service/demo/shop/9090/http: endpoint at 10.0.0.1 port 9090{unled}");
    says(&world, Kind::Pod, "demo/good", &[&expected]);
}

#[test]
fn explained_slices_say_what_each_entry_is() {
    let world = world();
    let expected = [
        "service/far/far/80/http: endpoint at 10.1.0.1 port 8080",
        "service/far/far/80/http: no endpoint, because it is not ready",
    ];
    says(&world, Kind::EndpointSlice, "far/far-1", &expected);
    says(&world, Kind::EndpointSlice, "far/lost", &["no effect: it has no label kubernetes.io/service-name"]);
}

#[test]
fn explained_routes_say_where_they_are_served_or_why_not() {
    let world = world();
    let expected = [
        "parent Gateway demo/web:\n    Accepted: True (Accepted)\n    ResolvedRefs: True (ResolvedRefs)\n  no problems\n",
        "served as:\n  RDS demo/web/80 of Gateway demo/web, for shop.example.com\n",
        "looked up service ports ",
    ];
    says(&world, Kind::HttpRoute, "demo/shop", &expected);
    let expected = ["Accepted: False (NotAllowedByListeners)", "problem: spec.parentRefs[0]: ", "not served: "];
    says(&world, Kind::HttpRoute, "far/stranger", &expected);
}

#[test]
fn explained_gateways_list_their_listeners_and_resources() {
    let world = world();
    let expected = ["listener http: 2 routes attached", "LDS demo/web/80 of ", "RDS demo/web/80 of ", "EDS service/"];
    says(&world, Kind::Gateway, "demo/web", &expected);
    says(&world, Kind::Gateway, "demo/other", &["no effect: ", "somebody", "not served: "]);
}

#[test]
fn explained_what_has_effect_through_others_names_them() {
    let world = world();
    says(&world, Kind::GatewayClass, "syncgate", &["referred to by:\n  Gateway demo/web\n"]);
    says(
        &world,
        Kind::Namespace,
        "demo",
        &["routes of this namespace are allowed by:\n  listener http of Gateway demo/web"],
    );
    says(&world, Kind::Namespace, "far", &["no listener allows routes of this namespace"]);
    says(&world, Kind::Secret, "demo/unused", &["nothing refers to it", "not served: "]);
    let expected = [
        "HTTPRoute of namespace demo → every Service of namespace far",
        "references that it permits:\n  HTTPRoute demo/shop → Service far/far\n",
    ];
    says(&world, Kind::ReferenceGrant, "far/consent", &expected);
}

#[test]
fn every_object_says_where_it_was_read() {
    says(&world(), Kind::Namespace, "far", &["world.yaml:"]);
    let nobody = ObjectRef::new(Kind::Pod, ObjectKey::new("demo", "nobody"));
    let (found, said) = world().explain(&nobody);
    assert!(!found);
    assert!(said.starts_with("Pod demo/nobody: no such object was let in"), "{said}");
}

#[test]
fn explained_objects_of_every_kind_say_what_was_found_when_they_were_read() {
    let dir = tempfile::tempdir().unwrap();
    let objects = "
apiVersion: v1
kind: Secret
metadata: {name: torn, namespace: demo}
type: kubernetes.io/tls
data: {tls.crt: '%%%'}
---
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: demo}
status: {podIP: nowhere}
";
    std::fs::write(dir.path().join("objects.yaml"), objects).unwrap();
    std::fs::write(dir.path().join("torn.yaml"), "a: [\n b: c").unwrap();
    let world = Offline::load(dir.path()).unwrap();
    says(&world, Kind::Secret, "demo/torn", &["problem: data[tls.crt]: must be base64", "objects.yaml:6"]);
    says(&world, Kind::Pod, "demo/odd", &["problem: status.podIP: must be an IP address"]);
    let (_, said) = world.explain(&ObjectRef::new(Kind::Pod, ObjectKey::new("demo", "nobody")));
    assert!(said.contains("these files have problems of their own:\n"), "{said}");
    assert!(said.contains("torn.yaml:1:4: error: unclosed bracket '['"), "{said}");
}

#[test]
fn explained_matches_that_no_request_reaches_name_who_comes_first() {
    let world = world();
    let hidden = "spec.rules[0].matches[1]: HTTPRoute demo/shop has an equal match and comes first";
    says(&world, Kind::HttpRoute, "demo/tardy", &["no request reaches:", hidden]);
    let (_, said) = world.explain(&ObjectRef::new(Kind::HttpRoute, ObjectKey::new("demo", "tardy")));
    assert!(!said.contains("matches[0]:"), "{said}");
    let (_, said) = world.explain(&ObjectRef::new(Kind::HttpRoute, ObjectKey::new("demo", "shop")));
    assert!(!said.contains("no request reaches"), "{said}");
}
