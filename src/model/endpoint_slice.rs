//! EndpointSlices written by hand (or by a controller other than Kubernetes' own): endpoints that are not pods.

use std::net::IpAddr;

use arcstr::ArcStr;

use super::Protocol;

/// An EndpointSlice that the endpoint-slice controller does not manage. Slices that it does manage
/// (`endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io`, or the mirroring controller's) are not
/// let in: pods are the truth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Label `kubernetes.io/service-name`; a slice without it belongs to no Service.
    pub service: Option<ArcStr>,
    /// `ports`; matched to Service ports by name.
    pub ports: Vec<SlicePort>,
    /// `endpoints`.
    pub endpoints: Vec<SliceEndpoint>,
}

impl EndpointSlice {
    /// The label that names who manages a slice.
    pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

    /// Whether this manager is one of Kubernetes' own, which make slices of pods or of an Endpoints object.
    #[must_use]
    pub fn is_managed_by(manager: &str) -> bool {
        matches!(manager, "endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io")
    }
}

/// One `ports` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// `name`; empty when unnamed.
    pub name: ArcStr,
    /// `port`; `None` means all ports, which a gateway cannot use.
    pub port: Option<u16>,
    /// `protocol`.
    pub protocol: Protocol,
}

/// One `endpoints` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// `addresses` that are IP addresses; only the first counts, as the API says.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready`; absent means true.
    pub ready: bool,
    /// `conditions.terminating`; absent means false.
    pub terminating: bool,
    /// `zone`.
    pub zone: Option<ArcStr>,
}
