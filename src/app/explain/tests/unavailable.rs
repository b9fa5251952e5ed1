//! Invariant `one_harms_one`: what could not be read is a problem of who refers to it, with the reason in its own words.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    app::{explain::explain, pipeline::Pipeline},
    model::{ConfigMap, Event, Kind, Object, ObjectKey, ObjectRef, ReferenceGrant, Secret, Service, decode::decode},
};

const REASON: &str = "is forbidden to the service account; allow it to `get` this";

fn put(tree: &Value) -> Event {
    let decoded = decode(tree, None).expect("decodes");
    Event::Put(decoded.at, decoded.object)
}

fn gateway_api(kind: &str, name: &str, spec: &Value) -> Event {
    put(&json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "demo"}, "spec": spec}))
}

fn object(kind: Kind, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(kind, ObjectKey::new(namespace, name))
}

/// Two listeners of which one has a certificate that could not be read, a route whose Service could not be read, one
/// that goes where the grants could not be read, and one without a flaw.
fn world() -> Pipeline {
    let listeners = json!([
        {"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "crt"}]}},
        {"name": "clients", "port": 8443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "crt"}]}},
    ]);
    let refs = json!([{"group": "", "kind": "ConfigMap", "name": "partners"}]);
    let ports = json!([{"port": 8443, "tls": {"validation": {"caCertificateRefs": refs}}}]);
    let tls = json!({"frontend": {"default": {}, "perPort": ports}});
    let route = |name: &str, backend: Value| {
        let match_ = json!({"path": {"value": format!("/{name}")}});
        let rules = json!([{"matches": [match_], "backendRefs": [backend]}]);
        gateway_api("HTTPRoute", name, &json!({"parentRefs": [{"name": "web"}], "rules": rules}))
    };
    let unread = Some(REASON.into());
    let mut events = vec![
        put(&json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": "syncgate"}, "spec": {"controllerName": "syncgate.dev/controller"}})),
        gateway_api("Gateway", "web", &json!({"gatewayClassName": "syncgate", "listeners": listeners, "tls": tls})),
        put(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "good", "namespace": "demo"},
            "spec": {"ports": [{"port": 80}]}})),
        route("good", json!({"name": "good", "port": 80})),
        route("lost", json!({"name": "lost", "port": 80})),
        route("far", json!({"name": "far", "namespace": "far", "port": 80})),
    ];
    let secret = Secret { unavailable: unread.clone(), ..Secret::default() };
    events.push(Event::Put(object(Kind::Secret, "demo", "crt"), Object::Secret(Arc::new(secret))));
    let map = ConfigMap { authorities: Err(REASON.into()) };
    events.push(Event::Put(object(Kind::ConfigMap, "demo", "partners"), Object::ConfigMap(Arc::new(map))));
    let service = Service { unavailable: unread.clone(), ..Service::default() };
    events.push(Event::Put(object(Kind::Service, "demo", "lost"), Object::Service(Arc::new(service))));
    let grants = ReferenceGrant { unavailable: unread, ..ReferenceGrant::default() };
    events.push(Event::Put(object(Kind::ReferenceGrant, "far", ""), Object::ReferenceGrant(Arc::new(grants))));
    events.extend(Kind::ALL.map(Event::Listed));
    let mut pipeline = Pipeline::new();
    pipeline.apply(&events);
    pipeline
}

#[track_caller]
fn says(pipeline: &Pipeline, object: &ObjectRef, expected: &str) {
    let (_, said) = explain(pipeline, &[], object);
    assert!(said.contains(expected), "no {expected:?} in:\n{said}");
}

#[test]
fn one_harms_one_a_certificate_that_could_not_be_read_is_a_problem_of_its_listener() {
    let pipeline = world();
    let gateway = object(Kind::Gateway, "demo", "web");
    says(&pipeline, &gateway, &format!("ResolvedRefs: False (InvalidCertificateRef): Secret demo/crt: {REASON}\n"));
    says(&pipeline, &gateway, "problem: spec.listeners[1].tls.certificateRefs[0]: Secret demo/crt: ");
    says(&pipeline, &gateway, "1 of 3 listeners are served");
    says(&pipeline, &gateway, "LDS demo/web/80 of ");
    says(&pipeline, &object(Kind::Secret, "demo", "crt"), &format!("unavailable: {REASON}\n"));
}

#[test]
fn one_harms_one_authorities_that_could_not_be_read_are_a_problem_of_their_port() {
    let pipeline = world();
    let gateway = object(Kind::Gateway, "demo", "web");
    let field = "spec.tls.frontend.perPort[0].tls.validation.caCertificateRefs";
    says(&pipeline, &gateway, &format!("problem: {field}[0]: ConfigMap demo/partners: {REASON}\n"));
    says(&pipeline, &gateway, &format!("Accepted: False (NoValidCACertificate): nothing in `{field}` leads to"));
    let map = object(Kind::ConfigMap, "demo", "partners");
    says(&pipeline, &map, &format!("unavailable: {REASON}\n"));
    says(&pipeline, &map, "referred to by:\n  Gateway demo/web\n");
}

#[test]
fn one_harms_one_a_backend_that_could_not_be_read_is_a_problem_of_its_route() {
    let pipeline = world();
    let route = object(Kind::HttpRoute, "demo", "lost");
    says(&pipeline, &route, &format!("(BackendNotFound): spec.rules[0].backendRefs[0]: Service demo/lost: {REASON}\n"));
    says(&pipeline, &object(Kind::HttpRoute, "demo", "good"), "no problems");
    let service = object(Kind::Service, "demo", "lost");
    says(&pipeline, &service, &format!("unavailable: {REASON}\n"));
    says(&pipeline, &service, "no cluster: its ports are not known");
}

#[test]
fn one_harms_one_consent_that_could_not_be_read_is_a_problem_of_its_route() {
    let pipeline = world();
    let route = object(Kind::HttpRoute, "demo", "far");
    says(&pipeline, &route, "ResolvedRefs: False (RefNotPermitted)");
    says(&pipeline, &route, &format!("[0]: the ReferenceGrants of namespace `far`: {REASON}\n"));
}
