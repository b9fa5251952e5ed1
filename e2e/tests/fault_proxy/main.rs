//! The fault proxy before a small API server: without a fault nothing is changed, and each fault does what its help says, with HTTP/1.1
//! and with HTTP/2. No test here passes if its fault is not played.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod answers;
mod client;
mod command;
mod connections;
mod rules;
mod server;
mod watches;

use anyhow::Context;
use clap::ValueEnum;
use client::{BOTH, Client, Http, PATIENCE};
use server::ApiServer;
use syncgate_e2e::faults::{Fault, JSON, Options, PROTOBUF, Proxy, Verb};
use syncgate_e2e::wait::eventually;

const PODS: &str = "/api/v1/namespaces/shop/pods";
const WATCH: &str = "/api/v1/namespaces/shop/pods?watch=true&resourceVersion=10";
const STREAMING: &str = "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
const PROTOBUF_WATCH: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// Waits until it is so.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let probe = async || condition().await.then_some(()).context("not yet");
    eventually(what, PATIENCE, probe).await.unwrap();
}

/// A server with a proxy before it.
struct Bed {
    server: ApiServer,
    proxy: Proxy,
}

impl Bed {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let server = ApiServer::start().await;
        let mut options = Options::new(&format!("https://{}", server.address), server.authority.pem());
        options.seed = Some(1);
        change(&mut options);
        let proxy = Proxy::start(&options).await.unwrap();
        Self { server, proxy }
    }

    async fn client(&self, http: Http) -> Client {
        Client::connect(&self.proxy, http).await.unwrap()
    }

    fn played(&self, label: &str) -> u64 {
        self.proxy.counts().faults.get(label).copied().unwrap_or_default()
    }

    /// Waits until the server serves so many watches, so that none misses what is sent next.
    async fn watches(&self, count: usize) {
        until("watches", async || self.server.watches() == count).await;
    }
}

#[tokio::test]
async fn without_a_fault_nothing_is_changed() {
    let bed = Bed::start().await;
    for http in BOTH {
        let mut client = bed.client(http).await;
        let list = client.get(PODS, JSON).await;
        let direct = Client::connect_to(bed.server.address, bed.server.authority.pem(), http).await;
        assert_eq!(list.body, direct.unwrap().get(PODS, JSON).await.body);
        assert_eq!((list.status, list.header("content-type")), (200, JSON));
        assert!(client.get(PODS, PROTOBUF).await.body.starts_with(b"k8s\0"));
        let put =
            hyper::Request::put(format!("https://proxy{PODS}/a?dryRun=All")).header("authorization", "Bearer anna");
        let answer = client.send(put.body(bytes::Bytes::from_static(b"{}").into()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let seen = bed.server.seen().pop().unwrap();
        let version = if http == Http::Two { "HTTP/2.0" } else { "HTTP/1.1" };
        assert_eq!(seen.line, format!("PUT {version} {PODS}/a?dryRun=All"), "the upstream speaks what the client does");
        assert_eq!((seen.token.as_str(), seen.body.as_ref()), ("Bearer anna", &b"{}"[..]));
        assert_eq!(seen.host, bed.server.address.to_string());
    }
    let counts = bed.proxy.counts();
    assert_eq!((counts.requests(Verb::List, "pods"), counts.requests(Verb::Update, "pods")), (4, 2));
    assert_eq!((counts.played(), counts.accepted), (0, 2));
}

#[tokio::test]
async fn watches_are_streamed_event_by_event() {
    let bed = Bed::start().await;
    for http in BOTH {
        for (accept, is_protobuf) in [(JSON, false), (PROTOBUF_WATCH, true)] {
            let mut client = bed.client(http).await;
            let mut watch = client.watch(WATCH, accept).await;
            for name in ["a", "b"] {
                bed.server.send("MODIFIED", name);
                assert_eq!(watch.bytes().await, server::event("MODIFIED", name, is_protobuf));
            }
            assert_eq!(bed.proxy.counts().open_watches, 1);
            drop((watch, client));
            bed.watches(0).await;
        }
    }
    until("no watch to be counted as open", async || bed.proxy.counts().open_watches == 0).await;
}

/// A fault without a test is a fault that nobody knows to work.
#[test]
fn every_fault_is_played_by_a_test() {
    let tests = [
        include_str!("answers.rs"),
        include_str!("connections.rs"),
        include_str!("rules.rs"),
        include_str!("watches.rs"),
        include_str!("command.rs"),
    ]
    .concat();
    let is_played = |fault: &&Fault| {
        let name = format!("Fault::{fault:?}");
        tests.match_indices(&name).any(|(at, _)| !tests[at + name.len()..].starts_with(char::is_alphanumeric))
    };
    let faults = Fault::value_variants();
    assert_eq!(faults.iter().filter(|fault| !is_played(fault)).collect::<Vec<_>>(), Vec::<&Fault>::new());
}
