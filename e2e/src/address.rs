//! Loopback addresses of a scenario. Each claims a network 127.a.b.0/24 of its own, so that scenarios that run side by side can all use
//! the same well-known ports, and a port written into a manifest is never taken by somebody else between its choice and its use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Held open on host 254 for as long as a network is claimed.
const CLAIM_PORT: u16 = 41999;
/// Networks are 127.64.0.0/24 to 127.127.255.0/24.
const FIRST: u8 = 64;
const NETWORKS: u16 = 64 * 256;
/// Where this process looks next.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A claimed network.
#[derive(Debug)]
pub struct Loopback {
    network: [u8; 2],
    _claim: TcpListener,
}

impl Loopback {
    /// Claims a free network: another one than the last, whose sockets the kernel may be about to close still.
    pub fn claim() -> Result<Self> {
        let first = NEXT.fetch_add(1, Ordering::Relaxed);
        for number in (0..NETWORKS).map(|at| first.wrapping_add(at) % NETWORKS) {
            let [high, third] = number.to_be_bytes();
            let second = FIRST + high;
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(127, second, third, 254), CLAIM_PORT)) {
                return Ok(Self { network: [second, third], _claim: claim });
            }
        }
        bail!("no free loopback network: port {CLAIM_PORT} is taken on 127.64.0.254 to 127.127.255.254")
    }

    /// A host of the network.
    #[must_use]
    pub fn host(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(127, self.network[0], self.network[1], host).into()
    }

    /// Where Envoy's listeners bind.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        self.host(1)
    }

    /// Where Envoy's admin interface binds.
    #[must_use]
    pub fn envoy_admin(&self) -> SocketAddr {
        (self.host(1), 9901).into()
    }

    /// Where syncgate serves ADS.
    #[must_use]
    pub fn xds(&self) -> SocketAddr {
        (self.host(2), 18000).into()
    }

    /// Where syncgate serves its probes and metrics.
    #[must_use]
    pub fn health(&self) -> SocketAddr {
        (self.host(2), 8081).into()
    }

    /// Where syncgate serves its admin pages.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        (self.host(2), 19000).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_share_no_address() {
        let (one, two) = (Loopback::claim().unwrap(), Loopback::claim().unwrap());
        assert_ne!(one.gateway(), two.gateway());
        let last = two.gateway();
        drop(two);
        assert_ne!(last, Loopback::claim().unwrap().gateway(), "not at once again");
    }
}
