//! The side of the client: the port, the connections, and what can be done to them below HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::counts::Open;
use super::upstream::Link;

/// What an API server allows on one connection of HTTP/2 unless told otherwise; the upstream would queue more.
const MOST_STREAMS: u32 = 100;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The port. While it refuses, a socket that does not listen keeps it from being taken by somebody else.
#[derive(Debug)]
pub(super) enum Port {
    Open(TcpListener),
    Closed(TcpSocket),
}

impl Port {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let listener = bind(address).and_then(|socket| socket.listen(BACKLOG));
        Ok(Self::Open(listener.with_context(|| format!("listen on {address}"))?))
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Open(listener) => listener.local_addr(),
            Self::Closed(socket) => socket.local_addr(),
        }
    }

    /// Refuses connections from now on, or no longer.
    pub(super) fn refusing(self, refuse: bool) -> Result<Self> {
        let address = self.address()?;
        match self {
            Self::Open(listener) if refuse => {
                drop(listener);
                Ok(Self::Closed(bind(address).with_context(|| format!("keep {address}"))?))
            }
            Self::Closed(socket) if !refuse => {
                Ok(Self::Open(socket.listen(BACKLOG).with_context(|| format!("listen again on {address}"))?))
            }
            same => Ok(same),
        }
    }

    /// The next connection; never, while it refuses.
    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Open(listener) => Ok(listener.accept().await?.0),
            Self::Closed(_) => std::future::pending().await,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Through which the bytes of all connections pass, or do not.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    resets: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    /// Holds every byte back, in both directions; or lets them go again.
    pub(super) fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::SeqCst);
        if !closed {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Whether connections that end now end with a RST.
    pub(super) fn reset(&self, resets: bool) {
        self.resets.store(resets, Ordering::SeqCst);
    }

    fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        if !self.closed.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at again under the lock: it may have been opened, and its list emptied, just before.
        if !self.closed.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// A connection behind the gate.
struct Gated {
    stream: TcpStream,
    gate: Arc<Gate>,
    _open: Open,
}

impl Drop for Gated {
    fn drop(&mut self) {
        if self.gate.resets.load(Ordering::SeqCst) {
            // Without it the connection ends in good order, which is the best that is left.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.poll_open(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.gate.poll_open(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.poll_open(context));
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.gate.poll_open(context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Serves one connection to its end, or until the upstream's end of it is gone.
pub(super) async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let open = shared.tally.connection();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = Gated { stream, gate: Arc::clone(&shared.gate), _open: open };
    // A client that speaks no TLS, or trusts another authority, sees that itself.
    let Ok(stream) = tls.accept(stream).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let link = Arc::new(Link::new(is_h2, Arc::clone(&shared)));
    let service = {
        let (link, shared) = (Arc::clone(&link), Arc::clone(&shared));
        service_fn(move |request| super::forward::answer(Arc::clone(&link), Arc::clone(&shared), request))
    };
    let io = TokioIo::new(stream);
    // An error here is a client that went away.
    if is_h2 {
        let mut server = http2::Builder::new(shared.tasks.clone());
        let mut serving = pin!(server.max_concurrent_streams(MOST_STREAMS).serve_connection(io, service));
        loop {
            tokio::select! {
                _ = &mut serving => return,
                () = link.is_gone() => return,
                () = link.is_retired() => serving.as_mut().graceful_shutdown(),
            }
        }
    }
    tokio::select! {
        _ = http1::Builder::new().serve_connection(io, service) => {}
        () = link.is_gone() => {}
    }
}
