//! Names of what is translated: a cluster is named by what it stands for, never by where it was mentioned.
//!
//! Architecture invariant: no name holds a position (of a rule, filter, listener or port in a list), because a
//! position moves when a neighbour comes or goes, and a name that moves sends requests to the wrong backend.

use std::fmt;

use arcstr::ArcStr;

use crate::model::ObjectKey;

/// What a gateway speaks to the endpoints of a Service port: the port's `appProtocol`, as far as it decides
/// how Envoy opens connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AppProtocol {
    /// HTTP/1.1 in clear text, WebSocket upgrades included.
    Http,
    /// HTTP/2 in clear text with prior knowledge.
    H2c,
}

impl AppProtocol {
    /// Both protocols, in order.
    pub const ALL: [AppProtocol; 2] = [AppProtocol::Http, AppProtocol::H2c];

    /// The protocol as it is spelled in the names of clusters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AppProtocol::Http => "http",
            AppProtocol::H2c => "h2c",
        }
    }

    /// The protocol that a Service port's `appProtocol` asks for.
    ///
    /// `kubernetes.io/h2c` is HTTP/2 with prior knowledge; everything else is HTTP/1.1. For an absent one,
    /// `http` and `kubernetes.io/ws` the API says so; values unknown to us are hints for others. `https` and
    /// `kubernetes.io/wss` ask for TLS, which needs to be told whom to trust and which name to expect: only a
    /// BackendTLSPolicy says that, so without one no route leads there (see
    /// `PortFacts::wants_tls`).
    #[must_use]
    pub fn of(app_protocol: Option<&str>) -> Self {
        match app_protocol {
            Some("kubernetes.io/h2c") => AppProtocol::H2c,
            _ => AppProtocol::Http,
        }
    }
}

impl fmt::Display for AppProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One port of one Service, spoken to in one protocol: what a cluster and its load assignment stand for.
///
/// Displayed as `service/<namespace>/<name>/<port>/<protocol>`, which is the name of both resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterKey {
    /// The Service.
    pub service: ObjectKey,
    /// `spec.ports[].port` of the Service, 1 to 65535.
    pub port: u16,
    /// What is spoken to its endpoints.
    pub protocol: AppProtocol,
}

impl ClusterKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(service: ObjectKey, port: u16, protocol: AppProtocol) -> Self {
        Self { service, port, protocol }
    }

    /// The name of the cluster and of its load assignment. No tenant can choose it to collide with another's: the
    /// parts of a Kubernetes name hold no slash.
    #[must_use]
    pub fn resource_name(&self) -> ArcStr {
        arcstr::format!("{self}")
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service/{}/{}/{}/{}", self.service.namespace, self.service.name, self.port, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_by_service_port_and_protocol() {
        let key = ClusterKey::new(ObjectKey::new("shop", "cart"), 8080, AppProtocol::H2c);
        assert_eq!(key.resource_name(), "service/shop/cart/8080/h2c");
    }

    #[test]
    fn only_h2c_is_spoken_as_http2() {
        assert_eq!(AppProtocol::of(Some("kubernetes.io/h2c")), AppProtocol::H2c);
        for other in [None, Some("http"), Some("kubernetes.io/ws"), Some("https"), Some("kubernetes.io/wss"), Some("x")]
        {
            assert_eq!(AppProtocol::of(other), AppProtocol::Http, "{other:?}");
        }
    }
}
