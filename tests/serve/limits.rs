//! The memory of a process that many peers want to fill.

use std::{net::SocketAddr, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::StreamBody;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::Status;

use crate::{
    ads::{CDS, Stream, names},
    manifests::{GATEWAY, app, cluster, folder, write},
    process::{Syncgate, eventually},
};

const CONNECTIONS: usize = 40;
const STREAMS: usize = 10;
/// What each stream announces, and would send if it were read.
const ANNOUNCED: usize = 1 << 20;
/// What the process is told that it may hold of such requests.
const ROOM: usize = 16 << 20;
/// HTTP/2's window of a connection, which may be full and unread.
const WINDOW: usize = 256 << 10;
/// Tasks, TLS-less connections, and whatever else 400 streams cost; and what an allocator keeps.
const SLACK: usize = 30 << 20;

/// Opens streams on one connection, each of which sends all but the last byte of a large request. They end when the
/// returned senders are dropped.
async fn greedy(address: SocketAddr) -> Vec<mpsc::Sender<Bytes>> {
    let socket = tokio::net::TcpStream::connect(address).await.expect("connects");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
    let (sender, connection) = handshake.expect("http2");
    tokio::spawn(connection);
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let (send, frames) = mpsc::channel::<Bytes>(2);
        let frames = ReceiverStream::new(frames).map(|bytes| Ok::<_, Status>(http_body::Frame::data(bytes)));
        let path = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
        let request = http::Request::post(format!("http://{address}/{path}"))
            .header("content-type", "application/grpc")
            .body(StreamBody::new(frames))
            .expect("valid");
        let mut sender = sender.clone();
        tokio::spawn(async move { sender.send_request(request).await });
        let mut first = BytesMut::new();
        first.put_u8(0);
        first.put_u32(ANNOUNCED as u32);
        send.send(first.freeze()).await.expect("open");
        open.push(send);
    }
    for send in open.clone() {
        tokio::spawn(async move {
            let part = Bytes::from_static(&[b'x'; 16 << 10]);
            for _ in 1..ANNOUNCED / part.len() {
                if send.send(part.clone()).await.is_err() {
                    return;
                }
            }
            // Held open, unfinished.
            send.closed().await;
        });
    }
    open
}

/// 400 MB are announced and would be sent; the process holds what it was told, and its other Envoys notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn bounded_requests_that_are_never_whole_do_not_fill_the_memory() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop"))]);
    let room = ROOM.to_string();
    let limits = ["--xds-max-request-bytes", &room, "--xds-max-pending-request-bytes", &room];
    let syncgate = Syncgate::start_ready(dir.path(), &limits);
    let ads = syncgate.address("ads");
    let mut neighbour = Stream::open(ads, CDS).await.expect("served");
    let first = neighbour.next().await.expect("served");
    neighbour.ack(&first).await;
    let before = metric(&syncgate, "process_resident_memory_bytes");

    let mut attack = Vec::new();
    for _ in 0..CONNECTIONS {
        attack.push(greedy(ads).await);
    }
    eventually("the room is full", || {
        (metric(&syncgate, "process_resident_memory_bytes") > before + 0.7 * ROOM as f64).then_some(())
    });
    // Whatever gets more than its share would get it now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    write(dir.path(), "cart.yaml", &app("cart"));
    let change = neighbour.next().await.expect("still served");
    assert_eq!(names(&change), [cluster("cart")]);
    let grown = metric(&syncgate, "process_resident_memory_max_bytes") - before;
    let bound = ROOM + CONNECTIONS * WINDOW + SLACK;
    assert!(grown < bound as f64, "{} MB more, of {} MB", grown / 1e6, bound as f64 / 1e6);
    drop(attack);
}

/// How much of whole messages may be held at once: each of them as it came, and what was read of it.
const WHOLE: usize = 2 * 4 * (16 << 20);

/// Opens a stream with one message and waits until it ends.
async fn ends_with(address: SocketAddr, message: Vec<u8>) {
    let socket = tokio::net::TcpStream::connect(address).await.expect("connects");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.expect("http2");
    tokio::spawn(connection);
    let mut first = BytesMut::with_capacity(message.len() + 5);
    first.put_u8(0);
    first.put_u32(message.len() as u32);
    first.extend_from_slice(&message);
    let body = http_body_util::Full::new(first.freeze());
    let path = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let request = http::Request::post(format!("http://{address}/{path}"))
        .header("content-type", "application/grpc")
        .body(body)
        .expect("valid");
    let response = sender.send_request(request).await.expect("answered");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("ends");
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
    assert!(status.is_some_and(|status| status != "0"), "no such message is served");
}

/// A field that holds so many empty messages or texts, within others: two bytes for each.
fn empties(field: u8, within: &[u8], len: usize) -> Vec<u8> {
    let mut message = [field << 3 | 2, 0].repeat(len / 2);
    for outer in within.iter().rev() {
        let mut whole = vec![outer << 3 | 2];
        prost::encoding::encode_varint(message.len() as u64, &mut whole);
        whole.append(&mut message);
        message = whole;
    }
    message
}

/// Decoded in full such messages would take up to 84 times what they take on the wire, before it is known whose they are.
#[tokio::test(flavor = "multi_thread")]
async fn bounded_messages_that_would_grow_when_they_are_read_do_not() {
    const LEN: usize = (16 << 20) - 64;
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop"))]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let ads = syncgate.address("ads");
    let before = metric(&syncgate, "process_resident_memory_bytes");
    // Extensions of a node, and lists within its metadata.
    for (field, within) in [(9, &[1][..]), (1, &[1, 3, 1, 2, 6])] {
        let message = empties(field, within, LEN);
        let four = (0..4).map(|_| ends_with(ads, message.clone()));
        let four: Vec<_> = four.map(tokio::spawn).collect();
        for one in four {
            one.await.expect("no panic");
        }
        let grown = metric(&syncgate, "process_resident_memory_max_bytes") - before;
        let bound = WHOLE + SLACK;
        assert!(grown < bound as f64, "field {field} in {within:?}: {} MB more, of {bound}", grown / 1e6);
    }
}

fn metric(syncgate: &Syncgate, name: &str) -> f64 {
    let page = syncgate.health("/metrics").body;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).expect("a number on the page")
}
