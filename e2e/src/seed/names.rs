//! What seeded objects are called and where their pods are. All of it follows from the seed and an object's numbers
//! alone, so a second call with larger counts finds what the first one made and adds to it.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};

use super::Plan;
use crate::draws::{Draws, suffix};

/// Pods are on this many nodes; none of them is an object.
const NODES: u64 = 500;
/// The third of the /16 networks from 10.96.0.0 is that of Services; pods leave it out.
const SERVICE_NETWORK: u32 = u32::from_be_bytes([0, 96, 0, 0]);
/// What numbers are drawn for.
const REPLICA_SET: u64 = 1;
const POD: u64 = 2;
const NODE: u64 = 3;

/// One pod of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodName {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ip: IpAddr,
    pub(super) node: String,
    pub(super) host_ip: IpAddr,
}

impl Plan {
    /// The name of a namespace.
    #[must_use]
    pub fn namespace(&self, namespace: u32) -> String {
        format!("{}-{namespace}", self.prefix)
    }

    /// The name of a Service; its pods are labelled `app: <name>`.
    #[must_use]
    pub fn service(&self, service: u32) -> String {
        format!("app-{service}")
    }

    /// The name of what owns the pods of a Service.
    pub(super) fn replica_set(&self, namespace: u32, service: u32) -> String {
        format!("{}-{}", self.service(service), self.template_hash(namespace, service))
    }

    pub(super) fn template_hash(&self, namespace: u32, service: u32) -> String {
        Draws::of(self.seed, &[REPLICA_SET, namespace.into(), service.into()]).word(9)
    }

    /// The name of a pod of a namespace.
    pub fn pod(&self, namespace: u32, pod: u32) -> String {
        let shift = Draws::of(self.seed, &[POD, namespace.into()]).below(1 << 20);
        let service = pod % self.services.max(1);
        format!("{}-{}", self.replica_set(namespace, service), suffix(u64::from(pod) + shift))
    }

    pub(super) fn pod_name(&self, namespace: u32, pod: u32) -> Result<PodName> {
        let node = Draws::of(self.seed, &[NODE, namespace.into(), pod.into()]).below(NODES);
        let [high, low] = u16::try_from(node)?.to_be_bytes();
        Ok(PodName {
            name: self.pod(namespace, pod),
            uid: Draws::of(self.seed, &[POD, namespace.into(), pod.into()]).uid(),
            ip: self.address(namespace, pod)?,
            node: format!("node-{node}"),
            host_ip: Ipv4Addr::new(192, 168, high, low).into(),
        })
    }

    /// The address of a pod of a namespace: one of the given ones in turn, or one of 10.0.0.0/8 that no other pod of
    /// the plan has.
    pub fn address(&self, namespace: u32, pod: u32) -> Result<IpAddr> {
        if self.addresses.is_empty() {
            let address = load_address(namespace, pod);
            return address.map(IpAddr::from).with_context(|| {
                format!(
                    "10.0.0.0/8 has no address for pod {pod} of namespace {namespace}: \
                     keep namespaces times pods of each below 250,000, or give addresses"
                )
            });
        }
        // In turn within a Service, so that each has all of them.
        let turn = usize::try_from(pod / self.services.max(1))?;
        Ok(self.addresses[turn % self.addresses.len()])
    }
}

/// A number for each pair that does not depend on how many there are of either: pairs are grouped into blocks by their
/// powers of two, and blocks of 2^s pairs follow each other by s. (A fixed share for each namespace would waste most of
/// the network on one shape of plan.)
fn load_address(namespace: u32, pod: u32) -> Option<Ipv4Addr> {
    let (namespace, pod) = (u64::from(namespace) + 1, u64::from(pod) + 1);
    let (high, low) = (namespace.ilog2(), pod.ilog2());
    let size = high + low;
    // There are t + 1 blocks of 2^t pairs for each t below s: (s - 1) * 2^s + 1 pairs in all.
    let before = (u64::from(size) << size) + 1 - (1_u64 << size);
    let within = ((namespace - (1 << high)) << low) + (pod - (1 << low));
    let number = u32::try_from(before + (u64::from(high) << size) + within).ok()?;
    // The first address is that of the network itself.
    let number = number.checked_add(1)?;
    let number = if number < SERVICE_NETWORK { number } else { number.checked_add(1 << 16)? };
    let [0, b, c, d] = number.to_be_bytes() else { return None };
    Some(Ipv4Addr::new(10, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_pods_share_an_address_whatever_the_shape() {
        for (namespaces, pods) in [(1, 100_000), (50, 2000), (5000, 20), (100_000, 1)] {
            let pairs = || (0..namespaces).flat_map(|namespace| (0..pods).map(move |pod| (namespace, pod)));
            let addresses: BTreeSet<Ipv4Addr> =
                pairs().map(|(namespace, pod)| load_address(namespace, pod).unwrap()).collect();
            assert_eq!(addresses.len(), usize::try_from(namespaces * pods).unwrap());
            assert!(addresses.iter().all(|address| !address.octets().starts_with(&[10, 96])));
        }
        assert_eq!(load_address(u32::MAX, 0), None);
    }

    #[test]
    fn a_larger_plan_keeps_names_and_addresses() {
        let small = Plan { services: 3, pods: 10, ..Plan::default() };
        let large = Plan { namespaces: 9, pods: 2000, ..small.clone() };
        assert_eq!(small.pod_name(0, 7).unwrap(), large.pod_name(0, 7).unwrap());
        let name = small.pod(0, 7);
        assert!(name.starts_with("app-1-") && name.len() == "app-1-6b7f9c8d4-x2x4z".len(), "{name}");
        let names: BTreeSet<String> = (0..2000).map(|pod| large.pod(0, pod)).collect();
        assert_eq!(names.len(), 2000);
    }

    #[test]
    fn given_addresses_are_taken_in_turn_by_each_service() {
        let addresses = ["127.64.0.1".parse().unwrap(), "127.64.0.2".parse().unwrap()];
        let plan = Plan { services: 2, addresses: addresses.to_vec(), ..Plan::default() };
        let of_first: Vec<IpAddr> = [0, 2, 4].map(|pod| plan.address(0, pod).unwrap()).to_vec();
        assert_eq!(of_first, [addresses[0], addresses[1], addresses[0]]);
    }
}
