//! Services.

use std::net::IpAddr;

use arcstr::ArcStr;

use super::{Labels, ObjectKey};

/// A Service, as far as routing needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.selector`; `None` when absent or empty: then nothing is selected, and only hand-written EndpointSlices count.
    pub selector: Option<Labels>,
    /// `spec.ports`, in the order written.
    pub ports: Vec<ServicePort>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// `spec.ipFamilies`.
    pub families: IpFamilies,
    /// `spec.clusterIP: None`. Endpoints are the same as for any other Service.
    pub headless: bool,
    /// Why it is not known, if it is not: then this is the door's stand-in for a Service that could not be read.
    pub unavailable: Option<ArcStr>,
}

/// A port of a Service, as a reference names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRef {
    /// The Service.
    pub service: ObjectKey,
    /// `spec.ports[].port`, 1 to 65535.
    pub port: u16,
}

/// `spec.type` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// ClusterIP, NodePort and LoadBalancer: all the same to us.
    #[default]
    Cluster,
    /// ExternalName with its host: not routable through pods.
    ExternalName(ArcStr),
}

/// The IP families in which a Service has endpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IpFamilies {
    /// Both named, or none: the API server always names one, a manifest in a folder seldom does.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl IpFamilies {
    /// Whether the Service may have an endpoint at this address.
    #[must_use]
    pub const fn contains(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// One `spec.ports` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`; empty when there is one unnamed port.
    pub name: ArcStr,
    /// `port`, 1 to 65535.
    pub port: u16,
    /// `targetPort`; defaults to `port`.
    pub target: TargetPort,
    /// `protocol`.
    pub protocol: Protocol,
    /// `appProtocol`, such as `kubernetes.io/h2c`.
    pub app_protocol: Option<ArcStr>,
}

/// `targetPort`: a number or a container port's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// A port number.
    Number(u16),
    /// The name of a container port; each pod may resolve it differently.
    Name(ArcStr),
}

/// The transport of a port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// A protocol unknown to this release.
    Unknown(ArcStr),
}
