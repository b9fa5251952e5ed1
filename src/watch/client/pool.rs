//! Connections to the API server: HTTP/2, each with a bounded number of streams, opened when the others are full.
//!
//! kube's own connector speaks HTTP/1.1: each watch would be a TLS connection of its own, thousands of them with a namespace
//! each. hyper's pooled client would put all of them on one connection, where the server's limit of streams makes them wait.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Broken;
use crate::metrics;

/// Streams on one connection, or fewer if the server says so: kube-apiserver's default is 100, and a request beyond its limit
/// would wait for a watch to end.
const STREAMS: usize = 200;
/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection that answers no ping for this long is dead, and its watches with it.
const PING: Duration = Duration::from_secs(10);
/// Bytes of a body that may be on their way. Lists are large, and every reader reads.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

type Body = Full<Bytes>;

/// The open connections to one server.
pub(super) struct Pool {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    open: Arc<Open>,
    /// Held while a connection is opened, so that who comes meanwhile shares it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Connection {
    sender: http2::SendRequest<Body>,
    streams: AtomicUsize,
    /// What the server allows, as it said last.
    limit: Arc<AtomicUsize>,
    broken: AtomicBool,
}

/// A place on a connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lease(Option<(Arc<Connection>, Arc<Open>)>);

type Open = Mutex<Vec<Arc<Connection>>>;

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((connection, open)) = &self.0
            && connection.streams.fetch_sub(1, Ordering::Relaxed) == 1
        {
            tidy(&mut lock(open));
        }
    }
}

/// Takes out what is broken, and what nothing uses: a peak must not leave connections behind. The first that has room is kept,
/// and filled before the others, so that these run empty. Gives its place.
fn tidy(open: &mut Vec<Arc<Connection>>) -> Option<usize> {
    let streams = |connection: &Connection| connection.streams.load(Ordering::Relaxed);
    open.retain(|connection| !connection.sender.is_closed() && !connection.broken.load(Ordering::Relaxed));
    let first = open.iter().position(|connection| streams(connection) < connection.limit.load(Ordering::Relaxed));
    if let Some(first) = first {
        let mut place = 0..;
        open.retain(|connection| place.next() <= Some(first) || streams(connection) > 0);
    }
    metrics::api_connections(open.len());
    first
}

fn lock(open: &Open) -> MutexGuard<'_, Vec<Arc<Connection>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new connection, by what the server chose to speak.
enum Fresh {
    H2(Arc<Connection>),
    H1(http1::SendRequest<Body>),
}

impl Pool {
    /// A pool without connections to the server of `url`.
    pub(super) fn new(url: &Uri, tls: rustls::ClientConfig, server_name: Option<&str>) -> Result<Self, String> {
        let host = url.host().ok_or_else(|| format!("the server's URL {url} has no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let secure = url.scheme_str() != Some("http");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure {
            let mut tls = tls;
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let name = server_name.unwrap_or(&host);
            let name = match name.parse::<IpAddr>() {
                Ok(ip) => ServerName::from(ip),
                Err(_) => ServerName::try_from(name.to_owned())
                    .map_err(|_| format!("{name:?} is neither a host name nor an IP address"))?,
            };
            Some((TlsConnector::from(Arc::new(tls)), name))
        } else {
            None
        };
        Ok(Self { host, port, tls, open: Arc::default(), opening: tokio::sync::Mutex::new(()) })
    }

    /// Sends a request on a connection that has room.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<(Incoming, Lease)>, Broken> {
        if let Some(connection) = self.roomy() {
            return self.on(connection, request).await;
        }
        let fresh = {
            let _opening = self.opening.lock().await;
            match self.roomy() {
                Some(connection) => Fresh::H2(connection),
                None => self.connect().await.map_err(Broken::Connection)?,
            }
        };
        match fresh {
            Fresh::H2(connection) => self.on(connection, request).await,
            Fresh::H1(mut sender) => {
                let (mut parts, body) = request.into_parts();
                parts.headers.insert(http::header::HOST, self.authority());
                let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                parts.uri = uri.parse().map_err(|error| Broken::Connection(format!("{uri}: {error}")))?;
                let sent = sender.send_request(Request::from_parts(parts, body)).await;
                let response = sent.map_err(|error| Broken::of(&error))?;
                Ok(response.map(|body| (body, Lease(None))))
            }
        }
    }

    async fn on(
        &self,
        connection: Arc<Connection>,
        request: Request<Body>,
    ) -> Result<Response<(Incoming, Lease)>, Broken> {
        let lease = Lease(Some((Arc::clone(&connection), Arc::clone(&self.open))));
        let sent = connection.sender.clone().send_request(request).await.map_err(|error| Broken::of(&error));
        if matches!(sent, Err(Broken::Connection(_))) {
            connection.broken.store(true, Ordering::Relaxed);
        }
        sent.map(|response| response.map(|body| (body, lease)))
    }

    /// A connection with a free place, which is taken.
    fn roomy(&self) -> Option<Arc<Connection>> {
        let mut open = lock(&self.open);
        let first = tidy(&mut open)?;
        open[first].streams.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&open[first]))
    }

    async fn connect(&self) -> Result<Fresh, String> {
        let opened = tokio::time::timeout(CONNECT, self.handshake()).await;
        opened.map_err(|_| format!("{}:{} did not answer within {CONNECT:?}", self.host, self.port))?
    }

    async fn handshake(&self) -> Result<Fresh, String> {
        let (host, port) = (self.host.as_str(), self.port);
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| format!("{host}:{port}: {error}"))?;
        tcp.set_nodelay(true).map_err(text)?;
        let Some((connector, name)) = &self.tls else { return h1(TokioIo::new(tcp)).await };
        let tls = connector.connect(name.clone(), tcp).await.map_err(|error| format!("{host}:{port}: TLS: {error}"))?;
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return h1(TokioIo::new(tls)).await;
        }
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(text)?;
        let limit = Arc::new(AtomicUsize::new(STREAMS.min(connection.current_max_send_streams())));
        let told = Arc::clone(&limit);
        // Ends with the last sender, or when the connection breaks: then every stream on it fails.
        tokio::spawn(std::future::poll_fn(move |context| {
            let done = Pin::new(&mut connection).poll(context);
            told.store(STREAMS.min(connection.current_max_send_streams()), Ordering::Relaxed);
            done
        }));
        let connection =
            Arc::new(Connection { sender, streams: AtomicUsize::new(1), limit, broken: AtomicBool::new(false) });
        let mut open = lock(&self.open);
        open.push(Arc::clone(&connection));
        metrics::api_connections(open.len());
        drop(open);
        Ok(Fresh::H2(connection))
    }

    fn authority(&self) -> http::HeaderValue {
        let authority = format!("{}:{}", self.host, self.port);
        http::HeaderValue::from_str(&authority).unwrap_or_else(|_| http::HeaderValue::from_static("kubernetes"))
    }
}

/// A connection for one request: HTTP/1.1 cannot share it with a watch.
async fn h1<T>(io: T) -> Result<Fresh, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(text)?;
    tokio::spawn(connection);
    Ok(Fresh::H1(sender))
}

/// An error with its causes: hyper's own first line says little.
pub(super) fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
