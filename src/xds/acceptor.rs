//! Accepts connections and proves who is at the other end, before anything is served.
//!
//! ```text
//!  socket ─► a place for its handshake ─► proven: a place of its tenant, then served
//!                                      └► of whom nothing is known: a place among strangers, then served
//! ```
//!
//! Invariant (`bounded`): a peer that says nothing, or never ends its handshake, takes nothing from those who do. Accepting waits for
//! nobody: whoever has to wait for a place does so in a task of its own, and whoever may not wait is closed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arcstr::ArcStr;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tracing::{debug, warn};

use super::access::Identity;
use super::bounds::census::Census;
use super::bounds::room::Hall;
use super::connection::{Bounds, turned};
use super::tls::Tls;
use crate::lobby::{Lobby, Newcomer, Place, Size, origin};
use crate::metrics;

/// Handshakes under way. Fewer than are done in two seconds, so that of a fleet that comes at once none has to go; of one that comes from
/// one address, as behind NAT, the others wait: some
/// 16 s at most, since nobody keeps a place for long. Each that waits costs a socket and a small task.
pub(super) const HANDSHAKES: Size =
    Size { places: 1_024, share: 64, waiting: 8_192, enough: Duration::from_secs(2), busy: Duration::ZERO };
/// Connections of peers of whom nothing is known. One without a certificate can ask for health, or show a token; nothing else.
/// Whoever shows a token is busy until it is proven, which takes some seconds where nobody can be asked. Whoever waits for one has a place
/// for its handshake.
pub(super) const STRANGERS: Size = Size {
    places: 256,
    share: 16,
    waiting: HANDSHAKES.places,
    enough: Duration::from_secs(1),
    busy: Duration::from_secs(10),
};
/// Pause after a failed `accept`, which is mostly the want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The first byte of a TLS handshake; HTTP/2 in clear text begins with a `P`.
const TLS_HANDSHAKE: u8 = 0x16;

/// What accepts connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) bounds: Bounds,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) routes: Routes,
    /// Room for larger requests, of each connection in bytes and of all of them.
    pub(super) room: (usize, Hall),
    /// The connections of each identity.
    pub(super) census: Arc<Census>,
    /// Whoever connects may have everything.
    pub(super) anyone: bool,
    /// Those of whom something is known, by their tenants.
    pub(super) connections: Lobby<ArcStr>,
    /// Those whose handshake is under way.
    pub(super) handshakes: Lobby<IpAddr>,
    /// Those of whom nothing is known.
    pub(super) strangers: Lobby<IpAddr>,
    /// Numbers connections, to spread their ends.
    pub(super) count: AtomicU64,
}

/// The other end, once it has introduced itself as far as it does.
pub(super) struct Introduced {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    pub(super) identity: Identity,
    /// Whether nobody on the way can read what it says: TLS, or loopback at both ends.
    pub(super) is_private: bool,
    /// Its place, if nothing is known of it.
    pub(super) stranger: Option<Place<IpAddr>>,
}

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl Acceptor {
    /// Accepts until `closing` turns true; completes when the last connection has ended. Dropping it ends all of them.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, mut closing: watch::Receiver<bool>) {
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
            let Some(newcomer) = self.handshakes.arrive(origin(address.ip())) else {
                metrics::connection_refused("too_many_handshakes");
                continue;
            };
            connections.spawn(self.clone().welcome(tcp, address, newcomer, closing.clone()));
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn welcome(
        self: Arc<Self>,
        tcp: TcpStream,
        address: SocketAddr,
        newcomer: Newcomer<IpAddr>,
        mut closing: watch::Receiver<bool>,
    ) {
        let place = tokio::select! {
            place = newcomer.place() => place,
            () = turned(&mut closing) => return,
        };
        match place {
            // Many may wait, and what is to come is large.
            Some(place) => Box::pin(self.connection(tcp, address, place, closing)).await,
            None => metrics::connection_refused("too_many_handshakes"),
        }
    }

    async fn connection(
        self: Arc<Self>,
        tcp: TcpStream,
        address: SocketAddr,
        place: Place<IpAddr>,
        closing: watch::Receiver<bool>,
    ) {
        // Both apart from what follows, so that nothing of them takes memory for as long as the connection is there.
        let Some(introduced) = self.introduced(tcp, address, place).await else { return };
        let Some((transport, peer, end)) = self.seated(introduced) else { return };
        let _counted = metrics::connection();
        match transport {
            Transport::Plain(tcp) => self.speak(tcp, peer, end, closing).await,
            Transport::Tls(tls) => self.speak(tls, peer, end, closing).await,
        }
    }

    async fn introduced(&self, tcp: TcpStream, address: SocketAddr, place: Place<IpAddr>) -> Option<Introduced> {
        let introduced = tokio::select! {
            introduced = tokio::time::timeout(self.bounds.handshake, self.introduction(tcp, address)) => introduced,
            () = place.ousted() => {
                metrics::connection_refused("too_many_handshakes");
                return None;
            }
        };
        match introduced {
            Ok(Ok(introduced)) => return Some(introduced),
            Ok(Err(error)) => {
                debug!(%address, %error, "a handshake with the ADS listener failed");
                metrics::connection_refused("handshake");
            }
            Err(_) => metrics::connection_refused("handshake_timeout"),
        }
        None
    }

    /// The handshake, and for a stranger the wait for its place.
    async fn introduction(&self, tcp: TcpStream, address: SocketAddr) -> std::io::Result<Introduced> {
        // Small responses are latency, not throughput. Fails only if the peer has gone.
        let _ = tcp.set_nodelay(true);
        // Both ends: a proxy on this machine that passes others on comes from loopback too, to the address that they asked for.
        let is_loopback = |end: SocketAddr| end.ip().to_canonical().is_loopback();
        let is_local = is_loopback(address) && tcp.local_addr().is_ok_and(is_loopback);
        let unproven = if is_local { Identity::Loopback } else { Identity::Unknown };
        let (transport, identity, is_private) = match &self.tls {
            Some(tls) if begins_with_tls(&tcp).await? => {
                let tls = tls.acceptor().accept(tcp).await?;
                let proven = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let identity = proven.map_or(unproven, |certificate| Identity::of_certificate(certificate));
                (Transport::Tls(Box::new(tls)), identity, true)
            }
            _ => (Transport::Plain(tcp), unproven, is_local),
        };
        // They may ask for health, and must not take the places of those who are known.
        let is_stranger = identity.is_strange() && !self.anyone;
        let stranger = if is_stranger { Some(self.stranger(address).await?) } else { None };
        Ok(Introduced { transport, address, identity, is_private, stranger })
    }

    async fn stranger(&self, address: SocketAddr) -> std::io::Result<Place<IpAddr>> {
        let place = self.strangers.enter(origin(address.ip())).await;
        place.ok_or_else(|| std::io::Error::other("others who are strangers too have to be let in instead"))
    }
}

async fn begins_with_tls(tcp: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    let begins = tcp.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE;
    if begins && tcp.ready(Interest::READABLE).await?.is_read_closed() {
        // It gave up while it waited, as Envoys do after a second: a signature would be for nobody.
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    Ok(begins)
}
