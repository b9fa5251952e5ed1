//! What people see of a running process: logs, tables, explanations and debug pages.

use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::status::v3::{
    ClientStatusRequest, client_status_discovery_service_client::ClientStatusDiscoveryServiceClient,
};
use serde_json::Value;

use crate::{
    ads::{CDS, Stream},
    manifests::{GATEWAY, app, cluster, folder, services, write},
    process::{Syncgate, eventually, run},
};

/// Listeners, start, folder, publication, readiness: the transitions of a start, and room for a few more.
const LINES_OF_A_START: usize = 20;

fn message(line: &Value) -> &str {
    line["message"].as_str().expect("a message")
}

#[test]
fn logs_have_a_line_for_each_transition_and_none_for_each_object() {
    let many = services("many", 500);
    let dir = folder(&[("gateway.yaml", GATEWAY), ("many.yaml", &many)]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let start = syncgate.log();
    for line in &start {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
        assert!(!line.to_string().contains("many-"), "names an object: {line}");
    }
    assert!(start.len() <= LINES_OF_A_START, "{} lines", start.len());
    for once in ["syncgate started", "the folder is read", "first complete snapshot published"] {
        assert_eq!(start.iter().filter(|line| message(line) == once).count(), 1, "{once}");
    }
    let ready = start.iter().find(|line| message(line).starts_with("ready")).expect("the transition");
    assert!(ready["after_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{ready}");
    let read = start.iter().find(|line| message(line) == "the folder is read").expect("the transition");
    assert_eq!(read["objects"], 502, "{read}");

    write(dir.path(), "many.yaml", &services("other", 500));
    let explain = ["explain", "Service", "demo/other-499"];
    eventually("the change is applied", || (syncgate.ask(&explain).0 == Some(0)).then_some(()));
    assert_eq!(syncgate.log().len(), start.len(), "a change of 1000 objects is not worth a line: {:?}", syncgate.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_explain_answer_from_the_living_process() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop"))]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let mut stream = Stream::open(syncgate.address("ads"), CDS).await.expect("served");
    let _ = stream.next().await.expect("served");
    let (code, said) = syncgate.ask(&["status", "--collections"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(": ready"), "{said}");
    let gateway = said.lines().find(|line| line.starts_with("demo/web ")).expect("the Gateway's row");
    let columns: Vec<&str> = gateway.split_whitespace().collect();
    assert_eq!(columns[..7], ["demo/web", "1", "1", "1", "1", "1", "0"], "clients, LDS, RDS, CDS, EDS, SDS: {said}");
    assert!(said.lines().any(|line| line.starts_with("accepted gateways ") && line.contains(" yes ")), "{said}");

    let (code, said) = syncgate.ask(&["explain", "Service", "demo/shop"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&cluster("shop")), "{said}");
    let (code, said) = syncgate.ask(&["explain", "Pod", "demo/shop-1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{}: endpoint at 127.0.0.1 port 3000", cluster("shop"))), "{said}");
    for listener in ["health", "ads"] {
        let wrong = syncgate.address(listener).to_string();
        let output = run(&["status", "--admin-address", &wrong]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("is this its --admin-address"), "{said}");
    }
    let (code, said) = syncgate.ask(&["explain", "Service", "demo/none"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no such object"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_pages_answer_json() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop")), ("lost.yaml", "kind: [Pod]\n")]);
    let syncgate = Syncgate::start_ready(dir.path(), &["--on-broken-file=skip"]);
    let mut stream = Stream::open(syncgate.address("ads"), CDS).await.expect("served");
    let first = stream.next().await.expect("served");
    stream.ack(&first).await;
    let client = eventually("the ACK is shown", || {
        let page = syncgate.debug("/debug/clients");
        (page["clients"][0]["types"]["CDS"]["settled"] == true).then(|| page["clients"][0].clone())
    });
    assert_eq!(client["gateway"], "demo/web");
    assert_eq!(client["node_id"], "envoy-1");
    assert_eq!(client["variant"], "delta");
    assert_eq!(client["identity"], "a peer on loopback");
    assert_eq!((&client["responses"], &client["types"]["CDS"]["acks"]), (&Value::from(1), &Value::from(1)));
    assert!(client["bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{client}");
    let versions = &client["types"]["CDS"];
    assert!(versions["version"] == versions["held_version"] && versions["version"] != "", "{client}");
    let admin = format!("http://{}", syncgate.address("admin"));
    let mut csds = ClientStatusDiscoveryServiceClient::connect(admin).await.expect("the admin listener accepts");
    let configs =
        csds.fetch_client_status(ClientStatusRequest::default()).await.expect("an answer").into_inner().config;
    assert_eq!(configs[0].node.as_ref().expect("a node").id, "envoy-1");
    assert_eq!(configs[0].generic_xds_configs[0].name, cluster("shop"));
    let graph = syncgate.debug("/debug/graph");
    let nodes = graph.as_array().expect("a list");
    assert!(nodes.iter().any(|node| node["name"] == "resources" && node["complete"] == true), "{graph}");
    assert_eq!(syncgate.debug("/debug/held"), Value::Array(Vec::new()));
    let files = syncgate.debug("/debug/files");
    assert_eq!((&files["files"], &files["broken"]), (&Value::from(3), &Value::from(1)), "{files}");
    assert!(files["problems"][0].as_str().is_some_and(|problem| problem.contains("lost.yaml:1:1: error: ")), "{files}");
}

/// A change that refers to nothing waits at the door for half a second, and the page says for what. Each round is a
/// change of its own, because a busy machine may sleep through a hold.
#[test]
fn explained_what_waits_at_the_door_is_shown_with_its_reason() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop"))]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let (mut round, mut since) = (0, None::<Instant>);
    let held = eventually("the change is shown as held", || {
        if since.is_none_or(|since| since.elapsed() > Duration::from_secs(1)) {
            (round, since) = (round + 1, Some(Instant::now()));
            let backend = format!("{{name: soon-{round}, port: 80}}");
            write(dir.path(), "shop.yaml", &app("shop").replace("{name: shop, port: 80}", &backend));
        }
        Some(syncgate.debug("/debug/held")).filter(|held| held[0].is_object())
    });
    assert_eq!(held[0]["object"], "HTTPRoute demo/shop");
    assert_eq!(held[0]["change"], "put");
    assert!(held[0]["why"].as_str().is_some_and(|why| why.contains("Service demo/soon-")), "{held}");
    assert!(held[0]["let_in_at_the_latest_in_ms"].as_u64().is_some_and(|millis| millis <= 500), "{held}");
    eventually("it is let in", || (syncgate.debug("/debug/held") == Value::Array(Vec::new())).then_some(()));
    eventually("and has its problem", || {
        let (_, said) = syncgate.ask(&["explain", "HTTPRoute", "demo/shop"]);
        said.contains("problem: spec.rules[0].backendRefs[0]: Service demo/soon-").then_some(())
    });
}

/// From the refusal of an Envoy to the object that somebody wrote, wherever one may look.
#[tokio::test(flavor = "multi_thread")]
async fn explained_a_refusal_names_the_objects_that_it_comes_from() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop")), ("cart.yaml", &app("cart"))]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let mut stream = Stream::open(syncgate.address("ads"), CDS).await.expect("served");
    let first = stream.next().await.expect("served");
    let words = format!("Error adding/updating cluster(s) {}: no such policy", cluster("shop"));
    stream.nack(&first, &words).await;
    let refused = eventually("the refusal is shown", || {
        let page = syncgate.debug("/debug/clients?refused");
        page["clients"][0]["types"]["CDS"]["refused"].is_object().then(|| page["clients"][0].clone())
    });
    let of_type = &refused["types"]["CDS"];
    assert_eq!(of_type["refused"]["objects"], serde_json::json!(["Service demo/shop port 80"]));
    assert_eq!(of_type["refused"]["resources"], serde_json::json!([cluster("shop")]));
    assert_eq!((&of_type["nacks"], &of_type["refused"]["count"]), (&Value::from(1), &Value::from(2)));
    assert!(of_type["behind_seconds"].is_number() && of_type["settled"] == false, "{refused}");

    let log = syncgate.log();
    let line = log.iter().find(|line| message(line).contains("refused a response")).expect("a line of the log");
    assert_eq!((&line["objects"], &line["node_id"]), (&"Service demo/shop port 80".into(), &"envoy-1".into()));

    let (code, said) = syncgate.ask(&["clients", "--gateway", "demo/web"]);
    assert_eq!(code, Some(0), "{said}");
    let row: Vec<&str> = said.lines().nth(1).expect("a client").split_whitespace().collect();
    assert_eq!(row[..7], ["envoy-1", "demo/web", "-", "delta", "-", "-", "REFUSED"], "{said}");
    assert!(said.contains(&words) && said.contains("  from Service demo/shop port 80\n"), "{said}");
    let (_, said) = syncgate.ask(&["clients", "--output", "json"]);
    let client: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    assert_eq!(client["types"]["CDS"]["refused"]["message"], words.as_str());
    let (_, said) = syncgate.ask(&["clients", "--node", "envoy-2"]);
    assert_eq!(said, "no such Envoy is connected (1 in all)\n");

    let (_, said) = syncgate.ask(&["status"]);
    assert!(
        said.contains("1 Envoy of demo/web refuses CDS") && said.contains("from Service demo/shop port 80"),
        "{said}"
    );
    let (_, said) = syncgate.ask(&["explain", "Service", "demo/shop"]);
    assert!(said.contains("refused (CDS) by 1 of the Envoys of Gateway demo/web: Error adding"), "{said}");
    let (_, said) = syncgate.ask(&["explain", "Service", "demo/cart"]);
    assert!(!said.contains("refused (CDS)"), "{said}");
}
