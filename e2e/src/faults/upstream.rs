//! The side of the API server. Each connection of a client has one upstream of its own, which speaks the same HTTP: when the server ends
//! it, the client's ends too, as it would without a proxy between.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OnceCell};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Shared;

/// A server that is there answers sooner.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Where the API server is and how it is trusted.
pub(super) struct Upstream {
    authority: Authority,
    server_name: ServerName<'static>,
    h1: TlsConnector,
    h2: TlsConnector,
}

impl Upstream {
    /// From the server's URL and the PEM of its authority.
    pub(super) fn new(url: &str, ca: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("the upstream {url:?} is no URL"))?;
        let (Some(authority), Some(host), Some("https")) = (uri.authority(), uri.host(), uri.scheme_str()) else {
            bail!("the upstream {url:?} is not of the form https://HOST:PORT");
        };
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(name).with_context(|| format!("the host of {url}"))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.context("the upstream's CA")?).context("the upstream's CA")?;
        }
        if roots.is_empty() {
            bail!("the upstream's CA holds no certificate; it must be PEM");
        }
        let connector = |protocol: &[u8]| -> Result<TlsConnector> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self { authority: authority.clone(), server_name, h1: connector(b"http/1.1")?, h2: connector(b"h2")? })
    }

    async fn connect(&self, tls: &TlsConnector) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let connect = async {
            let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((host, self.authority.port_u16().unwrap_or(443))).await?;
            stream.set_nodelay(true)?;
            tls.connect(self.server_name.clone(), stream).await
        };
        tokio::time::timeout(CONNECT_LIMIT, connect).await?.map(TokioIo::new)
    }

    /// The request as this server must see it: with its own authority.
    fn address(&self, request: &mut Request<Incoming>, is_h2: bool) -> io::Result<()> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        let host = hyper::header::HOST;
        request.headers_mut().remove(&host);
        if is_h2 {
            (parts.scheme, parts.authority) = (Some(Scheme::HTTPS), Some(self.authority.clone()));
        } else {
            (parts.scheme, parts.authority) = (None, None);
            let value = self.authority.as_str().parse().map_err(io::Error::other)?;
            request.headers_mut().insert(host, value);
        }
        *request.uri_mut() = Uri::from_parts(parts).map_err(io::Error::other)?;
        Ok(())
    }
}

type H2 = http2::SendRequest<Incoming>;

/// The upstream end of one client's connection; opened at the first request that is forwarded.
pub(super) struct Link {
    shared: Arc<Shared>,
    protocol: Protocol,
    gone: Arc<Notify>,
    retired: Notify,
}

enum Protocol {
    /// The connection when no request is on it.
    H1(Mutex<Option<http1::SendRequest<Incoming>>>),
    /// The connection, opened once; another cell when the server has said that it takes no more requests on this one.
    H2(Arc<Mutex<Arc<OnceCell<H2>>>>),
}

impl Link {
    pub(super) fn new(is_h2: bool, shared: Arc<Shared>) -> Self {
        let protocol = if is_h2 { Protocol::H2(Arc::default()) } else { Protocol::H1(Mutex::default()) };
        Self { shared, protocol, gone: Arc::default(), retired: Notify::new() }
    }

    /// Waits for the server to end the connection, or to be unreachable.
    pub(super) async fn is_gone(&self) {
        self.gone.notified().await;
    }

    /// Waits until the connection is not to be used for further requests.
    pub(super) async fn is_retired(&self) {
        self.retired.notified().await;
    }

    /// What an API server does to a connection of HTTP/2 on which an unknown token has come: GOAWAY, and the end after its last stream
    /// (its feature `UnauthenticatedHTTP2DOSMitigation`).
    pub(super) fn retire(&self) {
        self.retired.notify_one();
    }

    /// Forwards a request.
    pub(super) async fn send(&self, mut request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        let sent = match &self.protocol {
            Protocol::H1(idle) => {
                self.shared.upstream.address(&mut request, false)?;
                self.send_h1(idle, request).await
            }
            Protocol::H2(current) => {
                self.shared.upstream.address(&mut request, true)?;
                self.send_h2(current, request).await
            }
        };
        if sent.is_err() {
            self.gone.notify_one();
        }
        sent
    }

    async fn send_h1(
        &self,
        idle: &Mutex<Option<http1::SendRequest<Incoming>>>,
        request: Request<Incoming>,
    ) -> io::Result<Response<Incoming>> {
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut sender = match kept {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.open_h1().await?,
        };
        if sender.ready().await.is_err() {
            // The server ended it between two requests.
            sender = self.open_h1().await?;
        }
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        *idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(response)
    }

    async fn open_h1(&self) -> io::Result<http1::SendRequest<Incoming>> {
        let upstream = &self.shared.upstream;
        let stream = upstream.connect(&upstream.h1).await?;
        let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        // How it ends is seen by whoever waits for an answer on it.
        self.shared.tasks.spawn(async { drop(connection.await) });
        Ok(sender)
    }

    async fn send_h2(
        &self,
        current: &Arc<Mutex<Arc<OnceCell<H2>>>>,
        request: Request<Incoming>,
    ) -> io::Result<Response<Incoming>> {
        let cell = {
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.get().is_some_and(H2::is_closed) {
                *current = Arc::default();
            }
            Arc::clone(&current)
        };
        let mut sender = cell.get_or_try_init(|| self.open_h2(current, &cell)).await?.clone();
        sender.ready().await.map_err(io::Error::other)?;
        sender.send_request(request).await.map_err(io::Error::other)
    }

    async fn open_h2(&self, current: &Arc<Mutex<Arc<OnceCell<H2>>>>, cell: &Arc<OnceCell<H2>>) -> io::Result<H2> {
        let upstream = &self.shared.upstream;
        let stream = upstream.connect(&upstream.h2).await?;
        let (sender, connection) =
            http2::handshake(self.shared.tasks.clone(), stream).await.map_err(io::Error::other)?;
        let (current, cell) = (Arc::downgrade(current), Arc::downgrade(cell));
        let gone = Arc::clone(&self.gone);
        self.shared.tasks.spawn(async move {
            drop(connection.await);
            // One that has been replaced may end without anybody missing it.
            let Some(current) = current.upgrade() else { return };
            let is_current = Arc::as_ptr(&current.lock().unwrap_or_else(PoisonError::into_inner)) == cell.as_ptr();
            if is_current {
                gone.notify_one();
            }
        });
        Ok(sender)
    }
}
