//! The gRPC service: which method is called, and whether this peer may.
//!
//! Invariant: without an identity there is no stream off loopback (`own_only`): what a client receives includes
//! private keys.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use super::access::Access;
use super::connection::Peer;
use super::grpc::{Intake, MessageReader, ResponseBody, Taken};
use super::hub::Hub;
use super::message::Variant;
use super::stream::{QUEUE, Settings, Stream};

/// The full name of the service.
pub(super) const NAME: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// ADS as a tower service, for tonic's router.
#[derive(Debug, Clone)]
pub(super) struct AdsService {
    hub: Arc<Hub>,
    settings: Settings,
    access: Arc<Access>,
}

/// The service over what `hub` publishes.
#[must_use]
pub(super) fn service(hub: Arc<Hub>, settings: Settings, access: Access) -> AdsService {
    AdsService { hub, settings, access: Arc::new(access) }
}

impl AdsService {
    fn open(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let variant = method(request.uri().path())?;
        let content_type = request.headers().get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        if !content_type.is_some_and(|value| value.starts_with(b"application/grpc")) {
            return Err(Status::unimplemented("the content type is not application/grpc"));
        }
        // Every connection of ours says who it is.
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::permission_denied("nothing is known of the peer"))?;
        self.access.admit(&peer.identity)?;
        let (queue, responses) = mpsc::channel(QUEUE);
        let (limit, unfinished) = (self.settings.max_request, self.settings.unfinished_request);
        let intake = Intake { limit, unfinished, rooms: peer.rooms.clone() };
        let reader = MessageReader::new(request.into_body(), intake);
        let access = self.access.clone();
        let (hub, settings, taken) = (self.hub.clone(), self.settings, Taken::default());
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
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        ready(Ok(self.open(request).unwrap_or_else(Status::into_http)))
    }
}

impl tonic::server::NamedService for AdsService {
    const NAME: &'static str = NAME;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_path() {
        assert_eq!(method(&format!("/{NAME}/StreamAggregatedResources")).expect("known"), Variant::StateOfTheWorld);
        assert_eq!(method(&format!("/{NAME}/DeltaAggregatedResources")).expect("known"), Variant::Delta);
        for path in ["", "/", &format!("/{NAME}/Other"), "/other/DeltaAggregatedResources"] {
            assert_eq!(method(path).expect_err("unknown").code(), tonic::Code::Unimplemented);
        }
    }
}
