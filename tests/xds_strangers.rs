//! Peers that connect and say nothing: they keep nobody out.

mod xds_support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use syncgate::xds::{Access, Bounds, Settings};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use xds_support::off_loopback;
use xds_support::secure::{Client, PATIENCE, Secure, handshake, secure, word};
use xds_support::tokens::{Signer, Told};

/// As many connections and handshakes as are held, and some more.
const CONNECTIONS: usize = 256 + 300;
const HANDSHAKES: usize = 1_024 + 100;

#[tokio::test]
async fn bounded_unfinished_handshakes_take_no_place_of_a_connection() {
    let settings = Settings { connection: Bounds { connections: 4, ..Bounds::default() }, ..Settings::default() };
    let server = Secure::bounded((Ipv4Addr::LOCALHOST, 0).into(), Access::default(), None, settings).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.served.address).await.expect("connects"));
    }
    let start = Instant::now();
    let mut client = server.with("spiffe://cluster.local/ns/ns/sa/envoy").await.expect("opens");
    client.next().await.expect("served");
    assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
}

#[tokio::test]
async fn bounded_unfinished_handshakes_make_room_for_others() {
    let server = Secure::start(Access::default()).await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES {
        silent.push(TcpStream::connect(server.served.address).await.expect("connects"));
    }
    let start = Instant::now();
    let mut client = server.with("spiffe://cluster.local/ns/ns/sa/envoy").await.expect("opens");
    client.next().await.expect("served");
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

/// From an address of loopback that nobody else has.
async fn from_elsewhere(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 77), 0).into())?;
    socket.connect(to).await
}

/// More than have places, and than the kernel would let wait beside those that do.
#[tokio::test]
async fn bounded_an_address_that_floods_the_door_keeps_no_other_waiting() {
    let server = Secure::start(Access::default()).await;
    let mut silent = Vec::new();
    for _ in 0..2 * HANDSHAKES {
        silent.push(from_elsewhere(server.served.address).await.expect("connects"));
    }
    let start = Instant::now();
    let mut client = server.with("spiffe://cluster.local/ns/ns/sa/envoy").await.expect("opens");
    client.next().await.expect("served");
    assert!(start.elapsed() < Duration::from_secs(2), "an Envoy would have given up: {:?}", start.elapsed());
}

/// More than have places: the others wait, and nobody goes who is quick.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_of_one_address_comes_in_whole() {
    const FLEET: usize = 1_500;
    let server = Secure::start(Access::default()).await;
    let address = server.served.address;
    let config = server.authority.trust(Some(server.authority.client("spiffe://cluster.local/ns/ns/sa/envoy")));
    let connect = || tokio::spawn(handshake(address, config.clone()));
    let fleet: Vec<_> = (0..FLEET).map(|_| connect()).collect();
    let mut came = Vec::new();
    for one in fleet {
        came.push(one.await.expect("no panic").expect("nobody is reset"));
    }
}

const TENANT: [&str; 2] = ["spiffe://cluster.local/ns/ns/sa/one", "spiffe://cluster.local/ns/ns/sa/two"];

/// As many accounts as it likes: they count together, and what it does not use goes first.
#[tokio::test]
async fn bounded_a_tenant_takes_no_connection_of_others() {
    let settings = Settings { connection: Bounds { connections: 5, ..Bounds::default() }, ..Settings::default() };
    let access = Access { fleets: ["other/envoy".into()].into(), ..Access::default() };
    let server = Secure::bounded((Ipv4Addr::LOCALHOST, 0).into(), access, None, settings).await;
    let mut used = server.with(TENANT[0]).await.expect("opens");
    used.next().await.expect("served");
    let idle = async |uri| {
        let config = server.authority.trust(Some(server.authority.client(uri)));
        handshake(server.served.address, config).await.expect("connects")
    };
    let mut idles = Vec::new();
    for at in 0..4 {
        idles.push(idle(TENANT[at % 2]).await);
    }
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = server.with("spiffe://cluster.local/ns/other/sa/envoy").await.expect("there is a place");
        other.next().await.expect("served");
        others.push(other);
    }
    for (at, idle) in idles.iter_mut().enumerate().take(2) {
        assert!(ended(idle).await, "connection {at}, which was idle for longest");
    }
    let mut refused = idle(TENANT[1]).await;
    assert!(ended(&mut refused).await, "its tenant has most");
    server.served.publish([word("a", "2")]).await;
    used.next().await.expect("what is used goes last");
    for other in &mut others {
        other.next().await.expect("served");
    }
}

/// Whether the other side ends it; what it says before does not matter.
async fn ended(connection: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut all = Vec::new();
    // A reset is an end too.
    tokio::time::timeout(Duration::from_secs(5), connection.read_to_end(&mut all)).await.is_ok()
}

#[tokio::test]
async fn bounded_health_is_heard_where_there_is_no_place_for_a_connection() {
    let Some(own) = off_loopback() else { return };
    let settings = Settings { connection: Bounds { connections: 1, ..Bounds::default() }, ..Settings::default() };
    let key = Signer::new("one");
    let tokens = Told::new(Ok(key.jwks())).tokens();
    let server = Secure::bounded((own, 0).into(), Access::default(), Some(tokens), settings).await;
    let mut first = server.with("spiffe://cluster.local/ns/ns/sa/envoy").await.expect("opens");
    first.next().await.expect("served");
    let channel = secure(server.served.address, server.authority.trust(None)).await.expect("connects");
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.expect("an answer");
    let refused = Client::open_as(channel, Some(&format!("Bearer {}", key.of("ns")))).await.err().expect("full");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("raise --xds-max-connections"), "{refused}");
}

/// What a stranger asks beyond a probe's rate it waits for; whoever is known does not.
#[tokio::test]
async fn bounded_a_stranger_asks_in_turn() {
    const REQUESTS: usize = 28;
    let Some(own) = off_loopback() else { return };
    let server = Secure::at((own, 0).into(), Access::default(), None).await;
    let took = async |certificate| {
        let channel = secure(server.served.address, server.authority.trust(certificate)).await.expect("connects");
        let (mut client, start) = (HealthClient::new(channel), Instant::now());
        for _ in 0..REQUESTS {
            client.check(HealthCheckRequest::default()).await.expect("an answer");
        }
        start.elapsed()
    };
    let known = server.authority.client("spiffe://cluster.local/ns/ns/sa/envoy");
    let (stranger, known) = (took(None).await, took(Some(known)).await);
    assert!(stranger >= Duration::from_secs(4) && known < Duration::from_secs(3), "{stranger:?} {known:?}");
}

#[tokio::test]
async fn bounded_connections_of_one_account_by_token() {
    let Some(own) = off_loopback() else { return };
    let key = Signer::new("one");
    let tokens = Told::new(Ok(key.jwks())).tokens();
    let settings = Settings { connection: Bounds { per_identity: 2, ..Bounds::default() }, ..Settings::default() };
    let access = Access { fleets: ["other/envoy".into()].into(), ..Access::default() };
    let server = Secure::bounded((own, 0).into(), access, Some(tokens), settings).await;
    let open = async |namespace: &str| {
        let channel = secure(server.served.address, server.authority.trust(None)).await.expect("connects");
        let mut client = Client::open_as(channel, Some(&format!("Bearer {}", key.of(namespace)))).await?;
        client.next().await.map(|_| client) as Result<Client, Status>
    };
    let first = open("ns").await.expect("opens");
    let _second = server.with("spiffe://cluster.local/ns/ns/sa/envoy").await.expect("opens");
    let refused = open("ns").await.err().expect("two are there");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("ServiceAccount ns/envoy has 2 of them"), "{refused}");
    let _other = open("other").await.expect("another one has its own");
    drop(first);
    let start = Instant::now();
    while let Err(refused) = open("ns").await {
        assert!(start.elapsed() < PATIENCE, "the place is not free: {refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn with_silent_connections(own: IpAddr) -> (Signer, Secure, Vec<impl Sized>) {
    let key = Signer::new("one");
    let tokens = Told::new(Ok(key.jwks())).tokens();
    let server = Secure::at((own, 0).into(), Access::default(), Some(tokens)).await;
    let (config, mut silent) = (server.authority.trust(None), Vec::new());
    for _ in 0..CONNECTIONS {
        silent.push(handshake(server.served.address, config.clone()).await.expect("connects"));
    }
    (key, server, silent)
}

#[tokio::test]
async fn bounded_silent_connections_keep_no_token_out() {
    let Some(own) = off_loopback() else { return };
    let (key, server, _silent) = with_silent_connections(own).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let channel = secure(server.served.address, server.authority.trust(None)).await.expect("connects");
    let mut client = Client::open_as(channel, Some(&format!("Bearer {}", key.of("ns")))).await.expect("opens");
    client.next().await.expect("served");
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
}
