//! GatewayClass and Gateway.

use serde_json::{Value, json};

use super::{check_problem, decoded, object, problems};
use crate::model::{FromNamespaces, Gateway, ListenerProtocol, Object, SelectorOperator};

fn tree(spec: Value) -> Value {
    object("gateway.networking.k8s.io/v1", "Gateway", "gw", json!({"spec": spec}))
}

fn with_listener(listener: Value) -> Value {
    let good = json!({"name": "good", "port": 80, "protocol": "HTTP"});
    tree(json!({"gatewayClassName": "syncgate", "listeners": [good, listener]}))
}

fn gateway(tree: &Value) -> Gateway {
    let Object::Gateway(gateway) = decoded(tree).object else { panic!("a Gateway") };
    (*gateway).clone()
}

#[test]
fn a_class_names_its_controller() {
    let class = |spec| object("gateway.networking.k8s.io/v1", "GatewayClass", "c", json!({"spec": spec}));
    let Object::GatewayClass(found) = decoded(&class(json!({"controllerName": "syncgate.dev/controller"}))).object
    else {
        panic!()
    };
    assert_eq!(found.controller, "syncgate.dev/controller");
    check_problem(&class(json!({})), "spec.controllerName", "required");
    check_problem(&class(json!({"controllerName": "me"})), "spec.controllerName", "a domain and a path");
}

#[test]
fn a_gateway_is_read_with_its_defaults() {
    let tree = tree(json!({
        "gatewayClassName": "syncgate",
        "addresses": [{"value": "10.0.0.1"}, {"type": "IPAddress"}],
        "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.example.com",
             "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {
                 "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]}},
                 "kinds": [{"kind": "HTTPRoute"}]}},
            {"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "",
             "tls": {"certificateRefs": [{"name": "crt"}, {"name": "other", "namespace": "certs"}]}},
            {"name": "raw", "port": 9000, "protocol": "TCP", "allowedRoutes": {"namespaces": {"from": "All"}}},
        ],
    }));
    assert_eq!(problems(&tree), Vec::<String>::new());
    let found = gateway(&tree);
    assert_eq!(found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1"]);
    let [http, https, raw] = found.listeners.as_slice() else { panic!("three listeners") };
    assert_eq!((http.protocol.clone(), http.hostname.as_deref()), (ListenerProtocol::Http, Some("*.example.com")));
    let FromNamespaces::Selector(selector) = &http.allowed.from else { panic!("a selector") };
    assert_eq!(selector.match_expressions[0].operator, SelectorOperator::In);
    assert_eq!(http.allowed.kinds[0].group, "gateway.networking.k8s.io");
    assert_eq!((https.hostname.as_deref(), &https.allowed.from), (None, &FromNamespaces::Same));
    let targets: Vec<_> = https.tls.iter().flat_map(|t| &t.certificates).map(|c| c.target.to_string()).collect();
    assert_eq!(targets, ["default/crt", "certs/other"]);
    assert_eq!(raw.protocol, ListenerProtocol::Unsupported("TCP".into()));
    assert_eq!(raw.allowed.from, FromNamespaces::All);
}

#[test]
fn a_malformed_listener_keeps_its_problems_and_harms_no_other() {
    let tls = json!({"certificateRefs": [{"name": "c"}]});
    let cases = [
        (json!({"port": 81, "protocol": "HTTP"}), "name", "required"),
        (json!({"name": "good", "port": 81, "protocol": "HTTP"}), "name", "unique"),
        (json!({"name": "l", "protocol": "HTTP"}), "port", "required"),
        (json!({"name": "l", "port": 70000, "protocol": "HTTP"}), "port", "from 1 to 65535"),
        (json!({"name": "l", "port": 81}), "protocol", "required"),
        (json!({"name": "l", "port": 81, "protocol": "HTTP/2"}), "protocol", "must be a protocol"),
        (json!({"name": "l", "port": 81, "protocol": "HTTP", "hostname": "1.2.3.4"}), "hostname", "IP address"),
        (json!({"name": "l", "port": 81, "protocol": "HTTP", "tls": tls}), "tls", "must not be set"),
        (
            json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"mode": "Passthrough"}}),
            "tls.mode",
            "must be Terminate",
        ),
        (
            json!({"name": "l", "port": 443, "protocol": "TLS", "tls": {"mode": "Sometimes", "certificateRefs": [{"name": "c"}]}}),
            "tls.mode",
            "Terminate or Passthrough",
        ),
        (
            json!({"name": "l", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{}]}}),
            "tls.certificateRefs[0].name",
            "required",
        ),
        (
            json!({"name": "l", "port": 81, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Some"}}}),
            "allowedRoutes.namespaces.from",
            "must be Same, All, None or Selector",
        ),
        (
            json!({"name": "l", "port": 81, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Selector"}}}),
            "allowedRoutes.namespaces.selector",
            "required",
        ),
    ];
    for (listener, field, message) in cases {
        let tree = with_listener(listener);
        check_problem(&tree, &format!("spec.listeners[1].{field}"), message);
        let found = gateway(&tree);
        assert_eq!((found.problems.len(), found.listeners[0].problems.len()), (0, 0));
        assert_eq!(found.listeners[1].problems.len(), 1, "{tree}");
    }
}

#[test]
fn a_malformed_selector_lets_nothing_in() {
    for selector in [
        json!({"matchLabels": {"a": 1}}),
        json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}),
        json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
    ] {
        let tree = with_listener(json!({"name": "l", "port": 81, "protocol": "HTTP",
            "allowedRoutes": {"namespaces": {"from": "Selector", "selector": selector}}}));
        assert_eq!(gateway(&tree).listeners[1].allowed.from, FromNamespaces::Unknown("Selector".into()));
        assert_eq!(problems(&tree).len(), 1);
    }
}

#[test]
fn problems_of_the_gateway_itself_stay_with_it() {
    let listeners = json!([{"name": "l", "port": 80, "protocol": "HTTP"}]);
    let many: Vec<_> = (1..=65).map(|i| json!({"name": format!("l{i}"), "port": i, "protocol": "HTTP"})).collect();
    let cases = [
        (json!({"listeners": listeners}), "spec.gatewayClassName", "required"),
        (json!({"gatewayClassName": "c"}), "spec.listeners", "required"),
        (json!({"gatewayClassName": "c", "listeners": []}), "spec.listeners", "at least one"),
        (json!({"gatewayClassName": "c", "listeners": many}), "spec.listeners", "has 65 entries; at most 64"),
        (
            json!({"gatewayClassName": "c", "listeners": listeners, "addresses": [{"value": "me"}]}),
            "spec.addresses[0].value",
            "IP address",
        ),
        (
            json!({"gatewayClassName": "c", "listeners": listeners, "addresses": [{"type": "Hostname", "value": "a"}]}),
            "spec.addresses[0].type",
            "only IPAddress",
        ),
    ];
    for (spec, field, message) in cases {
        let tree = tree(spec);
        check_problem(&tree, field, message);
        assert_eq!(gateway(&tree).problems.len(), 1);
    }
}

/// The fields of a frontend with this default and these ports.
fn with_frontend(default: Value, per_port: Value) -> Value {
    let listeners = json!([{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {}}]);
    let frontend = json!({"default": default, "perPort": per_port});
    tree(json!({"gatewayClassName": "syncgate", "listeners": listeners, "tls": {"frontend": frontend}}))
}

fn trusting(refs: Value) -> Value {
    json!({"validation": {"caCertificateRefs": refs}})
}

#[test]
fn clients_are_validated_by_the_default_or_by_what_their_port_says() {
    let map = |name: &str| json!({"group": "", "kind": "ConfigMap", "name": name});
    let mut insecure = trusting(json!([map("b"), {"group": "", "kind": "ConfigMap", "name": "c", "namespace": "x"}]));
    insecure["validation"]["mode"] = json!("AllowInsecureFallback");
    let ports = json!([{"port": 8443, "tls": insecure}, {"port": 9443, "tls": {}}]);
    let tree = with_frontend(trusting(json!([map("a")])), ports);
    assert_eq!(problems(&tree), Vec::<String>::new());
    let frontend = gateway(&tree).frontend;
    let said = |port| {
        let validation = frontend.of(port).expect("understood")?;
        let names: Vec<_> = validation.authorities.iter().map(|c| format!("{} {}", c.kind, c.target)).collect();
        Some((names.join(", "), validation.insecure, validation.field.to_string()))
    };
    let field = |at: &str| format!("spec.tls.frontend.{at}.validation.caCertificateRefs");
    assert_eq!(said(443), Some(("ConfigMap default/a".into(), false, field("default"))));
    assert_eq!(said(8443), Some(("ConfigMap default/b, ConfigMap x/c".into(), true, field("perPort[0].tls"))));
    assert_eq!(said(9443), None);
    assert!(frontend.is_insecure());
    assert_eq!(gateway(&with_listener(json!({}))).frontend.of(443), Ok(None));
}

#[test]
fn a_frontend_that_is_not_understood_stands_for_no_port_that_it_may_be_meant_for() {
    let good = || trusting(json!([{"group": "", "kind": "ConfigMap", "name": "a"}]));
    let of_mode = |mode: Value| json!({"validation": {"caCertificateRefs": [], "mode": mode}});
    let missing = "perPort[0].tls.validation.caCertificateRefs[0].";
    // What is written, the field below the frontend, and whether ports 443 (the default's) and 8443 are understood.
    let cases = [
        (with_frontend(json!(7), json!([{"port": 8443, "tls": good()}])), "default", [false, true]),
        (with_frontend(Value::Null, json!([{"port": 8443, "tls": good()}])), "default", [false, true]),
        (with_frontend(trusting(json!([])), json!([])), "default.validation.caCertificateRefs", [false, false]),
        (with_frontend(json!({"validation": {}}), json!([])), "default.validation.caCertificateRefs", [false, false]),
        (with_frontend(good(), json!([{"port": 8443}])), "perPort[0].tls", [true, false]),
        (with_frontend(good(), json!([{"port": 0, "tls": {}}])), "perPort[0].port", [false, false]),
        (with_frontend(good(), json!({})), "perPort", [false, false]),
        (
            with_frontend(good(), json!([{"port": 8443, "tls": {}}, {"port": 8443, "tls": good()}])),
            "perPort[1].port",
            [true, false],
        ),
        (
            with_frontend(
                good(),
                json!([{"port": 8443, "tls": trusting(json!([{"group": "", "kind": "ConfigMap"}]))}]),
            ),
            &format!("{missing}name"),
            [true, false],
        ),
        (
            with_frontend(
                good(),
                json!([{"port": 8443, "tls": trusting(json!([{"kind": "ConfigMap", "name": "a"}]))}]),
            ),
            &format!("{missing}group"),
            [true, false],
        ),
    ];
    for (tree, field, understood) in cases {
        check_problem(&tree, &format!("spec.tls.frontend.{field}"), "");
        let frontend = gateway(&tree).frontend;
        assert_eq!([443, 8443].map(|port| frontend.of(port).is_ok()), understood, "{tree}");
    }
    let unknown = with_frontend(of_mode(json!("Never")), json!([]));
    assert!(problems(&unknown)[0].contains("must be AllowValidOnly or AllowInsecureFallback, is \"Never\""));
    assert!(!gateway(&unknown).frontend.is_insecure());
}
