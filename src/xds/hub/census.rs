//! How many streams, or connections, each identity has.
//!
//! Invariant (`bounded`): one identity cannot take the places of all others. Loopback has no bound of its own: whoever is
//! on this machine has other ways to disturb it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use arcstr::ArcStr;

use super::lock;
use crate::lobby::origin;
use crate::xds::access::Identity;

/// The streams, or the connections, of each identity that has any.
#[derive(Debug, Default)]
pub(in crate::xds) struct Census {
    counts: Mutex<HashMap<ArcStr, usize>>,
}

/// Who has as many as it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} has {count} of them, as many as it may: raise --xds-max-streams-per-identity if that is right")]
pub(in crate::xds) struct Full {
    name: ArcStr,
    count: usize,
}

/// One that counts, as long as this is held.
#[derive(Debug)]
pub(in crate::xds) struct Counted {
    census: Arc<Census>,
    name: ArcStr,
}

impl Census {
    /// Counts one more of this peer.
    ///
    /// # Errors
    /// If its identity has `limit` of them.
    pub(in crate::xds) fn enter(
        self: &Arc<Census>,
        identity: &Identity,
        address: IpAddr,
        limit: usize,
    ) -> Result<Counted, Full> {
        let limit = if *identity == Identity::Loopback { usize::MAX } else { limit };
        let name = name(identity, address);
        let mut counts = lock(&self.counts);
        let count = counts.entry(name.clone()).or_default();
        if *count >= limit {
            return Err(Full { name, count: *count });
        }
        *count += 1;
        Ok(Counted { census: self.clone(), name })
    }
}

/// What an identity counts by: a ServiceAccount is the same by certificate and by token.
fn name(identity: &Identity, address: IpAddr) -> ArcStr {
    match identity {
        Identity::Loopback => arcstr::format!("{identity}"),
        known => known.account().unwrap_or_else(|| {
            // Whoever shows nothing is told apart by the address.
            arcstr::format!("{} at {}", Identity::Unknown, origin(address))
        }),
    }
}

impl Counted {
    /// Counts among those of another identity instead.
    ///
    /// # Errors
    /// If that one has `limit` of them; then nothing changes.
    pub(in crate::xds) fn becomes(&mut self, identity: &Identity, address: IpAddr, limit: usize) -> Result<(), Full> {
        *self = self.census.enter(identity, address, limit)?;
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = lock(&self.census.counts);
        if let Some(count) = counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::access::Name;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn bounded_an_identity_has_so_many_streams_and_leaves_the_others_theirs() {
        let census = Arc::new(Census::default());
        let unknown = |at| census.enter(&Identity::Unknown, at, 2);
        let (one, two) = (unknown(HERE).expect("free"), unknown(HERE).expect("free"));
        let refused = unknown(HERE).expect_err("two are open");
        assert!(refused.to_string().starts_with("a peer without identity at 192.0.2.1 has 2 of them"), "{refused}");
        let other = unknown(THERE).expect("another one");
        let local: Vec<_> = (0..10).map(|_| census.enter(&Identity::Loopback, HERE, 2).expect("no bound")).collect();
        drop(one);
        drop(unknown(HERE).expect("one has gone"));
        drop((two, other, local));
        assert!(lock(&census.counts).is_empty(), "gone is gone");
    }

    #[test]
    fn bounded_an_account_is_the_same_by_certificate_and_by_token() {
        let census = Arc::new(Census::default());
        let token = Identity::of_token("shop/envoy".into());
        let names = [Name::ServiceAccount("shop/envoy".into()), Name::Other("https://mesh".into())];
        let certificate = Identity::Certificate(Arc::new(names));
        let nameless = Identity::Certificate(Arc::new([]));
        let _one = census.enter(&certificate, HERE, 1).expect("free");
        let refused = census.enter(&token, THERE, 1).expect_err("one is there");
        assert!(refused.to_string().starts_with("ServiceAccount shop/envoy has 1 of them"), "{refused}");
        let mut unknown = census.enter(&nameless, HERE, 1).expect("free");
        assert!(census.enter(&Identity::Unknown, HERE, 1).is_err(), "a certificate that names nobody is nobody's");
        unknown.becomes(&token, HERE, 1).expect_err("still full");
        unknown.becomes(&token, HERE, 2).expect("free");
        assert!(census.enter(&Identity::Unknown, HERE, 1).is_ok(), "its former place is free");
    }
}
