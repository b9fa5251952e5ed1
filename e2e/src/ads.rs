//! A client of ADS that stands where an Envoy would: it subscribes to every cluster and to the load assignments that they name, takes what
//! it is sent, and answers honestly. What it holds is there as plain values at any time.
//!
//! It speaks the state-of-the-world variant, and neither listeners nor routes: who asks for no routes is sent clusters as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, Node, address};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use envoy_types::pb::google::rpc;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ASSIGNMENTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// The node's metadata that says whose resources it wants.
const GATEWAY: &str = "syncgate.dev/gateway";
/// Envoy has no limit; a load assignment of 10,000 endpoints has less than one mebibyte.
const LARGEST: usize = 64 << 20;
/// INVALID_ARGUMENT, as Envoy says of what it refuses.
const INVALID: i32 = 3;
/// Requests that wait to be sent: an answer and the names that follow from it.
const WAITING: usize = 4;

/// Where requests to a cluster go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens as well.
    pub additional: Vec<SocketAddr>,
    /// Its zone; empty when it has none.
    pub zone: String,
}

/// The endpoints of each cluster, by the cluster's name. One that was not sent a load assignment yet is not there.
pub type Assignments = BTreeMap<String, BTreeSet<Endpoint>>;

/// What a client holds.
#[derive(Debug, Clone)]
pub struct View {
    /// The endpoints.
    pub assignments: Arc<Assignments>,
    /// When they last became other ones.
    pub changed: Instant,
    /// Why the stream ended, if it did.
    ended: Option<String>,
}

/// An open stream. Dropping it closes the stream.
#[derive(Debug)]
pub struct Ads {
    view: watch::Receiver<View>,
    task: JoinHandle<()>,
}

impl Ads {
    /// Connects as a client of the Gateway `<namespace>/<name>`.
    pub async fn connect(address: SocketAddr, gateway: &str, node: &str) -> Result<Self> {
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await;
        let channel = channel.with_context(|| format!("connect to ADS at {address}"))?;
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(LARGEST);
        let (requests, sent) = mpsc::channel(WAITING);
        let mut held = Held::new(gateway, node);
        requests.send(held.request(CLUSTERS)).await?;
        let opened = client.stream_aggregated_resources(ReceiverStream::new(sent)).await;
        let responses = opened.with_context(|| format!("open a stream at {address}"))?.into_inner();
        let first = View { assignments: Arc::default(), changed: Instant::now(), ended: None };
        let (publish, view) = watch::channel(first);
        let task = tokio::spawn(async move {
            let ended = follow(&mut held, responses, &requests, &publish).await;
            let reason = ended.err().map_or_else(|| "the server closed it".to_owned(), |reason| format!("{reason:#}"));
            publish.send_modify(|view| view.ended = Some(reason));
        });
        Ok(Self { view, task })
    }

    /// What it holds now; an error once the stream has ended.
    pub fn view(&self) -> Result<View> {
        let view = self.view.borrow().clone();
        match &view.ended {
            Some(reason) => bail!("the ADS stream has ended: {reason}"),
            None => Ok(view),
        }
    }
}

impl Drop for Ads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes responses until the stream ends.
async fn follow(
    held: &mut Held,
    mut responses: Streaming<DiscoveryResponse>,
    requests: &mpsc::Sender<DiscoveryRequest>,
    publish: &watch::Sender<View>,
) -> Result<()> {
    while let Some(response) = responses.message().await? {
        for answer in held.take(&response) {
            requests.send(answer).await?;
        }
        let now = held.assignments();
        publish.send_if_modified(|view| {
            let changed = *view.assignments != now;
            if changed {
                view.assignments = Arc::new(now);
                view.changed = Instant::now();
            }
            changed
        });
    }
    Ok(())
}

/// What was accepted and what is to be said of it, without IO.
#[derive(Debug)]
struct Held {
    node: Node,
    /// For each type the version that was accepted last and the nonce that was seen last.
    answered: BTreeMap<&'static str, (String, String)>,
    /// The name of each cluster's load assignment.
    clusters: BTreeMap<String, String>,
    /// The load assignments by their own names.
    endpoints: BTreeMap<String, BTreeSet<Endpoint>>,
}

impl Held {
    fn new(gateway: &str, node: &str) -> Self {
        let value = Value { kind: Some(Kind::StringValue(gateway.to_owned())) };
        let metadata = Struct { fields: [(GATEWAY.to_owned(), value)].into() };
        let node =
            Node { id: node.to_owned(), cluster: gateway.to_owned(), metadata: Some(metadata), ..Node::default() };
        Self { node, answered: BTreeMap::new(), clusters: BTreeMap::new(), endpoints: BTreeMap::new() }
    }

    fn assignments(&self) -> Assignments {
        let named = self.clusters.iter();
        named.filter_map(|(cluster, name)| Some((cluster.clone(), self.endpoints.get(name)?.clone()))).collect()
    }

    fn names(&self) -> BTreeSet<&String> {
        self.clusters.values().collect()
    }

    /// A request that accepts what was taken last and names what is wanted. Clusters are wanted all: that is no name.
    fn request(&self, kind: &'static str) -> DiscoveryRequest {
        let (version_info, response_nonce) = self.answered.get(kind).cloned().unwrap_or_default();
        let names = if kind == ASSIGNMENTS { self.names().into_iter().cloned().collect() } else { Vec::new() };
        DiscoveryRequest {
            version_info,
            response_nonce,
            node: Some(self.node.clone()),
            resource_names: names,
            type_url: kind.to_owned(),
            ..DiscoveryRequest::default()
        }
    }

    /// Takes a response, or refuses it whole, and gives what is to be answered.
    fn take(&mut self, response: &DiscoveryResponse) -> Vec<DiscoveryRequest> {
        let Some(kind) = [CLUSTERS, ASSIGNMENTS].into_iter().find(|kind| *kind == response.type_url) else {
            return Vec::new();
        };
        let names_before: BTreeSet<String> = self.names().into_iter().cloned().collect();
        let taken = if kind == CLUSTERS { self.take_clusters(response) } else { self.take_assignments(response) };
        let (version, nonce) = self.answered.entry(kind).or_default();
        nonce.clone_from(&response.nonce);
        if let Err(reason) = taken {
            let refusal = rpc::Status { code: INVALID, message: format!("{reason:#}"), details: Vec::new() };
            return vec![DiscoveryRequest { error_detail: Some(refusal), ..self.request(kind) }];
        }
        version.clone_from(&response.version_info);
        let mut answers = vec![self.request(kind)];
        if names_before.iter().ne(self.names()) {
            answers.push(self.request(ASSIGNMENTS));
        }
        answers
    }

    /// All clusters that there are.
    fn take_clusters(&mut self, response: &DiscoveryResponse) -> Result<()> {
        let mut clusters = BTreeMap::new();
        for resource in &response.resources {
            let cluster = Cluster::decode(&resource.value[..]).context("a cluster")?;
            let named = cluster.eds_cluster_config.with_context(|| format!("cluster {}: no EDS", cluster.name))?;
            let own = cluster.name.clone();
            clusters.insert(cluster.name, Some(named.service_name).filter(|name| !name.is_empty()).unwrap_or(own));
        }
        self.clusters = clusters;
        let names: BTreeSet<&String> = self.clusters.values().collect();
        self.endpoints.retain(|name, _| names.contains(name));
        Ok(())
    }

    /// Some load assignments; those that are not in the response stay as they are.
    fn take_assignments(&mut self, response: &DiscoveryResponse) -> Result<()> {
        let mut taken = Vec::with_capacity(response.resources.len());
        for resource in &response.resources {
            let assignment = ClusterLoadAssignment::decode(&resource.value[..]).context("a load assignment")?;
            let found = endpoints(&assignment).with_context(|| format!("endpoints of {}", assignment.cluster_name))?;
            taken.push((assignment.cluster_name, found));
        }
        let names: BTreeSet<&String> = self.clusters.values().collect();
        taken.retain(|(name, _)| names.contains(name));
        self.endpoints.extend(taken);
        Ok(())
    }
}

fn endpoints(assignment: &ClusterLoadAssignment) -> Result<BTreeSet<Endpoint>> {
    let mut found = BTreeSet::new();
    for locality in &assignment.endpoints {
        let zone = locality.locality.as_ref().map(|locality| locality.zone.clone()).unwrap_or_default();
        for entry in &locality.lb_endpoints {
            let endpoint = endpoint(entry, &zone)?;
            let address = endpoint.address;
            if !found.insert(endpoint) {
                bail!("{address} stands there twice");
            }
        }
    }
    Ok(found)
}

fn endpoint(entry: &LbEndpoint, zone: &str) -> Result<Endpoint> {
    let Some(HostIdentifier::Endpoint(endpoint)) = &entry.host_identifier else { bail!("an endpoint by name") };
    let additional = endpoint.additional_addresses.iter().map(|more| socket(more.address.as_ref()));
    Ok(Endpoint {
        address: socket(endpoint.address.as_ref())?,
        additional: additional.collect::<Result<_>>()?,
        zone: zone.to_owned(),
    })
}

fn socket(address: Option<&Address>) -> Result<SocketAddr> {
    let Some(address::Address::SocketAddress(socket)) = address.and_then(|address| address.address.as_ref()) else {
        bail!("{address:?} is no socket address");
    };
    let ip: IpAddr = socket.address.parse().with_context(|| format!("{:?}", socket.address))?;
    match socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => Ok((ip, u16::try_from(port)?).into()),
        _ => Err(anyhow!("{ip} has no port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::google::protobuf::Any;

    fn response(kind: &str, nonce: &str, resources: &[Vec<u8>]) -> DiscoveryResponse {
        let any = |value: &Vec<u8>| Any { type_url: kind.to_owned(), value: value.clone() };
        let resources = resources.iter().map(any).collect();
        let (version_info, type_url, nonce) = (format!("v{nonce}"), kind.to_owned(), nonce.to_owned());
        DiscoveryResponse { version_info, type_url, nonce, resources, ..DiscoveryResponse::default() }
    }

    #[test]
    fn what_is_good_is_accepted_and_what_is_not_is_refused_with_the_version_before() {
        let mut held = Held::new("demo/web", "one");
        let eds_cluster_config = Some(Default::default());
        let cluster = Cluster { name: "a".to_owned(), eds_cluster_config, ..Cluster::default() };
        let answers = held.take(&response(CLUSTERS, "1", &[cluster.encode_to_vec()]));
        let said: Vec<_> = answers.iter().map(|at| (at.version_info.as_str(), at.resource_names.clone())).collect();
        assert_eq!(said, [("v1", vec![]), ("", vec!["a".to_owned()])]);

        let answers = held.take(&response(CLUSTERS, "2", &[vec![0xff]]));
        assert_eq!((answers[0].version_info.as_str(), answers[0].response_nonce.as_str()), ("v1", "2"));
        assert!(answers.len() == 1 && answers[0].error_detail.is_some(), "{answers:?}");

        assert!(held.assignments().is_empty());
        let empty = ClusterLoadAssignment { cluster_name: "a".to_owned(), ..ClusterLoadAssignment::default() };
        assert_eq!(held.take(&response(ASSIGNMENTS, "3", &[empty.encode_to_vec()])).len(), 1);
        assert_eq!(held.assignments(), [("a".to_owned(), BTreeSet::new())].into());
        assert_eq!(held.take(&response(CLUSTERS, "4", &[])).len(), 2);
        assert!(held.assignments().is_empty());
    }
}
