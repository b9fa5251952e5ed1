//! Backends of HTTP/1.1 and of HTTP/2 in clear text that say who they are and what they were asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// Starts a backend of this name; it ends with the runtime.
pub(crate) async fn start(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port of our own");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request| answer(name, request));
            tokio::spawn(async move {
                // An error is a connection that Envoy gave up.
                drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    address
}

/// Answers after the milliseconds that the request header `delay` asks for, with headers for filters to work on.
async fn answer(name: &'static str, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(delay) = request.headers().get("delay").and_then(|value| value.to_str().ok()?.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let host = request.headers().get("host").and_then(|host| host.to_str().ok());
    let body = json!({
        "backend": name,
        "host": host.or(request.uri().authority().map(|authority| authority.as_str())),
        "version": format!("{:?}", request.version()),
        "path": request.uri().path_and_query().map(|path| path.as_str()),
        "headers": headers(request.headers()),
    });
    let response = Response::builder().header("x-answer", "backend").header("x-kept", "backend");
    Ok(response.body(Full::from(body.to_string())).expect("a response"))
}

/// Every header with its values, joined by commas.
pub(crate) fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let values = |name| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(",")
    };
    headers.keys().map(|name| (name.to_string(), values(name).into())).collect()
}
