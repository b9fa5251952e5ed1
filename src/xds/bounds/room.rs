//! Room for requests that are not whole yet: bytes that peers can make the process hold before anything is understood.
//!
//! Small requests need no room, and neither does what was announced and has not come. A larger request takes room as its bytes
//! come: a [step](STEP) first, then as much again as it has, so what it takes is never more than twice what came. Who has to
//! wait for room is not read, and by HTTP/2's windows cannot even send more.
//!
//! The room of the process is a [hall], in which each tenant has a [share](Share): whoever owns a namespace has as many
//! ServiceAccounts as it likes, so these share one. Of those that wait, the tenant that holds least is next; of one tenant's
//! requests the oldest.
//!
//! Requests that hold some room and wait for more could wait for each other. So two are never kept waiting: the oldest of all by
//! the hall, and the oldest of each tenant by its share. And a tenant that holds nothing gets one step whatever others hold,
//! which is about every request there is (400 names with their versions are 40 KiB): nobody else can keep it waiting.
//!
//! Invariant (`bounded`): what is held for larger requests is at most the room of the process, one request, and a step for
//! each tenant; of one tenant at most its share and one request; of one connection at most what the connection may have.

mod hall;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::hall::Claim;
pub(in crate::xds) use self::hall::{Hall, Share};

/// Requests up to this size need no room, in bytes, and neither do the first bytes of larger ones: an ACK has some hundred, and
/// an HTTP/2 frame has this size.
pub(in crate::xds) const SMALL: usize = 16 << 10;

/// What a request takes first, in bytes: as much as a connection's window may make the process hold in any case.
pub(in crate::xds) const STEP: usize = 256 << 10;

/// What room of connections is counted in: requests may be larger than a semaphore counts at once.
const UNIT: usize = 1 << 10;

/// Room of a connection. Its streams take the whole of what they announce, one after the other: that harms nobody else. Clones
/// share it.
#[derive(Debug, Clone)]
pub(in crate::xds) struct Room {
    total: u32,
    free: Arc<Semaphore>,
}

impl Room {
    /// Room for so many bytes.
    pub(in crate::xds) fn new(bytes: usize) -> Room {
        let total = units(bytes);
        Room { total, free: Arc::new(Semaphore::new(total as usize)) }
    }

    async fn take(self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed. A request that is larger than everything gets everything.
        self.free.acquire_many_owned(units(bytes).min(self.total)).await.ok()
    }
}

/// The room of a connection, the share of its tenant, and the hall.
#[derive(Debug, Clone)]
pub(in crate::xds) struct Rooms {
    pub(in crate::xds) of_connection: Room,
    pub(in crate::xds) of_tenant: Share,
    pub(in crate::xds) of_process: Hall,
}

/// Room that is taken for one request, as long as it is held.
#[derive(Debug)]
pub(in crate::xds) struct Taken {
    _of_connection: Option<OwnedSemaphorePermit>,
    claim: Claim,
}

impl Rooms {
    /// Takes room for a request of so many bytes, or more room, once there is some.
    pub(in crate::xds) fn take(
        &self,
        taken: Option<Taken>,
        whole: usize,
    ) -> impl Future<Output = Taken> + Send + use<> {
        let rooms = self.clone();
        async move {
            let mut taken = match taken {
                Some(taken) => taken,
                None => {
                    let _of_connection = rooms.of_connection.take(whole).await;
                    Taken { _of_connection, claim: rooms.of_process.claim(&rooms.of_tenant) }
                }
            };
            let bytes = taken.bytes();
            let next = STEP.max(bytes.saturating_mul(2)).min(whole);
            taken.claim.grow(next.saturating_sub(bytes)).await;
            taken
        }
    }
}

impl Taken {
    /// How much it is, in bytes.
    pub(in crate::xds) fn bytes(&self) -> usize {
        self.claim.bytes()
    }
}

fn units(bytes: usize) -> u32 {
    // More than the largest gRPC message has units of this size (4 Mi).
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, 1 << 28)
}

#[cfg(test)]
mod tests;
