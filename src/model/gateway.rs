//! GatewayClass and Gateway of Gateway API 1.7, narrow and tolerant.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

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
    /// `spec.tls.frontend`.
    pub frontend: FrontendTls,
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

/// One `certificateRefs` or `caCertificateRefs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRef {
    /// `group`; empty is core.
    pub group: ArcStr,
    /// `kind`; of `certificateRefs` `Secret` by default.
    pub kind: ArcStr,
    /// Namespace (the Gateway's own by default) and name.
    pub target: ObjectKey,
}

/// What `spec.tls.frontend` of a Gateway says: how clients of its HTTPS listeners prove who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontendTls {
    /// `default`.
    pub default: PortTls,
    /// `perPort`: each takes the place of the default on its port.
    pub per_port: BTreeMap<u16, PortTls>,
    /// What could not be understood, and may have been meant for any port.
    pub problems: Vec<FieldProblem>,
}

/// The same for some ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortTls {
    /// `validation`; `None` asks clients for no certificate.
    pub validation: Option<Arc<ClientValidation>>,
    /// What of it could not be understood.
    pub problems: Vec<FieldProblem>,
}

/// How the certificates of clients are validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientValidation {
    /// The field of `caCertificateRefs` in the Gateway, for what is wrong with one of them.
    pub field: ArcStr,
    /// `caCertificateRefs`.
    pub authorities: Vec<CertificateRef>,
    /// `mode` is `AllowInsecureFallback`: clients without a valid certificate are served too. The default is `AllowValidOnly`.
    pub insecure: bool,
}

impl FrontendTls {
    /// What holds for an HTTPS port: clients are validated, or not.
    ///
    /// # Errors
    /// What was written is not understood, so nobody knows whom the port is meant for.
    pub fn of(&self, port: u16) -> Result<Option<&Arc<ClientValidation>>, &FieldProblem> {
        let own = self.per_port.get(&port).unwrap_or(&self.default);
        match self.problems.iter().chain(&own.problems).next() {
            Some(problem) => Err(problem),
            None => Ok(own.validation.as_ref()),
        }
    }

    /// Everything that could not be understood.
    pub fn problems(&self) -> impl Iterator<Item = &FieldProblem> {
        self.problems.iter().chain(self.all().flat_map(|tls| &tls.problems))
    }

    /// Whether clients without a valid certificate are let in somewhere where one is asked for.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.all().filter_map(|tls| tls.validation.as_ref()).any(|validation| validation.insecure)
    }

    fn all(&self) -> impl Iterator<Item = &PortTls> {
        std::iter::once(&self.default).chain(self.per_port.values())
    }
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
