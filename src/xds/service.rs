//! The gRPC service: which method is called, and whether this peer may.
//!
//! Invariant: without an identity there is no stream off loopback (`own_only`): what a client receives includes
//! private keys.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use super::access::{Access, Identity};
use super::connection::Peer;
use super::grpc::{ResponseBody, Taken};
use super::hub::Hub;
use super::message::Variant;
use super::reader::{Intake, MessageReader};
use super::request::{DeltaDiscoveryRequest, DiscoveryRequest};
use super::stream::{QUEUE, Settings, Stream};
use super::token::{Refusal, Tokens};

/// The full name of the service.
pub(super) const NAME: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// ADS as a tower service, for tonic's router.
#[derive(Debug, Clone)]
pub(super) struct AdsService {
    hub: Arc<Hub>,
    settings: Arc<Settings>,
    access: Arc<Access>,
    tokens: Option<Arc<Tokens>>,
}

/// The service over what `hub` publishes.
#[must_use]
pub(super) fn service(hub: Arc<Hub>, settings: Settings, access: Access, tokens: Option<Arc<Tokens>>) -> AdsService {
    AdsService { hub, settings: Arc::new(settings), access: Arc::new(access), tokens }
}

impl AdsService {
    async fn open(self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let variant = method(request.uri().path())?;
        let content_type = request.headers().get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        if !content_type.is_some_and(|value| value.starts_with(b"application/grpc")) {
            return Err(Status::unimplemented("the content type is not application/grpc"));
        }
        // Every connection of ours says who it is.
        let peer = request.extensions().get::<Peer>().cloned();
        let mut peer = peer.ok_or_else(|| Status::permission_denied("nothing is known of the peer"))?;
        if let Some(token) = bearer(request.headers())
            && let Some(identity) = self.identity_by(token?.as_str(), &peer).await?
        {
            peer.becomes(identity)?;
        }
        self.access.admit(&peer.identity)?;
        peer.is_streaming();
        let (queue, responses) = mpsc::channel(QUEUE);
        let (limit, unfinished) = (self.settings.max_request, self.settings.unfinished_request);
        let names = self.settings.session.names_in_request();
        let intake = Intake { limit, names, unfinished, rooms: peer.rooms() };
        let reader = MessageReader::new(request.into_body(), intake);
        let access = self.access.clone();
        let (hub, settings, taken) = (self.hub.clone(), self.settings.clone(), Taken::default());
        let body = ResponseBody::new(responses, taken.clone());
        let stream = Stream { hub, settings, access, peer, reader, queue, taken };
        match variant {
            Variant::StateOfTheWorld => tokio::spawn(stream.run::<DiscoveryRequest>()),
            Variant::Delta => tokio::spawn(stream.run::<DeltaDiscoveryRequest>()),
        };
        let mut response = http::Response::new(Body::new(body));
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
        Ok(response)
    }

    /// Who the peer is by its token; `None` if that is known without.
    async fn identity_by(&self, token: &str, peer: &Peer) -> Result<Option<Identity>, Refusal> {
        if peer.identity.is_proven() {
            return Ok(None);
        }
        // Even where anyone may have everything: somebody has to hear of it.
        if !peer.is_private {
            return Err(Refusal::InClear);
        }
        match &self.tokens {
            Some(tokens) => {
                let _keeps_its_place = peer.introduces_itself();
                tokens.verify(peer.address.ip(), token).await.map(Identity::of_token).map(Some)
            }
            None if self.access.anyone || peer.identity == Identity::Loopback => Ok(None),
            None => Err(Refusal::NotRead),
        }
    }
}

/// The token in the head of a request, if there is one.
fn bearer(headers: &http::HeaderMap) -> Option<Result<String, Refusal>> {
    let (scheme, token) = headers.get(http::header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let token = String::from_utf8(token.trim_ascii().to_vec());
    Some(token.map_err(|_| Refusal::Malformed("it is not text")))
}

fn method(path: &str) -> Result<Variant, Status> {
    match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
        Some((NAME, "StreamAggregatedResources")) => Ok(Variant::StateOfTheWorld),
        Some((NAME, "DeltaAggregatedResources")) => Ok(Variant::Delta),
        _ => Err(Status::unimplemented("no such method")),
    }
}

impl tower::Service<http::Request<Body>> for AdsService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async { Ok(service.open(request).await.unwrap_or_else(Status::into_http)) })
    }
}

impl tonic::server::NamedService for AdsService {
    const NAME: &'static str = NAME;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_in_the_head() {
        let head = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            bearer(&[(http::header::AUTHORIZATION, value)].into_iter().collect())
        };
        assert_eq!(head("Bearer a.b.c"), Some(Ok("a.b.c".to_owned())));
        assert_eq!(head("bearer   a.b.c "), Some(Ok("a.b.c".to_owned())));
        assert_eq!((head("Basic a.b.c"), head("Bearer"), bearer(&http::HeaderMap::new())), (None, None, None));
    }

    #[test]
    fn methods_are_found_by_their_path() {
        assert_eq!(method(&format!("/{NAME}/StreamAggregatedResources")).expect("known"), Variant::StateOfTheWorld);
        assert_eq!(method(&format!("/{NAME}/DeltaAggregatedResources")).expect("known"), Variant::Delta);
        for path in ["", "/", &format!("/{NAME}/Other"), "/other/DeltaAggregatedResources"] {
            assert_eq!(method(path).expect_err("unknown").code(), tonic::Code::Unimplemented);
        }
    }
}
