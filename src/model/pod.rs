//! Pods: where endpoints come from.
//!
//! There may be a hundred thousand of them, so a Pod is small: what many have in common is shared, what most have one of
//! stands in the value itself, and what can be read from something else is not kept.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

use arcstr::ArcStr;

use super::{Labels, Protocol};

/// The label of a pod's own zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// A Pod, as far as endpoints need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.podIPs`, else `status.podIP`; valid addresses only, at most one of each family counts.
    pub ips: PodIps,
    /// Container ports that have a name, of all containers that run while the pod serves (sidecars too).
    pub named_ports: PodPorts,
    /// The `Ready` condition is `True`.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// `status.phase` is `Failed` or `Succeeded`: never an endpoint, whatever else it says.
    pub finished: bool,
}

impl Pod {
    /// Zone from the pod's own label `topology.kubernetes.io/zone`.
    #[must_use]
    pub fn zone(&self) -> Option<&ArcStr> {
        self.labels.get(ZONE).filter(|zone| !zone.is_empty())
    }
}

/// The addresses of a pod: one of IPv4 mostly, which takes no memory of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodIps(Ips);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Ips {
    #[default]
    None,
    One(Ipv4Addr),
    /// Others, or several. Boxed twice: this is rare, and a pointer and a length take eight bytes more in each pod.
    Several(Box<Box<[IpAddr]>>),
}

impl PodIps {
    /// The addresses in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let (one, several) = match &self.0 {
            Ips::None => (None, &[] as &[IpAddr]),
            Ips::One(ip) => (Some(IpAddr::V4(*ip)), &[] as &[IpAddr]),
            Ips::Several(ips) => (None, &ips[..]),
        };
        one.into_iter().chain(several.iter().copied())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Ips::None)
    }
}

impl FromIterator<IpAddr> for PodIps {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(ips: T) -> Self {
        let mut ips = ips.into_iter();
        Self(match (ips.next(), ips.next()) {
            (None, _) => Ips::None,
            (Some(IpAddr::V4(one)), None) => Ips::One(one),
            (Some(one), two) => Ips::Several(Box::new([one].into_iter().chain(two).chain(ips).collect())),
        })
    }
}

/// The named ports of a pod, shared by the pods that have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PodPorts(Option<Arc<Box<[PodPort]>>>);

impl PodPorts {
    /// Whether somebody else holds this list too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.as_ref().is_some_and(|ports| Arc::strong_count(ports) > 1)
    }
}

impl Deref for PodPorts {
    type Target = [PodPort];

    fn deref(&self) -> &[PodPort] {
        self.0.as_ref().map_or(&[], |ports| ports)
    }
}

impl FromIterator<PodPort> for PodPorts {
    fn from_iter<T: IntoIterator<Item = PodPort>>(ports: T) -> Self {
        let ports: Box<[PodPort]> = ports.into_iter().collect();
        Self(if ports.is_empty() { None } else { Some(Arc::new(ports)) })
    }
}

/// A named container port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodPort {
    /// `name`.
    pub name: ArcStr,
    /// `containerPort`.
    pub port: u16,
    /// `protocol`.
    pub protocol: Protocol,
}
