//! Requests that the proxy answers itself, in both encodings, and lists that it edits.

use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Value, json};
use syncgate_e2e::faults::{Effect, Encoding, Fault, JSON, PROTOBUF, Reply, Rule, Status, When};

use crate::client::{BOTH, Http};
use crate::server::{List, Unknown, event};
use crate::{Bed, PODS, PROTOBUF_WATCH, STREAMING, WATCH};

#[derive(Clone, PartialEq, Message)]
struct ProtoCause {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, tag = "3")]
    field: String,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoDetails {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(message, repeated, tag = "4")]
    causes: Vec<ProtoCause>,
    #[prost(int32, tag = "5")]
    retry_after_seconds: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoStatus {
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(message, optional, tag = "5")]
    details: Option<ProtoDetails>,
    #[prost(int32, tag = "6")]
    code: i32,
}

/// A Status in protobuf as the JSON that says the same.
pub(crate) fn decoded(object: &[u8]) -> Value {
    let unknown = Unknown::decode(object.strip_prefix(b"k8s\0").expect("the magic")).unwrap();
    assert_eq!((unknown.type_meta.api_version.as_str(), unknown.type_meta.kind.as_str()), ("v1", "Status"));
    let status = ProtoStatus::decode(unknown.raw.as_slice()).unwrap();
    let mut value = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status.status,
        "message": status.message, "reason": status.reason, "code": status.code,
    });
    if let Some(details) = status.details {
        let filled = |fields: Value| -> Value {
            let fields = fields.as_object().unwrap().clone().into_iter();
            fields.filter(|(_, value)| *value != json!("") && *value != json!(0) && *value != json!([])).collect()
        };
        let causes = details.causes.iter();
        let causes: Value = causes
            .map(|cause| filled(json!({"reason": cause.reason, "message": cause.message, "field": cause.field})))
            .collect();
        value["details"] = filled(json!({
            "name": details.name, "group": details.group, "kind": details.kind, "causes": causes,
            "retryAfterSeconds": details.retry_after_seconds,
        }));
    }
    value
}

/// The fault answers `method path` with this code, reason and part of a message, in JSON and in protobuf, and forwards nothing; afterwards
/// and elsewhere it is forwarded.
async fn check(
    fault: Fault,
    method: &str,
    path: &str,
    code: u16,
    reason: &str,
    message: &str,
    elsewhere: &str,
) -> Value {
    let bed = Bed::start().await;
    bed.proxy.play(fault).await.unwrap();
    let mut status = Value::Null;
    for http in BOTH {
        let mut client = bed.client(http).await;
        let answer = client.call(method, path, JSON).await;
        assert_eq!((answer.status, answer.header("content-type")), (code, JSON));
        status = answer.json();
        assert_eq!((&status["reason"], &status["code"]), (&json!(reason), &json!(code)));
        assert!(status["message"].as_str().unwrap().contains(message), "{status}");
        let retry = status["details"]["retryAfterSeconds"].as_u64().map(|seconds| seconds.to_string());
        assert_eq!(answer.header("retry-after"), retry.unwrap_or_default());
        let mut client = bed.client(http).await;
        let answer = client.call(method, path, &format!("{PROTOBUF_WATCH},{JSON}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (code, PROTOBUF));
        assert_eq!(decoded(&answer.body), status);
        assert!(bed.server.seen().is_empty(), "forwarded under {fault:?}");
    }
    assert_eq!(bed.proxy.counts().played(), 4);
    let mut client = bed.client(Http::Two).await;
    if !elsewhere.is_empty() {
        client.get(elsewhere, JSON).await;
        assert_eq!(bed.server.seen().len(), 1, "{fault:?} answers what it does not concern");
    }
    bed.proxy.clear().await.unwrap();
    client.get(PODS, JSON).await;
    assert!(bed.server.seen().last().unwrap().line.ends_with(PODS));
    status
}

#[tokio::test]
async fn unauthorized() {
    check(Fault::Unauthorized, "GET", "/version", 401, "Unauthorized", "Unauthorized", "").await;
}

#[tokio::test]
async fn unauthorized_retires_the_connection_as_the_server_does() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::Two).await;
    let mut watch = client.watch(WATCH, JSON).await;
    bed.proxy.play(Fault::Unauthorized).await.unwrap();
    assert_eq!(client.get(PODS, JSON).await.status, 401);
    bed.proxy.clear().await.unwrap();
    client.answer("GET", PODS, JSON).await.expect_err("GOAWAY");
    bed.server.send("MODIFIED", "still");
    assert_eq!(watch.bytes().await, event("MODIFIED", "still", false), "what was open goes on");
    drop(watch);
    client.must_end().await;
}

#[tokio::test]
async fn forbidden() {
    let message = "pods is forbidden: User \"proxied\" cannot watch resource \"pods\" in API group \"\" in the namespace \"shop\"";
    let status = check(Fault::Forbidden, "GET", WATCH, 403, "Forbidden", message, "/version").await;
    assert_eq!(status["details"], json!({"kind": "pods"}));
}

#[tokio::test]
async fn not_found() {
    let path = format!("{PODS}/a");
    let status = check(Fault::NotFound, "GET", &path, 404, "NotFound", "pods \"a\" not found", PODS).await;
    assert_eq!(status["details"], json!({"name": "a", "kind": "pods"}));
}

#[tokio::test]
async fn conflict() {
    let path = format!("{PODS}/a");
    check(Fault::Conflict, "PUT", &path, 409, "Conflict", "the object has been modified", &path).await;
    check(Fault::Conflict, "PATCH", &path, 409, "Conflict", "the object has been modified", &path).await;
}

#[tokio::test]
async fn expired() {
    let message = "too old resource version: 10";
    check(Fault::Expired, "GET", WATCH, 410, "Expired", message, &format!("{PODS}/a")).await;
    check(Fault::Expired, "GET", &format!("{PODS}?resourceVersion=10"), 410, "Expired", message, "/version").await;
}

#[tokio::test]
async fn watch_list_off() {
    let message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
    let status = check(Fault::WatchListOff, "GET", STREAMING, 422, "Invalid", message, PODS).await;
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueForbidden");
}

#[tokio::test]
async fn storage_initializing() {
    let message = "storage is (re)initializing";
    check(Fault::StorageInitializing, "GET", PODS, 429, "TooManyRequests", message, "/version").await;
}

#[tokio::test]
async fn internal_error() {
    check(Fault::InternalError, "GET", PODS, 500, "InternalError", "Internal error occurred", "").await;
}

#[tokio::test]
async fn unavailable() {
    let status = check(Fault::Unavailable, "GET", PODS, 503, "ServiceUnavailable", "shutting down", "").await;
    assert_eq!(status["details"]["retryAfterSeconds"], 5);
}

#[tokio::test]
async fn timeout() {
    check(Fault::Timeout, "GET", PODS, 504, "Timeout", "did not complete", "").await;
}

#[tokio::test]
async fn future_version() {
    let message = "Too large resource version: 999, current: 5";
    let path = format!("{PODS}?resourceVersion=999");
    let status = check(Fault::FutureVersion, "GET", &path, 504, "Timeout", message, "/version").await;
    let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
    assert_eq!(status["details"], json!({"causes": [cause], "retryAfterSeconds": 1}));
}

#[tokio::test]
async fn plain_text_is_plain_whatever_is_accepted() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::Two).await;
    for accept in [JSON, PROTOBUF] {
        bed.proxy.play(Fault::TooManyRequests).await.unwrap();
        let answer = client.get(PODS, accept).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
        assert_eq!(answer.body, "Too many requests, please try again later.\n");
        bed.proxy.play(Fault::NoSuchApi).await.unwrap();
        let answer = client.get(PODS, accept).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "text/plain; charset=utf-8"));
        assert_eq!(answer.body, "404 page not found\n");
        assert_eq!(client.get("/version", accept).await.status, 200);
    }
}

#[tokio::test]
async fn an_answer_can_be_anything_in_any_encoding() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::One).await;
    let teapot = Status { code: 418, reason: "Teapot".into(), message: "short and stout".into(), ..Status::default() };
    let effect = Effect::Answer(Reply::Status(teapot), Some(Encoding::Protobuf));
    bed.proxy.set(vec![Rule { when: When::default(), effect }]).await.unwrap();
    let answer = client.get(PODS, JSON).await;
    assert_eq!((answer.status, answer.header("content-type")), (418, PROTOBUF));
    assert_eq!(decoded(&answer.body)["message"], "short and stout");
}

#[tokio::test]
async fn empty_lists() {
    let bed = Bed::start().await;
    bed.proxy.play(Fault::EmptyLists).await.unwrap();
    for http in BOTH {
        let mut client = bed.client(http).await;
        let answer = client.get(PODS, JSON).await;
        let empty = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "10"}, "items": []});
        assert_eq!((answer.status, answer.json()), (200, empty));
        let answer = client.get(PODS, PROTOBUF).await;
        let unknown = Unknown::decode(answer.body.strip_prefix(b"k8s\0").unwrap()).unwrap();
        assert_eq!(unknown.type_meta.kind, "PodList");
        let list = List::decode(unknown.raw.as_slice()).unwrap();
        assert_eq!((list.metadata.resource_version.as_str(), list.metadata.continue_token.as_str()), ("10", ""));
        assert_eq!(list.items.len(), 0);
        assert_eq!(client.get(&format!("{PODS}/a"), JSON).await.json(), json!({"path": format!("{PODS}/a")}));
    }
    assert_eq!(bed.played("empty list"), 4);
    bed.proxy.clear().await.unwrap();
    assert_eq!(bed.client(Http::Two).await.get(PODS, JSON).await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn slow_and_jitter() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::Two).await;
    for (fault, least) in [(Fault::Slow, 1000), (Fault::Jitter, 50)] {
        bed.proxy.play(fault).await.unwrap();
        let start = Instant::now();
        client.get(PODS, JSON).await;
        assert!(start.elapsed() >= Duration::from_millis(least), "{fault:?} took {:?}", start.elapsed());
    }
    bed.proxy.clear().await.unwrap();
    client.get(PODS, JSON).await;
    assert_eq!(bed.played("delay"), 2);
}

#[tokio::test]
async fn flaky() {
    let bed = Bed::start().await;
    bed.proxy.play(Fault::Flaky).await.unwrap();
    let mut client = bed.client(Http::Two).await;
    let mut failed = Vec::new();
    for at in 0..30 {
        match client.get(PODS, JSON).await.status {
            500 => failed.push(at),
            status => assert_eq!(status, 200),
        }
    }
    assert!((3..=20).contains(&failed.len()), "{failed:?}");
    assert_eq!(bed.played("answer InternalError"), failed.len() as u64);
}
