//! Requests to the API server: kube's configuration and credentials, on connections of our own.
//!
//! Nothing is tried again down here: kube's client hides 429 and 503 by repeating requests itself, and an outage that nobody
//! sees cannot be handled. Every failure is a [`Fault`] for the source that asked.

mod ceiling;
mod pool;
mod warnings;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceExt, util::BoxCloneSyncService};
use tracing::{info, warn};

pub use ceiling::Limits;

use self::ceiling::Ceiling;
use self::pool::{Lease, Pool};
use self::warnings::Warnings;
use super::fault::Fault;
use super::wire;
use crate::metrics;

/// How long the server may take until it begins to answer: it may have to read a large list from etcd first.
const HEADERS: Duration = Duration::from_secs(60);
/// How long a list or a small answer may pause.
const PAUSE: Duration = Duration::from_secs(30);
/// The largest body that is read as a whole: a page of lists, or an error.
const LARGEST: usize = 256 << 20;
/// Credentials are not read again more often: a wrong token must not mean a loop.
const REREAD: Duration = Duration::from_secs(2);

/// Refusals that come within this time of each other have one cause, which is said once.
const ONE_CAUSE: Duration = Duration::from_secs(60);

/// Where the server's address and the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// A kubeconfig; without one, as `kubectl` would find it: `$KUBECONFIG`, `~/.kube/config`, then the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it other than the current one.
    pub context: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No configuration was found, or it cannot be read.
    #[error("{origin}: {reason}")]
    Config {
        /// Where it was looked for.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It names something that cannot be used, such as a CA that is none.
    #[error("the configuration of the API server cannot be used: {0}")]
    Unusable(String),
}

type Sent = Response<(Incoming, Lease)>;
type Stack = BoxCloneSyncService<Request<Full<Bytes>>, Sent, BoxError>;

/// What broke on the way.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// One answer: the server gave it up (RST_STREAM), as it does when a request takes too long or a handler panics. The connection, and
    /// everything else on it, lives on.
    #[error("{0}")]
    Stream(String),
    /// The connection, or there was none.
    #[error("{0}")]
    Connection(String),
}

impl Broken {
    fn of(error: &hyper::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_reset) {
                return Self::Stream(pool::text(error));
            }
            cause = error.source();
        }
        Self::Connection(pool::text(error))
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stream(why) => Self::Reset(why),
            Broken::Connection(why) => Self::Unreachable(why),
        }
    }
}

/// Asks the API server. Clones share everything.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    origin: Origin,
    stack: ArcSwap<Stack>,
    /// Bounds the order of re-reads: the count of them, and when the last one was.
    reread: tokio::sync::Mutex<Option<Instant>>,
    generation: AtomicU64,
    ceiling: Ceiling,
    warnings: Warnings,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("origin", &self.shared.origin).finish_non_exhaustive()
    }
}

/// An answer that was begun.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) content_type: String,
    body: Incoming,
    _lease: Lease,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Client {
    /// A client of the server that `origin` names. Asks nothing yet.
    ///
    /// # Errors
    /// A configuration that is not there or cannot be used.
    pub async fn new(origin: Origin, limits: Limits) -> Result<Self, ClientError> {
        let stack = build(&origin).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                origin,
                stack: ArcSwap::from_pointee(stack),
                reread: tokio::sync::Mutex::new(None),
                generation: AtomicU64::new(0),
                ceiling: Ceiling::new(limits),
                warnings: Warnings::default(),
            }),
        })
    }

    /// Asks for a list or another answer with an end: it counts as in flight until it is dropped.
    pub(super) async fn get(&self, uri: &str, accept: &str) -> Result<Answer, Fault> {
        let permit = self.shared.ceiling.pass().await;
        let request = Request::get(uri).header(header::ACCEPT, accept).body(Full::default());
        self.send(request, permit).await
    }

    /// Asks for a watch: it counts as in flight until it is granted.
    pub(super) async fn watch(&self, uri: &str, accept: &str) -> Result<Answer, Fault> {
        let mut answer = self.get(uri, accept).await?;
        answer._permit = None;
        Ok(answer)
    }

    /// Asks whether the server answers at all: past the ceiling, which requests that hang may fill.
    pub(super) async fn probe(&self, uri: &str) -> Result<(), Fault> {
        self.send(Request::get(uri).body(Full::default()), None).await.map(|_| ())
    }

    /// Asks past the ceiling: for those who have bounds of their own.
    pub(super) async fn ask(&self, request: http::Result<Request<Full<Bytes>>>) -> Result<Answer, Fault> {
        self.send(request, None).await
    }

    /// Creates something that is answered and not kept, such as a review of rights.
    pub(super) async fn post(&self, uri: &str, json: Vec<u8>) -> Result<Answer, Fault> {
        let permit = self.shared.ceiling.pass().await;
        let request = Request::post(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(json));
        self.send(request, permit).await
    }

    async fn send(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, Fault> {
        let request = request.map_err(|error| Fault::Malformed(format!("the request: {error}")))?;
        let mut stack = Stack::clone(&self.shared.stack.load());
        let sent = async { stack.ready().await?.call(request).await };
        let sent = tokio::time::timeout(HEADERS, sent).await.map_err(|_| Fault::Silent(HEADERS))?;
        let broken = |error: BoxError| match error.downcast::<Broken>() {
            Ok(broken) => Fault::from(*broken),
            Err(other) => Fault::Unreachable(other.to_string()),
        };
        let (parts, (body, lease)) = sent.map_err(broken)?.into_parts();
        self.shared.warnings.hear(&parts.headers);
        let content_type = text(&parts.headers, header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let answer = Answer { content_type, body, _lease: lease, _permit: permit };
        if parts.status.is_success() {
            return Ok(answer);
        }
        let retry_after = text(&parts.headers, header::RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
        let body = answer.whole().await.unwrap_or_default();
        let mut status = wire::status(parts.status.as_u16(), &body);
        status.retry_after = retry_after.map(Duration::from_secs).or(status.retry_after);
        Err(Fault::Answer(status))
    }

    /// How often the credentials were read; to be handed to [`Client::authenticate`].
    pub(super) fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Relaxed)
    }

    /// Reads address and credentials again, because those of `generation` were refused. Who comes while or shortly after
    /// they were read does not read them once more.
    pub(super) async fn authenticate(&self, generation: u64) {
        let mut last = self.shared.reread.lock().await;
        if self.generation() != generation || last.is_some_and(|last| last.elapsed() < REREAD) {
            return;
        }
        let news = last.replace(Instant::now()).is_none_or(|last| last.elapsed() >= ONE_CAUSE);
        match build(&self.shared.origin).await {
            Ok(stack) => {
                if news {
                    info!("the API server refused the credentials; they are read again before each try");
                }
                self.shared.stack.store(Arc::new(stack));
            }
            Err(error) if news => warn!(%error, "the credentials were refused and cannot be read again"),
            Err(error) => tracing::debug!(%error, "the credentials cannot be read again"),
        }
        metrics::api_credentials_read();
        self.shared.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl Answer {
    /// The next piece of the body, waited for at most this long; `None` at its end.
    pub(super) async fn chunk(&mut self, patience: Duration) -> Result<Option<Bytes>, Fault> {
        loop {
            let frame = tokio::time::timeout(patience, self.body.frame()).await.map_err(|_| Fault::Silent(patience))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Broken::of(&error).into()),
                // Trailers say nothing.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The body as a whole.
    pub(super) async fn whole(mut self) -> Result<Bytes, Fault> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk(PAUSE).await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(Fault::Malformed(format!("it is larger than {LARGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

async fn build(origin: &Origin) -> Result<Stack, ClientError> {
    let config = configure(origin).await?;
    let unusable = |error: kube::Error| ClientError::Unusable(error.to_string());
    let tls = config.rustls_client_config().map_err(unusable)?;
    let pool = Pool::new(&config.cluster_url, tls, config.tls_server_name.as_deref());
    let pool = Arc::new(pool.map_err(ClientError::Unusable)?);
    let send = tower::service_fn(move |request| {
        let pool = Arc::clone(&pool);
        async move { pool.send(request).await.map_err(BoxError::from) }
    });
    let mut stack = Stack::new(send);
    if let Some(authorize) = config.auth_layer().map_err(unusable)? {
        stack = Stack::new(authorize.layer(stack));
    }
    let with_headers = config.extra_headers_layer().map_err(unusable)?.layer(stack);
    Ok(Stack::new(config.base_uri_layer().layer(with_headers)))
}

async fn configure(origin: &Origin) -> Result<kube::Config, ClientError> {
    let Origin { kubeconfig, context } = origin;
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let refused = |origin: String| move |reason: String| ClientError::Config { origin, reason };
    match (kubeconfig, context) {
        (Some(path), _) => {
            let refused = refused(format!("--kubeconfig {}", path.display()));
            let read = match Kubeconfig::read_from(path) {
                Ok(read) => kube::Config::from_custom_kubeconfig(read, &options).await,
                Err(error) => Err(error),
            };
            read.map_err(|error| refused(error.to_string()))
        }
        (None, Some(name)) => kube::Config::from_kubeconfig(&options)
            .await
            .map_err(|error| refused(format!("context {name:?}"))(error.to_string())),
        (None, None) => kube::Config::infer().await.map_err(|error| {
            let remedy = "give --kubeconfig FILE, or run in a pod with a ServiceAccount";
            refused("no API server is configured".to_owned())(format!("{error}; {remedy}"))
        }),
    }
}

#[cfg(test)]
mod tests;
