//! A real Envoy on a small world that is made by hand. `SYNCGATE_ENVOY` is the path of its binary; without it these
//! tests are skipped, and say so.

mod xds_support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy, RingHashLbConfig,
};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::google::protobuf::{Duration as ProtoDuration, UInt64Value};
use serde_json::{Value, json};
use syncgate::readiness::Readiness;
use syncgate::resource::{Parts, Ref, Resource, ResourceType, encode};
use syncgate::xds::{Settings, Variant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use xds_support::{GATEWAY, Served};

const BOTH: [Variant; 2] = [Variant::StateOfTheWorld, Variant::Delta];

// ---- resources

fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        initial_fetch_timeout: Some(ProtoDuration::default()),
        ..Default::default()
    }
}

fn address(port: u16) -> Address {
    let socket = SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    Address { address: Some(AddressKind::SocketAddress(socket)) }
}

fn resource<M: prost::Message>(kind: ResourceType, name: &str, message: &M, refs: Vec<Ref>) -> Resource {
    Resource::new(kind, name, Parts::leaf(encode::message(message)), refs)
}

fn cluster_message(name: &str, seconds: i64) -> Cluster {
    Cluster {
        name: name.into(),
        connect_timeout: Some(ProtoDuration { seconds, nanos: 0 }),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..Default::default() }),
        ..Default::default()
    }
}

fn cluster(name: &str, seconds: i64) -> Resource {
    let refs = vec![Ref::new(ResourceType::ClusterLoadAssignment, name)];
    resource(ResourceType::Cluster, name, &cluster_message(name, seconds), refs)
}

/// A cluster that Envoy refuses: it does not say where its endpoints come from.
fn refused_cluster(name: &str) -> Resource {
    let message = Cluster { eds_cluster_config: None, ..cluster_message(name, 1) };
    resource(ResourceType::Cluster, name, &message, vec![])
}

/// A cluster that Envoy refuses and never says so: its ring is larger than its largest ring. Envoy counts it as
/// warming for ever, and as long as one is warming it answers no CDS response.
fn stuck_cluster(name: &str) -> Resource {
    let size = |value| Some(UInt64Value { value });
    let ring = RingHashLbConfig { minimum_ring_size: size(8), maximum_ring_size: size(4), ..Default::default() };
    let message = Cluster {
        lb_policy: LbPolicy::RingHash as i32,
        lb_config: Some(LbConfig::RingHashLbConfig(ring)),
        ..cluster_message(name, 1)
    };
    resource(ResourceType::Cluster, name, &message, vec![])
}

fn assignment(name: &str, port: u16) -> Resource {
    let endpoint = Endpoint { address: Some(address(port)), ..Default::default() };
    let endpoint = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() };
    let locality = LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() };
    let message = ClusterLoadAssignment { cluster_name: name.into(), endpoints: vec![locality], ..Default::default() };
    resource(ResourceType::ClusterLoadAssignment, name, &message, vec![])
}

fn routes(to: &str) -> Resource {
    let action = RouteAction { cluster_specifier: Some(ClusterSpecifier::Cluster(to.into())), ..Default::default() };
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }),
        action: Some(Action::Route(action)),
        ..Default::default()
    };
    let host = VirtualHost { name: "all".into(), domains: vec!["*".into()], routes: vec![route], ..Default::default() };
    let message = RouteConfiguration { name: "web".into(), virtual_hosts: vec![host], ..Default::default() };
    resource(ResourceType::RouteConfiguration, "web", &message, vec![Ref::new(ResourceType::Cluster, to)])
}

fn listener(port: u16) -> Resource {
    let rds = Rds { config_source: Some(ads()), route_config_name: "web".into() };
    let router = HttpFilter {
        name: "envoy.filters.http.router".into(),
        config_type: Some(HttpConfigType::TypedConfig(encode::any(&Router::default()))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: "web".into(),
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        http_filters: vec![router],
        ..Default::default()
    };
    let filter = Filter {
        name: "envoy.filters.network.http_connection_manager".into(),
        config_type: Some(ConfigType::TypedConfig(encode::any(&manager))),
    };
    let message = Listener {
        name: "web".into(),
        address: Some(address(port)),
        filter_chains: vec![FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    };
    resource(ResourceType::Listener, "web", &message, vec![Ref::new(ResourceType::RouteConfiguration, "web")])
}

// ---- programs

/// An HTTP server that answers with a word. Returns its port.
async fn backend(word: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = [0; 4096];
                while socket.read(&mut read).await.is_ok_and(|n| n > 0) {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{word}", word.len());
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A port that is free now.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// The status and the body of an answer; None if there is none.
async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if is_chunked { dechunked(body)? } else { body.to_owned() }))
}

fn dechunked(mut body: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.push_str(rest.get(..size)?);
        body = rest.get(size + 2..)?;
    }
}

struct Envoy {
    /// Killed when dropped.
    _process: Child,
    _folder: tempfile::TempDir,
    admin: u16,
}

impl Envoy {
    /// Starts an Envoy on the server at `port`; None, with a line that says so, if there is no binary.
    async fn start(variant: Variant, port: u16) -> Option<Envoy> {
        let Some(binary) = std::env::var_os("SYNCGATE_ENVOY").map(PathBuf::from) else {
            eprintln!("skipped: SYNCGATE_ENVOY is not set");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("envoy.json");
        std::fs::write(&config, bootstrap(variant, port).to_string()).expect("written");
        let admin_path = folder.path().join("admin");
        let mut command = Command::new(binary);
        command.arg("-c").arg(&config).arg("--admin-address-path").arg(&admin_path);
        command.args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]);
        let process = command.kill_on_drop(true).spawn().expect("starts");
        let admin = eventually("the admin port", async || {
            let text = std::fs::read_to_string(&admin_path).ok()?;
            text.rsplit_once(':')?.1.trim().parse().ok()
        })
        .await;
        Some(Envoy { _process: process, _folder: folder, admin })
    }

    /// A counter or gauge; 0 if Envoy has none of that name.
    async fn stat(&self, name: &str) -> u64 {
        let (_, text) = get(self.admin, &format!("/stats?filter=^{name}$")).await.expect("the admin listener");
        text.trim().rsplit_once(": ").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }

    /// The sum of all stats whose name ends so.
    async fn sum(&self, suffix: &str) -> u64 {
        let (_, text) = get(self.admin, &format!("/stats?filter={suffix}$")).await.expect("the admin listener");
        text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// The clusters that came by CDS and are in use: name, version and connect time-out.
    async fn clusters(&self) -> Vec<(String, String, String)> {
        let path = "/config_dump?resource=dynamic_active_clusters";
        let (_, text) = get(self.admin, path).await.expect("the admin listener");
        let dump: Value = serde_json::from_str(&text).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let configs = dump["configs"].as_array().cloned().unwrap_or_default();
        let mut clusters: Vec<_> = configs
            .iter()
            .map(|entry| {
                let cluster = &entry["cluster"];
                (text(&cluster["name"]), text(&entry["version_info"]), text(&cluster["connect_timeout"]))
            })
            .collect();
        clusters.sort();
        clusters
    }
}

fn bootstrap(variant: Variant, port: u16) -> Value {
    let api_type = match variant {
        Variant::StateOfTheWorld => "GRPC",
        Variant::Delta => "DELTA_GRPC",
    };
    let source = json!({"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"});
    let socket = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "node": {"id": "envoy-1", "cluster": GATEWAY},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {
                    "cluster_name": "syncgate",
                    "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
                }}],
            },
            "cds_config": source,
            "lds_config": source,
        },
        "static_resources": {"clusters": [{
            "name": "syncgate",
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {"cluster_name": "syncgate", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket}}]},
            ]},
        }]},
    })
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), found).await.ok();
    found.expect(what)
}

async fn answers(port: u16, word: &str) {
    let what = format!("port {port} answers {word}");
    eventually(&what, async || {
        get(port, "/").await.filter(|(status, body)| *status == 200 && body == word).map(|_| ())
    })
    .await;
}

async fn nothing_was_refused(envoy: &Envoy) {
    for name in ["cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"] {
        assert_eq!(envoy.stat(name).await, 0, "{name}");
    }
    assert_eq!(envoy.sum("update_rejected").await, 0);
}

/// A server and an Envoy that answers with the word of backend `a`.
struct Stage {
    served: Served,
    envoy: Envoy,
    port: u16,
    a: u16,
    b: u16,
}

impl Stage {
    async fn set(variant: Variant) -> Option<Stage> {
        let served = Served::start(Settings::default()).await;
        let envoy = Envoy::start(variant, served.address.port()).await?;
        let (a, b, port) = (backend("a").await, backend("b").await, free_port().await);
        let stage = Stage { served, envoy, port, a, b };
        stage.served.publish(stage.only_a()).await;
        answers(port, "a").await;
        Some(stage)
    }

    fn only_a(&self) -> Vec<Resource> {
        vec![cluster("a", 1), assignment("a", self.a), routes("a"), listener(self.port)]
    }

    /// The cluster `a` in another version, and a bad one.
    fn good_and(&self, bad: Resource) -> Vec<Resource> {
        let mut world = self.only_a();
        world[0] = cluster("a", 2);
        world.push(bad);
        world
    }

    async fn is_refused(&self) {
        let rejected = async || self.envoy.stat("cluster_manager.cds.update_rejected").await.checked_sub(1);
        eventually("the bad cluster is refused", rejected).await;
    }

    /// What Envoy holds is the snapshot: the cluster `a` as it was first.
    async fn holds_only_a(&self, variant: Variant) {
        let what = format!("{variant:?}: the snapshot is what Envoy holds");
        eventually(&what, async || {
            let clusters = self.envoy.clusters().await;
            let held: Vec<_> = clusters.into_iter().map(|(name, _, timeout)| (name, timeout)).collect();
            (held == [("a".to_owned(), "1s".to_owned())]).then_some(())
        })
        .await;
        answers(self.port, "a").await;
        let snapshot = self.served.hub.snapshot(GATEWAY).expect("published");
        let version = snapshot.set(ResourceType::Cluster).get("a").expect("there").version.to_string();
        if variant == Variant::Delta {
            assert_eq!(self.envoy.clusters().await[0].1, version);
        }
    }

    fn only_b(&self) -> Vec<Resource> {
        vec![cluster("b", 1), assignment("b", self.b), routes("b"), listener(self.port)]
    }
}

/// Sends requests until it is stopped; counts what is not an answer 200 of a known word.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Load {
    fn start(port: u16) -> Load {
        let load = Load { stop: Arc::default(), sent: Arc::default(), failed: Arc::default() };
        let (stop, sent, failed) = (load.stop.clone(), load.sent.clone(), load.failed.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = get(port, "/").await;
                sent.fetch_add(1, Ordering::Relaxed);
                if !answer.is_some_and(|(status, body)| status == 200 && (body == "a" || body == "b")) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        load
    }

    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        (self.sent.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_goes_live_and_nothing_is_refused() {
    for variant in BOTH {
        let Some(stage) = Stage::set(variant).await else { return };
        nothing_was_refused(&stage.envoy).await;
        let (status, _) = get(stage.envoy.admin, "/ready").await.expect("the admin listener");
        assert_eq!(status, 200);
        let shown = stage.served.hub.clients();
        assert_eq!((shown.len(), shown[0].variant), (1, variant));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gated() {
    for variant in BOTH {
        let served = Served::start(Settings::default()).await;
        let Some(envoy) = Envoy::start(variant, served.address.port()).await else { return };
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_ne!(get(envoy.admin, "/ready").await.expect("the admin listener").0, 200);
        served.publish([]).await;
        eventually("Envoy is ready", async || {
            get(envoy.admin, "/ready").await.filter(|(status, _)| *status == 200).map(|_| ())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nack_is_unknown() {
    for variant in BOTH {
        let Some(stage) = Stage::set(variant).await else { return };
        stage.served.publish(stage.good_and(refused_cluster("bad"))).await;
        stage.is_refused().await;
        let refusals = async || {
            let clients = stage.served.hub.clients();
            clients.iter().flat_map(|client| &client.progress).find_map(|progress| progress.refusal.clone())
        };
        let refusal = eventually("the NACK shows", refusals).await;
        assert!(refusal.names.iter().any(|name| name == "bad"), "{refusal:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(stage.envoy.stat("cluster_manager.cds.update_rejected").await, 1, "no storm");
        stage.served.publish(stage.only_a()).await;
        stage.holds_only_a(variant).await;
        assert_eq!(stage.envoy.stat("cluster_manager.cds.update_rejected").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_is_never_answered_does_not_hold_up_what_mends_it() {
    for variant in BOTH {
        let Some(stage) = Stage::set(variant).await else { return };
        stage.served.publish(stage.good_and(stuck_cluster("bad"))).await;
        stage.is_refused().await;
        stage.served.publish(stage.only_a()).await;
        stage.holds_only_a(variant).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn make_before_break() {
    for variant in BOTH {
        let Some(stage) = Stage::set(variant).await else { return };
        let load = Load::start(stage.port);
        for round in 0..6 {
            let (world, word) = if round % 2 == 0 { (stage.only_b(), "b") } else { (stage.only_a(), "a") };
            stage.served.publish(world).await;
            answers(stage.port, word).await;
            let wait = if round < 4 { 100 } else { 1_500 };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        let (sent, failed) = load.end();
        assert_eq!((failed, sent > 100), (0, true), "{variant:?}: {failed} of {sent} failed");
        let gone = async || {
            let clusters = stage.envoy.clusters().await;
            (clusters.len() == 1 && clusters[0].0 == "a").then_some(())
        };
        eventually("what nothing names is removed", gone).await;
        nothing_was_refused(&stage.envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_20_a_restart_changes_nothing_that_did_not_change() {
    for variant in BOTH {
        let Some(mut stage) = Stage::set(variant).await else { return };
        let unchanged = [
            "cluster_manager.cluster_modified",
            "cluster_manager.cluster_added",
            "cluster_manager.cluster_removed",
            "listener_manager.listener_modified",
            "listener_manager.listener_added",
            "http.web.rds.web.config_reload",
        ];
        let mut before = vec![];
        for name in unchanged {
            before.push(stage.envoy.stat(name).await);
        }
        let load = Load::start(stage.port);
        let address = stage.served.address;
        stage.served.stop().await;
        let again = Served::on(address, Settings::default(), Readiness::new(|_| {})).await;
        // The endpoint moved while nobody was there.
        let mut moved = vec![cluster("a", 1), assignment("a", stage.b), routes("a"), listener(stage.port)];
        again.publish(moved.clone()).await;
        answers(stage.port, "b").await;
        for (name, before) in unchanged.into_iter().zip(before) {
            assert_eq!(stage.envoy.stat(name).await, before, "{variant:?} {name}");
        }
        // And a cluster that changed at the same time as nothing else gets its load assignment.
        moved[0] = cluster("a", 3);
        again.publish(moved).await;
        eventually("the cluster changed and is warm", async || {
            stage.envoy.clusters().await.iter().any(|(_, _, timeout)| timeout == "3s").then_some(())
        })
        .await;
        let (sent, failed) = load.end();
        assert_eq!((failed, sent > 10), (0, true), "{variant:?}: {failed} of {sent} failed");
        stage.served = again;
        nothing_was_refused(&stage.envoy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_29_a_cluster_that_changed_while_nobody_was_there_is_warm_again() {
    for variant in BOTH {
        let Some(stage) = Stage::set(variant).await else { return };
        let load = Load::start(stage.port);
        let address = stage.served.address;
        stage.served.stop().await;
        let again = Served::on(address, Settings::default(), Readiness::new(|_| {})).await;
        again.publish([cluster("a", 5), assignment("a", stage.a), routes("a"), listener(stage.port)]).await;
        eventually("the cluster changed and is warm", async || {
            stage.envoy.clusters().await.iter().any(|(_, _, timeout)| timeout == "5s").then_some(())
        })
        .await;
        let (sent, failed) = load.end();
        assert_eq!((failed, sent > 10), (0, true), "{variant:?}: {failed} of {sent} failed");
        assert_eq!(stage.envoy.stat("cluster_manager.warming_clusters").await, 0);
    }
}

/// In delta only: a state-of-the-world client does not say which clusters it has, so a new process cannot keep them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_20_a_route_that_moved_while_nobody_was_there_breaks_nothing() {
    let Some(stage) = Stage::set(Variant::Delta).await else { return };
    let load = Load::start(stage.port);
    let address = stage.served.address;
    let after = stage.only_b();
    stage.served.stop().await;
    let again = Served::on(address, Settings::default(), Readiness::new(|_| {})).await;
    again.publish(after).await;
    answers(stage.port, "b").await;
    eventually("the cluster that nothing names is removed", async || {
        let clusters = stage.envoy.clusters().await;
        (clusters.len() == 1 && clusters[0].0 == "b").then_some(())
    })
    .await;
    let (sent, failed) = load.end();
    assert_eq!((failed, sent > 100), (0, true), "{failed} of {sent} failed");
}

/// What the model of Envoy says in `src/xds/session/tests/model`: as long as a cluster is warming, a new stream is not asked
/// for clusters, but for everything else. In state of the world a load assignment that does not exist is warmed for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_stream_is_not_asked_for_clusters_while_one_is_warming() {
    let Some(stage) = Stage::set(Variant::StateOfTheWorld).await else { return };
    let mut world = stage.only_a();
    world.push(cluster("bad", 1));
    stage.served.publish(world.clone()).await;
    let is_warming = async || (stage.envoy.stat("cluster_manager.warming_clusters").await == 1).then_some(());
    eventually("the cluster is warming", is_warming).await;
    let address = stage.served.address;
    stage.served.stop().await;
    let again = Served::on(address, Settings::default(), Readiness::new(|_| {})).await;
    again.publish(world).await;
    let asked = || again.hub.clients().iter().flat_map(|client| &client.progress).map(|of| of.kind).collect();
    let asks_for_routes = async || {
        let asked: Vec<ResourceType> = asked();
        asked.contains(&ResourceType::RouteConfiguration).then_some(())
    };
    eventually("Envoy asks for its routes", asks_for_routes).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!asked().contains(&ResourceType::Cluster), "{:?}", asked());
    answers(stage.port, "a").await;
}
