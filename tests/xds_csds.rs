//! CSDS on the admin listener, beside its pages, asked by a generated client (rule 36).

mod xds_support;

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ClientStatusRequest, ClientStatusResponse};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use envoy_types::pb::google::rpc;
use prost::Message;
use syncgate::admin;
use syncgate::resource::{Parts, Resource, ResourceType as T};
use syncgate::xds::{Settings, client_status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use xds_support::{GATEWAY, Served};

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "-----BEGIN PRIVATE KEY-----";

fn word(kind: T, name: &str, word: impl Into<String>) -> Resource {
    Resource::new(kind, name, Parts::leaf(word.into()), [])
}

/// A served hub, and CSDS over it on an admin listener.
struct Stage {
    served: Served,
    admin: SocketAddr,
}

impl Stage {
    async fn set(resources: impl IntoIterator<Item = Resource>) -> Stage {
        let served = Served::start(Settings::default()).await;
        served.publish(resources).await;
        let listener = admin::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let admin = listener.local_addr().expect("bound");
        let site = admin::debug([]).grpc(Routes::new(client_status(served.hub.clone())));
        tokio::spawn(admin::serve(listener, site, std::future::pending()));
        Stage { served, admin }
    }

    async fn csds(&self) -> ClientStatusDiscoveryServiceClient<Channel> {
        ClientStatusDiscoveryServiceClient::connect(format!("http://{}", self.admin)).await.expect("connects")
    }

    async fn fetch(&self, request: ClientStatusRequest) -> Result<Vec<ClientConfig>, tonic::Status> {
        let mut client = self.csds().await;
        let answer = tokio::time::timeout(PATIENCE, client.fetch_client_status(request));
        answer.await.expect("in time").map(|response| response.into_inner().config)
    }

    /// The statuses of everything, as soon as there is something to see.
    async fn eventually(&self, expected: &[&str]) -> Vec<ClientConfig> {
        let start = std::time::Instant::now();
        loop {
            let configs = self.fetch(ClientStatusRequest::default()).await.expect("answers");
            let shown = shown(&configs);
            if shown == expected {
                return configs;
            }
            assert!(start.elapsed() < PATIENCE, "never came to be: {expected:?}, but {shown:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn shown(configs: &[ClientConfig]) -> Vec<String> {
    let each = configs.iter().flat_map(|config| {
        let node = config.node.as_ref().expect("a node").id.clone();
        config.generic_xds_configs.iter().map(move |of| {
            let kind = T::from_type_url(&of.type_url).expect("a type of ours").short();
            format!("{node} {kind} {} {}", of.name, of.config_status().as_str_name())
        })
    });
    each.collect()
}

/// A delta stream of an Envoy.
struct Client {
    send: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Client {
    async fn open(stage: &Stage, id: &str, kind: T, names: &[&str]) -> Client {
        let (send, requests) = mpsc::channel(8);
        let node = Node { id: id.into(), cluster: GATEWAY.into(), ..Default::default() };
        send.send(DeltaDiscoveryRequest { node: Some(node), ..request(kind.type_url(), names) }).await.expect("open");
        let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{}", stage.served.address))
            .await
            .expect("connects")
            .max_decoding_message_size(64 << 20);
        let responses = client.delta_aggregated_resources(ReceiverStream::new(requests)).await.expect("opens");
        Client { send, responses: responses.into_inner() }
    }

    async fn next(&mut self) -> DeltaDiscoveryResponse {
        let next = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("in time");
        next.expect("no error").expect("not ended")
    }

    async fn ack(&mut self) {
        let response = self.next().await;
        self.answer(&response, None).await;
    }

    async fn nack(&mut self, message: &str) {
        let response = self.next().await;
        self.answer(&response, Some(rpc::Status { message: message.into(), ..Default::default() })).await;
    }

    async fn answer(&self, response: &DeltaDiscoveryResponse, error_detail: Option<rpc::Status>) {
        let response_nonce = response.nonce.clone();
        let answer = DeltaDiscoveryRequest { response_nonce, error_detail, ..request(&response.type_url, &[]) };
        self.send.send(answer).await.expect("open");
    }
}

fn request(type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    let resource_names_subscribe = names.iter().map(ToString::to_string).collect();
    DeltaDiscoveryRequest { type_url: type_url.into(), resource_names_subscribe, ..Default::default() }
}

fn only(id: &str) -> ClientStatusRequest {
    let exact = StringMatcher { match_pattern: Some(MatchPattern::Exact(id.into())), ..Default::default() };
    let matcher = NodeMatcher { node_id: Some(exact), node_metadatas: vec![] };
    ClientStatusRequest { node_matchers: vec![matcher], ..Default::default() }
}

#[tokio::test]
async fn rule_36_each_client_is_shown_with_the_status_of_each_resource() {
    let stage = Stage::set([word(T::Cluster, "a", "1"), word(T::Cluster, "b", "1")]).await;
    assert!(stage.fetch(ClientStatusRequest::default()).await.expect("answers").is_empty(), "nobody is connected");
    let mut client = Client::open(&stage, "envoy-1", T::Cluster, &[]).await;
    stage.eventually(&["envoy-1 CDS a STALE", "envoy-1 CDS b STALE"]).await;
    client.ack().await;
    let configs = stage.eventually(&["envoy-1 CDS a SYNCED", "envoy-1 CDS b SYNCED"]).await;
    let of_a = &configs[0].generic_xds_configs[0];
    let content = of_a.xds_config.as_ref().expect("its content");
    assert_eq!((content.type_url.as_str(), content.value.as_slice()), (T::Cluster.type_url(), &b"1"[..]));
    let version = of_a.version_info.clone();

    stage.served.publish([word(T::Cluster, "a", "2"), word(T::Cluster, "b", "1")]).await;
    client.nack("Error adding/updating cluster(s) a: not today").await;
    let configs = stage.eventually(&["envoy-1 CDS a ERROR", "envoy-1 CDS b SYNCED"]).await;
    let of_a = &configs[0].generic_xds_configs[0];
    let error = of_a.error_state.as_ref().expect("a reason");
    assert_eq!(error.details, "Error adding/updating cluster(s) a: not today");
    assert!(error.last_update_attempt.is_some_and(|at| at.seconds > 1_700_000_000));
    assert!(error.version_info == of_a.version_info && error.version_info != version, "the refused version");
    assert!(configs[0].generic_xds_configs[1].error_state.is_none());

    stage.served.publish([word(T::Cluster, "a", "3"), word(T::Cluster, "b", "1")]).await;
    client.ack().await;
    stage.eventually(&["envoy-1 CDS a SYNCED", "envoy-1 CDS b SYNCED"]).await;
    drop(client);
    stage.eventually(&[]).await;
}

#[tokio::test]
async fn rule_36_clients_are_found_by_their_node() {
    let stage = Stage::set([word(T::Cluster, "a", "1")]).await;
    let mut one = Client::open(&stage, "envoy-1", T::Cluster, &[]).await;
    let mut two = Client::open(&stage, "envoy-2", T::ClusterLoadAssignment, &["none"]).await;
    one.ack().await;
    two.ack().await;
    stage.eventually(&["envoy-1 CDS a SYNCED", "envoy-2 EDS none NOT_SENT"]).await;
    let found = stage.fetch(only("envoy-2")).await.expect("answers");
    assert_eq!(shown(&found), ["envoy-2 EDS none NOT_SENT"]);
    assert!(stage.fetch(only("envoy")).await.expect("answers").is_empty());
    let mut unclear = only("x");
    unclear.node_matchers[0].node_id = Some(StringMatcher::default());
    assert_eq!(stage.fetch(unclear).await.expect_err("not understood").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn rule_36_no_key_is_shown_and_no_content_that_is_not_wanted() {
    let stage = Stage::set([word(T::Cluster, "a", "1"), word(T::Secret, "s", KEY)]).await;
    let mut client = Client::open(&stage, "envoy-1", T::Secret, &["s"]).await;
    client.ack().await;
    client.send.send(request(T::Cluster.type_url(), &[])).await.expect("open");
    client.ack().await;
    let configs = stage.eventually(&["envoy-1 CDS a SYNCED", "envoy-1 SDS s SYNCED"]).await;
    let [of_a, of_s] = configs[0].generic_xds_configs.as_slice() else { panic!("two") };
    assert!(of_a.xds_config.is_some() && of_s.xds_config.is_none());
    assert!(!of_s.version_info.is_empty());
    let encoded = ClientStatusResponse { config: configs.clone() }.encode_to_vec();
    assert!(!String::from_utf8_lossy(&encoded).contains("PRIVATE"), "a key");
    let without = ClientStatusRequest { exclude_resource_contents: true, ..Default::default() };
    let configs = stage.fetch(without).await.expect("answers");
    assert!(configs[0].generic_xds_configs.iter().all(|of| of.xds_config.is_none()));
}

#[tokio::test]
async fn rule_36_bounded_a_stream_answers_in_parts_and_a_fetch_says_when_it_is_too_much() {
    let resources = || (0..100).map(|at| word(T::Cluster, &format!("c{at:03}"), "x".repeat(60_000)));
    let stage = Stage::set(resources()).await;
    let mut clients = vec![];
    for at in 0..3 {
        let mut client = Client::open(&stage, &format!("envoy-{at}"), T::Cluster, &[]).await;
        client.ack().await;
        clients.push(client);
    }
    let refused = stage.fetch(only("envoy-1")).await.expect_err("6 MB");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("StreamClientStatus"), "{refused}");
    let without = |request| ClientStatusRequest { exclude_resource_contents: true, ..request };
    let configs = stage.fetch(without(ClientStatusRequest::default())).await.expect("small");
    assert_eq!(configs.iter().map(|of| of.generic_xds_configs.len()).collect::<Vec<_>>(), [100; 3]);

    let (send, requests) = mpsc::channel(2);
    let answers = stage.csds().await.stream_client_status(ReceiverStream::new(requests)).await.expect("opens");
    let mut answers = answers.into_inner();
    for (request, expected) in [(ClientStatusRequest::default(), 300), (only("envoy-2"), 100)] {
        send.send(request).await.expect("open");
        let (mut resources, mut largest) = (0, 0);
        while resources < expected {
            // tonic's client takes 4 MiB at most, as others do.
            let part = tokio::time::timeout(PATIENCE, answers.message()).await.expect("in time");
            let part = part.expect("not too large").expect("not ended");
            largest = part.encoded_len().max(largest);
            resources += part.config.iter().map(|config| config.generic_xds_configs.len()).sum::<usize>();
        }
        assert_eq!(resources, expected);
        assert!(largest < 2 << 20, "a part of {largest} bytes");
    }
    // A request that matches nobody is answered too.
    send.send(only("nobody")).await.expect("open");
    let part = tokio::time::timeout(PATIENCE, answers.message()).await.expect("in time").expect("no error");
    assert!(part.expect("not ended").config.is_empty());
}

/// Each client once, however many there are, and nothing of those that come and go meanwhile is made up.
#[tokio::test]
async fn rule_36_a_fleet_is_streamed_with_each_client_once() {
    let stage = Stage::set([word(T::Cluster, "a", "1")]).await;
    let mut clients = vec![];
    for at in 0..100 {
        let mut client = Client::open(&stage, &format!("envoy-{at}"), T::Cluster, &[]).await;
        client.ack().await;
        clients.push(client);
    }
    let (send, requests) = mpsc::channel(2);
    let answers = stage.csds().await.stream_client_status(ReceiverStream::new(requests)).await.expect("opens");
    send.send(ClientStatusRequest::default()).await.expect("open");
    // With the end of the requests the answers end, once the last one is given.
    drop(send);
    let (mut answers, mut seen) = (answers.into_inner(), vec![]);
    while let Some(part) = tokio::time::timeout(PATIENCE, answers.message()).await.expect("in time").expect("no error")
    {
        seen.extend(part.config.into_iter().map(|config| config.node.expect("a node").id));
    }
    assert_eq!(seen, (0..100).map(|at| format!("envoy-{at}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn rule_36_only_the_admin_listener_tells_and_its_pages_stay() {
    let stage = Stage::set([]).await;
    let mut at_ads = ClientStatusDiscoveryServiceClient::connect(format!("http://{}", stage.served.address))
        .await
        .expect("connects");
    let refused = at_ads.fetch_client_status(ClientStatusRequest::default()).await.expect_err("not here");
    assert_eq!(refused.code(), Code::Unimplemented);
    let mut page = tokio::net::TcpStream::connect(stage.admin).await.expect("connects");
    page.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    page.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
