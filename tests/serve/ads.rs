//! A client of ADS and of gRPC health, as small as they come.

use std::{net::SocketAddr, time::Duration};

use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::rpc,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

pub(crate) const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const LDS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

const PATIENCE: Duration = Duration::from_secs(30);

/// A delta stream for the Gateway `demo/web`.
pub(crate) struct Stream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    /// Opens a stream that wants every resource of a type.
    ///
    /// An error is the server's own.
    pub(crate) async fn open(address: SocketAddr, type_url: &str) -> Result<Self, Status> {
        let (requests, sent) = mpsc::channel(8);
        requests.send(request(type_url)).await.expect("open");
        let mut client = AggregatedDiscoveryServiceClient::new(channel(address).await);
        let opened = client.delta_aggregated_resources(ReceiverStream::new(sent));
        let responses = tokio::time::timeout(PATIENCE, opened).await.expect("an answer in time")?.into_inner();
        Ok(Self { requests, responses })
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let next = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("an answer in time");
        next.map(|response| response.expect("a stream ends with a status"))
    }

    pub(crate) async fn ack(&self, response: &DeltaDiscoveryResponse) {
        let ack = DeltaDiscoveryRequest { response_nonce: response.nonce.clone(), ..request(&response.type_url) };
        self.requests.send(ack).await.expect("open");
    }

    pub(crate) async fn nack(&self, response: &DeltaDiscoveryResponse, message: &str) {
        let nack = DeltaDiscoveryRequest {
            response_nonce: response.nonce.clone(),
            error_detail: Some(rpc::Status { code: 3, message: message.to_owned(), details: Vec::new() }),
            ..request(&response.type_url)
        };
        self.requests.send(nack).await.expect("open");
    }
}

/// What the server says to a stream before anything else.
pub(crate) async fn first_answer(address: SocketAddr, type_url: &str) -> Result<DeltaDiscoveryResponse, Status> {
    Stream::open(address, type_url).await?.next().await
}

pub(crate) fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

/// Whether gRPC health says that this service serves.
pub(crate) async fn serving(address: SocketAddr, service: &str) -> bool {
    let mut client = HealthClient::new(channel(address).await);
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = tokio::time::timeout(PATIENCE, client.check(request)).await.expect("an answer in time");
    answer.expect("a known service").into_inner().status() == ServingStatus::Serving
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URI");
    endpoint.connect().await.expect("the ADS listener accepts")
}

fn request(type_url: &str) -> DeltaDiscoveryRequest {
    let node = Node { id: "envoy-1".to_owned(), cluster: "demo/web".to_owned(), ..Node::default() };
    DeltaDiscoveryRequest { node: Some(node), type_url: type_url.to_owned(), ..DeltaDiscoveryRequest::default() }
}
