//! What all streams of one tenant may keep of names together: streams are free, so a bound of each alone bounds nothing.
//!
//! Names that a snapshot has too are shared with it and take little, so a fleet is far below; who makes up names is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of one stream, as long as it is open.
#[derive(Debug)]
pub(in crate::xds) struct Names {
    /// Of all streams of the tenant, in bytes.
    all: Arc<AtomicUsize>,
    own: usize,
    limit: usize,
}

/// The tenant's streams keep too much.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the names that streams of this namespace are subscribed to take {bytes} bytes, of {limit} allowed; subscribe to * instead, \
     or raise --xds-max-name-bytes-per-namespace"
)]
pub(in crate::xds) struct TooMuch {
    bytes: usize,
    limit: usize,
}

impl Names {
    pub(in crate::xds) fn new(all: Arc<AtomicUsize>, limit: usize) -> Names {
        Names { all, own: 0, limit }
    }

    /// The names of this stream take so many bytes now.
    ///
    /// # Errors
    /// If they are more than before, and all together are too many.
    pub(in crate::xds) fn take(&mut self, bytes: usize) -> Result<(), TooMuch> {
        let before = std::mem::replace(&mut self.own, bytes);
        if bytes <= before {
            self.all.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        let all = self.all.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before);
        if all > self.limit { Err(TooMuch { bytes: all, limit: self.limit }) } else { Ok(()) }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_streams_of_a_tenant_share_what_their_names_may_take() {
        let all = Arc::new(AtomicUsize::new(0));
        let stream = || Names::new(all.clone(), 100);
        let (mut one, mut other) = (stream(), stream());
        assert_eq!((one.take(60), other.take(40)), (Ok(()), Ok(())));
        assert_eq!(other.take(41), Err(TooMuch { bytes: 101, limit: 100 }));
        // Whoever wants less is never refused, and what it gives up is there for others.
        assert_eq!((other.take(41), one.take(10), other.take(90)), (Ok(()), Ok(()), Ok(())));
        drop(other);
        assert_eq!((one.take(100), all.load(Ordering::Relaxed)), (Ok(()), 100));
        drop(one);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
