//! How many streams, or connections, each identity has.
//!
//! Invariant (`bounded`): one identity cannot take the places of all others. Loopback has no bound of its own: whoever is
//! on this machine has other ways to disturb it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use arcstr::ArcStr;

use super::lock;
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
    name: Option<ArcStr>,
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
        let name = match identity {
            Identity::Loopback => return Ok(Counted { census: self.clone(), name: None }),
            // Only where anyone may have everything: whoever shows nothing is told apart by the address.
            Identity::Unknown => arcstr::format!("{identity} at {}", address.to_canonical()),
            proven => arcstr::format!("{proven}"),
        };
        let mut counts = lock(&self.counts);
        let count = counts.entry(name.clone()).or_default();
        if *count >= limit {
            return Err(Full { name, count: *count });
        }
        *count += 1;
        Ok(Counted { census: self.clone(), name: Some(name) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        let mut counts = lock(&self.census.counts);
        if let Some(count) = counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for _ in 0..10 {
            std::mem::forget(census.enter(&Identity::Loopback, HERE, 2).expect("no bound"));
        }
        drop(one);
        drop(unknown(HERE).expect("one has gone"));
        drop((two, other));
        assert!(lock(&census.counts).is_empty(), "gone is gone");
    }
}
