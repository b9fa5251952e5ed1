//! HTTPRoute and its filters.

use std::time::Duration;

use serde_json::{Value, json};

use super::{check_problem, decoded, object, problems};
use crate::model::{HttpRoute, Matcher, Object, PathMatch, PathModifier, RouteFilter};

fn tree(spec: Value) -> Value {
    object("gateway.networking.k8s.io/v1", "HTTPRoute", "r", json!({"spec": spec}))
}

fn route(tree: &Value) -> HttpRoute {
    let Object::HttpRoute(route) = decoded(tree).object else { panic!("an HTTPRoute") };
    (*route).clone()
}

/// A good rule before the one in question.
fn with_rule(rule: Value) -> Value {
    tree(json!({"rules": [{"backendRefs": [{"name": "good", "port": 80}]}, rule]}))
}

fn with_filter(filter: Value) -> Value {
    with_rule(json!({"filters": [filter]}))
}

#[test]
fn a_route_is_read_with_its_defaults() {
    let found = route(&tree(
        json!({"parentRefs": [{"name": "gw", "sectionName": "http", "port": 80}], "hostnames": ["*.a.b"]}),
    ));
    assert_eq!(found.parents[0].target.to_string(), "default/gw");
    assert_eq!((found.parents[0].kind.as_str(), found.parents[0].port), ("Gateway", Some(80)));
    assert_eq!(found.rules.len(), 1);
    assert_eq!(found.rules[0].matches[0].path, PathMatch::Prefix("/".into()));

    let found = route(&with_rule(
        json!({"matches": [{"headers": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]}],
        "backendRefs": [{"name": "b", "port": 80}, {"name": "c", "namespace": "n", "port": 81, "weight": 0}],
        "timeouts": {"request": "10s", "backendRequest": "500ms"}, "name": "rule"}),
    ));
    let rule = &found.rules[1];
    assert_eq!(rule.problems, []);
    assert_eq!(rule.matches[0].headers.len(), 1, "the first of equivalent names counts");
    assert_eq!(
        (rule.matches[0].headers[0].name.as_str(), &rule.matches[0].headers[0].value),
        ("x-a", &Matcher::Exact("1".into()))
    );
    assert_eq!(rule.backends.iter().map(|b| b.weight).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(rule.request_timeout, Some(Duration::from_secs(10)));
    assert_eq!(rule.backend_timeout, Some(Duration::from_millis(500)));
}

#[test]
fn paths_are_read() {
    let path = |path: Value| route(&with_rule(json!({"matches": [{"path": path}]}))).rules[1].matches[0].path.clone();
    assert_eq!(path(json!({"type": "Exact", "value": "/a/"})), PathMatch::Exact("/a/".into()));
    assert_eq!(path(json!({"value": "/a/"})), PathMatch::Prefix("/a".into()));
    assert_eq!(path(json!({"type": "PathPrefix"})), PathMatch::Prefix("/".into()));
    assert_eq!(path(json!({"type": "RegularExpression", "value": "(["})), PathMatch::Regex("([".into()));
}

#[test]
fn filters_are_read() {
    let filter = |filter: Value| {
        let tree = with_filter(filter);
        assert_eq!(problems(&tree), Vec::<String>::new());
        route(&tree).rules[1].filters[0].clone()
    };
    let RouteFilter::RequestHeaders(headers) =
        filter(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "A", "value": "1"}], "add": [{"name": "B", "value": "2"}], "remove": ["C"]}}))
    else {
        panic!()
    };
    assert_eq!((headers.set.len(), headers.add.len(), headers.remove.len()), (1, 1, 1));
    let RouteFilter::Redirect(redirect) = filter(json!({"type": "RequestRedirect", "requestRedirect": {
        "scheme": "https", "hostname": "a.b", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}}}))
    else {
        panic!()
    };
    assert_eq!((redirect.status, redirect.path), (302, Some(PathModifier::Prefix("/x".into()))));
    let RouteFilter::Rewrite(rewrite) = filter(json!({"type": "URLRewrite", "urlRewrite": {
        "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}}}))
    else {
        panic!()
    };
    assert_eq!(rewrite.path, Some(PathModifier::Full("/x".into())));
    let mirror = filter(json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "b", "port": 80}}}));
    assert_eq!(mirror, RouteFilter::Unsupported("RequestMirror".into()));
}

/// Checks that a rule beside a good one keeps its one problem and harms no other.
fn check_rule(rule: Value, field: &str, message: &str) {
    let tree = with_rule(rule);
    check_problem(&tree, &format!("spec.rules[1]{field}"), message);
    let found = route(&tree);
    assert_eq!((found.problems.len(), found.rules[0].problems.len()), (0, 0), "{tree}");
    assert_eq!(found.rules[1].problems.len(), 1, "{tree}");
}

#[test]
fn a_malformed_rule_keeps_its_problems_and_harms_no_other() {
    let long = "a".repeat(4097);
    let many_matches: Vec<_> = (0..65).map(|i| json!({"path": {"value": format!("/{i}")}})).collect();
    let cases = [
        (json!(3), "", "must be a mapping, is a number"),
        (json!({"name": "A b"}), ".name", "lower-case"),
        (json!({"matches": {}}), ".matches", "must be a list, is a mapping"),
        (json!({"matches": many_matches}), ".matches", "has 65 entries; at most 64"),
        (json!({"matches": [{"path": {"type": "Glob"}}]}), ".matches[0].path.type", "must be Exact"),
        (json!({"matches": [{"path": {"value": "a"}}]}), ".matches[0].path.value", "must start with '/'"),
        (json!({"matches": [{"path": {"value": "/a//b"}}]}), ".matches[0].path.value", "must not contain"),
        (json!({"matches": [{"method": "get"}]}), ".matches[0].method", "must be one of GET"),
        (json!({"matches": [{"headers": [{"name": "a b", "value": "c"}]}]}), ".matches[0].headers[0].name", "letters"),
        (
            json!({"matches": [{"headers": [{"name": "a", "value": long}]}]}),
            ".matches[0].headers[0].value",
            "at most 4096",
        ),
        (
            json!({"matches": [{"headers": [{"name": "a", "value": true}]}]}),
            ".matches[0].headers[0].value",
            "put it in quotes",
        ),
        (json!({"matches": [{"headers": [{"name": "a"}]}]}), ".matches[0].headers[0].value", "required"),
        (
            json!({"matches": [{"queryParams": [{"name": "a", "value": "b", "type": "Near"}]}]}),
            ".matches[0].queryParams[0].type",
            "Exact or RegularExpression",
        ),
        (json!({"backendRefs": [{"name": "b"}]}), ".backendRefs[0].port", "required for a Service"),
        (json!({"backendRefs": [{"port": 80}]}), ".backendRefs[0].name", "required"),
        (
            json!({"backendRefs": [{"name": "b", "port": 80, "weight": 1_000_001}]}),
            ".backendRefs[0].weight",
            "from 0 to 1000000",
        ),
        (json!({"backendRefs": [{"name": "b", "port": 80, "weight": -1}]}), ".backendRefs[0].weight", "from 0 to"),
        (json!({"timeouts": {"request": "1.5s"}}), ".timeouts.request", "must be a duration"),
        (json!({"timeouts": {"request": "1s", "backendRequest": "2s"}}), ".timeouts.backendRequest", "not be longer"),
    ];
    for (rule, field, message) in cases {
        check_rule(rule, field, message);
    }
}

#[test]
fn filters_that_contradict_their_rule_are_its_problem() {
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {}});
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {}});
    let replace = json!({"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}});
    let exact = json!({"path": {"type": "Exact", "value": "/a"}});
    let cases = [
        (json!({"filters": [redirect, rewrite]}), ".filters", "not both"),
        (json!({"filters": [redirect, redirect]}), ".filters[1].type", "must not be repeated"),
        (
            json!({"filters": [redirect], "backendRefs": [{"name": "b", "port": 80}]}),
            ".filters",
            "together with backendRefs",
        ),
        (json!({"filters": [replace], "matches": [exact]}), ".filters", "ReplacePrefixMatch needs exactly one match"),
        (json!({"filters": [replace], "matches": [{}, {}]}), ".filters", "ReplacePrefixMatch needs exactly one match"),
        (
            json!({"backendRefs": [{"name": "b", "port": 80, "filters": [replace]}], "matches": [exact]}),
            ".filters",
            "ReplacePrefixMatch needs exactly one match",
        ),
    ];
    for (rule, field, message) in cases {
        check_rule(rule, field, message);
    }
}

#[test]
fn a_malformed_filter_is_a_problem_of_its_rule() {
    let modifier = |set: Value| json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": set}});
    let redirect = |body: Value| json!({"type": "RequestRedirect", "requestRedirect": body});
    let cases = [
        (json!({}), "type", "required"),
        (json!({"type": "Teleport"}), "type", "must be one of RequestHeaderModifier"),
        (json!({"type": "URLRewrite"}), "urlRewrite", "required"),
        (json!({"type": "URLRewrite", "urlRewrite": {}, "requestRedirect": {}}), "requestRedirect", "does not belong"),
        (json!({"type": "CORS"}), "cors", "required"),
        (modifier(json!([{"name": "a", "value": ""}])), "requestHeaderModifier.set[0].value", "not be empty"),
        (modifier(json!([{"name": "a:", "value": "b"}])), "requestHeaderModifier.set[0].name", "letters"),
        (
            modifier(json!([{"name": "a", "value": "b"}, {"name": "a", "value": "c"}])),
            "requestHeaderModifier.set[1].name",
            "unique",
        ),
        (redirect(json!({"scheme": "ftp"})), "requestRedirect.scheme", "http or https"),
        (redirect(json!({"statusCode": 304})), "requestRedirect.statusCode", "301, 302, 303, 307 or 308"),
        (redirect(json!({"statusCode": 200})), "requestRedirect.statusCode", "from 301 to 308"),
        (redirect(json!({"hostname": "*.a"})), "requestRedirect.hostname", "host name"),
        (redirect(json!({"port": 0})), "requestRedirect.port", "from 1"),
        (redirect(json!({"path": {}})), "requestRedirect.path.type", "required"),
        (redirect(json!({"path": {"type": "Cut"}})), "requestRedirect.path.type", "ReplaceFullPath"),
        (
            redirect(json!({"path": {"type": "ReplaceFullPath", "replacePrefixMatch": "/", "replaceFullPath": "/"}})),
            "requestRedirect.path.replacePrefixMatch",
            "does not belong",
        ),
        (redirect(json!({"path": {"type": "ReplaceFullPath"}})), "requestRedirect.path.replaceFullPath", "required"),
    ];
    for (filter, field, message) in cases {
        let tree = with_filter(filter);
        check_problem(&tree, &format!("spec.rules[1].filters[0].{field}"), message);
        assert_eq!(route(&tree).rules[1].problems.len(), 1);
    }
    let unknown = route(&with_filter(json!({"type": "Teleport"})));
    assert_eq!(unknown.rules[1].filters, [RouteFilter::Unsupported("Teleport".into())]);
}

#[test]
fn malformed_host_names_and_parents_never_widen_a_route() {
    let found = route(&tree(json!({"hostnames": ["a.b", "A.b"]})));
    assert_eq!((found.hostnames.len(), found.rules.len(), found.problems.len()), (1, 1, 1));
    let found = route(&tree(json!({"hostnames": ["A.b"]})));
    assert_eq!((found.hostnames.len(), found.rules.len(), found.problems.len()), (0, 0, 2));
    for parent in [
        json!({"name": "gw", "sectionName": "A"}),
        json!({"name": "gw", "port": 0}),
        json!({"name": "gw", "namespace": "A"}),
    ] {
        let found = route(&tree(json!({"parentRefs": [parent]})));
        assert_eq!((found.parents.len(), found.problems.len()), (0, 1));
    }
}

#[test]
fn lists_are_bounded() {
    let rules: Vec<_> = (0..17).map(|_| json!({})).collect();
    let found = tree(json!({"rules": rules}));
    check_problem(&found, "spec.rules", "has 17 entries; at most 16");
    assert_eq!(route(&found).rules.len(), 16);

    let matches: Vec<_> = (0..60).map(|_| json!({})).collect();
    let rule = json!({"matches": matches});
    let found = tree(json!({"rules": [rule, rule, rule]}));
    check_problem(&found, "spec.rules[2].matches", "exceeds the 128 matches");
    let harmed: Vec<_> = route(&found).rules.iter().map(|r| r.problems.len()).collect();
    assert_eq!(harmed, [0, 0, 1]);

    check_problem(&tree(json!({"rules": []})), "spec.rules", "at least one rule");
    let twice = json!([{"name": "n"}, {"name": "n"}]);
    check_problem(&tree(json!({"rules": twice})), "spec.rules[1].name", "unique");
    let parents = json!([{"name": "gw"}, {"name": "gw"}]);
    check_problem(&tree(json!({"parentRefs": parents})), "spec.parentRefs", "more than once");
}
