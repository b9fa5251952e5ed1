//! A small server of fixed pages, GET and HEAD only, bounded in every direction; beside the pages it may carry a gRPC
//! service, told apart by the content type.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;
use tracing::{debug, warn};

/// Connections at once; more wait in the kernel's queue. Probes and scrapers need a handful.
const MAX_CONNECTIONS: usize = 64;
/// gRPC calls at once on a connection.
const MAX_STREAMS: u32 = 16;
/// Time for a request's head, and for an idle connection.
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

const TEXT: &str = "text/plain; charset=utf-8";

/// What a page is told of the request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    query: &'a str,
}

impl Request<'_> {
    /// Whether the query has this flag: `?verbose`, `?verbose=1` or `?verbose=true`.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.query.split('&').any(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            name == flag && matches!(value, "" | "1" | "true")
        })
    }
}

impl<'a> Request<'a> {
    /// The value of this name in the query, such as `10` in `?limit=10`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(given, _)| given == name).map(|(_, value)| value)
    }
}

/// A page's answer.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    content: &'static str,
    body: String,
}

impl Answer {
    /// Plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content: TEXT, body: body.into() }
    }

    /// Indented JSON.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self { status: StatusCode::OK, content: "application/json", body: format!("{value:#}\n") }
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn metrics(body: String) -> Self {
        Self { status: StatusCode::OK, content: "text/plain; version=0.0.4; charset=utf-8", body }
    }
}

type Handler = dyn Fn(Request<'_>) -> Answer + Send + Sync;

struct Page {
    path: &'static str,
    help: &'static str,
    show: Box<Handler>,
}

/// A set of pages with an index at `/`.
pub struct Site {
    title: &'static str,
    pages: Vec<Page>,
    loopback_only: bool,
    grpc: Option<Routes>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.pages.iter().map(|page| page.path).collect();
        f.debug_struct("Site").field("title", &self.title).field("paths", &paths).finish_non_exhaustive()
    }
}

impl Site {
    /// No pages but the index.
    #[must_use]
    pub fn new(title: &'static str) -> Self {
        Self { title, pages: Vec::new(), loopback_only: false, grpc: None }
    }

    /// Adds a page.
    #[must_use]
    pub fn page(
        mut self,
        path: &'static str,
        help: &'static str,
        show: impl Fn(Request<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.pages.push(Page { path, help, show: Box::new(show) });
        self
    }

    /// Answers only requests whose `Host` is a loopback name: binding to loopback alone does not keep out the pages of other
    /// sites in a browser on the same machine, whose name may resolve to 127.0.0.1.
    #[must_use]
    pub fn on_loopback_only(mut self) -> Self {
        self.loopback_only = true;
        self
    }

    /// Carries these gRPC services too, over HTTP/2 on the same socket.
    #[must_use]
    pub fn grpc(mut self, services: Routes) -> Self {
        self.grpc = Some(services);
        self
    }

    /// The gRPC services, if this request is for them. A browser cannot send this content type to another site unasked.
    fn grpc_for(&self, request: &hyper::Request<Incoming>) -> Option<Routes> {
        let content_type = request.headers().get(CONTENT_TYPE)?;
        content_type.as_bytes().starts_with(b"application/grpc").then(|| self.grpc.clone())?
    }

    fn answer(&self, path: &str, query: &str, headers: &HeaderMap) -> Answer {
        if self.loopback_only && !is_loopback_host(headers) {
            let help = "this listener answers only to localhost, 127.0.0.1 and [::1] as host\n";
            return Answer::text(StatusCode::FORBIDDEN, help);
        }
        if path == "/" {
            return Answer::text(StatusCode::OK, self.index());
        }
        match self.pages.iter().find(|page| page.path == path) {
            Some(page) => (page.show)(Request { query }),
            None => {
                let index = self.index();
                Answer::text(StatusCode::NOT_FOUND, format!("there is no such page here\n\n{index}"))
            }
        }
    }

    fn index(&self) -> String {
        let pages = self.pages.iter().map(|page| format!("{:<16} {}\n", page.path, page.help));
        format!("{}\n\n{}", self.title, pages.collect::<String>())
    }

    fn respond(&self, request: &hyper::Request<Incoming>) -> Response<Body> {
        let uri = request.uri();
        let allowed = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = if allowed {
            self.answer(uri.path(), uri.query().unwrap_or_default(), request.headers())
        } else {
            Answer::text(StatusCode::METHOD_NOT_ALLOWED, "pages here are read only: use GET\n")
        };
        let Answer { status, content, body } = answer;
        let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content));
        headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
        if !allowed {
            headers.insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// Whether the request was addressed to this machine by a name that cannot be made to mean it by others.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name == "[::1]" || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

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
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                connections.spawn(async move {
                    connection(stream, site).await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, title = site.title, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move {
            match site.grpc_for(&request) {
                Some(services) => services.oneshot(request).await,
                None => Ok::<_, Infallible>(site.respond(&request)),
            }
        }
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(false);
    http.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = tokio::time::sleep(MAX_AGE) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection to the admin listener ended early");
    }
}
