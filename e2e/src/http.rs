//! A small HTTP/1.1 client: one connection, one request at a time, plain or TLS with a chosen server name.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::certificates::Certified;

/// The response header by which a backend of the test bed says who it is.
pub const BACKEND_HEADER: &str = "x-backend";

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Which backend answered, if one did.
    #[must_use]
    pub fn backend(&self) -> Option<&str> {
        self.headers.get(BACKEND_HEADER)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An open connection; closed when dropped.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects in clear text.
    pub async fn open(to: SocketAddr) -> Result<Self> {
        Self::over(connect(to).await?).await
    }

    /// Connects with TLS, asks for `server_name` and accepts only a certificate of `roots` for that name.
    pub async fn open_tls(to: SocketAddr, server_name: &str, roots: RootCertStore) -> Result<Self> {
        Self::open_tls_as(to, server_name, roots, None).await
    }

    /// The same with a certificate to show to who asks for one.
    pub async fn open_tls_as(
        to: SocketAddr,
        server_name: &str,
        roots: RootCertStore,
        own: Option<&Certified>,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes()).collect::<Result<_, _>>()?;
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes())?)?
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from(server_name.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, connect(to).await?).await;
        Self::over(stream.with_context(|| format!("TLS with {to} as {server_name}"))?).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // How the connection ends is seen by whoever waits for an answer on it.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, driver })
    }

    /// Whether the peer closed it (or said that it would).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a GET and reads the whole answer.
    pub async fn get(&mut self, host: &str, path: &str) -> Result<Answer> {
        self.get_with(host, path, &[]).await
    }

    /// The same with more headers.
    pub async fn get_with(&mut self, host: &str, path: &str, headers: &[(String, String)]) -> Result<Answer> {
        let mut request = hyper::Request::get(path).header(HOST, host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new())?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await?.to_bytes() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One GET on a connection of its own.
pub async fn get(to: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    Connection::open(to).await?.get(host, path).await
}
