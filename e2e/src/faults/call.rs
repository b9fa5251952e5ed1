//! What a request asks of the API server, read from its path and query as the server's own `RequestInfo` does.

use std::fmt;

use hyper::header::AUTHORIZATION;
use hyper::{Method, Request};

/// What is done, in the words of RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object is read.
    Get,
    /// All objects of a kind are read.
    List,
    /// Changes are asked for.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of all objects of a kind.
    DeleteCollection,
    /// Anything that names no resource: `/version`, `/readyz`, discovery.
    Other,
}

impl Verb {
    /// The verbs that read resources.
    pub const READS: [Self; 3] = [Self::Get, Self::List, Self::Watch];
    /// The verbs that change objects.
    pub const WRITES: [Self; 5] = [Self::Create, Self::Update, Self::Patch, Self::Delete, Self::DeleteCollection];

    /// As RBAC spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "other",
        }
    }
}

/// A request, as far as a rule or an answer needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) path: String,
    /// Empty for the core group.
    pub(super) group: String,
    /// With its subresource, as `pods/status`; empty if the path names none.
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) token: Option<String>,
    /// Whether a watch wants to begin with what is there (`sendInitialEvents=true`).
    pub(super) initial_events: bool,
    pub(super) resource_version: Option<String>,
}

impl Call {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default();
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let is_set = |name| parameter(name).is_some_and(|value| value == "true" || value == "1");
        let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let target = Target::of(&path);
        let verb = if target.resource.is_empty() {
            Verb::Other
        } else {
            verb(request.method(), target.name.is_some(), is_set("watch"))
        };
        Self {
            verb,
            group: target.group,
            resource: target.resource,
            namespace: target.namespace,
            name: target.name,
            token: bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
            initial_events: verb == Verb::Watch && is_set("sendInitialEvents"),
            resource_version: parameter("resourceVersion").map(str::to_owned),
            path,
        }
    }

    /// `pods`, `httproutes.gateway.networking.k8s.io`.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// What it is counted under: the resource, or the path where none is named.
    pub(super) fn subject(&self) -> String {
        if self.resource.is_empty() { self.path.clone() } else { self.qualified() }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.path)
    }
}

fn verb(method: &Method, has_name: bool, watch: bool) -> Verb {
    match *method {
        Method::GET | Method::HEAD if watch => Verb::Watch,
        Method::GET | Method::HEAD if has_name => Verb::Get,
        Method::GET | Method::HEAD => Verb::List,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if has_name => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        _ => Verb::Other,
    }
}

#[derive(Debug, Default)]
struct Target {
    group: String,
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Target {
    fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Self::default(),
        };
        let mut target = Self { group: group.to_owned(), ..Self::default() };
        let rest = match rest {
            // What follows a namespace is a resource in it, but for the two subresources that a namespace has itself.
            ["namespaces", namespace, rest @ ..] if group.is_empty() => {
                target.namespace = Some((*namespace).to_owned());
                match rest {
                    [] | ["status" | "finalize"] => parts.get(2..).unwrap_or_default(),
                    inside => inside,
                }
            }
            ["namespaces", namespace, inside @ ..] => {
                target.namespace = Some((*namespace).to_owned());
                inside
            }
            rest => rest,
        };
        if let [resource, rest @ ..] = rest {
            target.name = rest.first().map(|name| (*name).to_owned());
            target.resource = match rest.get(1) {
                Some(subresource) => format!("{resource}/{subresource}"),
                None => (*resource).to_owned(),
            };
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, uri: &str) -> Call {
        Call::of(&Request::builder().method(method).uri(uri).header(AUTHORIZATION, "Bearer t").body(()).unwrap())
    }

    #[track_caller]
    fn check(uri: &str, verb: Verb, subject: &str, namespace: Option<&str>, name: Option<&str>) {
        let call = call(Method::GET, uri);
        assert_eq!((call.verb, call.subject().as_str()), (verb, subject), "{uri}");
        assert_eq!((call.namespace.as_deref(), call.name.as_deref()), (namespace, name), "{uri}");
        assert_eq!(call.token.as_deref(), Some("t"));
    }

    #[test]
    fn paths_are_read_as_the_server_reads_them() {
        check("/api/v1/pods?limit=500", Verb::List, "pods", None, None);
        check("/api/v1/namespaces/shop/pods?watch=true", Verb::Watch, "pods", Some("shop"), None);
        check("/api/v1/namespaces/shop/pods/a", Verb::Get, "pods", Some("shop"), Some("a"));
        check("/api/v1/namespaces", Verb::List, "namespaces", None, None);
        check("/api/v1/namespaces/shop", Verb::Get, "namespaces", Some("shop"), Some("shop"));
        check("/api/v1/namespaces/shop/status", Verb::Get, "namespaces/status", Some("shop"), Some("shop"));
        let routes = "httproutes.gateway.networking.k8s.io";
        check("/apis/gateway.networking.k8s.io/v1/httproutes?watch=1", Verb::Watch, routes, None, None);
        check("/version", Verb::Other, "/version", None, None);
        check("/apis/apps/v1", Verb::Other, "/apis/apps/v1", None, None);
    }

    #[test]
    fn writes_and_queries_are_read() {
        assert_eq!(call(Method::POST, "/api/v1/namespaces/shop/pods").verb, Verb::Create);
        assert_eq!(call(Method::DELETE, "/api/v1/namespaces/shop/pods").verb, Verb::DeleteCollection);
        let watch = call(Method::GET, "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersion=7");
        assert!(watch.initial_events);
        assert_eq!(watch.resource_version.as_deref(), Some("7"));
    }
}
