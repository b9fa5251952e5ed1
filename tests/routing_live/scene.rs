//! A Gateway in a namespace of its own, routes, and what is asked of it.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// The listeners of most scenes.
pub(crate) const HTTP: &str = "{name: http, port: 80, protocol: HTTP}";

/// Manifests with requests and answers.
pub(crate) struct Scene {
    /// Also the namespace.
    pub(crate) name: &'static str,
    objects: String,
    /// Requests ([`crate::client`]) and answers ([`crate::expect`]).
    pub(crate) asks: Vec<(&'static str, &'static str)>,
    /// Requests with the share of each backend.
    pub(crate) shares: Vec<(&'static str, &'static [(&'static str, f64)])>,
}

impl Scene {
    /// A scene whose Gateway `edge` has these listeners, in YAML's flow style.
    pub(crate) fn new(name: &'static str, listeners: &str) -> Self {
        let scene = Self { name, objects: String::new(), asks: Vec::new(), shares: Vec::new() };
        scene.object(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, namespace: {name}}}, \
             spec: {{gatewayClassName: syncgate, listeners: [{listeners}]}}}}"
        ))
    }

    /// A manifest as it is.
    pub(crate) fn object(mut self, manifest: &str) -> Self {
        writeln!(self.objects, "---\n{manifest}").expect("strings can be written");
        self
    }

    /// A route of the Gateway for these hosts, with these rules.
    pub(crate) fn route(self, name: &str, hosts: &str, rules: &[String]) -> Self {
        self.route_of(name, "name: edge", hosts, rules)
    }

    /// A route of this parent.
    pub(crate) fn route_of(self, name: &str, parent: &str, hosts: &str, rules: &[String]) -> Self {
        let meta = format!("name: {name}, namespace: {}", self.name);
        self.route_with(&meta, parent, hosts, rules)
    }

    /// A route with these metadata.
    pub(crate) fn route_with(self, meta: &str, parent: &str, hosts: &str, rules: &[String]) -> Self {
        let hosts: Vec<String> = hosts.split_whitespace().map(|host| format!("'{host}'")).collect();
        self.object(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{{meta}}}, \
             spec: {{parentRefs: [{{{parent}}}], hostnames: [{}], rules: [{}]}}}}",
            hosts.join(", "),
            rules.join(", ")
        ))
    }

    pub(crate) fn asks(mut self, asks: &[(&'static str, &'static str)]) -> Self {
        self.asks.extend_from_slice(asks);
        self
    }

    pub(crate) fn shares(mut self, request: &'static str, shares: &'static [(&'static str, f64)]) -> Self {
        self.shares.push((request, shares));
        self
    }

    /// Its objects, with a Service and a Pod for each backend (`d` by h2c), and the Service `empty` without any.
    pub(crate) fn manifests(&self, backends: &[(&str, SocketAddr)]) -> String {
        let mut out = self.objects.clone();
        let mut service = |name: &str, target: u16, protocol: &str| {
            let meta = format!("metadata: {{name: {name}, namespace: {}", self.name);
            writeln!(
                out,
                "---\n{{apiVersion: v1, kind: Service, {meta}}}, \
                 spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: {target}{protocol}}}]}}}}"
            )
            .expect("strings can be written");
            meta
        };
        service("empty", 1, "");
        let pods = backends.iter().map(|(name, address)| {
            let protocol = if *name == "d" { ", appProtocol: kubernetes.io/h2c" } else { "" };
            let meta = service(name, address.port(), protocol);
            format!(
                "---\n{{apiVersion: v1, kind: Pod, {meta}, labels: {{app: {name}}}}}, spec: {{containers: []}}, \
                 status: {{phase: Running, podIP: 127.0.0.1, conditions: [{{type: Ready, status: 'True'}}]}}}}\n"
            )
        });
        let pods: String = pods.collect();
        out + &pods
    }
}

/// A rule that sends what matches to a Service.
pub(crate) fn to(matches: &str, backend: &str) -> String {
    format!("{{matches: [{{{matches}}}], backendRefs: [{{name: {backend}, port: 80}}]}}")
}

/// A rule that does this to what matches before it sends it to `a`.
pub(crate) fn filtered(matches: &str, filters: &str) -> String {
    format!("{{matches: [{{{matches}}}], filters: [{filters}], backendRefs: [{{name: a, port: 80}}]}}")
}

/// A rule that redirects what matches.
pub(crate) fn redirect(matches: &str, redirect: &str) -> String {
    format!("{{matches: [{{{matches}}}], filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]}}")
}

/// A `URLRewrite` filter.
pub(crate) fn rewrite(rewrite: &str) -> String {
    format!("{{type: URLRewrite, urlRewrite: {{{rewrite}}}}}")
}

pub(crate) fn exact(path: &str) -> String {
    format!("path: {{type: Exact, value: '{path}'}}")
}

pub(crate) fn prefix(path: &str) -> String {
    format!("path: {{type: PathPrefix, value: '{path}'}}")
}

pub(crate) fn regex(expression: &str) -> String {
    format!("path: {{type: RegularExpression, value: '{expression}'}}")
}

/// `path` of a redirect or rewrite, in place of the matched prefix.
pub(crate) fn new_prefix(path: &str) -> String {
    format!("path: {{type: ReplacePrefixMatch, replacePrefixMatch: '{path}'}}")
}

/// `path` of a redirect or rewrite, in place of the whole path.
pub(crate) fn new_path(path: &str) -> String {
    format!("path: {{type: ReplaceFullPath, replaceFullPath: '{path}'}}")
}
