//! Watches that end badly, lose something, or get what nobody sent; those that are open when the fault begins, and new ones.

use prost::Message;
use serde_json::{Value, json};
use syncgate_e2e::faults::{Effect, End, Fault, JSON, Rule, Verb, When};
use tokio::time::timeout;

use crate::answers::decoded;
use crate::client::{BOTH, Client, Http, PATIENCE, SILENCE, Watch};
use crate::server::{WatchEvent, event};
use crate::{Bed, PODS, PROTOBUF_WATCH, STREAMING, WATCH};

const ENCODINGS: [(&str, bool); 2] = [(JSON, false), (PROTOBUF_WATCH, true)];

/// A bed and a watch that is open and alive.
async fn open(http: Http, accept: &str, is_protobuf: bool) -> (Bed, Client, Watch) {
    let bed = Bed::start().await;
    let mut client = bed.client(http).await;
    let mut watch = client.watch(WATCH, accept).await;
    bed.server.send("MODIFIED", "alive");
    assert_eq!(watch.bytes().await, event("MODIFIED", "alive", is_protobuf));
    (bed, client, watch)
}

#[tokio::test]
async fn cut_watches() {
    for http in BOTH {
        for (accept, is_protobuf) in ENCODINGS {
            let (bed, client, mut watch) = open(http, accept, is_protobuf).await;
            bed.proxy.play(Fault::CutWatches).await.unwrap();
            bed.server.send("MODIFIED", "long");
            let rest = watch.rest().await;
            assert_eq!(rest, event("MODIFIED", "long", is_protobuf)[..100], "a whole stream of half an event");
            drop(client);
            // A new one is cut after as many bytes; cleared, one is not.
            let mut client = bed.client(http).await;
            let mut watch = client.watch(STREAMING, accept).await;
            assert_eq!(watch.rest().await, event("ADDED", "a", is_protobuf)[..100]);
            assert_eq!(bed.played("cut"), 2);
            bed.proxy.clear().await.unwrap();
            let mut watch = client.watch(STREAMING, accept).await;
            for (kind, name) in [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", "end")] {
                assert_eq!(watch.bytes().await, event(kind, name, is_protobuf));
            }
        }
    }
}

#[tokio::test]
async fn a_cut_is_inside_an_event_wherever_it_falls() {
    for (accept, is_protobuf) in ENCODINGS {
        let whole = [event("ADDED", "a", is_protobuf), event("ADDED", "b", is_protobuf)].concat();
        let first = event("ADDED", "a", is_protobuf).len();
        for (after, expected) in [(1, 1), (first - 1, first - 1), (first, first + 1), (first + 7, first + 7)] {
            let bed = Bed::start().await;
            let when = When { verbs: vec![Verb::Watch], ..When::default() };
            let effect = Effect::Cut(after as u64, End::Eof);
            bed.proxy.set(vec![Rule { when, effect }]).await.unwrap();
            let mut watch = bed.client(Http::Two).await.watch(STREAMING, accept).await;
            assert_eq!(watch.rest().await, whole[..expected], "after {after}");
        }
    }
}

#[tokio::test]
async fn end_watches() {
    for http in BOTH {
        let (bed, mut client, mut watch) = open(http, JSON, false).await;
        bed.proxy.play(Fault::EndWatches).await.unwrap();
        assert_eq!(watch.rest().await, "");
        assert_eq!(bed.played("cut"), 1);
        assert_eq!(client.get(PODS, JSON).await.status, 200, "the connection lives");
    }
}

#[tokio::test]
async fn reset_watches() {
    for http in BOTH {
        let (bed, mut client, mut watch) = open(http, JSON, false).await;
        bed.proxy.play(Fault::ResetWatches).await.unwrap();
        watch.next().await.expect("not the end").expect_err("a reset");
        assert_eq!(bed.played("reset of a watch"), 1);
        bed.proxy.clear().await.unwrap();
        if http == Http::Two {
            assert_eq!(client.get(PODS, JSON).await.status, 200, "the connection lives");
        }
    }
}

/// The only thing that comes is an ERROR event with this Status; then the watch ends.
async fn ends_with_error(watch: &mut Watch, is_protobuf: bool) -> Value {
    let rest = watch.rest().await;
    if is_protobuf {
        let (length, frame) = rest.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, frame.len());
        let event = WatchEvent::decode(frame).unwrap();
        assert_eq!(event.kind, "ERROR");
        return decoded(&event.object.raw);
    }
    assert_eq!(rest.iter().position(|byte| *byte == b'\n'), Some(rest.len() - 1));
    let event: Value = serde_json::from_slice(&rest).unwrap();
    assert_eq!(event["type"], "ERROR");
    event["object"].clone()
}

async fn check_error_event(fault: Fault, code: u16, message: &str) {
    for http in BOTH {
        for (accept, is_protobuf) in ENCODINGS {
            let (bed, client, mut watch) = open(http, accept, is_protobuf).await;
            bed.proxy.play(fault).await.unwrap();
            let open = ends_with_error(&mut watch, is_protobuf).await;
            drop(client);
            let mut client = bed.client(http).await;
            let new = ends_with_error(&mut client.watch(WATCH, accept).await, is_protobuf).await;
            assert_eq!(open, new);
            assert_eq!(open["code"], code);
            assert!(open["message"].as_str().unwrap().contains(message), "{open}");
            assert_eq!(bed.proxy.counts().played(), 2);
        }
    }
}

#[tokio::test]
async fn expired_event() {
    check_error_event(Fault::ExpiredEvent, 410, "too old resource version: 10").await;
}

#[tokio::test]
async fn future_version_event() {
    check_error_event(Fault::FutureVersionEvent, 504, "Too large resource version: 10, current: 5").await;
}

#[tokio::test]
async fn no_bookmarks() {
    for (accept, is_protobuf) in ENCODINGS {
        let (bed, mut client, mut watch) = open(Http::Two, accept, is_protobuf).await;
        bed.proxy.play(Fault::NoBookmarks).await.unwrap();
        bed.server.send("BOOKMARK", "now");
        bed.server.send("MODIFIED", "c");
        assert_eq!(watch.bytes().await, event("MODIFIED", "c", is_protobuf));
        let mut new = client.watch(STREAMING, accept).await;
        for name in ["a", "b"] {
            assert_eq!(new.bytes().await, event("ADDED", name, is_protobuf));
        }
        assert!(new.is_silent().await, "the initial list has no end");
        assert_eq!(bed.played("bookmark dropped"), 2);
        bed.proxy.clear().await.unwrap();
        bed.server.send("BOOKMARK", "later");
        assert_eq!(watch.bytes().await, event("BOOKMARK", "later", is_protobuf));
    }
}

#[tokio::test]
async fn empty_lists_by_send_initial_events() {
    for (accept, is_protobuf) in ENCODINGS {
        let (bed, mut client, mut open) = open(Http::Two, accept, is_protobuf).await;
        bed.proxy.play(Fault::EmptyLists).await.unwrap();
        let mut new = client.watch(STREAMING, accept).await;
        assert_eq!(new.bytes().await, event("BOOKMARK", "end", is_protobuf));
        bed.watches(2).await;
        bed.server.send("ADDED", "c");
        for watch in [&mut new, &mut open] {
            assert_eq!(watch.bytes().await, event("ADDED", "c", is_protobuf), "changes are told");
        }
    }
}

#[tokio::test]
async fn hang() {
    for http in BOTH {
        let (bed, mut client, mut watch) = open(http, JSON, false).await;
        let mut other = bed.client(http).await;
        bed.proxy.play(Fault::Hang).await.unwrap();
        bed.server.send("MODIFIED", "late");
        assert!(watch.is_silent().await);
        let mut request = Box::pin(other.answer("GET", PODS, JSON));
        assert!(timeout(SILENCE, &mut request).await.is_err(), "no answer");
        assert!(client.ended().await.is_none(), "pings are answered, the connection lives");
        assert_eq!(bed.played("silence"), 2);
        bed.proxy.clear().await.unwrap();
        assert_eq!(watch.bytes().await, event("MODIFIED", "late", false), "nothing is lost");
        assert_eq!(timeout(PATIENCE, request).await.unwrap().unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_watch_that_the_server_refuses_is_left_alone() {
    let bed = Bed::start().await;
    bed.proxy.play(Fault::ExpiredEvent).await.unwrap();
    let answer = bed.client(Http::Two).await.get("/api/v1/namespaces/denied/pods?watch=true", JSON).await;
    assert_eq!((answer.status, answer.json()), (403, json!({"code": 403})));
    assert_eq!((bed.proxy.counts().played(), bed.proxy.counts().open_watches), (0, 0));
}
