//! Accepts connections and proves who is at the other end, before anything is served.
//!
//! ```text
//!  socket ─► a place for its handshake ─► proven: served
//!                                      └► of whom nothing is known: a place among strangers, then served
//! ```
//!
//! Invariant (`bounded`): a peer that says nothing, or never ends its handshake, takes nothing from those who do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tracing::{debug, warn};

use super::access::Identity;
use super::connection::{Bounds, turned};
use super::hub::census::Census;
use super::room::Hall;
use super::tls::Tls;
use crate::lobby::{Lobby, Place, Size};
use crate::metrics;

/// Handshakes under way. Fewer than are done in two seconds, so that of a fleet that comes at once none has to go.
pub(super) const HANDSHAKES: Size =
    Size { places: 1_024, share: 64, enough: Duration::from_secs(2), busy: Duration::ZERO };
/// Connections of peers of whom nothing is known. One without a certificate can ask for health, or show a token; nothing else.
/// Whoever shows a token is busy until it is proven, which takes some seconds where nobody can be asked.
pub(super) const STRANGERS: Size =
    Size { places: 256, share: 16, enough: Duration::from_secs(1), busy: Duration::from_secs(10) };
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
    /// Those whose handshake is under way.
    pub(super) handshakes: Lobby,
    /// Those of whom nothing is known.
    pub(super) strangers: Lobby,
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
    pub(super) stranger: Option<Place>,
}

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
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
            if slots.available_permits() == 0 {
                metrics::connection_refused("too_many");
                continue;
            }
            let place = tokio::select! {
                place = self.handshakes.enter(address.ip()) => place,
                () = turned(&mut closing) => break,
            };
            let (acceptor, slots, closing) = (self.clone(), slots.clone(), closing.clone());
            connections.spawn(async move { acceptor.connection(tcp, address, place, slots, closing).await });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn connection(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        place: Place,
        slots: Arc<Semaphore>,
        closing: watch::Receiver<bool>,
    ) {
        let introduced = tokio::select! {
            introduced = tokio::time::timeout(self.bounds.handshake, self.introduction(tcp, address)) => introduced,
            () = place.ousted() => return metrics::connection_refused("too_many_handshakes"),
        };
        let introduced = match introduced {
            Ok(Ok(introduced)) => introduced,
            Ok(Err(error)) => {
                debug!(%address, %error, "a handshake with the ADS listener failed");
                return metrics::connection_refused("handshake");
            }
            Err(_) => return metrics::connection_refused("handshake_timeout"),
        };
        // Not before: whoever never ends a handshake would take them all.
        let Ok(_slot) = slots.try_acquire() else { return metrics::connection_refused("too_many") };
        drop(place);
        self.serve(introduced, closing).await;
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
        let stranger = if is_stranger { Some(self.strangers.enter(address.ip()).await) } else { None };
        Ok(Introduced { transport, address, identity, is_private, stranger })
    }
}

async fn begins_with_tls(tcp: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(tcp.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE)
}
