//! Sites: fixed pages, GET and HEAD only, and beside them a gRPC service if there is one, told apart by the content type.
//!
//! Invariant: a site that is for loopback only says nothing, in pages or in gRPC, to whoever calls it by another name.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

const HELP: &str = "this listener answers only to localhost, 127.0.0.1 and [::1] as host\n";
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
    pub(super) title: &'static str,
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

    /// Answers only requests that were addressed to a loopback name: binding to loopback alone does not keep out the pages of
    /// other sites in a browser on the same machine, whose name may resolve to 127.0.0.1.
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

    /// Answers a request.
    pub(super) async fn serve(&self, request: hyper::Request<Incoming>) -> Response<Body> {
        let content_type = request.headers().get(CONTENT_TYPE);
        let is_grpc = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let services = self.grpc.as_ref().filter(|_| is_grpc);
        if self.loopback_only && !is_for_loopback(&request) {
            return match services {
                Some(_) => Status::permission_denied(HELP.trim_end()).into_http(),
                None => respond(Answer::text(StatusCode::FORBIDDEN, HELP)),
            };
        }
        match services {
            Some(services) => services.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
            None => self.page_for(&request),
        }
    }

    fn page_for(&self, request: &hyper::Request<Incoming>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let answer = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "pages here are read only: use GET\n");
            let mut response = respond(answer);
            response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        respond(self.answer(request.uri().path(), request.uri().query().unwrap_or_default()))
    }

    fn answer(&self, path: &str, query: &str) -> Answer {
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
}

fn respond(Answer { status, content, body }: Answer) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// Whether the request was addressed to this machine by names that cannot be made to mean it by others. HTTP/2 has the name in
/// the URI, HTTP/1 in a header; a request may have both.
fn is_for_loopback(request: &hyper::Request<Incoming>) -> bool {
    let of_uri = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let of_headers = request.headers().get_all(HOST).iter().map(http::HeaderValue::as_bytes);
    let mut names = of_uri.into_iter().chain(of_headers).peekable();
    names.peek().is_some() && names.all(|name| str::from_utf8(name).is_ok_and(is_loopback))
}

fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name == "[::1]" || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}
