//! A small API server: two pods, listed and watched in both encodings, over HTTP/1.1 and HTTP/2 with TLS; but for
//! the namespace `denied`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message;
use serde_json::{Value, json};
use syncgate_e2e::certificates::Authority;
use syncgate_e2e::faults::{JSON, PROTOBUF};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeMeta {
    #[prost(string, tag = "1")]
    pub(crate) api_version: String,
    #[prost(string, tag = "2")]
    pub(crate) kind: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Unknown {
    #[prost(message, required, tag = "1")]
    pub(crate) type_meta: TypeMeta,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListMeta {
    #[prost(string, tag = "2")]
    pub(crate) resource_version: String,
    #[prost(string, tag = "3")]
    pub(crate) continue_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct List {
    #[prost(message, required, tag = "1")]
    pub(crate) metadata: ListMeta,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) items: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawExtension {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchEvent {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(message, required, tag = "2")]
    pub(crate) object: RawExtension,
}

/// An object in the encoding of Kubernetes.
pub(crate) fn object(kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let type_meta = TypeMeta { api_version: "v1".into(), kind: kind.into() };
    [b"k8s\0".to_vec(), Unknown { type_meta, raw }.encode_to_vec()].concat()
}

/// An event in both encodings. The object's name is its only content.
pub(crate) fn event(kind: &str, name: &str, is_protobuf: bool) -> Bytes {
    // Longer than what the fault that cuts lets through.
    let padding = "x".repeat(200);
    if is_protobuf {
        let raw = object("Pod", format!("{name} {padding}").into_bytes());
        let event = WatchEvent { kind: kind.into(), object: RawExtension { raw } }.encode_to_vec();
        let length = u32::try_from(event.len()).unwrap().to_be_bytes();
        return [length.to_vec(), event].concat().into();
    }
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "padding": padding});
    format!("{}\n", json!({"type": kind, "object": object})).into()
}

/// What a request was when it arrived here.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) token: String,
    pub(crate) host: String,
    pub(crate) body: Bytes,
}

pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    events: broadcast::Sender<(&'static str, &'static str)>,
    seen: Mutex<Vec<Seen>>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new().unwrap();
        let (certificate, key) = authority.server(&["127.0.0.1".to_owned()]).unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { events: broadcast::Sender::new(64), seen: Mutex::default() });
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&state)));
        Self { address, authority, state, task }
    }

    /// Sends an event to every watch that is open.
    pub(crate) fn send(&self, kind: &'static str, name: &'static str) {
        self.state.events.send((kind, name)).unwrap();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn watches(&self) -> usize {
        self.state.events.receiver_count()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let header =
        |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let seen = Seen {
        line: format!("{} {:?} {}", head.method, head.version, head.uri.path_and_query().unwrap()),
        token: header("authorization"),
        host: head.uri.authority().map_or_else(|| header("host"), ToString::to_string),
        body: body.collect().await?.to_bytes(),
    };
    state.seen.lock().unwrap().push(seen);
    if head.uri.path().starts_with("/api/v1/namespaces/denied/") {
        let denied = Response::builder().status(StatusCode::FORBIDDEN).header("content-type", JSON);
        return Ok(denied.body(whole(json!({"code": 403}).to_string().into())).unwrap());
    }
    let is_protobuf = header("accept").starts_with(PROTOBUF);
    let query = head.uri.query().unwrap_or_default();
    let (media_type, body) = if query.contains("watch=true") {
        let media_type = if is_protobuf { "application/vnd.kubernetes.protobuf;stream=watch" } else { JSON };
        (media_type, watch(&state, is_protobuf, query.contains("sendInitialEvents=true")))
    } else if head.method == Method::GET && head.uri.path().ends_with("/pods") {
        (if is_protobuf { PROTOBUF } else { JSON }, whole(list(is_protobuf)))
    } else {
        (JSON, whole(json!({"path": head.uri.path()}).to_string().into()))
    };
    let response = Response::builder().status(StatusCode::OK).header("content-type", media_type);
    Ok(response.body(body).unwrap())
}

fn whole(body: Bytes) -> Body {
    Full::new(body).boxed_unsync()
}

fn list(is_protobuf: bool) -> Bytes {
    if is_protobuf {
        let metadata = ListMeta { resource_version: "10".into(), continue_token: "more".into() };
        let list = List { metadata, items: vec![b"\x0a\x01a".to_vec(), b"\x0a\x01b".to_vec()] };
        return object("PodList", list.encode_to_vec()).into();
    }
    let items: Value = ["a", "b"].iter().map(|name| json!({"metadata": {"name": name}})).collect();
    let metadata = json!({"resourceVersion": "10", "continue": "more", "remainingItemCount": 3});
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string().into()
}

fn watch(state: &State, is_protobuf: bool, initial: bool) -> Body {
    let first = if initial { vec![("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", "end")] } else { Vec::new() };
    let later = BroadcastStream::new(state.events.subscribe()).filter_map(Result::ok);
    let events = tokio_stream::iter(first).chain(later);
    let frames = events.map(move |(kind, name)| Ok(Frame::data(event(kind, name, is_protobuf))));
    StreamBody::new(frames).boxed_unsync()
}
