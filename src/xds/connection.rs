//! Connections that were [accepted](super::acceptor): bounded in number, in idleness and in age.
//!
//! Invariant (`bounded`): nobody can hold a connection without using it, more of them than the bound, or one for ever.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tonic::Status;
use tower::ServiceExt;
use tracing::debug;

use super::acceptor::{Acceptor, Introduced, Transport};
use super::access::Identity;
use super::hub::census::{Counted, Full};
use super::room::{Hall, Room, Rooms};
use crate::lobby::{Busy, Place};
use crate::metrics;

/// Pings on an idle connection, and how long they wait: as Istio does (rule 35).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that the head of a request may take; tokens of ServiceAccounts are about 1 KiB.
const MAX_HEAD: u32 = 16 << 10;
/// What a peer may send ahead of what is read, of each stream and of the connection, in bytes. By HTTP/2's windows, so it is what the
/// process may have to hold of requests that wait to be read.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// How often it is looked whether a connection is idle.
const IDLE_LOOK: Duration = Duration::from_secs(15);
/// How long a connection that is turned away may take to hear why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a connection of whom nothing is known may be without a request, and how long it may be there at all.
const STRANGER_IDLE: Duration = Duration::from_secs(10);
const STRANGER_AGE: Duration = Duration::from_secs(60);

/// Bounds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; whoever comes then is turned away.
    pub connections: usize,
    /// Connections at once of one identity off loopback.
    pub per_identity: usize,
    /// Streams at once on a connection; an Envoy needs one or two.
    pub streams: u32,
    /// Time for the handshake.
    pub handshake: Duration,
    /// A connection without a stream ends after this time.
    pub idle: Duration,
    /// Age at which a connection is asked to end, give or take a tenth, so that clients spread over replicas (rule 35).
    pub age: Duration,
    /// How long it may take to end then.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            connections: 20_000,
            // Half of them, as of the streams.
            per_identity: 10_000,
            streams: 10,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            age: Duration::from_secs(1800),
            grace: Duration::from_secs(10),
        }
    }
}

/// The other end of a connection. Each of its streams holds a clone.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Where it comes from.
    pub(super) address: SocketAddr,
    /// Who it is.
    pub(super) identity: Identity,
    /// Whether nobody on the way can read what it says: TLS, or loopback at both ends.
    pub(super) is_private: bool,
    standing: Arc<Standing>,
    /// True once the connection is to end.
    ending: watch::Receiver<bool>,
}

/// What a connection and its streams tell each other.
#[derive(Debug)]
struct Standing {
    /// Its place, as long as nothing is known of it.
    stranger: Option<Place>,
    account: Mutex<MemberOf>,
    /// Connections of one identity.
    per_identity: usize,
    /// Room for larger requests, of the connection and of the process.
    room: (Room, Hall),
    /// Requests that came.
    requests: AtomicU64,
    cut: Notify,
    turned_away: Notify,
}

/// Among whose connections it counts.
#[derive(Debug)]
struct MemberOf {
    counted: Counted,
    /// Whether that is who it has shown to be. The first token counts: room that was taken must not be lost sight of.
    is_settled: bool,
}

impl Peer {
    /// Completes when the connection is to end because of its age.
    pub(super) async fn too_old(&mut self) {
        // An error means that the connection is gone, and with it the stream.
        if self.ending.wait_for(|ending| *ending).await.is_err() {
            std::future::pending().await
        }
    }

    /// One of its streams shows who it is, as long as this is held: it keeps its place meanwhile.
    pub(super) fn introduces_itself(&self) -> Option<Busy<'_>> {
        self.standing.stranger.as_ref().map(Place::busy)
    }

    /// One of its streams has shown who it is.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, and the connection ends, if that one has as many connections as it may.
    pub(super) fn becomes(&mut self, identity: Identity) -> Result<(), Status> {
        if self.identity.is_strange() {
            self.standing.settle(&identity, self.address.ip()).map_err(|full| {
                metrics::stream_unserved("too_many_connections");
                metrics::connection_refused("too_many_of_identity");
                self.standing.turned_away.notify_one();
                Status::resource_exhausted(format!("too many connections: {full}"))
            })?;
        }
        self.identity = identity;
        Ok(())
    }

    /// Room for its larger requests.
    pub(super) fn rooms(&self) -> Rooms {
        let of_identity = self.standing.account().counted.room();
        let (of_connection, of_process) = self.standing.room.clone();
        Rooms { of_connection, of_identity, of_process }
    }

    /// Closes the connection at once: its client does not read, so nothing can be said to it.
    pub(super) fn cut_off(&self) {
        metrics::connection_refused("unread");
        self.standing.cut.notify_one();
    }
}

impl Standing {
    fn account(&self) -> MutexGuard<'_, MemberOf> {
        // Every change under the lock is whole after each statement.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, identity: &Identity, address: IpAddr) -> Result<(), Full> {
        let mut account = self.account();
        if !account.is_settled {
            account.counted.becomes(identity, address, self.per_identity)?;
            account.is_settled = true;
        }
        if let Some(place) = &self.stranger {
            place.leave();
        }
        Ok(())
    }

    fn is_stranger(&self) -> bool {
        self.stranger.as_ref().is_some_and(Place::is_held)
    }

    /// Completes when a stranger had to give its place to somebody else.
    async fn ousted(&self) {
        match &self.stranger {
            Some(place) => place.ousted().await,
            None => std::future::pending().await,
        }
    }
}

impl Acceptor {
    /// Serves a connection until it ends.
    pub(super) async fn serve(&self, introduced: Introduced, closing: watch::Receiver<bool>) {
        let Introduced { transport, address, identity, is_private, stranger } = introduced;
        let per_identity = self.bounds.per_identity;
        let Ok(counted) = self.census.enter(&identity, address.ip(), per_identity) else {
            return metrics::connection_refused("too_many_of_identity");
        };
        let _counted = metrics::connection();
        let standing = Arc::new(Standing {
            stranger,
            account: Mutex::new(MemberOf { counted, is_settled: false }),
            per_identity,
            room: (Room::new(self.room.0), self.room.1.clone()),
            requests: AtomicU64::new(0),
            cut: Notify::new(),
            turned_away: Notify::new(),
        });
        let (end, ending) = watch::channel(false);
        let peer = Peer { address, identity, is_private, standing: standing.clone(), ending };
        match transport {
            Transport::Plain(tcp) => self.speak(tcp, peer, &standing, end, closing).await,
            Transport::Tls(tls) => self.speak(tls, peer, &standing, end, closing).await,
        }
    }

    async fn speak(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        standing: &Standing,
        end: watch::Sender<bool>,
        mut closing: watch::Receiver<bool>,
    ) {
        let (routes, address) = (self.routes.clone(), peer.address);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            peer.standing.requests.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(peer.clone());
            routes.clone().oneshot(request)
        });
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(self.bounds.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD);
        let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = standing.cut.notified() => return,
            () = standing.ousted() => return metrics::connection_refused("too_many_strangers"),
            () = standing.turned_away.notified() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
            }
            () = turned(&mut closing) => {
                // The streams are told to end by the hub; how long all of it may take is bounded there.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = self.time_is_up(standing, &end) => {
                if standing.is_stranger() {
                    // Nothing of it has to come to an end.
                    return;
                }
                connection.as_mut().graceful_shutdown();
                end.send_replace(true);
                tokio::time::timeout(self.bounds.grace, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            debug!(%address, %error, "a connection to the ADS listener ended early");
        }
    }

    /// Completes when a connection is too old, or was idle for too long. Streams hold receivers of `end`.
    async fn time_is_up(&self, standing: &Standing, end: &watch::Sender<bool>) {
        // The golden ratio spreads any run of numbers evenly.
        let share = (self.count.fetch_add(1, Ordering::Relaxed) as f64 * 0.618_033_988_75).fract();
        let age = tokio::time::sleep(self.bounds.age.mul_f64(0.9 + 0.2 * share));
        tokio::select! {
            () = age => {}
            () = self.idle(standing, end) => {}
        }
    }

    async fn idle(&self, standing: &Standing, end: &watch::Sender<bool>) {
        let (mut idle, mut unknown, mut requests) = (Duration::ZERO, Duration::ZERO, 0);
        loop {
            let is_stranger = standing.is_stranger();
            let limit = if is_stranger { STRANGER_IDLE.min(self.bounds.idle) } else { self.bounds.idle };
            if idle >= limit || unknown >= STRANGER_AGE {
                return;
            }
            let look = IDLE_LOOK.min(limit / 4);
            tokio::time::sleep(look).await;
            let before = std::mem::replace(&mut requests, standing.requests.load(Ordering::Relaxed));
            // One receiver is the connection's own.
            let is_used = end.receiver_count() > 1 || requests != before;
            idle = if is_used { Duration::ZERO } else { idle + look };
            unknown = if is_stranger { unknown + look } else { Duration::ZERO };
        }
    }
}

/// Completes when the flag is set, or nobody is there any more to set it.
pub(super) async fn turned(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}
