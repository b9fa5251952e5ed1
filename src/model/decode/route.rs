//! HTTPRoute.

use arcstr::ArcStr;

use super::cursor::Cursor;
use super::filter;
use super::syntax;
use crate::model::{
    BackendRef, HeaderMatch, HttpRoute, Kind, Matcher, Meta, ObjectKey, ParentRef, PathMatch, QueryMatch, RouteFilter,
    RouteMatch, RouteRule,
};

/// The schema's bound on matches of all rules together.
const MAX_MATCHES: usize = 128;

pub(super) fn http_route(root: &Cursor<'_>, meta: Meta, key: &ObjectKey) -> HttpRoute {
    let mark = 0;
    let mut route = HttpRoute { meta, ..HttpRoute::default() };
    let Some(spec) = root.required("spec").and_then(Cursor::mapping) else {
        route.problems = root.problems().since(mark);
        return route;
    };
    if let Some(parents) = spec.get("parentRefs") {
        route.parents = parents.items(32).iter().filter_map(|p| parent(p, key)).collect();
        let first_of = |at: usize| !route.parents[..at].contains(&route.parents[at]);
        if !(0..route.parents.len()).all(first_of) {
            parents.problem("names the same parent (and section and port) more than once");
        }
    }
    let hostnames_understood = hostnames(&spec, &mut route);
    let rules = if hostnames_understood { self::rules(&spec, key) } else { Vec::new() };
    // The rules took their own problems, so that what is left is the rest.
    route.rules = rules;
    route.problems = root.problems().since(mark);
    route
}

/// Whether the route may have rules: one whose host names are all malformed must match nothing, not everything.
fn hostnames(spec: &Cursor<'_>, route: &mut HttpRoute) -> bool {
    let Some(hostnames) = spec.get("hostnames") else { return true };
    let mark = spec.problems().mark();
    let entries = hostnames.items(16);
    route.hostnames = entries.iter().filter_map(|h| h.text(syntax::hostname)).collect();
    if !route.hostnames.is_empty() || spec.problems().none_since(mark) {
        return true;
    }
    hostnames.problem("has no valid entry, so that the route matches nothing");
    false
}

fn parent(entry: &Cursor<'_>, key: &ObjectKey) -> Option<ParentRef> {
    entry.mapping()?;
    let mark = entry.problems().mark();
    let parent = ParentRef {
        group: or_default(entry, "group", syntax::group, Kind::Gateway.group()),
        kind: or_default(entry, "kind", syntax::kind, Kind::Gateway.as_str()),
        target: target(entry, key),
        section: entry.get("sectionName").and_then(|s| s.text(syntax::dns_subdomain)),
        port: entry.get("port").and_then(|p| p.port()),
    };
    // A parent without the section that was meant would attach to every listener.
    entry.problems().none_since(mark).then_some(parent)
}

/// Namespace (the referrer's own by default) and name of a reference.
pub(super) fn target(entry: &Cursor<'_>, from: &ObjectKey) -> ObjectKey {
    let namespace = match entry.get("namespace").filter(|n| n.maybe_str() != Some("")) {
        Some(namespace) => namespace.text(syntax::dns_label).unwrap_or_default(),
        None => from.namespace.clone(),
    };
    let name = entry.required("name").and_then(|n| n.text(syntax::object_name)).unwrap_or_default();
    ObjectKey::new(namespace, name)
}

/// A text field with a default.
pub(super) fn or_default(
    entry: &Cursor<'_>,
    name: &str,
    check: fn(&str) -> Result<(), String>,
    default: &str,
) -> ArcStr {
    match entry.get(name) {
        Some(field) => field.text(check).unwrap_or_default(),
        None => default.into(),
    }
}

fn rules(spec: &Cursor<'_>, key: &ObjectKey) -> Vec<RouteRule> {
    let Some(rules) = spec.get("rules") else {
        return vec![RouteRule { matches: default_matches(), ..RouteRule::default() }];
    };
    let entries = rules.items(16);
    if entries.is_empty() {
        rules.problem("must have at least one rule");
    }
    let mut found: Vec<RouteRule> = Vec::with_capacity(entries.len());
    let mut matches = 0;
    for entry in &entries {
        let mark = entry.problems().mark();
        let mut rule = rule(entry, key);
        matches += rule.matches.len();
        if matches > MAX_MATCHES {
            entry.problem_at("matches", format!("exceeds the {MAX_MATCHES} matches that all rules may have together"));
        }
        if rule.name.is_some() && found.iter().any(|r| r.name == rule.name) {
            entry.problem_at("name", "must be unique within the route");
        }
        rule.problems = entry.problems().since(mark);
        found.push(rule);
    }
    found
}

fn default_path() -> PathMatch {
    PathMatch::Prefix(arcstr::literal!("/"))
}

fn default_matches() -> Vec<RouteMatch> {
    vec![RouteMatch { path: default_path(), headers: Vec::new(), query: Vec::new(), method: None }]
}

fn rule(entry: &Cursor<'_>, key: &ObjectKey) -> RouteRule {
    let mut rule = RouteRule { matches: default_matches(), ..RouteRule::default() };
    if entry.mapping().is_none() {
        return rule;
    }
    rule.name = entry.get("name").and_then(|n| n.text(syntax::dns_subdomain));
    if let Some(matches) = entry.get("matches") {
        let found: Vec<_> = matches.items(64).iter().map(route_match).collect();
        if !found.is_empty() {
            rule.matches = found;
        }
    }
    if let Some(filters) = entry.get("filters") {
        rule.filters = filter::filters(&filters);
    }
    if let Some(backends) = entry.get("backendRefs") {
        rule.backends = backends.items(16).iter().map(|b| backend(b, key)).collect();
    }
    if let Some(timeouts) = entry.section("timeouts") {
        let duration = |name| {
            let field = timeouts.get(name)?;
            syntax::duration(field.str()?).map_err(|message| field.problem(message)).ok()
        };
        rule.request_timeout = duration("request");
        rule.backend_timeout = duration("backendRequest");
        if let (Some(all), Some(one)) = (rule.request_timeout, rule.backend_timeout)
            && !all.is_zero()
            && one > all
        {
            timeouts.problem_at("backendRequest", "must not be longer than timeouts.request");
        }
    }
    check_filters(entry, &rule);
    rule
}

/// What the schema demands of filters together with the rest of their rule.
fn check_filters(entry: &Cursor<'_>, rule: &RouteRule) {
    if !rule.backends.is_empty() && rule.filters.iter().any(|f| matches!(f, RouteFilter::Redirect(_))) {
        entry.problem_at("filters", "RequestRedirect must not be used together with backendRefs");
    }
    let one_prefix = matches!(rule.matches.as_slice(), [RouteMatch { path: PathMatch::Prefix(_), .. }]);
    let all = rule.filters.iter().chain(rule.backends.iter().flat_map(|b| &b.filters));
    if !one_prefix && all.into_iter().any(filter::replaces_prefix) {
        entry.problem_at("filters", "ReplacePrefixMatch needs exactly one match, of type PathPrefix, in its rule");
    }
}

fn route_match(entry: &Cursor<'_>) -> RouteMatch {
    let mut found = RouteMatch { path: default_path(), headers: Vec::new(), query: Vec::new(), method: None };
    if entry.mapping().is_none() {
        return found;
    }
    if let Some(path) = entry.section("path") {
        found.path = path_match(&path).unwrap_or_else(default_path);
    }
    for header in entry.get("headers").iter().flat_map(|h| h.items(16)) {
        let Some((name, value)) = name_and_value(&header, 4096) else { continue };
        let name = ArcStr::from(name.to_ascii_lowercase());
        // "Subsequent entries with an equivalent header name MUST be ignored."
        if found.headers.iter().all(|h| h.name != name) {
            found.headers.push(HeaderMatch { name, value });
        }
    }
    for query in entry.get("queryParams").iter().flat_map(|q| q.items(16)) {
        let Some((name, value)) = name_and_value(&query, 1024) else { continue };
        if found.query.iter().all(|q| q.name != name) {
            found.query.push(QueryMatch { name, value });
        }
    }
    found.method = entry.get("method").and_then(|m| {
        const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        m.text(|text| match METHODS.contains(&text) {
            true => Ok(()),
            false => Err(format!("must be one of {}, is {text:?}", METHODS.join(", "))),
        })
    });
    found
}

fn path_match(path: &Cursor<'_>) -> Option<PathMatch> {
    let kind = or_default(path, "type", |_| Ok(()), "PathPrefix");
    let value = path.get("value");
    let checked = |check: fn(&str) -> Result<(), String>| match &value {
        Some(value) => value.text(check),
        None => Some(arcstr::literal!("/")),
    };
    match kind.as_str() {
        "Exact" => checked(syntax::path).map(PathMatch::Exact),
        "PathPrefix" => checked(syntax::path).map(|p| PathMatch::Prefix(without_trailing_slash(p))),
        "RegularExpression" => checked(|text| syntax::at_most(1024)(text)).map(PathMatch::Regex),
        other => {
            path.problem_at("type", format!("must be Exact, PathPrefix or RegularExpression, is {other:?}"));
            None
        }
    }
}

fn without_trailing_slash(path: ArcStr) -> ArcStr {
    match path.strip_suffix('/') {
        None | Some("") => path,
        Some(rest) => rest.into(),
    }
}

/// The name, as written, and what its value must be.
fn name_and_value(entry: &Cursor<'_>, max: usize) -> Option<(ArcStr, Matcher)> {
    entry.mapping()?;
    let name = entry.required("name").and_then(|n| n.text(syntax::header_name));
    let value = entry.required("value").and_then(|v| v.text(syntax::value(max)));
    let kind = entry.get("type");
    let kind = match &kind {
        Some(kind) => kind.str(),
        None => Some("Exact"),
    };
    match kind? {
        "Exact" => Some((name?, Matcher::Exact(value?))),
        "RegularExpression" => Some((name?, Matcher::Regex(value?))),
        other => {
            entry.problem_at("type", format!("must be Exact or RegularExpression, is {other:?}"));
            None
        }
    }
}

fn backend(entry: &Cursor<'_>, key: &ObjectKey) -> BackendRef {
    let mut backend = BackendRef {
        group: ArcStr::new(),
        kind: arcstr::literal!("Service"),
        target: ObjectKey::new(key.namespace.clone(), ArcStr::new()),
        port: None,
        weight: 0,
        filters: Vec::new(),
    };
    if entry.mapping().is_none() {
        return backend;
    }
    backend.group = or_default(entry, "group", syntax::group, "");
    backend.kind = or_default(entry, "kind", syntax::kind, Kind::Service.as_str());
    backend.target = target(entry, key);
    backend.port = entry.get("port").and_then(|p| p.port());
    if entry.get("port").is_none() && backend.group.is_empty() && backend.kind == "Service" {
        entry.problem_at("port", "is required for a Service");
    }
    backend.weight = match entry.get("weight") {
        Some(weight) => weight.int(0..=1_000_000).and_then(|w| u32::try_from(w).ok()).unwrap_or_default(),
        None => 1,
    };
    if let Some(filters) = entry.get("filters") {
        backend.filters = filter::filters(&filters);
    }
    backend
}
