//! Pods: where endpoints come from.

use std::net::IpAddr;

use arcstr::ArcStr;

use super::{Labels, Protocol};

/// A Pod, as far as endpoints need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.podIPs`, else `status.podIP`; valid addresses only, at most one of each family counts.
    pub ips: Vec<IpAddr>,
    /// Container ports that have a name, of all containers that run while the pod serves (sidecars too).
    pub named_ports: Vec<PodPort>,
    /// The `Ready` condition is `True`.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// `status.phase` is `Failed` or `Succeeded`: never an endpoint, whatever else it says.
    pub finished: bool,
    /// Zone from the pod's own label `topology.kubernetes.io/zone`.
    pub zone: Option<ArcStr>,
}

/// A named container port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    /// `name`.
    pub name: ArcStr,
    /// `containerPort`.
    pub port: u16,
    /// `protocol`.
    pub protocol: Protocol,
}
