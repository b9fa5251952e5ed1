//! How many streams each identity has.
//!
//! Invariant (`bounded`): one identity cannot take the places of all others. Loopback has no bound of its own: whoever is
//! on this machine has other ways to disturb it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use arcstr::ArcStr;
use tonic::Status;

use super::lock;
use crate::metrics;
use crate::xds::access::Identity;

/// The streams of each identity that has any.
#[derive(Debug, Default)]
pub(in crate::xds) struct Census {
    streams: Mutex<HashMap<ArcStr, usize>>,
}

/// A stream that counts, as long as this is held.
#[derive(Debug)]
pub(in crate::xds) struct Counted {
    census: Arc<Census>,
    name: Option<ArcStr>,
}

impl Census {
    /// Counts a stream of this peer.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED if its identity has `limit` streams; counted.
    pub(in crate::xds) fn enter(
        self: &Arc<Census>,
        identity: &Identity,
        address: IpAddr,
        limit: usize,
    ) -> Result<Counted, Status> {
        let name = match identity {
            Identity::Loopback => return Ok(Counted { census: self.clone(), name: None }),
            // Only where anyone may have everything: whoever shows nothing is told apart by the address.
            Identity::Unknown => arcstr::format!("{identity} at {}", address.to_canonical()),
            proven => arcstr::format!("{proven}"),
        };
        let mut streams = lock(&self.streams);
        let count = streams.entry(name.clone()).or_default();
        if *count >= limit {
            metrics::stream_unserved("too_many_streams");
            return Err(Status::resource_exhausted(format!(
                "{name} has {count} streams, as many as it may: raise --xds-max-streams-per-identity if that is right"
            )));
        }
        *count += 1;
        Ok(Counted { census: self.clone(), name: Some(name) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        let mut streams = lock(&self.census.streams);
        if let Some(count) = streams.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                streams.remove(name);
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
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().starts_with("a peer without identity at 192.0.2.1 has 2 streams"), "{refused}");
        let other = unknown(THERE).expect("another one");
        for _ in 0..10 {
            std::mem::forget(census.enter(&Identity::Loopback, HERE, 2).expect("no bound"));
        }
        drop(one);
        drop(unknown(HERE).expect("one has gone"));
        drop((two, other));
        assert!(lock(&census.streams).is_empty(), "gone is gone");
    }
}
