//! A client of one connection that speaks HTTP/1.1 or HTTP/2, with everything of an answer in sight.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use syncgate_e2e::faults::Proxy;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What comes at all comes sooner.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// What has not come until now does not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// An open connection.
pub(crate) struct Client {
    sender: Sender,
    driver: JoinHandle<hyper::Result<()>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn connect(proxy: &Proxy, http: Http) -> io::Result<Self> {
        Self::connect_to(proxy.address(), proxy.ca(), http).await
    }

    pub(crate) async fn connect_to(address: SocketAddr, ca: &str, http: Http) -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocol: &[u8] = if http == Http::Two { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol), "what the proxy chose");
        let io = TokioIo::new(stream);
        let (sender, driver) = match http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                (Sender::One(sender), tokio::spawn(connection))
            }
            Http::Two => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .keep_alive_interval(Duration::from_millis(100))
                    .keep_alive_timeout(Duration::from_secs(2))
                    .handshake(io)
                    .await
                    .unwrap();
                (Sender::Two(sender), tokio::spawn(connection))
            }
        };
        Ok(Self { sender, driver })
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    fn request(&self, path: &str, accept: &str) -> Request<Full<Bytes>> {
        let base = if matches!(self.sender, Sender::Two(_)) { "https://proxy" } else { "" };
        let request = Request::get(format!("{base}{path}")).header("host", "proxy").header("accept", accept);
        request.header("authorization", "Bearer anna").body(Full::default()).unwrap()
    }

    /// The whole answer to a request of any kind.
    pub(crate) async fn answer(&mut self, method: &str, path: &str, accept: &str) -> hyper::Result<Answer> {
        let mut request = self.request(path, accept);
        *request.method_mut() = method.parse().unwrap();
        let (head, body) = self.send(request).await?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// The whole answer to a request that must be answered.
    pub(crate) async fn call(&mut self, method: &str, path: &str, accept: &str) -> Answer {
        timeout(PATIENCE, self.answer(method, path, accept)).await.expect("an answer in time").expect("an answer")
    }

    /// The same with GET.
    pub(crate) async fn get(&mut self, path: &str, accept: &str) -> Answer {
        self.call("GET", path, accept).await
    }

    /// Opens a watch that must open.
    pub(crate) async fn watch(&mut self, path: &str, accept: &str) -> Watch {
        let request = self.request(path, accept);
        let response = timeout(PATIENCE, self.send(request)).await.expect("an answer in time").expect("an answer");
        assert_eq!(response.status(), 200);
        Watch(response.into_body())
    }

    /// How the connection ended, if it has or soon does.
    pub(crate) async fn ended(&mut self) -> Option<hyper::Result<()>> {
        timeout(SILENCE, &mut self.driver).await.ok().map(Result::unwrap)
    }

    pub(crate) async fn must_end(mut self) {
        drop(timeout(PATIENCE, &mut self.driver).await.expect("the connection ends"));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An open watch.
pub(crate) struct Watch(Incoming);

impl Watch {
    /// What comes next: some bytes, an error, or the end.
    pub(crate) async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        let frame = timeout(PATIENCE, self.0.frame()).await.expect("something in time");
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    pub(crate) async fn bytes(&mut self) -> Bytes {
        self.next().await.expect("not the end").expect("no error")
    }

    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(SILENCE, self.0.frame()).await.is_err()
    }

    /// Everything until the end, which must be one.
    pub(crate) async fn rest(&mut self) -> Bytes {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await {
            all.extend_from_slice(&bytes.expect("no error"));
        }
        all.into()
    }
}
