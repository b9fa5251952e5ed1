//! Connections: who is let in and to which Gateway, renewed certificates, and clients that hold what they do not use.

mod xds_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use syncgate::readiness::Readiness;
use syncgate::resource::{Parts, Resource, ResourceType as T};
use syncgate::xds::{Access, Bounds, Guard, Settings, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use xds_support::Served;
use xds_support::secure::{Authority, Client, PATIENCE, Secure, named, plain, secure, word, write};

#[tokio::test]
async fn own_only_a_certificate_has_the_gateways_of_its_namespace() {
    let secure = Secure::start(Access::default()).await;
    for uri in ["spiffe://cluster.local/ns/ns/sa/envoy", "spiffe://cluster.local/gateway/ns/gw"] {
        let mut client = secure.with(uri).await.expect("opens");
        assert_eq!(client.next().await.expect("served").resources.len(), 1, "{uri}");
    }
    for uri in ["spiffe://cluster.local/ns/other/sa/envoy", "spiffe://cluster.local/gateway/ns/gw2"] {
        let mut client = secure.with(uri).await.expect("opens");
        let refused = client.next().await.expect_err(uri);
        assert_eq!(refused.code(), Code::PermissionDenied, "{uri}");
        assert!(refused.message().contains("may not have Gateway ns/gw: it needs the URI spiffe://"), "{refused}");
    }
    let refused = secure.with("spiffe://d/x").await.err().expect("refused");
    assert!(refused.contains("names no ServiceAccount and no Gateway"), "{refused}");
}

#[tokio::test]
async fn own_only_a_fleet_has_every_gateway() {
    let access = Access { fleets: ["envoy-system/envoy".into()].into(), ..Access::default() };
    let secure = Secure::start(access).await;
    let mut client = secure.with("spiffe://cluster.local/ns/envoy-system/sa/envoy").await.expect("opens");
    assert_eq!(client.next().await.expect("served").resources.len(), 1);
}

/// A server on loopback, where a certificate counts like elsewhere.
async fn secure_with(settings: Settings) -> Secure {
    Secure::bounded(([127, 0, 0, 1], 0).into(), Access::default(), None, settings).await
}

const OWN: &str = "spiffe://cluster.local/ns/ns/sa/envoy";
/// Those who are somebody else, and may have the same Gateway.
const OTHERS: [&str; 2] = ["spiffe://cluster.local/ns/ns/sa/other", "spiffe://cluster.local/gateway/ns/gw"];

#[tokio::test]
async fn bounded_an_identity_has_so_many_streams_whatever_certificates_it_shows() {
    let server = secure_with(Settings { streams_per_identity: 2, ..Settings::default() }).await;
    let open = async |uri: &str| {
        // Each with a certificate of its own.
        let mut client = server.with(uri).await?;
        client.next().await.map(|_| client).map_err(|status| status.to_string())
    };
    let (one, two) = (open(OWN).await.expect("opens"), open(OWN).await.expect("opens"));
    let refused = open(OWN).await.err().expect("two are open");
    let reason = "too many streams: ServiceAccount ns/envoy has 2 of them";
    assert!(refused.contains(reason) && refused.contains("--xds-max-streams-per-identity"), "{refused}");
    for other in OTHERS {
        open(other).await.expect(other);
    }
    drop(one);
    let since = std::time::Instant::now();
    while let Err(refused) = open(OWN).await {
        assert!(since.elapsed() < PATIENCE, "the place is not free: {refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(two);
}

#[tokio::test]
async fn bounded_an_identity_has_so_many_connections_whatever_certificates_it_shows() {
    let connection = Bounds { per_identity: 1, ..Bounds::default() };
    let server = secure_with(Settings { connection, ..Settings::default() }).await;
    let mut first = server.with(OWN).await.expect("opens");
    assert!(first.next().await.is_ok());
    // With TLS 1.3 a client may have finished its own part of the handshake before it is closed.
    let config = server.authority.trust(Some(server.authority.client(OWN)));
    if let Ok(channel) = secure(server.served.address, config).await {
        assert!(Client::open(channel).await.is_err(), "a second connection");
    }
    for other in OTHERS {
        assert!(server.with(other).await.expect(other).next().await.is_ok());
    }
    server.served.publish([word("a", "2")]).await;
    assert!(first.next().await.is_ok(), "the first one goes on");
}

#[tokio::test]
async fn certificates_of_others_and_expired_ones_do_not_even_connect() {
    let server = Secure::start(Access::default()).await;
    let address = server.served.address;
    let uri = "spiffe://cluster.local/ns/ns/sa/envoy";
    let foreign = Authority::new().client(uri);
    let mut expired = named(uri);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    for certificate in [foreign, server.authority.sign(&expired)] {
        let config = server.authority.trust(Some(certificate));
        // With TLS 1.3 a client learns of it after its own part of the handshake.
        let opened = match secure(address, config).await {
            Ok(channel) => Client::open(channel).await,
            Err(_) => continue,
        };
        assert!(opened.is_err(), "a stream was opened");
    }
    let mut neighbour = server.with(uri).await.expect("opens");
    assert!(neighbour.next().await.is_ok());
}

#[tokio::test]
async fn loopback_needs_no_certificate_with_or_without_tls() {
    let server = Secure::start(Access::default()).await;
    let mut client = Client::open(plain(server.served.address).await).await.expect("opens");
    assert!(client.next().await.is_ok());
    let channel = secure(server.served.address, server.authority.trust(None)).await.expect("connects");
    let mut client = Client::open(channel).await.expect("opens");
    assert!(client.next().await.is_ok());
}

#[tokio::test]
async fn renewed_certificates_are_used_from_the_next_handshake_on() {
    let server = Secure::start(Access::default()).await;
    let uri = "spiffe://cluster.local/ns/ns/sa/envoy";
    let mut before = server.with(uri).await.expect("opens");
    before.next().await.expect("served");

    let renewed = Authority::new();
    write(server.dir.path(), &renewed.server(), &renewed.pem);
    let config = renewed.trust(Some(renewed.client(uri)));
    let since = std::time::Instant::now();
    let channel = loop {
        match secure(server.served.address, config.clone()).await {
            Ok(channel) => break channel,
            Err(error) => assert!(since.elapsed() < PATIENCE, "still the old certificate: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut after = Client::open(channel).await.expect("opens");
    after.next().await.expect("served");
    assert!(server.with(uri).await.is_err(), "the old authority is trusted no more");

    server.served.publish([word("a", "2"), word("b", "1")]).await;
    assert!(before.next().await.is_ok(), "a stream that was open goes on");
}

async fn bounded(connection: Bounds, settings: Settings) -> Served {
    let settings = Settings { connection, ..settings };
    let served = Served::start(settings).await;
    served.publish([word("a", "1")]).await;
    served
}

#[tokio::test]
async fn bounded_connections_are_turned_away_and_make_room() {
    let served = bounded(Bounds { connections: 1, ..Bounds::default() }, Settings::default()).await;
    let channel = plain(served.address).await;
    let mut client = Client::open(channel).await.expect("opens");
    client.next().await.expect("served");
    let mut second = TcpStream::connect(served.address).await.expect("the kernel accepts");
    assert_eq!(ended(&mut second).await, 0, "turned away");
    drop(client);
    let since = std::time::Instant::now();
    loop {
        let endpoint = Endpoint::from_shared(format!("http://{}", served.address)).expect("valid");
        if let Ok(channel) = endpoint.connect().await
            && let Ok(mut client) = Client::open(channel).await
        {
            client.next().await.expect("served");
            break;
        }
        assert!(since.elapsed() < PATIENCE, "the place is not free");
    }
}

/// Reads until the other side ends; gives how much came.
async fn ended(tcp: &mut TcpStream) -> usize {
    let mut all = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut all)).await.expect("ends in time");
    all.len()
}

#[tokio::test]
async fn bounded_handshakes_and_idle_connections_end() {
    let handshake = Duration::from_millis(300);
    let authority = Authority::new();
    let dir = tempfile::tempdir().expect("a folder");
    let tls = Tls::load(write(dir.path(), &authority.server(), &authority.pem)).expect("usable");
    let guard = Guard { tls: Some(Arc::new(tls)), access: Access::default(), tokens: None };
    let connection = Bounds { handshake, idle: Duration::from_millis(300), ..Bounds::default() };
    let settings = Settings { connection, ..Settings::default() };
    let served = Served::guarded(([127, 0, 0, 1], 0).into(), guard, settings, Readiness::new(|_| {})).await;
    served.publish([word("a", "1")]).await;

    let mut silent = TcpStream::connect(served.address).await.expect("connects");
    assert_eq!(ended(&mut silent).await, 0, "a client that says nothing");
    let mut slow = TcpStream::connect(served.address).await.expect("connects");
    slow.write_all(&[0x16, 3, 1]).await.expect("written");
    assert_eq!(ended(&mut slow).await, 0, "a client that begins a handshake");
    let mut idle = TcpStream::connect(served.address).await.expect("connects");
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("written");
    assert!(ended(&mut idle).await > 0, "a connection without a stream gets its GOAWAY");

    let mut client = Client::open(plain(served.address).await).await.expect("opens");
    client.next().await.expect("served");
    tokio::time::sleep(Duration::from_secs(1)).await;
    served.publish([word("a", "2")]).await;
    assert!(client.next().await.is_ok(), "a connection with a stream stays");
}

#[tokio::test]
async fn a_connection_that_is_asked_for_health_now_and_then_is_not_idle() {
    let idle = Duration::from_millis(600);
    let served = bounded(Bounds { idle, ..Bounds::default() }, Settings::default()).await;
    let (connected, address) = (Arc::new(AtomicUsize::new(0)), served.address);
    let counter = connected.clone();
    let connector = tower::service_fn(move |_: Uri| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { TcpStream::connect(address).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("valid");
    let channel = endpoint.connect_with_connector(connector).await.expect("connects");
    for _ in 0..8 {
        HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.expect("an answer");
        tokio::time::sleep(idle / 3).await;
    }
    assert_eq!(connected.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn rule_35_an_old_connection_ends_and_the_next_one_resumes() {
    let age = Duration::from_millis(500);
    let served = bounded(Bounds { age, ..Bounds::default() }, Settings::default()).await;
    let mut client = Client::open(plain(served.address).await).await.expect("opens");
    client.next().await.expect("served");
    let ended = client.next().await.expect_err("old");
    assert_eq!((ended.code(), ended.message()), (Code::Unavailable, "this connection is old: open another one"));
    let mut client = Client::open(plain(served.address).await).await.expect("opens");
    client.next().await.expect("served");
}

#[tokio::test]
async fn one_harms_one_a_client_that_does_not_read_is_cut_off() {
    let unread = Duration::from_millis(500);
    let served = bounded(Bounds::default(), Settings { unread, ..Settings::default() }).await;
    // Larger than every buffer on the way.
    let leaves = std::iter::repeat_with(|| Parts::leaf(vec![0; 64 << 10]));
    let large = Resource::new(T::Cluster, "large", Parts::concat(leaves.take(256)), []);
    served.publish([large]).await;
    let mut neighbour = Client::open(plain(served.address).await).await.expect("opens");
    let mut stuck = Client::open(plain(served.address).await).await.expect("opens");
    neighbour.next().await.expect("served");
    let since = std::time::Instant::now();
    while served.hub.clients().len() > 1 {
        assert!(since.elapsed() < PATIENCE, "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = stuck.next().await.expect_err("cut off in the middle of the response");
    assert_ne!(ended.code(), Code::DeadlineExceeded, "the connection is closed, not the stream ended: {ended}");
    served.publish([word("a", "2"), word("b", "1")]).await;
    assert!(neighbour.next().await.is_ok());
}
