//! A client of ADS that notes when it was told of each endpoint: it decodes what it gets and keeps no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use envoy_types::pb::envoy::config::core::v3::{Node, address};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, lb_endpoint::HostIdentifier};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ASSIGNMENTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const LARGEST: usize = 256 << 20;

/// When an address came (true) or went, in order.
pub(crate) type Moves = Vec<(Instant, bool)>;

#[derive(Debug, Default)]
struct Seen {
    assignments: usize,
    /// The addresses of each cluster.
    addresses: BTreeMap<String, BTreeSet<String>>,
    moves: BTreeMap<String, Moves>,
}

/// An open stream.
pub(crate) struct Client {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Result<()>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    pub(crate) async fn connect(xds: SocketAddr, gateway: &str) -> Result<Self> {
        let client = AggregatedDiscoveryServiceClient::connect(format!("http://{xds}")).await.context("connect")?;
        let mut client = client.max_decoding_message_size(LARGEST);
        let (requests, sent) = mpsc::channel(16);
        let node = Node { id: "bench".to_owned(), cluster: gateway.to_owned(), ..Node::default() };
        requests.send(DeltaDiscoveryRequest { node: Some(node), ..request(CLUSTERS) }).await?;
        let mut responses = client.delta_aggregated_resources(ReceiverStream::new(sent)).await?.into_inner();
        let seen = Arc::<Mutex<Seen>>::default();
        let noting = seen.clone();
        let task = tokio::spawn(async move {
            while let Some(response) = responses.message().await? {
                let at = Instant::now();
                let kind = if response.type_url == CLUSTERS { CLUSTERS } else { ASSIGNMENTS };
                let nonce = response.nonce.clone();
                requests.send(DeltaDiscoveryRequest { response_nonce: nonce, ..request(kind) }).await?;
                if kind == CLUSTERS {
                    let names = response.resources.iter().map(|resource| resource.name.clone()).collect();
                    let subscribe = DeltaDiscoveryRequest { resource_names_subscribe: names, ..request(ASSIGNMENTS) };
                    requests.send(subscribe).await?;
                } else {
                    noting.lock().unwrap_or_else(PoisonError::into_inner).note(&response, at)?;
                }
            }
            Ok(())
        });
        Ok(Self { seen, task })
    }

    /// How many load assignments came so far.
    pub(crate) fn assignments(&self) -> usize {
        self.lock().assignments
    }

    /// The clusters' addresses.
    pub(crate) fn addresses(&self) -> BTreeSet<String> {
        self.lock().addresses.values().flatten().cloned().collect()
    }

    /// What came and went since the last call.
    pub(crate) fn take_moves(&self) -> BTreeMap<String, Moves> {
        std::mem::take(&mut self.lock().moves)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(kind: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.to_owned(), ..DeltaDiscoveryRequest::default() }
}

impl Seen {
    fn note(&mut self, response: &DeltaDiscoveryResponse, at: Instant) -> Result<()> {
        for resource in &response.resources {
            let body = resource.resource.as_ref().context("a resource without a body")?;
            let now = addresses(&ClusterLoadAssignment::decode(&body.value[..])?);
            let before = self.addresses.insert(resource.name.clone(), now.clone()).unwrap_or_default();
            self.assignments += 1;
            for address in now.symmetric_difference(&before) {
                self.moves.entry(address.clone()).or_default().push((at, now.contains(address)));
            }
        }
        Ok(())
    }
}

fn addresses(assignment: &ClusterLoadAssignment) -> BTreeSet<String> {
    let endpoints = assignment.endpoints.iter().flat_map(|zone| &zone.lb_endpoints);
    let addresses = endpoints.filter_map(|endpoint| {
        let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else { return None };
        match endpoint.address.as_ref()?.address.as_ref()? {
            address::Address::SocketAddress(socket) => Some(socket.address.clone()),
            _ => None,
        }
    });
    addresses.collect()
}
