//! Connections that were [accepted](super::acceptor): bounded in number, in idleness and in age.
//!
//! Invariant (`bounded`): nobody can hold a connection without using it, more of them than the bound, or one for ever.

mod peer;
mod turns;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::ServiceExt;
use tracing::debug;

pub(super) use self::peer::Peer;
use self::peer::Standing;
use super::acceptor::{Acceptor, Introduced, Transport};
use super::bounds::room::Room;
use crate::lobby::Size;
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
    /// Connections at once; whoever comes then is turned away, or one of a tenant that has more goes.
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

impl Bounds {
    /// Places for connections: nobody waits for one, and it takes more than patience to get that of another.
    pub(super) fn places(&self) -> Size {
        Size { places: self.connections, share: 0, waiting: 0, enough: Duration::MAX, busy: Duration::MAX }
    }
}

impl Acceptor {
    /// Counts a connection, and says what its streams are to know of it; None if there are too many.
    pub(super) fn seated(&self, introduced: Introduced) -> Option<(Transport, Peer, watch::Sender<bool>)> {
        let Introduced { transport, address, identity, is_private, stranger } = introduced;
        let per_identity = self.bounds.per_identity;
        let Ok(counted) = self.census.enter(&identity, address.ip(), per_identity) else {
            metrics::connection_refused("too_many_of_identity");
            return None;
        };
        let room = (Room::new(self.room.0), self.room.1.clone());
        let standing = Arc::new(Standing::new(stranger, counted, per_identity, room, self.connections.clone()));
        // Those of whom nothing is known have places of their own, so that whoever asks for health is heard in any case.
        if !standing.is_stranger() && standing.sit(&identity, address.ip()).is_err() {
            metrics::connection_refused("too_many");
            return None;
        }
        let (end, ending) = watch::channel(false);
        Some((transport, Peer::new((address, identity, is_private), standing, ending), end))
    }

    /// Serves a connection until it ends. No `async fn`: one keeps its arguments twice, for as long as it runs.
    pub(super) fn speak(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        end: watch::Sender<bool>,
        mut closing: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> {
        let (routes, address, standing) = (self.routes.clone(), peer.address, peer.standing.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            let (standing, routes) = (peer.standing.clone(), routes.clone());
            standing.requests.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(peer.clone());
            async move {
                if standing.is_stranger() {
                    standing.turns.next().await;
                }
                routes.oneshot(request).await
            }
        });
        let mut connection = self.http().serve_connection(TokioIo::new(io), service);
        async move {
            let mut connection = Pin::new(&mut connection);
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = standing.cut.notified() => return,
                () = standing.ousted() => return metrics::connection_refused("too_many_strangers"),
                () = standing.outnumbered() => return metrics::connection_refused("outnumbered"),
                () = standing.turned_away.notified() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
                }
                () = turned(&mut closing) => {
                    // The streams are told to end by the hub; how long all of it may take is bounded there.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
                () = self.time_is_up(&standing, &end) => {
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
    }

    fn http(&self) -> http2::Builder<TokioExecutor> {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(self.bounds.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD);
        http
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
