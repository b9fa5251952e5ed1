//! What decodes to what, and which problem each malformed field leaves.

mod core;
mod gateway;
mod route;
mod syntax;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Decoded, NotDecoded, TypeMeta, decode, list_items};
use crate::model::{Kind, Object};

/// Decodes a tree that has an identity.
fn decoded(tree: &Value) -> Decoded {
    decode(tree, None).expect("the tree has an identity")
}

/// `field: message` of each problem.
fn problems(tree: &Value) -> Vec<String> {
    decoded(tree).problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect()
}

/// Checks that exactly one problem is left, at `field`, whose message contains `message`.
fn check_problem(tree: &Value, field: &str, message: &str) {
    let found = problems(tree);
    let [one] = found.as_slice() else { panic!("expected one problem at {field}, found {found:#?} for {tree:#}") };
    assert!(one.starts_with(&format!("{field}: ")), "expected {field}, found {one}");
    assert!(one.contains(message), "expected {message:?}, found {one}");
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut tree = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    let (Some(fields), Value::Object(rest)) = (tree.as_object_mut(), rest) else { panic!("mappings only") };
    fields.extend(rest);
    tree
}

#[test]
fn every_kind_and_version_decodes() {
    let gateway = "gateway.networking.k8s.io";
    let cases = [
        (format!("{gateway}/v1"), Kind::GatewayClass),
        (format!("{gateway}/v1beta1"), Kind::GatewayClass),
        (format!("{gateway}/v1"), Kind::Gateway),
        (format!("{gateway}/v1beta1"), Kind::Gateway),
        (format!("{gateway}/v1"), Kind::HttpRoute),
        (format!("{gateway}/v1beta1"), Kind::HttpRoute),
        (format!("{gateway}/v1"), Kind::ReferenceGrant),
        (format!("{gateway}/v1beta1"), Kind::ReferenceGrant),
        ("v1".into(), Kind::Namespace),
        ("v1".into(), Kind::Service),
        ("v1".into(), Kind::Pod),
        ("v1".into(), Kind::Secret),
        ("discovery.k8s.io/v1".into(), Kind::EndpointSlice),
    ];
    for (version, kind) in cases {
        let found = decoded(&object(&version, kind.as_str(), "a", json!({})));
        assert_eq!((found.at.kind, found.object.kind()), (kind, kind));
        assert_eq!(found.at.key.name, "a");
        assert_eq!(found.at.key.namespace, if kind.is_cluster_scoped() { "" } else { "default" });
    }
}

#[test]
fn other_kinds_are_ignored_quietly_and_near_ones_with_a_warning() {
    for (version, kind) in [("apps/v1", "Deployment"), ("v1", "Endpoints"), ("v1", "Event"), ("x.io/v1", "Gateway")] {
        assert_eq!(decode(&object(version, kind, "a", json!({})), None), Err(NotDecoded::Ignored), "{kind}");
    }
    let near = [
        ("gateway.networking.k8s.io/v1alpha2", "HTTPRoute", "apiVersion", "supported are: v1, v1beta1"),
        ("gateway.networking.k8s.io/v1", "GRPCRoute", "kind", "HTTPRoute (v1, v1beta1)"),
        ("discovery.k8s.io/v1beta1", "EndpointSlice", "apiVersion", "supported are: v1"),
        ("v2", "Pod", "apiVersion", "supported are: v1"),
    ];
    for (version, kind, field, names) in near {
        let Err(NotDecoded::Unsupported(problem)) = decode(&object(version, kind, "a", json!({})), None) else {
            panic!("{version} {kind} is supported")
        };
        assert_eq!(problem.field, field);
        assert!(problem.message.contains(names), "{}", problem.message);
    }
}

#[test]
fn without_identity_nothing_decodes() {
    let cases = [
        (json!("text"), "", "must be a mapping, is a string"),
        (json!([1]), "", "must be a mapping, is a list"),
        (json!({"kind": "Pod"}), "apiVersion", "is required"),
        (json!({"apiVersion": "v1"}), "kind", "is required"),
        (json!({"apiVersion": "v1", "kind": 3}), "kind", "must be a string, is a number"),
        (json!({"apiVersion": "v1", "kind": "Pod"}), "metadata", "is required"),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}), "metadata.name", "is required"),
        (object("v1", "Pod", "Upper", json!({})), "metadata.name", "lower-case"),
        (object("v1", "Service", "a.b", json!({})), "metadata.name", "lower-case"),
        (object("v1", "Namespace", "a.b", json!({})), "metadata.name", "lower-case"),
        (object("v1", "Pod", &"a".repeat(254), json!({})), "metadata.name", "at most 253"),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "a.b"}}),
            "metadata.namespace",
            "lower-case",
        ),
    ];
    for (tree, field, message) in cases {
        let Err(NotDecoded::NoIdentity(problems)) = decode(&tree, None) else { panic!("{tree} has an identity") };
        assert_eq!(problems[0].field, field, "{tree}");
        assert!(problems[0].message.contains(message), "{}", problems[0].message);
    }
}

#[test]
fn lists_are_expanded_and_typed_lists_give_their_type() {
    let pod = object("v1", "Pod", "a", json!({}));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod]});
    let (items, inherited) = list_items(&list).expect("a list");
    assert_eq!((items.len(), inherited), (1, None));

    let typed = json!({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]});
    let (items, inherited) = list_items(&typed).expect("a list");
    assert_eq!(inherited, Some(TypeMeta { api_version: "v1", kind: "Pod" }));
    assert_eq!(decode(&items[0], inherited).expect("decodes").at.to_string(), "Pod default/a");

    assert_eq!(list_items(&pod), None);
}

#[test]
fn metadata_is_read() {
    let mut route = object("gateway.networking.k8s.io/v1", "HTTPRoute", "a", json!({"spec": {}}));
    route["metadata"] = json!({"name": "a", "namespace": "shop", "generation": 7,
        "creationTimestamp": "1970-01-02T00:00:01Z", "labels": {"b": "2", "a": "1"}});
    let Object::HttpRoute(value) = decoded(&route).object else { panic!("an HTTPRoute") };
    assert_eq!((value.meta.generation, value.meta.created), (7, 86_401));
    assert_eq!(value.meta.labels.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>(), ["a", "b"]);

    route["metadata"]["creationTimestamp"] = json!("yesterday");
    check_problem(&route, "metadata.creationTimestamp", "must be a time");
    route["metadata"]["creationTimestamp"] = json!(null);
    route["metadata"]["labels"]["a"] = json!(1);
    check_problem(&route, "metadata.labels[a]", "must be a string, is a number (put it in quotes)");
}

/// Fields that the decoder reads.
const NAMES: &str = "
    apiVersion kind metadata name namespace labels spec status rules matches path type value headers
    queryParams method filters backendRefs parentRefs hostnames timeouts request backendRequest requestRedirect
    urlRewrite requestHeaderModifier set add remove statusCode port weight listeners protocol tls mode
    certificateRefs allowedRoutes namespaces from selector matchLabels matchExpressions operator values
    addresses ports targetPort containers podIPs ip conditions endpoints addressType data stringData tls.crt
    tls.key to group items replacePrefixMatch creationTimestamp
";

/// Values that it knows or nearly knows.
const WORDS: &str = "
    v1 HTTPRoute Gateway GatewayClass ReferenceGrant Namespace Service Pod EndpointSlice Secret PathPrefix
    Exact RequestRedirect URLRewrite RequestHeaderModifier HTTPS Selector ReplacePrefixMatch In /a % *. . a.b
    10s 5h 2024-01-01T00:00:00Z IPv4 TCP
";

/// Trees of the names that the decoder knows, so that it goes deep.
fn arbitrary_tree() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(NAMES.split_whitespace().collect::<Vec<_>>());
    let words = prop::sample::select(WORDS.split_whitespace().collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 96, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in an object, it decodes to a value of its kind under its name.
    #[test]
    fn no_tree_makes_decoding_panic(spec in arbitrary_tree(), metadata in arbitrary_tree(), data in arbitrary_tree()) {
        for kind in Kind::ALL {
            let version = if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) };
            let mut tree = object(&version, kind.as_str(), "a", json!({
                "spec": spec, "status": spec, "data": data, "stringData": metadata, "endpoints": data, "ports": spec,
            }));
            if let Value::Object(more) = &metadata {
                for (name, value) in more.iter().filter(|(name, _)| *name != "name" && *name != "namespace") {
                    tree["metadata"][name] = value.clone();
                }
            }
            let found = decode(&tree, None);
            if let Ok(found) = &found {
                prop_assert_eq!(found.object.kind(), kind);
                prop_assert!(found.problems.iter().all(|p| !p.message.is_empty()));
            }
            prop_assert!(!matches!(found, Err(NotDecoded::NoIdentity(_))), "{:?}", found);
        }
        let _ = (decode(&spec, None), list_items(&spec));
    }
}
