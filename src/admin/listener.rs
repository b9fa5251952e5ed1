//! Sockets of [sites](Site): every connection is accepted, and bounded in number, in silence and in age.
//!
//! Invariant (`bounded`): whoever connects and says nothing keeps nobody out, the kubelet's probes least of all.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::server::Site;
use crate::lobby::{Lobby, Newcomer, Place, Size, origin};

/// Connections at once: probes and scrapers need a handful. The oldest goes, unless it is young and being answered: a request of
/// which only half is sent counts as being answered too.
pub(super) const CONNECTIONS: Size =
    Size { places: 64, share: 8, waiting: 256, enough: Duration::ZERO, busy: Duration::from_secs(10) };
/// gRPC calls at once on a connection.
const MAX_STREAMS: u32 = 16;
/// Time for the first request, for the head of each, and for an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Age at which a connection is asked to end: above the usual scrape interval.
const MAX_AGE: Duration = Duration::from_secs(120);
/// How long a connection that was asked to end may take, so that a client that does not read cannot hold it.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Pause after a failed `accept`, which is mostly the want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted, if the kernel allows it (`net.core.somaxconn`, mostly 4096). A whole fleet comes at once when
/// another replica ends. Where the queue overflows the kernel answers by SYN cookies, and resets who goes on before that is over; the
/// standard library's 128 are too few for a thousand.
const BACKLOG: u32 = 4096;

/// Opens a listening socket. The unspecified IPv6 address takes IPv4 too; on a machine without IPv6 it means every IPv4 address.
///
/// # Errors
/// The system's, with the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("listening on {address}: {error}"));
    match listen(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && !is_taken(&error) => {
            let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            debug!(%address, %fallback, %error, "no IPv6 here");
            listen(fallback).map_err(explain)
        }
        result => result.map_err(explain),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: otherwise connections of the process before keep the address taken for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// Serves a site until `cancel` completes; then open connections are dropped.
pub async fn serve(listener: TcpListener, site: Site, cancel: impl Future<Output = ()>) {
    tokio::select! {
        () = cancel => {}
        () = accept(listener, Arc::new(site)) => {}
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let lobby = Lobby::new(CONNECTIONS);
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Waiting for a place is its own affair: the next one may not have to.
                if let Some(newcomer) = lobby.arrive(origin(peer.ip())) {
                    connections.spawn(welcome(stream, newcomer, Arc::clone(&site)));
                }
            }
            Err(error) => {
                warn!(%error, title = site.title, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn welcome(stream: TcpStream, newcomer: Newcomer<IpAddr>, site: Arc<Site>) {
    if let Some(place) = newcomer.place().await {
        connection(stream, Arc::new(place), site).await;
    }
}

async fn connection(stream: TcpStream, place: Arc<Place<IpAddr>>, site: Arc<Site>) {
    let (asked, guest) = (Arc::new(Notify::new()), Arc::clone(&place));
    let speaks = Arc::clone(&asked);
    let service = service_fn(move |request| {
        speaks.notify_one();
        let (site, guest) = (Arc::clone(&site), Arc::clone(&guest));
        async move {
            let _keeps_its_place = guest.busy();
            Ok::<_, Infallible>(site.serve(request).await)
        }
    });
    let silent = async {
        if tokio::time::timeout(HEAD_TIMEOUT, asked.notified()).await.is_ok() {
            std::future::pending().await
        }
    };
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(false);
    http.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = silent => return,
        () = place.ousted() => return,
        () = tokio::time::sleep(MAX_AGE) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection to the admin listener ended early");
    }
}
