//! What a push costs while nobody reads it: the resources are there once, whoever they are for.

mod xds_support;

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use http_body_util::StreamBody;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use syncgate::resource::{Parts, Resource, ResourceType as T};
use syncgate::xds::Settings;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use xds_support::{GATEWAY, Served};

const PATIENCE: Duration = Duration::from_secs(60);
const RESOURCES: usize = 5_000;
/// Small enough to be copied into the frames around them.
const SIZE: usize = 200;
const CONNECTIONS: usize = 10;
const STREAMS: usize = 10;

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    // The page size of every platform that this runs on.
    pages * 4096
}

/// Opens streams that subscribe to everything on one connection, and reads nothing of them.
async fn subscribe(served: &Served) -> Vec<mpsc::Sender<Bytes>> {
    let socket = tokio::net::TcpStream::connect(served.address).await.expect("connects");
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(socket))
        .await
        .expect("http2");
    tokio::spawn(connection);
    let message = DeltaDiscoveryRequest {
        node: Some(Node { id: "envoy".into(), cluster: GATEWAY.into(), ..Default::default() }),
        type_url: T::Cluster.type_url().into(),
        ..Default::default()
    };
    let message = message.encode_to_vec();
    let mut first = BytesMut::new();
    first.put_u8(0);
    first.put_u32(message.len() as u32);
    first.extend_from_slice(&message);
    let first = first.freeze();
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let (send, frames) = mpsc::channel::<Bytes>(1);
        let frames = ReceiverStream::new(frames).map(|bytes| Ok::<_, Status>(http_body::Frame::data(bytes)));
        let path = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
        let request = http::Request::post(format!("http://{}/{path}", served.address))
            .header("content-type", "application/grpc")
            .body(StreamBody::new(frames))
            .expect("valid");
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let response = sender.send_request(request).await;
            // Held, and never read.
            std::future::pending::<()>().await;
            drop(response);
        });
        send.send(first.clone()).await.expect("open");
        open.push(send);
    }
    open
}

/// Subscribes all streams and returns what that took, for each of them.
async fn cost(resources: usize, size: usize) -> usize {
    let served = Served::start(Settings::default()).await;
    let cluster = |at: usize| {
        Resource::new(T::Cluster, format!("service/demo/app-{at:05}/80/http"), Parts::leaf(vec![7; size]), [])
    };
    served.publish((0..resources).map(cluster)).await;
    let before = resident();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(subscribe(&served).await);
    }
    let start = Instant::now();
    let written = || served.hub.clients().iter().filter(|client| client.responses > 0).count();
    while written() < CONNECTIONS * STREAMS {
        assert!(start.elapsed() < PATIENCE, "{} streams were written to", written());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is taken ahead of the socket is taken by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    resident().saturating_sub(before) / (CONNECTIONS * STREAMS)
}

/// What a session notes of each resource that it has sent; encoded it takes some 350 bytes.
const NOTED: usize = 64;

#[tokio::test]
async fn bounded_a_push_that_nobody_reads_is_not_encoded_for_each() {
    let few = cost(1, SIZE).await;
    let many = cost(RESOURCES, SIZE).await;
    println!("{few} bytes for a stream with one resource, {many} with {RESOURCES}");
    assert!(many < few + RESOURCES * NOTED, "{many} bytes for each stream");
}
