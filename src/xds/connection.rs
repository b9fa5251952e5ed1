//! Connections: accepted, proven, bounded in number, in idleness and in age.
//!
//! Invariant (`bounded`): nobody can hold a connection without using it, more of them than the bound, or one for ever.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::access::Identity;
use super::hub::census::Census;
use super::room::{Room, Rooms};
use super::strangers::{self, Place, Strangers};
use super::tls::Tls;
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
/// Pause after a failed `accept`, which is mostly the want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether a connection is idle.
const IDLE_LOOK: Duration = Duration::from_secs(15);
/// The first byte of a TLS handshake; HTTP/2 in clear text begins with a `P`.
const TLS_HANDSHAKE: u8 = 0x16;

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
    /// Room for its larger requests.
    pub(super) rooms: Rooms,
    /// Whether nobody on the way can read what it says: TLS, or loopback at both ends.
    pub(super) is_private: bool,
    place: Arc<Place>,
    /// True once the connection is to end.
    ending: watch::Receiver<bool>,
    cut: Arc<Notify>,
}

impl Peer {
    /// Completes when the connection is to end because of its age.
    pub(super) async fn too_old(&mut self) {
        // An error means that the connection is gone, and with it the stream.
        if self.ending.wait_for(|ending| *ending).await.is_err() {
            std::future::pending().await
        }
    }

    /// One of its streams has shown who it is.
    pub(super) fn is_known(&self) {
        self.place.leave();
    }

    /// Closes the connection at once: its client does not read, so nothing can be said to it.
    pub(super) fn cut_off(&self) {
        metrics::connection_refused("unread");
        self.cut.notify_one();
    }
}

/// What accepts connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) bounds: Bounds,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) routes: Routes,
    /// Room for larger requests, of each connection in bytes and of all of them.
    pub(super) room: (usize, Room),
    /// The connections of each identity.
    pub(super) census: Arc<Census>,
    /// Whoever connects may have everything.
    pub(super) anyone: bool,
    /// Places of those of whom nothing is known.
    pub(super) strangers: Strangers,
    /// Numbers connections, to spread their ends.
    pub(super) count: AtomicU64,
}

impl Acceptor {
    /// Accepts until `closing` turns true; completes when the last connection has ended. Dropping it ends all of them.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, mut closing: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.bounds.connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = turned(&mut closing) => break,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "accepting a connection to the ADS listener failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                metrics::connection_refused("too_many");
                continue;
            };
            let (acceptor, closing) = (self.clone(), closing.clone());
            connections.spawn(async move {
                acceptor.connection(tcp, address, closing).await;
                drop(slot);
            });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn connection(&self, tcp: TcpStream, address: SocketAddr, closing: watch::Receiver<bool>) {
        // Small responses are latency, not throughput. Fails only if the peer has gone.
        let _ = tcp.set_nodelay(true);
        // Both ends: a proxy on this machine that passes others on comes from loopback too, to the address that they asked for.
        let is_loopback = |end: SocketAddr| end.ip().to_canonical().is_loopback();
        let is_local = is_loopback(address) && tcp.local_addr().is_ok_and(is_loopback);
        let unproven = if is_local { Identity::Loopback } else { Identity::Unknown };
        let handshake = async {
            match &self.tls {
                Some(tls) if begins_with_tls(&tcp).await? => {
                    tls.acceptor().accept(tcp).await.map(|tls| Transport::Tls(Box::new(tls)))
                }
                _ => Ok(Transport::Plain(tcp)),
            }
        };
        match tokio::time::timeout(self.bounds.handshake, handshake).await {
            Ok(Ok(Transport::Plain(tcp))) => self.serve(tcp, address, (unproven, is_local), closing).await,
            Ok(Ok(Transport::Tls(tls))) => {
                let proven = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let identity = proven.map_or(unproven, |certificate| Identity::of_certificate(certificate));
                self.serve(tls, address, (identity, true), closing).await;
            }
            Ok(Err(error)) => {
                debug!(%address, %error, "a handshake with the ADS listener failed");
                metrics::connection_refused("handshake");
            }
            Err(_) => metrics::connection_refused("handshake_timeout"),
        }
    }

    async fn serve(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
        (identity, is_private): (Identity, bool),
        mut closing: watch::Receiver<bool>,
    ) {
        // They may ask for health, and must not take the places of those who are known.
        let is_stranger = identity == Identity::Unknown && !self.anyone;
        let place = if is_stranger { self.strangers.place().await } else { Some(Place::default()) };
        let Some(place) = place.map(Arc::new) else { return metrics::connection_refused("too_many_strangers") };
        let Ok(_counted_among_its_own) = self.census.enter(&identity, address.ip(), self.bounds.per_identity) else {
            return metrics::connection_refused("too_many_of_identity");
        };
        let _counted = metrics::connection();
        let (end, ending) = watch::channel(false);
        let cut = Arc::new(Notify::new());
        let rooms = Rooms::new(Room::new(self.room.0), self.room.1.clone());
        let peer = Peer { address, identity, rooms, is_private, place: place.clone(), ending, cut: cut.clone() };
        let routes = self.routes.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
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
            () = cut.notified() => return,
            () = turned(&mut closing) => {
                // The streams are told to end by the hub; how long all of it may take is bounded there.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = self.time_is_up(&place, &end) => {
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
    fn time_is_up(&self, place: &Place, end: &watch::Sender<bool>) -> impl Future<Output = ()> {
        // The golden ratio spreads any run of numbers evenly.
        let share = (self.count.fetch_add(1, Ordering::Relaxed) as f64 * 0.618_033_988_75).fract();
        let age = tokio::time::sleep(self.bounds.age.mul_f64(0.9 + 0.2 * share));
        let bounds = self.bounds;
        let idle = async move {
            let (mut idle, mut unknown) = (Duration::ZERO, Duration::ZERO);
            loop {
                let is_stranger = place.is_taken();
                let limit = if is_stranger { strangers::IDLE.min(bounds.idle) } else { bounds.idle };
                if idle >= limit || unknown >= strangers::AGE {
                    return;
                }
                let look = IDLE_LOOK.min(limit);
                tokio::time::sleep(look).await;
                // One of them is the connection's own.
                idle = if end.receiver_count() > 1 { Duration::ZERO } else { idle + look };
                unknown = if is_stranger { unknown + look } else { Duration::ZERO };
            }
        };
        async {
            tokio::select! {
                () = age => {}
                () = idle => {}
            }
        }
    }
}

/// Completes when the flag is set, or nobody is there any more to set it.
async fn turned(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

async fn begins_with_tls(tcp: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(tcp.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE)
}
