//! Keeps an API server changing, as a cluster at work does: [`pods`] changes pods at a constant rate, [`namespaces`]
//! makes and deletes whole namespaces in turn. Both end by themselves and say what they did, how long the server took,
//! and what failed.

pub mod namespaces;
pub mod pods;
mod tally;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

pub use tally::Tally;

use crate::draws::Draws;

/// Addresses for pods that change or are new.
#[derive(Debug)]
struct Addresses {
    given: Vec<IpAddr>,
    turn: AtomicU32,
}

impl Addresses {
    /// The given ones in turn; if there are none, those of 172.16.0.0/12, which no seeded pod has, from somewhere on.
    fn new(given: &[IpAddr]) -> Self {
        // Pods of an earlier run may still have theirs.
        let first = u32::try_from(Draws::of_now().below(1 << 20)).unwrap_or_default();
        Self { given: given.to_vec(), turn: AtomicU32::new(if given.is_empty() { first } else { 0 }) }
    }

    fn next(&self) -> IpAddr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let among_given = usize::try_from(turn).unwrap_or_default().checked_rem(self.given.len());
        match among_given {
            Some(number) => self.given[number],
            None => Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) | (turn % (1 << 20))).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Pods {
        #[command(flatten)]
        plan: pods::Plan,
    }

    #[derive(Debug, Parser)]
    struct Namespaces {
        #[command(flatten)]
        plan: namespaces::Plan,
    }

    #[test]
    fn the_defaults_are_those_of_the_commands() {
        let (pods, namespaces) = (Pods::parse_from(["pods"]).plan, Namespaces::parse_from(["namespaces"]).plan);
        assert_eq!(format!("{pods:?}"), format!("{:?}", pods::Plan::default()));
        assert_eq!(format!("{namespaces:?}"), format!("{:?}", namespaces::Plan::default()));
    }

    #[test]
    fn addresses_go_round() {
        let given: [IpAddr; 2] = ["127.64.0.1".parse().unwrap(), "127.64.0.2".parse().unwrap()];
        let addresses = Addresses::new(&given);
        assert_eq!([(); 3].map(|()| addresses.next()), [given[0], given[1], given[0]]);
        let made_up = Addresses::new(&[]);
        let IpAddr::V4(first) = made_up.next() else { panic!("an IPv4 address") };
        assert_eq!((first.octets()[0], first.octets()[1] & 0xf0), (172, 16));
        assert_ne!(made_up.next(), IpAddr::V4(first));
    }
}
