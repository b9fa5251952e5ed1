//! Room for requests that are not whole yet: bytes that peers can make the process hold before anything is understood.
//!
//! Small requests need no room. A larger one gets room for all of it, or waits without being read, and by HTTP/2's windows
//! without being sent. So the requests that have room can always become whole, and those that wait are served first come
//! first served.
//!
//! Invariant (`bounded`): what is held for larger requests is at most the room of the process, of one identity at most that of
//! the identity, and of one connection at most that of the connection. So one identity leaves room for others.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests up to this size need no room, in bytes: an ACK has some hundred, and an HTTP/2 frame has this size.
pub(super) const SMALL: usize = 16 << 10;

/// What room is counted in: requests may be larger than a semaphore counts at once.
const UNIT: usize = 1 << 10;

/// Room of a process, of an identity or of a connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    total: u32,
    free: Arc<Semaphore>,
}

/// Room that is taken, as long as it is held.
#[derive(Debug)]
pub(super) struct Taken {
    _of_connection: Option<OwnedSemaphorePermit>,
    _of_identity: Option<OwnedSemaphorePermit>,
    _of_process: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Room {
        let total = units(bytes);
        Room { total, free: Arc::new(Semaphore::new(total as usize)) }
    }

    async fn units(self, wanted: u32) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed. A request that is larger than everything gets everything.
        self.free.acquire_many_owned(wanted.min(self.total)).await.ok()
    }
}

/// The room of a connection within that of its identity, within that of the process.
#[derive(Debug, Clone)]
pub(super) struct Rooms {
    pub(super) of_connection: Room,
    pub(super) of_identity: Room,
    pub(super) of_process: Room,
}

impl Rooms {
    /// Takes room for so many bytes once there is some. The narrower ones come first, so that nobody waits in the process'
    /// queue with more than one identity may have.
    pub(super) fn take(&self, bytes: usize) -> impl Future<Output = Taken> + Send + use<> {
        let (rooms, wanted) = (self.clone(), units(bytes));
        async move {
            let _of_connection = rooms.of_connection.units(wanted).await;
            let _of_identity = rooms.of_identity.units(wanted).await;
            let _of_process = rooms.of_process.units(wanted).await;
            Taken { _of_connection, _of_identity, _of_process }
        }
    }
}

fn units(bytes: usize) -> u32 {
    // More than the largest gRPC message has units of this size (4 Mi).
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, 1 << 28)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn comes(taken: impl Future<Output = Taken>) -> Option<Taken> {
        tokio::time::timeout(Duration::from_secs(1), taken).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn bounded_neither_a_connection_nor_an_identity_can_take_the_room_of_others() {
        let of_process = Room::new(100 * UNIT);
        let identity = || Room::new(70 * UNIT);
        let connection = |of_identity: &Room| Rooms {
            of_connection: Room::new(60 * UNIT),
            of_identity: of_identity.clone(),
            of_process: of_process.clone(),
        };
        let (a, b) = (identity(), identity());
        let (one, same, other) = (connection(&a), connection(&a), connection(&b));
        let first = comes(one.take(50 * UNIT)).await.expect("free");
        assert!(comes(one.take(20 * UNIT)).await.is_none(), "more than the connection's");
        assert!(comes(same.take(30 * UNIT)).await.is_none(), "more than the identity's");
        let second = comes(other.take(50 * UNIT)).await.expect("free");
        assert!(comes(same.take(UNIT)).await.is_none(), "more than the process'");
        drop(first);
        assert!(comes(same.take(UNIT)).await.is_some());
        drop(second);
        assert!(comes(one.take(1000 * UNIT)).await.is_some(), "what is larger than everything gets everything");
    }
}
