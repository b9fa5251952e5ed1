//! Rules restrict a fault to what they name.

use syncgate_e2e::faults::{Effect, Fault, JSON, Reply, Rule, Verb, When};

use crate::client::Http;
use crate::{Bed, PODS, WATCH};

/// The status codes of GETs of these paths while `when` answers 500.
async fn statuses(when: When, paths: &[&str]) -> Vec<u16> {
    let bed = Bed::start().await;
    bed.proxy.set(vec![Rule { when, effect: Effect::Answer(Reply::InternalError, None) }]).await.unwrap();
    let mut client = bed.client(Http::Two).await;
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(client.get(path, JSON).await.status);
    }
    statuses
}

#[tokio::test]
async fn by_resource_namespace_path_and_token() {
    let services = "/api/v1/namespaces/shop/services/a";
    assert_eq!(statuses("pods".parse().unwrap(), &[PODS, services]).await, [500, 200]);
    assert_eq!(statuses("other/pods".parse().unwrap(), &[PODS, "/api/v1/namespaces/other/pods"]).await, [200, 500]);
    let path = When { path: Some(services.into()), ..When::default() };
    assert_eq!(statuses(path, &[PODS, services]).await, [200, 500]);
    let token = |token: &str| When { token: Some(token.into()), ..When::default() };
    assert_eq!(statuses(token("anna"), &[PODS]).await, [500]);
    assert_eq!(statuses(token("otto"), &[PODS]).await, [200]);
}

#[tokio::test]
async fn by_the_nth_request() {
    let when = When { verbs: vec![Verb::List], requests: Some(1..3), ..When::default() };
    assert_eq!(statuses(when, &[PODS, "/version", PODS, PODS, PODS]).await, [200, 200, 500, 500, 200]);
}

#[tokio::test]
async fn a_fault_can_be_played_on_one_resource() {
    let bed = Bed::start().await;
    bed.proxy.play_on(Fault::Forbidden, &"other/pods".parse().unwrap()).await.unwrap();
    let mut client = bed.client(Http::Two).await;
    assert_eq!(client.get(PODS, JSON).await.status, 200);
    assert_eq!(client.get("/api/v1/namespaces/other/pods", JSON).await.status, 403);
    let refusal = bed.proxy.play_on(Fault::Outage, &"pods".parse().unwrap()).await.unwrap_err();
    assert!(format!("{refusal:#}").contains("play outage: refuse concerns connections"), "{refusal:#}");
    assert_eq!(client.get("/api/v1/namespaces/other/pods", JSON).await.status, 403, "what was played is played on");
}

#[tokio::test]
async fn the_first_of_two_open_watches_is_one_request() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::Two).await;
    let mut watches = [client.watch(WATCH, JSON).await, client.watch(WATCH, JSON).await];
    let when = When { verbs: vec![Verb::Watch], requests: Some(0..1), ..When::default() };
    bed.proxy.set(vec![Rule { when, effect: Effect::ErrorEvent(Reply::Expired) }]).await.unwrap();
    let silent = [watches[0].is_silent().await, watches[1].is_silent().await];
    assert_eq!(silent.iter().filter(|silent| **silent).count(), 1, "{silent:?}");
    assert_eq!(bed.played("event Expired"), 1);
}
