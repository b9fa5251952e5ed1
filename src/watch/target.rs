//! What one source reads: a kind in all namespaces, in one, or one object; and where the API server has it.

use std::fmt;

use arcstr::ArcStr;

use crate::model::{Kind, ObjectKey, ObjectRef};

/// A kind in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all of them, and for kinds without one.
    pub namespace: Option<ArcStr>,
    /// One object of that name; `None` for all.
    pub name: Option<ArcStr>,
    /// Read because something refers to it, and only so long.
    pub demanded: bool,
}

/// What is asked of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    /// A page of a consistent list.
    List {
        /// Objects in a page; 0 for all.
        limit: u32,
        /// Where the page before ended.
        after: Option<&'a str>,
    },
    /// A watch that begins with all objects.
    WatchList,
    /// A watch from a revision.
    Watch(&'a str),
}

/// Slices that no controller of Kubernetes manages (F60): the others are made of pods, which are read themselves. One that
/// gets a manager leaves the selection, which the server tells as a deletion.
const BY_HAND: &str = "endpointslice.kubernetes.io/managed-by notin \
    (endpointslice-controller.k8s.io,endpointslicemirroring-controller.k8s.io)";

/// The versions of an API that decode alike, the newest first.
pub(super) const fn versions(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => &["v1", "v1beta1"],
        Kind::Namespace | Kind::Service | Kind::Pod | Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap => &["v1"],
    }
}

/// The plural that URLs and RBAC rules use.
#[must_use]
pub const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::GatewayClass => "gatewayclasses",
        Kind::Gateway => "gateways",
        Kind::HttpRoute => "httproutes",
        Kind::ReferenceGrant => "referencegrants",
        Kind::Namespace => "namespaces",
        Kind::Service => "services",
        Kind::Pod => "pods",
        Kind::EndpointSlice => "endpointslices",
        Kind::Secret => "secrets",
        Kind::ConfigMap => "configmaps",
    }
}

/// `/apis/gateway.networking.k8s.io/v1`: where an API is, and discovery tells of it.
pub(super) fn api(kind: Kind, version: &str) -> String {
    match kind.group() {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    }
}

impl Target {
    /// All objects of a kind in a namespace, or everywhere.
    #[must_use]
    pub fn all(kind: Kind, namespace: Option<ArcStr>) -> Self {
        Self { kind, namespace, name: None, demanded: false }
    }

    /// One object.
    #[must_use]
    pub fn object(object: &ObjectRef) -> Self {
        let ObjectRef { kind, key: ObjectKey { namespace, name } } = object.clone();
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        Self { kind, namespace, name: Some(name), demanded: false }
    }

    /// The same, on demand.
    #[must_use]
    pub fn on_demand(self) -> Self {
        Self { demanded: true, ..self }
    }

    /// Whether syncgate can do without this API: then its absence is an empty list (F34).
    #[must_use]
    pub fn is_optional(&self) -> bool {
        matches!(self.kind, Kind::ReferenceGrant | Kind::EndpointSlice)
    }

    /// Path and query of a request.
    pub(super) fn uri(&self, version: &str, ask: Ask<'_>, timeout_seconds: u64) -> String {
        let mut uri = api(self.kind, version);
        if let Some(namespace) = &self.namespace {
            uri.push_str("/namespaces/");
            uri.push_str(namespace);
        }
        uri.push('/');
        uri.push_str(plural(self.kind));
        let mut query = form_urlencoded::Serializer::for_suffix(String::new(), 0);
        if let Some(selector) = self.field_selector() {
            query.append_pair("fieldSelector", &selector);
        }
        if self.kind == Kind::EndpointSlice {
            query.append_pair("labelSelector", BY_HAND);
        }
        match ask {
            Ask::List { limit, after } => {
                if limit > 0 {
                    query.append_pair("limit", &limit.to_string());
                }
                if let Some(after) = after {
                    query.append_pair("continue", after);
                }
            }
            Ask::WatchList | Ask::Watch(_) => {
                query.append_pair("watch", "true").append_pair("allowWatchBookmarks", "true");
                query.append_pair("timeoutSeconds", &timeout_seconds.to_string());
                if let Ask::Watch(revision) = ask {
                    query.append_pair("resourceVersion", revision);
                } else {
                    // Without a resourceVersion: at least as new as anything that was ever served.
                    query.append_pair("sendInitialEvents", "true");
                    query.append_pair("resourceVersionMatch", "NotOlderThan");
                }
            }
        }
        let query = query.finish();
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(&query);
        }
        uri
    }

    /// Narrows what the server sends (F59): pods that have ended never come back.
    fn field_selector(&self) -> Option<String> {
        match (&self.name, self.kind) {
            (Some(name), _) => Some(format!("metadata.name={name}")),
            (None, Kind::Pod) => Some("status.phase!=Failed,status.phase!=Succeeded".to_owned()),
            (None, _) => None,
        }
    }
}

impl fmt::Display for Target {
    /// `Pod`, `Pod in shop`, `Secret shop/cert`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, .. } = self;
        match (namespace, name) {
            (None, None) => write!(f, "{kind}"),
            (Some(namespace), None) => write!(f, "{kind} in {namespace}"),
            (None, Some(name)) => write!(f, "{kind} {name}"),
            (Some(namespace), Some(name)) => write!(f, "{kind} {namespace}/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_those_of_the_api_server() {
        let pods = Target::all(Kind::Pod, Some("shop".into()));
        assert_eq!(
            pods.uri("v1", Ask::List { limit: 500, after: Some("a+b") }, 0),
            "/api/v1/namespaces/shop/pods?fieldSelector=status.phase%21%3DFailed%2Cstatus.phase%21%3DSucceeded&limit=500&continue=a%2Bb"
        );
        let routes = Target::all(Kind::HttpRoute, None);
        assert_eq!(
            routes.uri("v1", Ask::Watch("7"), 200),
            "/apis/gateway.networking.k8s.io/v1/httproutes?watch=true&allowWatchBookmarks=true&timeoutSeconds=200&resourceVersion=7"
        );
        let secret = Target::object(&ObjectRef::new(Kind::Secret, ObjectKey::new("shop", "cert")));
        let uri = secret.uri("v1", Ask::WatchList, 200);
        assert!(
            uri.starts_with("/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Dcert&watch=true"),
            "{uri}"
        );
        assert!(uri.ends_with("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), "{uri}");
        assert_eq!(
            [pods.to_string(), routes.to_string(), secret.to_string()],
            ["Pod in shop", "HTTPRoute", "Secret shop/cert"]
        );
    }
}
