//! HTTPRoute of Gateway API 1.7, narrow and tolerant.

use std::time::Duration;

use arcstr::ArcStr;

use super::{FieldProblem, Meta, ObjectKey};

/// An HTTPRoute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRoute {
    /// Metadata.
    pub meta: Meta,
    /// `spec.parentRefs`.
    pub parents: Vec<ParentRef>,
    /// `spec.hostnames`, lower case. Empty matches every host of the listener. Malformed entries are left out with a
    /// problem; when all are malformed, the route has no rules, so that it never matches more than was written.
    pub hostnames: Vec<ArcStr>,
    /// `spec.rules`. The API's default (one rule, path prefix `/`) is already filled in when the list is absent.
    pub rules: Vec<RouteRule>,
    /// What of it could not be understood, outside its rules.
    pub problems: Vec<FieldProblem>,
}

/// One `parentRefs` entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParentRef {
    /// `group`; Gateway API's by default.
    pub group: ArcStr,
    /// `kind`; `Gateway` by default.
    pub kind: ArcStr,
    /// Namespace (the route's own by default) and name.
    pub target: ObjectKey,
    /// `sectionName`: the listener's name.
    pub section: Option<ArcStr>,
    /// `port`: the listener's port.
    pub port: Option<u16>,
}

/// One `rules` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteRule {
    /// `name`.
    pub name: Option<ArcStr>,
    /// `matches`. The API's default (path prefix `/`) is already filled in when the list is empty.
    pub matches: Vec<RouteMatch>,
    /// `filters`, in order.
    pub filters: Vec<RouteFilter>,
    /// `backendRefs`.
    pub backends: Vec<BackendRef>,
    /// `timeouts.request`; zero means no limit. `None` when absent.
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest`; zero means no limit. `None` when absent.
    pub backend_timeout: Option<Duration>,
    /// What of it could not be understood. A rule with problems is dropped, and said so; its siblings stay.
    pub problems: Vec<FieldProblem>,
}

/// One `matches` entry: all of it must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMatch {
    /// `path`; prefix `/` by default.
    pub path: PathMatch,
    /// `headers`, names lower case, the first of several entries with one name.
    pub headers: Vec<HeaderMatch>,
    /// `queryParams`, the first of several entries with one name.
    pub query: Vec<QueryMatch>,
    /// `method`.
    pub method: Option<ArcStr>,
}

/// `path` of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(ArcStr),
    /// Whole path elements: `/a` matches `/a` and `/a/b`, not `/ab`. Without trailing slash unless it is `/`.
    Prefix(ArcStr),
    /// An RE2 expression over the whole path.
    Regex(ArcStr),
}

/// How a header's or query parameter's value is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// The same bytes.
    Exact(ArcStr),
    /// An RE2 expression over the whole value.
    Regex(ArcStr),
}

/// A header to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The name, lower case.
    pub name: ArcStr,
    /// The value.
    pub value: Matcher,
}

/// A query parameter to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// The name, as written.
    pub name: ArcStr,
    /// The value.
    pub value: Matcher,
}

/// One `filters` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteFilter {
    /// `RequestHeaderModifier`.
    RequestHeaders(HeaderModifier),
    /// `ResponseHeaderModifier`.
    ResponseHeaders(HeaderModifier),
    /// `RequestRedirect`.
    Redirect(Redirect),
    /// `URLRewrite`.
    Rewrite(Rewrite),
    /// A filter that this release does not serve: the rule is refused rather than served without it.
    Unsupported(ArcStr),
}

/// Header changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderModifier {
    /// `set`.
    pub set: Vec<HeaderValue>,
    /// `add`.
    pub add: Vec<HeaderValue>,
    /// `remove`.
    pub remove: Vec<ArcStr>,
}

/// A header with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue {
    /// The name, as written.
    pub name: ArcStr,
    /// The value.
    pub value: ArcStr,
}

/// `requestRedirect`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirect {
    /// `scheme`.
    pub scheme: Option<ArcStr>,
    /// `hostname`.
    pub hostname: Option<ArcStr>,
    /// `path`.
    pub path: Option<PathModifier>,
    /// `port`.
    pub port: Option<u16>,
    /// `statusCode`; 302 by default.
    pub status: u16,
}

/// `urlRewrite`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// `hostname`.
    pub hostname: Option<ArcStr>,
    /// `path`.
    pub path: Option<PathModifier>,
}

/// `path` of a redirect or rewrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathModifier {
    /// `ReplaceFullPath`.
    Full(ArcStr),
    /// `ReplacePrefixMatch`; only beside a prefix match.
    Prefix(ArcStr),
}

/// One `backendRefs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRef {
    /// `group`; empty is core.
    pub group: ArcStr,
    /// `kind`; `Service` by default.
    pub kind: ArcStr,
    /// Namespace (the route's own by default) and name.
    pub target: ObjectKey,
    /// `port`; required for a Service.
    pub port: Option<u16>,
    /// `weight`; 1 by default. 0 means no traffic.
    pub weight: u32,
    /// `filters` of the backend alone.
    pub filters: Vec<RouteFilter>,
}
