//! GatewayClass and Gateway of Gateway API 1.7, narrow and tolerant.

use std::net::IpAddr;

use arcstr::ArcStr;

use super::{FieldProblem, LabelSelector, Meta, ObjectKey};

/// `spec.controllerName` of the GatewayClasses that are ours.
pub const CONTROLLER: &str = "syncgate.dev/controller";

/// A GatewayClass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayClass {
    /// Metadata.
    pub meta: Meta,
    /// `spec.controllerName`; ours is `syncgate.dev/controller`.
    pub controller: ArcStr,
    /// What of it could not be understood.
    pub problems: Vec<FieldProblem>,
}

impl GatewayClass {
    /// Whether Gateways of this class are ours to serve.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.controller == CONTROLLER
    }
}

/// A Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Metadata.
    pub meta: Meta,
    /// `spec.gatewayClassName`.
    pub class: ArcStr,
    /// `spec.addresses` of type `IPAddress`: where Envoy binds. Empty: every address.
    pub addresses: Vec<IpAddr>,
    /// `spec.listeners`.
    pub listeners: Vec<Listener>,
    /// What of it could not be understood.
    pub problems: Vec<FieldProblem>,
}

/// One `spec.listeners` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `name`.
    pub name: ArcStr,
    /// `hostname`, lower case; `None` matches every host. May start with `*.`.
    pub hostname: Option<ArcStr>,
    /// `port`.
    pub port: u16,
    /// `protocol`.
    pub protocol: ListenerProtocol,
    /// `tls`.
    pub tls: Option<ListenerTls>,
    /// `allowedRoutes`.
    pub allowed: AllowedRoutes,
    /// What of it could not be understood; fields as in the Gateway (`spec.listeners[0].protocol`).
    pub problems: Vec<FieldProblem>,
}

/// `protocol` of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP/1.1 and HTTP/2 in clear text.
    Http,
    /// HTTP over TLS, terminated here.
    Https,
    /// A protocol that this release does not serve (TLS, TCP, UDP, or one it has never heard of).
    Unsupported(ArcStr),
}

/// `tls` of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerTls {
    /// `mode` is `Passthrough`; the default is `Terminate`.
    pub passthrough: bool,
    /// `certificateRefs`.
    pub certificates: Vec<CertificateRef>,
}

/// One `certificateRefs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRef {
    /// `group`; empty is core.
    pub group: ArcStr,
    /// `kind`; `Secret` by default.
    pub kind: ArcStr,
    /// Namespace (the Gateway's own by default) and name.
    pub target: ObjectKey,
}

/// `allowedRoutes` of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedRoutes {
    /// `namespaces.from` and `namespaces.selector`.
    pub from: FromNamespaces,
    /// `kinds`; empty means the protocol's own (HTTPRoute for HTTP and HTTPS).
    pub kinds: Vec<RouteKind>,
}

/// Which namespaces' routes may attach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FromNamespaces {
    /// The Gateway's own.
    #[default]
    Same,
    /// All.
    All,
    /// None.
    None,
    /// Those whose labels match.
    Selector(LabelSelector),
    /// A value unknown to this release: allows none.
    Unknown(ArcStr),
}

/// One `allowedRoutes.kinds` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteKind {
    /// `group`; Gateway API's by default.
    pub group: ArcStr,
    /// `kind`.
    pub kind: ArcStr,
}
