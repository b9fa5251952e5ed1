//! Streams over real sockets: both variants with tonic's client, and clients that break the protocol.

mod xds_support;

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use syncgate::readiness::{Layer, Readiness};
use syncgate::resource::{Parts, Ref, Resource, ResourceType as T};
use syncgate::xds::{Limits, Settings, Variant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use xds_support::{DRAIN, GATEWAY, Served, off_loopback};

/// A resource whose body is no message, for clients that do not look into it.
fn word(kind: T, name: &str, word: &str) -> Resource {
    let refs = match kind {
        T::Cluster => vec![Ref::new(T::ClusterLoadAssignment, name)],
        _ => vec![],
    };
    Resource::new(kind, name, Parts::leaf(word.to_owned()), refs)
}

fn node() -> Option<Node> {
    Some(Node { id: "envoy-1".into(), cluster: GATEWAY.into(), ..Default::default() })
}

async fn connect(served: &Served) -> AggregatedDiscoveryServiceClient<Channel> {
    let client = AggregatedDiscoveryServiceClient::connect(format!("http://{}", served.address)).await;
    client.expect("connects").max_decoding_message_size(64 << 20).max_encoding_message_size(64 << 20)
}

struct Delta {
    send: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Delta {
    async fn open(served: &Served, first: DeltaDiscoveryRequest) -> Delta {
        let (send, requests) = mpsc::channel(8);
        send.send(first).await.expect("open");
        let requests = ReceiverStream::new(requests);
        let responses = connect(served).await.delta_aggregated_resources(requests).await.expect("opens").into_inner();
        Delta { send, responses }
    }

    async fn next(&mut self) -> DeltaDiscoveryResponse {
        let next = tokio::time::timeout(Duration::from_secs(10), self.responses.message()).await.expect("in time");
        next.expect("no error").expect("not ended")
    }

    async fn status(&mut self) -> Status {
        loop {
            match tokio::time::timeout(Duration::from_secs(10), self.responses.message()).await.expect("in time") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    async fn ack(&self, response: &DeltaDiscoveryResponse) {
        self.send.send(delta(&response.type_url, &[], &response.nonce)).await.expect("open");
    }
}

fn delta(type_url: &str, subscribe: &[&str], nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: node(),
        type_url: type_url.into(),
        resource_names_subscribe: subscribe.iter().map(ToString::to_string).collect(),
        response_nonce: nonce.into(),
        ..Default::default()
    }
}

fn written(response: &DeltaDiscoveryResponse) -> Vec<String> {
    let content = |r: &envoy_types::pb::envoy::service::discovery::v3::Resource| {
        String::from_utf8_lossy(&r.resource.as_ref().expect("a body").value).into_owned()
    };
    let upserts = response.resources.iter().map(|resource| format!("{}={}", resource.name, content(resource)));
    upserts.chain(response.removed_resources.iter().map(|name| format!("-{name}"))).collect()
}

fn quick() -> Settings {
    let session = Limits { linger: Duration::from_millis(50), ..Limits::default() };
    Settings { patience: Duration::from_millis(300), session, ..Settings::default() }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(), "never came to be: {what}");
}

#[tokio::test]
async fn delta_changes_and_removals_reach_a_client() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1"), word(T::Cluster, "b", "1")]).await;
    let mut client = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
    let first = client.next().await;
    assert_eq!(written(&first), ["a=1", "b=1"]);
    assert!(first.control_plane.as_ref().expect("set").identifier.starts_with("syncgate/"));
    client.ack(&first).await;
    served.publish([word(T::Cluster, "a", "2")]).await;
    let second = client.next().await;
    assert_eq!(written(&second), ["a=2"]);
    assert_ne!(first.nonce, second.nonce);
    client.ack(&second).await;
    assert_eq!(written(&client.next().await), ["-b"]);
}

#[tokio::test]
async fn state_of_the_world_changes_reach_a_client() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Listener, "a", "1"), word(T::Listener, "b", "1")]).await;
    let (send, requests) = mpsc::channel(8);
    let request = |response: &DiscoveryResponse| DiscoveryRequest {
        node: node(),
        type_url: T::Listener.type_url().into(),
        version_info: response.version_info.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    };
    send.send(request(&DiscoveryResponse::default())).await.expect("open");
    let mut client = connect(&served).await;
    let mut responses =
        client.stream_aggregated_resources(ReceiverStream::new(requests)).await.expect("opens").into_inner();
    let first = responses.message().await.expect("no error").expect("not ended");
    assert_eq!(first.resources.len(), 2);
    send.send(request(&first)).await.expect("open");
    served.publish([word(T::Listener, "b", "2")]).await;
    // The change first, the removal when that is acknowledged: LDS holds the full set both times.
    for expected in [vec!["1", "2"], vec!["2"]] {
        let response = responses.message().await.expect("no error").expect("not ended");
        let mut contents: Vec<_> = response.resources.iter().map(|any| any.value.clone()).collect();
        contents.sort();
        assert_eq!(contents, expected.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
        send.send(request(&response)).await.expect("open");
    }
}

#[tokio::test]
async fn rule_20_a_reconnect_to_another_process_resends_nothing_unchanged() {
    let served = Served::start(quick()).await;
    let listeners = [word(T::Listener, "a", "1"), word(T::Listener, "b", "1")];
    served.publish(listeners.clone()).await;
    let mut client = Delta::open(&served, delta(T::Listener.type_url(), &[], "")).await;
    let first = client.next().await;
    client.ack(&first).await;
    served.stop().await;
    assert_eq!(client.status().await.code(), Code::Unavailable);

    let served = Served::start(quick()).await;
    served.publish([listeners[0].clone(), word(T::Listener, "b", "2")]).await;
    let initial_resource_versions = first.resources.iter().map(|r| (r.name.clone(), r.version.clone())).collect();
    let resumed = DeltaDiscoveryRequest { initial_resource_versions, ..delta(T::Listener.type_url(), &[], "") };
    let mut client = Delta::open(&served, resumed).await;
    let second = client.next().await;
    assert_eq!(written(&second), ["b=2"]);
    assert_ne!(first.nonce.split('-').next(), second.nonce.split('-').next());
}

#[tokio::test]
async fn gated() {
    let served = Served::start(Settings { patience: Duration::from_secs(10), ..quick() }).await;
    let mut client = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
    tokio::time::timeout(Duration::from_millis(300), client.responses.message()).await.expect_err("not complete yet");
    served.publish([word(T::Cluster, "a", "1")]).await;
    assert_eq!(written(&client.next().await), ["a=1"]);
}

#[tokio::test]
async fn a_client_that_comes_too_early_is_told_what_is_missing() {
    let served = Served::start(quick()).await;
    let started = Instant::now();
    let status = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await.status().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("missing: "), "{status}");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_first_request_that_is_wrong_ends_its_stream_with_the_reason() {
    let served = Served::start(quick()).await;
    served.publish([]).await;
    let named = |cluster: &str| Some(Node { cluster: cluster.into(), ..Default::default() });
    let cases = [
        (None, T::Cluster.type_url(), Code::InvalidArgument, "must have a node"),
        (named("gw"), T::Cluster.type_url(), Code::InvalidArgument, "syncgate.dev/gateway"),
        (named("ns/none"), T::Cluster.type_url(), Code::Unavailable, "no Gateway ns/none"),
        (named(GATEWAY), "", Code::InvalidArgument, "type_url"),
    ];
    for (node, type_url, code, text) in cases {
        let request = DeltaDiscoveryRequest { node, ..delta(type_url, &[], "") };
        let status = Delta::open(&served, request).await.status().await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
}

#[tokio::test]
async fn rule_02_an_unknown_type_does_not_close_the_stream() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let mut client = Delta::open(&served, delta("type.googleapis.com/not.Ours", &["x"], "")).await;
    client.send.send(delta(T::Cluster.type_url(), &[], "")).await.expect("open");
    assert_eq!(written(&client.next().await), ["a=1"]);
}

#[tokio::test]
async fn rule_34_a_large_request_is_read_and_a_larger_one_ends_its_stream_alone() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let with = |bytes: usize| DeltaDiscoveryRequest {
        initial_resource_versions: (0..bytes >> 10).map(|at| (format!("{at:01024}"), "1".into())).collect(),
        ..delta(T::Cluster.type_url(), &[], "")
    };
    let mut witness = Delta::open(&served, with(8 << 20)).await;
    let first = witness.next().await;
    assert_eq!(written(&first), ["a=1"]);
    witness.ack(&first).await;
    assert_eq!(Delta::open(&served, with(17 << 20)).await.status().await.code(), Code::ResourceExhausted);
    served.publish([word(T::Cluster, "a", "2")]).await;
    let next = loop {
        let response = witness.next().await;
        if response.removed_resources.is_empty() {
            break response;
        }
        witness.ack(&response).await;
    };
    assert_eq!(written(&next), ["a=2"]);
}

/// Sends these bytes as the body of a stream and returns its status.
async fn send_raw(served: &Served, method: &str, frames: Vec<Bytes>) -> (u16, Option<String>) {
    let socket = tokio::net::TcpStream::connect(served.address).await.expect("connects");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.expect("http2");
    let connection = tokio::spawn(connection);
    let frames = frames.into_iter().map(|frame| Ok::<_, Status>(http_body::Frame::data(frame)));
    let request = http::Request::post(format!("http://{}/{method}", served.address))
        .header("content-type", "application/grpc")
        .body(StreamBody::new(tokio_stream::iter(frames)))
        .expect("valid");
    let response = sender.send_request(request).await.expect("an answer");
    let (status, in_headers) = (response.status().as_u16(), response.headers().get("grpc-status").cloned());
    let trailers = response.into_body().collect().await.ok().and_then(|body| body.trailers().cloned());
    let in_trailers = trailers.and_then(|trailers| trailers.get("grpc-status").cloned());
    connection.abort();
    (status, in_headers.or(in_trailers).map(|value| value.to_str().expect("ascii").to_owned()))
}

fn framed(flag: u8, len: u32, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(flag);
    out.put_u32(len);
    out.put_slice(body);
    out.freeze()
}

#[tokio::test]
async fn one_harms_one() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let mut witness = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
    let first = witness.next().await;
    witness.ack(&first).await;
    let ads = "envoy.service.discovery.v3.AggregatedDiscoveryService";
    for method in ["DeltaAggregatedResources", "StreamAggregatedResources"] {
        let path = format!("{ads}/{method}");
        let hostile = [
            (framed(0, 4, &[0xff; 4]), Code::InvalidArgument),
            (framed(0, 2, &[0x0a, 0x7f]), Code::InvalidArgument),
            (framed(1, 0, &[]), Code::Unimplemented),
            (framed(0, u32::MAX, &[1; 100]), Code::ResourceExhausted),
            (framed(0, 100, &[1; 3]), Code::InvalidArgument),
            (Bytes::from_static(b"GET / HTTP/1.1"), Code::ResourceExhausted),
            (framed(0, 0, &[]), Code::InvalidArgument),
        ];
        for (bytes, code) in hostile {
            let bytes = if bytes.starts_with(b"GET") { [&[0][..], &bytes].concat().into() } else { bytes };
            let answer = send_raw(&served, &path, vec![bytes.clone()]).await;
            assert_eq!(answer, (200, Some((code as i32).to_string())), "{bytes:?}");
        }
    }
    let unknown = send_raw(&served, &format!("{ads}/Other"), vec![]).await;
    assert_eq!(unknown, (200, Some((Code::Unimplemented as i32).to_string())));
    served.publish([word(T::Cluster, "a", "2")]).await;
    assert_eq!(written(&witness.next().await), ["a=2"]);
}

#[tokio::test]
async fn plain_http_gets_no_stream() {
    let served = Served::start(quick()).await;
    let socket = tokio::net::TcpStream::connect(served.address).await.expect("connects");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.expect("http2");
    tokio::spawn(connection);
    let path = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let request = http::Request::get(format!("http://{}/{path}", served.address)).body(Full::new(Bytes::new()));
    let response = sender.send_request(request.expect("valid")).await.expect("an answer");
    assert_eq!(response.headers()["grpc-status"], (Code::Unimplemented as i32).to_string().as_str());
}

#[tokio::test]
async fn streams_off_loopback_need_an_identity() {
    let served = Served::on(([0, 0, 0, 0], 0).into(), quick(), Readiness::new(|_| {})).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let Some(address) = off_loopback() else { return };
    let uri = format!("http://{address}:{}", served.address.port());
    let mut client = AggregatedDiscoveryServiceClient::connect(uri).await.expect("connects");
    let requests = tokio_stream::iter([delta(T::Cluster.type_url(), &[], "")]);
    let status = client.delta_aggregated_resources(requests).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().starts_with("streams off loopback need an identity"), "{status}");
}

#[tokio::test]
async fn both_families_of_loopback_are_served_by_one_socket() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let any = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    let mut served = Served::on(any, quick(), Readiness::new(|_| {})).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let port = served.address.port();
    for address in [([127, 0, 0, 1], port).into(), std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))] {
        served.address = address;
        let mut client = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
        assert_eq!(written(&client.next().await), ["a=1"]);
    }
}

#[tokio::test]
async fn grpc_health_follows_the_gate() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let readiness = Readiness::new(|_| {});
    let part = readiness.register(Layer::Source, "test");
    let served = Served::on(([127, 0, 0, 1], 0).into(), quick(), readiness.clone()).await;
    let channel = Channel::from_shared(format!("http://{}", served.address)).expect("valid").connect().await;
    let mut health = HealthClient::new(channel.expect("connects"));
    let mut status = async || {
        let answer = health.check(HealthCheckRequest { service: String::new() }).await.expect("answers");
        answer.into_inner().status()
    };
    use tonic_health::pb::health_check_response::ServingStatus;
    assert_eq!(status().await, ServingStatus::NotServing);
    part.ready();
    readiness.seal();
    eventually("gRPC health says that the gate is open", async || status().await == ServingStatus::Serving).await;
}

#[tokio::test]
async fn gone_is_gone() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let mut client = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
    let first = client.next().await;
    client.ack(&first).await;
    eventually("the ACK shows", async || {
        let clients = served.hub.clients();
        clients.len() == 1 && clients[0].progress.iter().all(|progress| progress.settled.is_some())
    })
    .await;
    let shown = &served.hub.clients()[0];
    assert_eq!((shown.name.node_id.as_str(), shown.name.gateway.as_str()), ("envoy-1", GATEWAY));
    assert_eq!(shown.variant, Variant::Delta);
    drop(client);
    eventually("the client is gone", async || served.hub.clients().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_change_is_not_shown_as_settled() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let mut client = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
    let first = client.next().await;
    client.ack(&first).await;
    let open = || served.hub.clients().iter().flat_map(|client| &client.progress).map(|of| of.open).sum::<usize>();
    eventually("the ACK shows", async || open() == 0).await;
    served.publish([word(T::Cluster, "a", "2")]).await;
    client.next().await;
    eventually("the open change shows", async || open() == 1).await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_within_the_drain_time() {
    let served = Served::start(quick()).await;
    served.publish([word(T::Cluster, "a", "1")]).await;
    let mut clients = vec![];
    for _ in 0..5 {
        let mut client = Delta::open(&served, delta(T::Cluster.type_url(), &[], "")).await;
        client.next().await;
        clients.push(client);
    }
    let started = Instant::now();
    let stopping = tokio::spawn(served.stop());
    for client in &mut clients {
        assert_eq!(client.status().await.code(), Code::Unavailable);
    }
    stopping.await.expect("no panic");
    assert!(started.elapsed() < DRAIN + Duration::from_secs(2), "{:?}", started.elapsed());
}
