//! Both sites over real loopback sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::readiness::{Layer, Part};

/// A site that is served, until this is dropped.
struct Served {
    address: std::net::SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Served {
    async fn new(site: Site) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(serve(listener, site, async move {
            let _ = stopped.await;
        }));
        Self { address, _stop: stop }
    }

    /// Status, headers and body of one request with the given first line and Host.
    async fn ask(&self, request: &str, host: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask(&format!("GET {path}"), "syncgate.example:8081").await;
        (status, body)
    }
}

/// The health site of a process with one source and one listener.
async fn health_site() -> (Served, Readiness, Heartbeats, Part, Part) {
    let readiness = Readiness::new(|_| ());
    let source = readiness.register(Layer::Source, "Gateway");
    let listener = readiness.register(Layer::Listener, "xds");
    readiness.seal();
    let heartbeats = Heartbeats::new();
    let exporter = Exporter::install().unwrap();
    let served = Served::new(health(&readiness, &heartbeats, Some(exporter), Vec::new)).await;
    (served, readiness, heartbeats, source, listener)
}

#[tokio::test]
async fn readyz_names_what_is_missing_and_why() {
    let (served, readiness, _beats, source, listener) = health_site().await;
    source.waiting("folder /etc/gateway cannot be read: permission denied");
    listener.ready();
    for path in ["/readyz", "/startupz"] {
        let (status, body) = served.get(path).await;
        assert_eq!(status, 503, "{path}");
        assert!(body.starts_with("starting for "), "{body}");
        let line = "[-] source Gateway: waiting for 0.0 s: folder /etc/gateway cannot be read: permission denied";
        assert!(body.contains(line), "{body}");
        assert!(!body.contains("xds"), "only what is missing: {body}");
        let (status, body) = served.get(&format!("{path}?verbose")).await;
        assert_eq!(status, 503);
        assert!(body.contains("[+] listener xds: ready"), "{body}");
    }
    source.ready();
    assert_eq!(served.get("/readyz").await.0, 200);
    assert_eq!(served.get("/startupz").await.0, 200);
    source.stale("the folder is gone");
    let (status, body) = served.get("/readyz?verbose=1").await;
    assert_eq!(status, 200, "an outage does not take Ready away");
    assert!(body.contains("[!] source Gateway: stale for 0.0 s: the folder is gone"), "{body}");
    readiness.begin_shutdown();
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.starts_with("shutting down"), "{body}");
    assert_eq!(served.get("/startupz").await.0, 200, "it was ready once");
}

#[tokio::test]
async fn startupz_verbose_tells_what_is_held_at_the_door() {
    let held = || (0..25).map(|at| format!("HTTPRoute demo/r{at}: waits for Secret demo/s to be read")).collect();
    let served = Served::new(health(&Readiness::new(|_| ()), &Heartbeats::new(), None, held)).await;
    let (_, body) = served.get("/startupz?verbose").await;
    assert!(body.contains("held at the door: 25\n    HTTPRoute demo/r0: waits for Secret demo/s"), "{body}");
    assert!(body.contains("demo/r19") && !body.contains("demo/r20"), "{body}");
    assert!(body.contains("and 5 more: see /debug/held"), "{body}");
    assert!(!served.get("/startupz").await.1.contains("held"), "the short page is short");
}

#[tokio::test]
async fn livez_is_the_heartbeat_of_the_loops_and_not_readiness() {
    let (served, _readiness, beats, ..) = health_site().await;
    let graph = beats.register("graph");
    let (status, body) = served.get("/livez").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let long_ago = Instant::now().checked_sub(STALLED_AFTER * 2).expect("this machine runs for longer");
    let stalled = Heartbeats::started_at(long_ago);
    let _late = stalled.register_at("graph", long_ago);
    let served = Served::new(health(&Readiness::new(|_| ()), &stalled, None, Vec::new)).await;
    let (status, body) = served.get("/livez").await;
    assert_eq!(status, 503);
    assert!(body.contains("[-] loop graph: no progress for 20."), "{body}");
    drop(graph);
}

#[tokio::test]
async fn metrics_are_the_prometheus_page() {
    let (served, ..) = health_site().await;
    let (status, head, body) = served.ask("GET /metrics", "any").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE syncgate_build_info gauge"), "{body}");
}

#[tokio::test]
async fn the_index_and_wrong_requests_help() {
    let (served, ..) = health_site().await;
    let (status, index) = served.get("/").await;
    assert_eq!(status, 200);
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert!(index.contains(path), "{index}");
    }
    let (status, body) = served.get("/healthz").await;
    assert_eq!(status, 404);
    assert!(body.contains("/readyz"), "{body}");
    let (status, head, body) = served.ask("POST /readyz", "any").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");
    assert!(body.contains("use GET"), "{body}");
    let (status, head, body) = served.ask("HEAD /", "any").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length:"), "{head}");
}

#[tokio::test]
async fn views_are_computed_when_asked_for_and_only_under_a_loopback_name() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let show = Box::new(move |_: Request<'_>| json!({ "held": counter.fetch_add(1, Ordering::Relaxed) }));
    let echo = Box::new(|request: Request<'_>| json!([request.value("a"), request.value("b"), request.value("c")]));
    let held = View { path: "/debug/held", help: "what waits at the door", show };
    let served = Served::new(debug([held, View { path: "/debug/echo", help: "its arguments", show: echo }])).await;
    let (_, _, echoed) = served.ask("GET /debug/echo?a=demo%2Fweb&b=1+2&d", "localhost").await;
    assert_eq!(serde_json::from_str::<Value>(&echoed).unwrap(), json!(["demo/web", "1 2", null]));
    for host in ["attacker.example", "attacker.example:19000", "192.0.2.1:19000", "localhost.attacker.example"] {
        assert_eq!(served.ask("GET /debug/held", host).await.0, 403, "{host}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    for host in ["localhost:19000", "127.0.0.1:19000", "127.0.0.1", "[::1]:19000", "[::1]", "localhost"] {
        let (status, head, body) = served.ask("GET /debug/held", host).await;
        assert_eq!(status, 200, "{host}");
        assert!(head.contains("application/json"), "{head}");
        assert!(body.contains("\"held\":"), "{body}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_fleet_may_wait_to_be_accepted() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
    let fleet = most.unwrap_or(4096).min(500);
    let connect = async {
        let mut waiting = Vec::new();
        while waiting.len() < fleet {
            waiting.push(TcpStream::connect(address).await.unwrap());
        }
    };
    // Who finds the queue full is heard a second later at the earliest, and then again not.
    tokio::time::timeout(Duration::from_secs(30), connect).await.expect("nobody is left out");
}

#[tokio::test]
async fn one_socket_takes_both_families() {
    let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, Site::new("a site"), std::future::pending()));
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    let taken = bind(format!("127.0.0.1:{port}").parse().unwrap()).await.unwrap_err().to_string();
    assert!(taken.contains(&format!("listening on 127.0.0.1:{port}")), "{taken}");
}

#[tokio::test]
async fn bounded_a_silent_client_is_closed() {
    let served = Served::new(Site::new("a site")).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    tokio::time::pause();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "still open after 30 s");
}

#[tokio::test]
async fn bounded_silent_clients_keep_no_probe_out() {
    let (served, ..) = health_site().await;
    let mut silent = Vec::new();
    for _ in 0..=listener::CONNECTIONS.places {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let since = Instant::now();
    assert_eq!(served.get("/livez").await.0, 200);
    assert!(since.elapsed() < Duration::from_secs(1), "it took {:?}", since.elapsed());
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), silent[0].read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the oldest one went");
    tokio::time::pause();
    let newest = silent.last_mut().unwrap();
    let read = tokio::time::timeout(Duration::from_secs(30), newest.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the first request has to come in time");
}

/// Half of each: the head is there, and so it counts as being answered.
#[tokio::test]
async fn bounded_half_sent_requests_keep_nobody_out_for_long() {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let served = Served::new(Site::new("a site").grpc(tonic::service::Routes::new(health).prepare())).await;
    let mut halves = Vec::new();
    let head = "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: localhost\r\n\
                content-type: application/grpc\r\ncontent-length: 10\r\n\r\nhalf";
    for _ in 0..listener::CONNECTIONS.places {
        let mut half = TcpStream::connect(served.address).await.unwrap();
        half.write_all(head.as_bytes()).await.unwrap();
        halves.push(half);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.77:0".parse().unwrap()).unwrap();
    let since = Instant::now();
    let mut other = socket.connect(served.address).await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && since.elapsed() < Duration::from_secs(1), "{answer}");
    tokio::time::pause();
    let since = tokio::time::Instant::now();
    assert_eq!(served.get("/").await.0, 200);
    assert!(since.elapsed() <= listener::CONNECTIONS.busy, "it took {:?}", since.elapsed());
}

#[tokio::test]
async fn grpc_too_is_only_for_those_who_use_a_loopback_name() {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let services = tonic::service::Routes::new(health).prepare();
    let served = Served::new(Site::new("a site").grpc(services).on_loopback_only()).await;
    let ask = async |name: &str| {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", served.address)).unwrap();
        let channel = channel.origin(format!("http://{name}").parse().unwrap()).connect().await.unwrap();
        let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
        client.check(tonic_health::pb::HealthCheckRequest::default()).await
    };
    for name in ["localhost:19000", "127.0.0.1", "[::1]:19000"] {
        assert!(ask(name).await.is_ok(), "{name}");
    }
    let refused = ask("attacker.example:19000").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    // Over HTTP/1, as a page in a browser sends it.
    let (_, head, _) =
        served.ask("POST /grpc.health.v1.Health/Check", "attacker.example\r\ncontent-type: application/grpc").await;
    assert!(head.contains("grpc-status: 7"), "{head}");
}

#[tokio::test]
async fn it_stops_when_told() {
    let served = Served::new(Site::new("a site")).await;
    let address = served.address;
    drop(served);
    for _ in 0..100 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still listening");
}
