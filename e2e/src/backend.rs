//! An HTTP backend that says who it is, so that an answer from the wrong one cannot go unnoticed. Speaks HTTP/1.1 and clear-text HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::http::BACKEND_HEADER;

/// A running backend; stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct Backend {
    name: String,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Backend {
    /// Listens on `address` and answers everything with 200 and its name.
    pub async fn start(name: &str, address: SocketAddr) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("backend {name}: listen on {address}"))?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(accept(listener, Arc::from(name)));
        Ok(Self { name: name.to_owned(), address, server })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, name: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        // A failed accept (a client that is already gone) concerns that client alone.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(serve(stream, Arc::clone(&name)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, name: Arc<str>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| {
        let response = answer(&name, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    // An error here is a client that went away.
    drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

fn answer(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let body = json!({
        "backend": name,
        "method": request.method().as_str(),
        "host": host.or(request.uri().authority().map(|authority| authority.as_str())),
        "path": request.uri().path_and_query().map(|path| path.as_str()),
        "headers": headers(request.headers()),
    });
    let mut response = Response::new(Full::from(format!("{body}\n")));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if let Ok(value) = name.parse() {
        response.headers_mut().insert(BACKEND_HEADER, value);
    }
    response
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[tokio::test]
    async fn says_who_it_is_and_what_it_was_asked() {
        let backend = Backend::start("shop", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let answer = http::get(backend.address(), "shop.example.com", "/cart?item=1").await.unwrap();
        assert_eq!((answer.status, answer.backend()), (200, Some("shop")));
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["path"], "/cart?item=1");
        assert_eq!(body["headers"]["host"], "shop.example.com");
    }
}
