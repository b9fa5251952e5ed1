//! A small client of the API server: JSON over HTTP/2, many requests at once on a few connections. It retries nothing and hides no answer:
//! a test wants to know what the server said.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::identity::Identity;
use super::resource::Resource;
use crate::http::Answer;

/// A request without an answer for this long has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// How often, and with what pause, a server that is too busy (429) is asked again.
const BUSY: usize = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// The server lets a connection have 250 requests at once.
const CONNECTIONS: usize = 4;
/// Lists are long: a stream may have this many bytes under way, a connection four times as many.
const WINDOW: u32 = 4 << 20;
/// What it calls itself, and who owns the fields that it writes.
const NAME: &str = "syncgate-e2e";

/// An answer that was not 2xx.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The server's word for it, such as `AlreadyExists`.
    pub reason: String,
    /// What the server says.
    pub message: String,
    request: String,
}

impl Refusal {
    /// The HTTP status of an error of `Api`, if the server answered at all.
    #[must_use]
    pub fn code_of(error: &anyhow::Error) -> Option<u16> {
        error.downcast_ref::<Self>().map(|refusal| refusal.code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}: {}", self.request, self.code, self.reason, self.message)
    }
}

impl std::error::Error for Refusal {}

/// The client of one identity. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: SocketAddr,
    bearer: HeaderValue,
    tls: Tls,
    connections: [Mutex<Option<SendRequest<Full<Bytes>>>>; CONNECTIONS],
    turn: AtomicUsize,
}

struct Tls(TlsConnector);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Api {
    /// A client that connects when it is first asked something, and again when a connection was closed.
    pub fn new(identity: &Identity) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identity.ca.as_bytes()).context("the authority's certificate")?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(Inner {
            server: identity.server,
            bearer: HeaderValue::try_from(format!("Bearer {}", identity.token))?,
            tls: Tls(TlsConnector::from(Arc::new(config))),
            connections: Default::default(),
            turn: AtomicUsize::new(0),
        })))
    }

    /// Any request, with a JSON body; any answer is fine.
    pub async fn raw(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send(method, path, "application/json", body).await
    }

    /// Any answer to a GET, in an encoding such as `application/vnd.kubernetes.protobuf`.
    pub async fn get_as(&self, path: &str, accept: &'static str) -> Result<Answer> {
        let request = Request::get(format!("https://{}{path}", self.0.server))
            .header(AUTHORIZATION, self.0.bearer.clone())
            .header(USER_AGENT, NAME)
            .header(ACCEPT, accept)
            .body(Full::default())?;
        let answer = tokio::time::timeout(LIMIT, self.0.answer(request)).await;
        answer.map_err(anyhow::Error::from).flatten().with_context(|| format!("GET {path} at {}", self.0.server))
    }

    /// One object.
    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value> {
        self.ask(Method::GET, &resource.object(namespace, name), "", None).await
    }

    /// The list of a kind in one namespace, or in all of them if that is empty.
    pub async fn list(&self, resource: &Resource, namespace: &str) -> Result<Value> {
        self.ask(Method::GET, &resource.collection(namespace), "", None).await
    }

    /// Creates an object, without its status.
    pub async fn create(&self, object: &Value) -> Result<Value> {
        let (resource, namespace, _) = place(object)?;
        self.ask(Method::POST, &resource.collection(namespace), "application/json", Some(object)).await
    }

    /// Creates an object and then writes its status, as whoever runs it does: the server drops the status of what is created.
    pub async fn create_with_status(&self, object: &Value) -> Result<Value> {
        let created = self.create(object).await?;
        if object["status"].is_null() {
            return Ok(created);
        }
        let (resource, namespace, name) = place(&created)?;
        self.patch_status(resource, namespace, name, &object["status"]).await
    }

    /// Creates all of them with their status, at most `at_once` at the same time, and says how many. The first failure ends it.
    pub async fn create_all<I>(&self, objects: I, at_once: usize) -> Result<usize>
    where
        I: IntoIterator<Item = Value>,
    {
        let (mut under_way, mut created) = (JoinSet::new(), 0);
        for object in objects {
            if under_way.len() >= at_once.max(1) {
                created += done(under_way.join_next().await)?;
            }
            let api = self.clone();
            under_way.spawn(async move { api.create_with_status(&object).await });
        }
        while !under_way.is_empty() {
            created += done(under_way.join_next().await)?;
        }
        Ok(created)
    }

    /// Replaces an object; with a `resourceVersion` in its metadata only if that is still the one.
    pub async fn replace(&self, object: &Value) -> Result<Value> {
        let (resource, namespace, name) = place(object)?;
        self.ask(Method::PUT, &resource.object(namespace, name), "application/json", Some(object)).await
    }

    /// Makes the object what it says (server-side apply), whether it exists or not.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let (resource, namespace, name) = place(object)?;
        let path = format!("{}?fieldManager={NAME}&force=true", resource.object(namespace, name));
        self.ask(Method::PATCH, &path, "application/apply-patch+yaml", Some(object)).await
    }

    /// Merges a patch into an object; `null` removes a field, a list is replaced whole.
    pub async fn patch(&self, resource: &Resource, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        let path = resource.object(namespace, name);
        self.ask(Method::PATCH, &path, "application/merge-patch+json", Some(patch)).await
    }

    /// Merges `status` into the status of an object.
    pub async fn patch_status(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> Result<Value> {
        let path = format!("{}/status", resource.object(namespace, name));
        let patch = json!({"status": status});
        self.ask(Method::PATCH, &path, "application/merge-patch+json", Some(&patch)).await
    }

    /// Deletes an object at once: a Pod without grace, which no kubelet would end.
    pub async fn delete(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value> {
        self.delete_with(resource, namespace, name, &json!({"gracePeriodSeconds": 0})).await
    }

    /// Deletes an object with options such as `gracePeriodSeconds`, `propagationPolicy` and `preconditions`.
    pub async fn delete_with(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Value> {
        let path = resource.object(namespace, name);
        self.ask(Method::DELETE, &path, "application/json", Some(options)).await
    }

    async fn ask(&self, method: Method, path: &str, kind: &'static str, body: Option<&Value>) -> Result<Value> {
        let request = format!("{method} {path}");
        let mut answer = self.send(method.clone(), path, kind, body).await?;
        // A server that has just started says so of each kind whose storage it has not read yet; every client asks again.
        for _ in 0..BUSY {
            if answer.status != 429 {
                break;
            }
            tokio::time::sleep(BUSY_PAUSE).await;
            answer = self.send(method.clone(), path, kind, body).await?;
        }
        if (200..300).contains(&answer.status) {
            return serde_json::from_slice(&answer.body).with_context(|| format!("{request}: {}", answer.text()));
        }
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let message = if status["message"].is_string() { text("message") } else { answer.text() };
        Err(Refusal { code: answer.status, reason: text("reason"), message, request }.into())
    }

    async fn send(&self, method: Method, path: &str, kind: &'static str, body: Option<&Value>) -> Result<Answer> {
        let what = format!("{method} {path} at {}", self.0.server);
        let mut request = Request::builder().method(method).uri(format!("https://{}{path}", self.0.server));
        request = request.header(AUTHORIZATION, self.0.bearer.clone()).header(USER_AGENT, NAME);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, kind);
        }
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;
        match tokio::time::timeout(LIMIT, self.0.answer(request)).await {
            Ok(answer) => answer.context(what),
            Err(_) => bail!("{what}: no answer within {LIMIT:?}"),
        }
    }
}

impl Inner {
    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut sender = self.connection(&self.connections[turn % CONNECTIONS]).await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// The open connection, or a new one in its place.
    async fn connection(&self, slot: &Mutex<Option<SendRequest<Full<Bytes>>>>) -> Result<SendRequest<Full<Bytes>>> {
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_mut()
            && open.ready().await.is_ok()
        {
            return Ok(open.clone());
        }
        // An error must not leave the closed one behind.
        *slot = None;
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.0.connect(ServerName::from(self.server.ip()), stream).await.context("TLS")?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .handshake(TokioIo::new(stream))
            .await?;
        // It ends when its last sender does; how it ends is seen by whoever waits for an answer on it.
        tokio::spawn(async { drop(connection.await) });
        Ok(slot.insert(sender).clone())
    }
}

/// The kind, namespace and name of an object; a name that is still to be generated is empty.
fn place(object: &Value) -> Result<(&'static Resource, &str, &str)> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Ok((Resource::of(object)?, text("namespace"), text("name")))
}

fn done(ended: Option<std::result::Result<Result<Value>, tokio::task::JoinError>>) -> Result<usize> {
    ended.map_or(Ok(0), |ended| ended?.map(|_| 1))
}
