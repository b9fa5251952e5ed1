//! What a response is made of is shared from the snapshot to the socket: what is allocated to tell one more client of a change does not
//! depend on how large the change is.
//!
//! Allocations are counted on the thread that serves; the clients have another one. In clear text: TLS encrypts for each client by itself.

mod xds_support;

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use syncgate::resource::{PartsBuilder, Resource, ResourceType as T};
use syncgate::xds::Settings;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use xds_support::{GATEWAY, Served};

const KIB: usize = 1 << 10;
/// Larger than anything that is sent, so that nothing waits for a client to read.
const WINDOW: u32 = 64 << 20;

fn request() -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node { id: "envoy".into(), cluster: GATEWAY.into(), ..Default::default() }),
        type_url: T::Cluster.type_url().into(),
        ..Default::default()
    }
}

/// Accepts whatever comes, and tells how many bytes of resources that was.
async fn client(address: SocketAddr, told: UnboundedSender<usize>) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let channel = endpoint.connect().await.expect("connects");
    let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(WINDOW as usize);
    let (send, requests) = tokio::sync::mpsc::channel(8);
    send.send(request()).await.expect("open");
    let mut responses =
        client.delta_aggregated_resources(ReceiverStream::new(requests)).await.expect("served").into_inner();
    while let Ok(Some(response)) = responses.message().await {
        let bodies = response.resources.iter().flat_map(|resource| &resource.resource);
        let bytes = bodies.map(|body| body.value.len()).sum();
        if told.send(bytes).is_err() {
            return;
        }
        let ack = DeltaDiscoveryRequest { response_nonce: response.nonce, ..request() };
        send.send(ack).await.expect("open");
    }
}

/// So many clusters of so many bytes each; others in each round.
fn clusters(count: usize, size: usize, round: u8) -> Vec<Resource> {
    let body = || {
        let mut body = PartsBuilder::new();
        vec![round; size].chunks(KIB).for_each(|bytes| body.put(bytes));
        body.finish()
    };
    (0..count).map(|at| Resource::new(T::Cluster, format!("cluster-{at}"), body(), [])).collect()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Waits until everyone was told, and their answers are in.
async fn all_told(told: &mut UnboundedReceiver<usize>, clients: usize, bytes: usize) {
    for _ in 0..clients {
        assert_eq!(told.recv().await, Some(bytes), "each is told of everything in one response");
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

/// Bytes that are allocated to tell these clients of a change of all clusters.
fn allocated(clients: usize, count: usize, size: usize) -> usize {
    let (told, mut news) = mpsc::unbounded_channel();
    let server = runtime();
    let served = server.block_on(Served::start(Settings::default()));
    server.block_on(served.publish(clusters(count, size, 1)));
    let (address, (stop, stopped)) = (served.address, oneshot::channel::<()>());
    let thread = std::thread::spawn(move || {
        runtime().block_on(async {
            (0..clients).for_each(|_| drop(tokio::spawn(client(address, told.clone()))));
            let _ = stopped.await;
        });
    });
    let mut info = allocation_counter::AllocationInfo::default();
    server.block_on(async { all_told(&mut news, clients, count * size).await });
    // The second time everything that grows once has grown.
    for round in 2..=3 {
        let changed = clusters(count, size, round);
        info = allocation_counter::measure(|| {
            server.block_on(async {
                served.publish(changed).await;
                all_told(&mut news, clients, count * size).await;
            });
        });
    }
    drop(stop);
    thread.join().expect("clients end");
    server.block_on(served.stop());
    usize::try_from(info.bytes_total).expect("it fits")
}

/// Bytes for each of 99 more clients.
fn each_more(count: usize, size: usize) -> usize {
    let [one, hundred] = [1, 100].map(|clients| allocated(clients, count, size));
    let each = hundred.saturating_sub(one) / 99;
    eprintln!("{count} x {size} bytes: {one} bytes for one client, {hundred} for a hundred, {each} for each more");
    each
}

#[test]
fn cost_of_change_a_large_response_is_shared_by_all_clients() {
    let (small, large) = (each_more(1, 64 * KIB), each_more(1, 1024 * KIB));
    // Beside what every response takes there are only the frames to keep count of, one for each leaf.
    assert!(small < 5 * KIB, "{small} bytes");
    let frames = 1024 * KIB / PartsBuilder::LEAF;
    assert!(large < small + frames * 192, "{large} bytes, and {small} for a smaller response");
}

#[test]
fn cost_of_change_of_many_resources_only_their_names_and_versions_are_written_for_each_client() {
    let (small, large) = (each_more(100, KIB), each_more(100, 16 * KIB));
    assert!(small < 100 * KIB, "{small} bytes");
    assert!(large < small + small / 10, "{large} bytes, and {small} for smaller ones");
}

#[test]
fn cost_of_change_only_resources_that_are_too_small_to_share_are_copied() {
    // With names and versions some 400 bytes each, in buffers that double as they are filled.
    let each = each_more(100, PartsBuilder::SMALL / 2) / 100;
    assert!(each < 4 * PartsBuilder::SMALL, "{each} bytes");
}
