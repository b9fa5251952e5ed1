//! Who is at the other end of a connection, and what the connection and its streams tell each other.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arcstr::ArcStr;
use tokio::sync::{Notify, SetOnce, watch};
use tonic::Status;

use super::turns::Turns;
use crate::lobby::{Busy, Lobby, Newcomer, Place};
use crate::metrics;
use crate::xds::access::Identity;
use crate::xds::bounds::census::{Counted, Full, tenant};
use crate::xds::bounds::room::{Hall, Room, Rooms};

/// The other end of a connection. Each of its streams holds a clone.
#[derive(Debug, Clone)]
pub(in crate::xds) struct Peer {
    /// Where it comes from.
    pub(in crate::xds) address: SocketAddr,
    /// Who it is.
    pub(in crate::xds) identity: Identity,
    /// Whether nobody on the way can read what it says: TLS, or loopback at both ends.
    pub(in crate::xds) is_private: bool,
    pub(super) standing: Arc<Standing>,
    /// Its connection is in use, as long as a stream of it has this.
    in_use: Option<Arc<Busy<ArcStr>>>,
    /// True once the connection is to end.
    ending: watch::Receiver<bool>,
}

/// What a connection and its streams tell each other.
#[derive(Debug)]
pub(super) struct Standing {
    /// Its place, as long as nothing is known of it.
    stranger: Option<Place<IpAddr>>,
    /// Its place once something is, and where that is one.
    seat: SetOnce<Place<ArcStr>>,
    seats: Lobby<ArcStr>,
    account: Mutex<MemberOf>,
    /// Connections of one identity.
    per_identity: usize,
    /// Room for larger requests, of the connection and of the process.
    room: (Room, Hall),
    /// Requests that came.
    pub(super) requests: AtomicU64,
    /// When a stranger's are answered.
    pub(super) turns: Turns,
    pub(super) cut: Notify,
    pub(super) turned_away: Notify,
}

/// Among whose connections it counts.
#[derive(Debug)]
struct MemberOf {
    counted: Counted,
    /// Whether that is who it has shown to be. The first token counts: room that was taken must not be lost sight of.
    is_settled: bool,
}

/// Why a connection has to end that has just shown whose it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Surplus {
    #[error(transparent)]
    OfIdentity(#[from] Full),
    #[error("no tenant of this server has more of them: raise --xds-max-connections")]
    OfAll,
}

impl Peer {
    pub(super) fn new(
        (address, identity, is_private): (SocketAddr, Identity, bool),
        standing: Arc<Standing>,
        ending: watch::Receiver<bool>,
    ) -> Self {
        Peer { address, identity, is_private, standing, in_use: None, ending }
    }

    /// Completes when the connection is to end because of its age.
    pub(in crate::xds) async fn too_old(&mut self) {
        // An error means that the connection is gone, and with it the stream.
        if self.ending.wait_for(|ending| *ending).await.is_err() {
            std::future::pending().await
        }
    }

    /// One of its streams shows who it is, as long as this is held: it keeps its place meanwhile.
    pub(in crate::xds) fn introduces_itself(&self) -> Option<Busy<IpAddr>> {
        self.standing.stranger.as_ref().map(Place::busy)
    }

    /// One of its streams has shown who it is.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, and the connection ends, if that one has as many connections as it may, or there are too many.
    pub(in crate::xds) fn becomes(&mut self, identity: Identity) -> Result<(), Status> {
        if self.identity.is_strange() {
            self.standing.settle(&identity, self.address.ip()).map_err(|surplus| {
                metrics::stream_unserved("too_many_connections");
                metrics::connection_refused(match surplus {
                    Surplus::OfIdentity(_) => "too_many_of_identity",
                    Surplus::OfAll => "too_many",
                });
                self.standing.turned_away.notify_one();
                Status::resource_exhausted(format!("too many connections: {surplus}"))
            })?;
        }
        self.identity = identity;
        Ok(())
    }

    /// This is a stream's, and its connection is in use as long as that has this.
    pub(in crate::xds) fn is_streaming(&mut self) {
        self.in_use = self.standing.seat.get().map(Place::busy).map(Arc::new);
    }

    /// Room for its larger requests.
    pub(in crate::xds) fn rooms(&self) -> Rooms {
        let of_tenant = self.standing.account().counted.room();
        let (of_connection, of_process) = self.standing.room.clone();
        Rooms { of_connection, of_tenant, of_process }
    }

    /// Closes the connection at once: its client does not read, so nothing can be said to it.
    pub(in crate::xds) fn cut_off(&self) {
        metrics::connection_refused("unread");
        self.standing.cut.notify_one();
    }
}

impl Standing {
    pub(super) fn new(
        stranger: Option<Place<IpAddr>>,
        counted: Counted,
        per_identity: usize,
        room: (Room, Hall),
        seats: Lobby<ArcStr>,
    ) -> Self {
        Standing {
            stranger,
            seat: SetOnce::new(),
            seats,
            account: Mutex::new(MemberOf { counted, is_settled: false }),
            per_identity,
            room,
            requests: AtomicU64::new(0),
            turns: Turns::default(),
            cut: Notify::new(),
            turned_away: Notify::new(),
        }
    }

    /// Takes a place among the connections, of its tenant.
    pub(super) fn sit(&self, identity: &Identity, address: IpAddr) -> Result<(), Surplus> {
        if self.seat.initialized() {
            return Ok(());
        }
        let seat = self.seats.arrive(tenant(identity, address)).and_then(Newcomer::at_once).ok_or(Surplus::OfAll)?;
        // Its place is given back if another of its streams has just taken one.
        let _ = self.seat.set(seat);
        Ok(())
    }

    fn account(&self) -> MutexGuard<'_, MemberOf> {
        // Every change under the lock is whole after each statement.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, identity: &Identity, address: IpAddr) -> Result<(), Surplus> {
        let mut account = self.account();
        if !account.is_settled {
            account.counted.becomes(identity, address, self.per_identity)?;
            self.sit(identity, address)?;
            account.is_settled = true;
        }
        if let Some(place) = &self.stranger {
            place.leave();
        }
        Ok(())
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.stranger.as_ref().is_some_and(Place::is_held)
    }

    /// Completes when a stranger had to give its place to somebody else.
    pub(super) async fn ousted(&self) {
        match &self.stranger {
            Some(place) => place.ousted().await,
            None => std::future::pending().await,
        }
    }

    /// Completes when its place was given to somebody whose tenant has fewer.
    pub(super) async fn outnumbered(&self) {
        self.seat.wait().await.ousted().await;
    }
}
