//! Keeps an API server changing, as a cluster at work does: [`pods`] changes pods at a constant rate, [`namespaces`] makes and deletes whole
//! namespaces in turn. Both end by themselves and say what they did, how long the server took, and what failed.

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
    fn new(given: &[IpAddr], seed: u64) -> Self {
        let first = u32::try_from(Draws::of(seed, &[]).below(1 << 20)).unwrap_or_default();
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

    #[test]
    fn addresses_go_round() {
        let given: [IpAddr; 2] = ["127.64.0.1".parse().unwrap(), "127.64.0.2".parse().unwrap()];
        let addresses = Addresses::new(&given, 1);
        assert_eq!([(); 3].map(|()| addresses.next()), [given[0], given[1], given[0]]);
        let made_up = Addresses::new(&[], 1);
        let IpAddr::V4(first) = made_up.next() else { panic!("an IPv4 address") };
        assert_eq!((first.octets()[0], first.octets()[1] & 0xf0), (172, 16));
        assert_ne!(made_up.next(), IpAddr::V4(first));
    }
}
