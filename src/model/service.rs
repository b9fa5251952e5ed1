//! Services.

use arcstr::ArcStr;

use super::Labels;

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
    /// `spec.clusterIP: None`. Endpoints are the same as for any other Service.
    pub headless: bool,
    /// Why it is not known, if it is not: then this is the door's stand-in for a Service that could not be read.
    pub unavailable: Option<ArcStr>,
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
