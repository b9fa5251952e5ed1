//! Peers that are slow, loud or greedy: refused as documented, while a neighbour goes on undisturbed.

mod xds_support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use syncgate::readiness::Readiness;
use syncgate::resource::{Parts, Resource, ResourceType as T};
use syncgate::xds::{Access, Bounds, Guard, Limits, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use xds_support::secure::{Secure, handshake, plain, secure};
use xds_support::{GATEWAY, Served, off_loopback};

const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn word(name: &str, word: &str) -> Resource {
    Resource::new(T::Cluster, name, Parts::leaf(word.to_owned()), [])
}

async fn serve(settings: Settings) -> Served {
    let served = Served::start(settings).await;
    served.publish([word("a", "1")]).await;
    served
}

fn request(names: impl IntoIterator<Item = String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node { id: "envoy-1".into(), cluster: GATEWAY.into(), ..Default::default() }),
        type_url: T::Cluster.type_url().into(),
        resource_names_subscribe: names.into_iter().collect(),
        ..Default::default()
    }
}

/// A stream that behaves.
struct Client {
    send: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Client {
    async fn open(address: SocketAddr, first: DeltaDiscoveryRequest) -> Result<Client, Status> {
        Client::open_on(plain(address).await, first).await
    }

    async fn open_on(channel: Channel, first: DeltaDiscoveryRequest) -> Result<Client, Status> {
        let (send, requests) = mpsc::channel(8);
        send.send(first).await.expect("open");
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(ReceiverStream::new(requests)).await?.into_inner();
        Ok(Client { send, responses })
    }

    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let next = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("in time")?;
        next.ok_or_else(|| Status::ok("ended"))
    }

    async fn ack(&mut self) -> Result<(), Status> {
        let nonce = self.next().await?.nonce;
        self.send.send(DeltaDiscoveryRequest { response_nonce: nonce, ..request([]) }).await.expect("open");
        Ok(())
    }

    /// Sees a change that is published now.
    async fn is_undisturbed(&mut self, served: &Served, content: &str) {
        served.publish([word("a", content)]).await;
        let response = self.next().await.expect("goes on");
        assert_eq!(response.resources[0].resource.as_ref().expect("a body").value, content.as_bytes());
        let ack = DeltaDiscoveryRequest { response_nonce: response.nonce, ..request([]) };
        self.send.send(ack).await.expect("open");
    }
}

async fn neighbour(served: &Served) -> Client {
    let mut client = Client::open(served.address, request([])).await.expect("opens");
    client.ack().await.expect("served");
    client
}

/// Opens a stream whose body is what comes through the channel.
async fn raw(address: SocketAddr) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Option<String>>) {
    raw_on(TcpStream::connect(address).await.expect("connects")).await
}

async fn raw_on(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Option<String>>) {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await;
    let (mut sender, connection) = handshake.expect("http2");
    tokio::spawn(connection);
    let (send, frames) = mpsc::channel::<Bytes>(1);
    let frames = tokio_stream::StreamExt::map(ReceiverStream::new(frames), |bytes| {
        Ok::<_, Status>(http_body::Frame::data(bytes))
    });
    let request = post(StreamBody::new(frames));
    let ended = tokio::spawn(async move {
        let response = sender.send_request(request).await.ok()?;
        if let Some(status) = response.headers().get("grpc-status") {
            return status.to_str().ok().map(str::to_owned);
        }
        let mut body = response.into_body();
        loop {
            // Whatever came before, the end says why.
            if let Ok(trailers) = body.frame().await?.ok()?.into_trailers() {
                return trailers.get("grpc-status")?.to_str().ok().map(str::to_owned);
            }
        }
    });
    (send, ended)
}

fn post<B>(body: B) -> http::Request<B> {
    let path = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let request = http::Request::post(format!("http://syncgate.example/{path}"));
    request.header("content-type", "application/grpc").body(body).expect("valid")
}

fn prefix(len: u32) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(len);
    out
}

/// Reads until the other side ends.
async fn ended(tcp: &mut TcpStream) {
    let mut all = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut all)).await.expect("ends in time");
}

#[tokio::test]
async fn bounded_a_body_that_trickles_ends_its_stream_alone() {
    let served = serve(Settings { unfinished_request: Duration::from_millis(600), ..Settings::default() }).await;
    let mut neighbour = neighbour(&served).await;
    for len in [100, 1 << 20] {
        let (send, ended) = raw(served.address).await;
        send.send(prefix(len).freeze()).await.expect("open");
        let start = Instant::now();
        // A byte now and then does not buy more time.
        while !ended.is_finished() && start.elapsed() < PATIENCE {
            let _ = send.send(Bytes::from_static(&[1])).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(ended.await.expect("no panic").as_deref(), Some("4"), "DEADLINE_EXCEEDED");
        assert!(start.elapsed() >= Duration::from_millis(600));
    }
    neighbour.is_undisturbed(&served, "2").await;
}

#[tokio::test]
async fn a_first_request_that_has_begun_is_waited_for() {
    let first_request = Duration::from_millis(300);
    let served = serve(Settings { first_request, ..Settings::default() }).await;
    let message = request([]).encode_to_vec();
    let (send, ended) = raw(served.address).await;
    send.send(prefix(message.len() as u32).freeze()).await.expect("open");
    tokio::time::sleep(first_request * 3).await;
    send.send(message.into()).await.expect("open");
    drop(send);
    assert_eq!(ended.await.expect("no panic").as_deref(), Some("0"), "served until the client ends it");
    let (_silent, ended) = raw(served.address).await;
    assert_eq!(ended.await.expect("no panic").as_deref(), Some("4"), "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn bounded_headers_that_trickle_end_their_connection_alone() {
    let connection =
        Bounds { idle: Duration::from_millis(500), grace: Duration::from_millis(200), ..Bounds::default() };
    let served = serve(Settings { connection, ..Settings::default() }).await;
    let mut neighbour = neighbour(&served).await;
    // HEADERS without END_HEADERS on stream 1, then CONTINUATION frames of one byte each, for ever.
    let mut slow = TcpStream::connect(served.address).await.expect("connects");
    slow.write_all(&[PREFACE, SETTINGS, &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat()).await.expect("written");
    let (mut read, mut write) = slow.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(&[0, 0, 1, 9, 0, 0, 0, 0, 1, 0x84]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, read.read_to_end(&mut rest)).await.expect("ends in time");
    trickle.abort();
    // Half a preface.
    let mut silent = TcpStream::connect(served.address).await.expect("connects");
    silent.write_all(&PREFACE[..10]).await.expect("written");
    ended(&mut silent).await;
    neighbour.is_undisturbed(&served, "2").await;
}

#[tokio::test]
async fn one_harms_one_garbage_frames_end_their_connection_alone() {
    let served = serve(Settings::default()).await;
    let mut neighbour = neighbour(&served).await;
    let noise: Vec<u8> = (0..20_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let garbage: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &noise,
        &[PREFACE, &noise].concat(),
        &[PREFACE, SETTINGS, &noise].concat(),
        // DATA on stream 0; a frame larger than was agreed; HEADERS with a broken compression.
        &[PREFACE, SETTINGS, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 1]].concat(),
        &[PREFACE, SETTINGS, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        &[PREFACE, SETTINGS, &[0, 0, 3, 1, 4, 0, 0, 0, 1, 0xff, 0xff, 0xff]].concat(),
    ];
    for bytes in garbage {
        let mut tcp = TcpStream::connect(served.address).await.expect("connects");
        // It may have ended before everything is written.
        let _ = tcp.write_all(bytes).await;
        ended(&mut tcp).await;
    }
    neighbour.is_undisturbed(&served, "2").await;
}

/// Each of them alone has as many as it may.
#[tokio::test]
async fn bounded_names_of_all_streams_of_a_tenant_take_so_much_together() {
    let served = serve(Settings { name_bytes: 150_000, ..Settings::default() }).await;
    let names = || (0..1_000).map(|at| format!("service/demo/app-{at}/80/http"));
    let mut within = Client::open(served.address, request(names())).await.expect("opens");
    within.ack().await.expect("as much as allowed");
    let mut greedy = Client::open(served.address, request(names())).await.expect("opens");
    let refused = loop {
        if let Err(refused) = greedy.next().await {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("--xds-max-name-bytes-per-namespace"), "{refused}");
    drop(within);
    // What a stream had is there for others once it has gone.
    for _ in 0..100 {
        let mut again = Client::open(served.address, request(names())).await.expect("opens");
        if again.ack().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was given back");
}

#[tokio::test]
async fn bounded_names_end_the_stream_that_has_too_many() {
    let session = Limits { names: 10_000, ..Limits::default() };
    let served = serve(Settings { session, ..Settings::default() }).await;
    let mut neighbour = neighbour(&served).await;
    let names = |count: usize| (0..count).map(|at| format!("service/demo/app-{at}/80/http"));
    let mut within = Client::open(served.address, request(names(10_000))).await.expect("opens");
    within.ack().await.expect("as many as allowed");
    let mut greedy = Client::open(served.address, request(names(10_001))).await.expect("opens");
    let refused = loop {
        if let Err(refused) = greedy.next().await {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("10001 names, of 10000 allowed"), "{refused}");
    // One by one is no way around it.
    within.send.send(request(["one-more".to_owned()])).await.expect("open");
    let refused = loop {
        if let Err(refused) = within.next().await {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    neighbour.is_undisturbed(&served, "2").await;
}

#[tokio::test]
async fn bounded_large_requests_that_wait_for_room_hold_up_no_small_ones() {
    let unfinished_request = Duration::from_secs(2);
    let (max_request, pending_requests) = (1 << 20, 1 << 20);
    let served = serve(Settings { max_request, pending_requests, unfinished_request, ..Settings::default() }).await;
    let mut neighbour = neighbour(&served).await;
    let (greedy, cut) = raw(served.address).await;
    // Of what does not come nothing is taken.
    greedy.send([&prefix(1 << 20)[..], &[1; 600 << 10]].concat().into()).await.expect("open");
    tokio::time::sleep(Duration::from_millis(200)).await;
    // 64 kB, which has to wait until the greedy one is cut off.
    let start = Instant::now();
    let mut large =
        Client::open(served.address, request((0..640).map(|at| format!("{at:0100}")))).await.expect("opens");
    let waits = tokio::time::timeout(Duration::from_millis(300), large.responses.message()).await;
    assert!(waits.is_err(), "there is no room");
    neighbour.is_undisturbed(&served, "2").await;
    assert!(start.elapsed() < Duration::from_millis(1500), "the neighbour did not wait");
    large.ack().await.expect("served once there is room");
    assert_eq!(cut.await.expect("no panic").as_deref(), Some("4"), "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn bounded_the_accounts_of_one_namespace_leave_room_for_the_large_requests_of_others() {
    let settings = Settings { max_request: 1 << 20, pending_requests: 4 << 20, ..Settings::default() };
    let access = Access { fleets: ["fleet/envoy".into()].into(), ..Access::default() };
    let server = Secure::bounded((Ipv4Addr::LOCALHOST, 0).into(), access, None, settings).await;
    let address = server.served.address;
    let of = |account: &str| {
        let (namespace, name) = account.split_once('/').expect("both");
        let uri = format!("spiffe://cluster.local/ns/{namespace}/sa/{name}");
        server.authority.trust(Some(server.authority.client(&uri)))
    };
    let mut greedy = Vec::new();
    for at in 0..12 {
        let account = of(&format!("ns/a{at}"));
        let (send, ended) = raw_on(handshake(address, account).await.expect("connects")).await;
        send.send([&prefix(1 << 20)[..], &[1; 600 << 10]].concat().into()).await.expect("open");
        greedy.push((send, ended));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    let channel = secure(address, of("fleet/envoy")).await.expect("connects");
    let large = request((0..640).map(|at| format!("{at:0100}")));
    let mut other = Client::open_on(channel, large).await.expect("opens");
    other.ack().await.expect("served");
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
    assert!(greedy.iter().any(|(_, ended)| !ended.is_finished()), "they are still there");
}

/// One request a second and ten at once, so that a few are many.
async fn serve_slowly() -> Served {
    serve(Settings { requests_per_second: 1, ..Settings::default() }).await
}

async fn waits(client: &mut Client) -> bool {
    tokio::time::timeout(Duration::from_millis(700), client.responses.message()).await.is_err()
}

#[tokio::test]
async fn bounded_streams_that_come_and_go_do_not_ask_more_than_those_that_stay() {
    let served = serve_slowly().await;
    let many = request((0..3_000).map(|at| format!("{at}")));
    let mut first = Client::open(served.address, many).await.expect("opens");
    first.next().await.expect("a burst");
    drop(first);
    let mut second = Client::open(served.address, request([])).await.expect("opens");
    assert!(waits(&mut second).await, "it is served before the first one's work is paid for");
    second.next().await.expect("served when it is");
}

#[tokio::test]
async fn bounded_a_request_of_an_unknown_type_costs_what_it_says() {
    let served = serve_slowly().await;
    let mut client = neighbour(&served).await;
    let many = request((0..12_000).map(|at| format!("{at}")));
    client.send.send(DeltaDiscoveryRequest { type_url: "of/tomorrow".into(), ..many }).await.expect("open");
    client.send.send(request(["b".to_owned()])).await.expect("open");
    assert!(waits(&mut client).await, "it is read at once");
    client.next().await.expect("answered when its time has come");
}

#[tokio::test]
async fn bounded_a_nack_costs_more_than_an_ack() {
    let served = serve_slowly().await;
    let mut client = Client::open(served.address, request([])).await.expect("opens");
    for round in 0..5 {
        let nonce = client.next().await.expect("served").nonce;
        let error_detail =
            envoy_types::pb::google::rpc::Status { message: format!("not {round}"), ..Default::default() };
        let nack = DeltaDiscoveryRequest { response_nonce: nonce, error_detail: Some(error_detail), ..request([]) };
        client.send.send(nack).await.expect("open");
        served.publish([word("a", &format!("again {round}"))]).await;
    }
    let response_nonce = client.next().await.expect("the last change").nonce;
    client.send.send(DeltaDiscoveryRequest { response_nonce, ..request(["b".to_owned()]) }).await.expect("open");
    assert!(waits(&mut client).await, "it is read at once");
}

/// A connection on which nothing may be answered, since its window is nothing; the task ends when it is closed.
async fn windowless(address: SocketAddr) -> (SendRequest<StreamBody<ReceiverStream<Chunk>>>, JoinHandle<()>) {
    let socket = TcpStream::connect(address).await.expect("connects");
    let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = http.initial_stream_window_size(0).handshake(TokioIo::new(socket)).await.expect("http2");
    // A reset is an end too.
    let closed = tokio::spawn(async { drop(connection.await) });
    (sender, closed)
}

type Chunk = Result<http_body::Frame<Bytes>, Status>;

fn framed(request: &DeltaDiscoveryRequest) -> Chunk {
    let message = request.encode_to_vec();
    let framed = [&prefix(message.len() as u32), &message[..]].concat();
    Ok(http_body::Frame::data(framed.into()))
}

/// One request, after which the client ends its half or does not.
async fn ask(
    sender: &mut SendRequest<StreamBody<ReceiverStream<Chunk>>>,
) -> (mpsc::Sender<Chunk>, http::Response<hyper::body::Incoming>) {
    let (send, frames) = mpsc::channel(1);
    send.send(framed(&request([]))).await.expect("open");
    (send, sender.send_request(post(StreamBody::new(ReceiverStream::new(frames)))).await.expect("an answer"))
}

#[tokio::test]
async fn bounded_a_client_that_reads_nothing_is_cut_off_whether_its_half_is_open_or_not() {
    let unread = Duration::from_millis(700);
    let served = serve(Settings { unread, ..Settings::default() }).await;
    let mut neighbour = neighbour(&served).await;
    for ends_its_half in [false, true] {
        let (mut sender, closed) = windowless(served.address).await;
        let start = Instant::now();
        let (send, _response) = ask(&mut sender).await;
        let _open = Some(send).filter(|_| !ends_its_half);
        tokio::time::timeout(PATIENCE, closed).await.expect("it is cut off").expect("no panic");
        assert!(start.elapsed() >= unread, "it had its time");
    }
    neighbour.is_undisturbed(&served, "2").await;
}

#[tokio::test]
async fn bounded_a_client_that_answers_what_it_does_not_read_ends_with_its_connection() {
    let connection = Bounds { age: Duration::from_secs(1), grace: PATIENCE * 2, ..Bounds::default() };
    let served = serve(Settings { connection, unread: PATIENCE * 2, ..Settings::default() }).await;
    let mut first = Client::open(served.address, request([])).await.expect("opens");
    let nonce = first.next().await.expect("served").nonce;
    // What the second stream's nonces are is no secret: so it fills its queue.
    let (run, _) = nonce.split_once('.').expect("of this run");
    let (mut sender, _closed) = windowless(served.address).await;
    let (send, _response) = ask(&mut sender).await;
    for number in 1..20 {
        let next = format!("another-{number}");
        let answer = DeltaDiscoveryRequest { response_nonce: format!("{run}.2-{number}"), ..request([next]) };
        send.send(framed(&answer)).await.expect("open");
    }
    let start = Instant::now();
    while !served.hub.clients().is_empty() {
        assert!(start.elapsed() < PATIENCE, "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn bounded_streams_of_one_identity_leave_room_for_others() {
    let guard = Guard { access: Access { anyone: true, ..Access::default() }, ..Guard::default() };
    let settings = Settings { streams_per_identity: 2, ..Settings::default() };
    let served = Served::guarded(([0, 0, 0, 0], 0).into(), guard, settings, Readiness::new(|_| {})).await;
    served.publish([word("a", "1")]).await;
    let port = served.address.port();
    let Some(own) = off_loopback() else { return };
    let open = async |ip: std::net::IpAddr| {
        let mut client = Client::open((ip, port).into(), request([])).await?;
        client.next().await.map(|_| client)
    };
    let (one, two) = (open(own).await.expect("opens"), open(own).await.expect("opens"));
    let refused = open(own).await.err().expect("two are open");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("--xds-max-streams-per-identity"), "{refused}");
    let loopback = Ipv4Addr::LOCALHOST.into();
    for _ in 0..3 {
        open(loopback).await.expect("loopback has no bound of its own");
    }
    drop(one);
    let start = Instant::now();
    while let Err(refused) = open(own).await {
        assert!(start.elapsed() < PATIENCE, "the place is not free: {refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(two);
}

#[tokio::test]
async fn bounded_connections_of_one_identity_leave_room_for_others() {
    let guard = Guard { access: Access { anyone: true, ..Access::default() }, ..Guard::default() };
    let connection = Bounds { per_identity: 1, ..Bounds::default() };
    let settings = Settings { connection, ..Settings::default() };
    let served = Served::guarded(([0, 0, 0, 0], 0).into(), guard, settings, Readiness::new(|_| {})).await;
    served.publish([word("a", "1")]).await;
    let Some(own) = off_loopback() else { return };
    let address = SocketAddr::from((own, served.address.port()));
    let mut first = Client::open(address, request([])).await.expect("opens");
    first.ack().await.expect("served");
    let mut second = TcpStream::connect(address).await.expect("the kernel accepts");
    ended(&mut second).await;
    let loopback = ([127, 0, 0, 1], address.port()).into();
    let mut elsewhere = Client::open(loopback, request([])).await.expect("opens");
    elsewhere.ack().await.expect("served");
    first.is_undisturbed(&served, "2").await;
}
