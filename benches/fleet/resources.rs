//! What syncgate serves, written to a file for the peer to serve, byte for byte.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, Resource};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::world::{CLUSTERS, FLEET};

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ASSIGNMENT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// Writes every cluster and load assignment. Gives the name of the load assignment that changes.
pub(crate) async fn dump(xds: SocketAddr, to: &Path) -> Result<String> {
    let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{xds}")).await.context("connect")?;
    let (requests, sent) = mpsc::channel(4);
    let node = Node { id: "dump".to_owned(), cluster: FLEET.to_owned(), ..Node::default() };
    requests.send(DeltaDiscoveryRequest { node: Some(node), ..request(CLUSTER) }).await?;
    let mut responses = client.delta_aggregated_resources(ReceiverStream::new(sent)).await?.into_inner();
    let mut all: Vec<Resource> = Vec::new();
    while all.len() < 2 * CLUSTERS {
        let response = responses.message().await?.context("the stream has ended")?;
        if response.type_url == CLUSTER {
            let names = response.resources.iter().map(|resource| resource.name.clone()).collect();
            requests.send(DeltaDiscoveryRequest { resource_names_subscribe: names, ..request(ASSIGNMENT) }).await?;
        }
        requests.send(DeltaDiscoveryRequest { response_nonce: response.nonce, ..request(&response.type_url) }).await?;
        all.extend(response.resources);
    }
    ensure!(all.len() == 2 * CLUSTERS, "{} resources", all.len());
    let mut bytes = Vec::new();
    all.iter().try_for_each(|resource| resource.encode_length_delimited(&mut bytes))?;
    std::fs::write(to, bytes)?;
    let changing = all
        .iter()
        .map(|resource| &resource.name)
        .find(|name| name.contains("service-0/") || name.contains("service-0_") || name.ends_with("service-0"));
    changing.or_else(|| all.first().map(|resource| &resource.name)).cloned().context("nothing is served")
}

fn request(kind: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.to_owned(), ..DeltaDiscoveryRequest::default() }
}
