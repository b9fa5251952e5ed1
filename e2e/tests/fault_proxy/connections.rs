//! What is done to whole connections, and what becomes of them when an end is gone.

use std::io::ErrorKind;
use std::time::Duration;

use syncgate_e2e::faults::{Effect, Fault, JSON, Rule, When};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{BOTH, Client, Http, PATIENCE, SILENCE};
use crate::server::event;
use crate::{Bed, PODS, WATCH, until};

async fn is_refused(bed: &Bed) -> bool {
    match TcpStream::connect(bed.proxy.address()).await {
        Ok(_) => false,
        Err(reason) => reason.kind() == ErrorKind::ConnectionRefused,
    }
}

#[tokio::test]
async fn refuse() {
    let bed = Bed::start().await;
    for _ in 0..3 {
        let mut open = bed.client(Http::Two).await;
        bed.proxy.play(Fault::Refuse).await.unwrap();
        assert!(is_refused(&bed).await && is_refused(&bed).await);
        assert_eq!(open.get(PODS, JSON).await.status, 200, "open connections live");
        bed.proxy.clear().await.unwrap();
        assert_eq!(bed.client(Http::One).await.get(PODS, JSON).await.status, 200, "on the same port");
    }
    assert_eq!(bed.played("refuse"), 3);
}

#[tokio::test]
async fn reset() {
    let bed = Bed::start().await;
    let mut raw = TcpStream::connect(bed.proxy.address()).await.unwrap();
    let mut clients = Vec::new();
    for http in BOTH {
        let mut client = bed.client(http).await;
        let watch = client.watch(WATCH, JSON).await;
        clients.push((client, watch));
    }
    bed.proxy.play(Fault::Reset).await.unwrap();
    let reason = timeout(PATIENCE, raw.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(reason.kind(), ErrorKind::ConnectionReset, "a RST and no good end");
    for (client, mut watch) in clients {
        watch.next().await.expect("not the end").expect_err("a reset");
        client.must_end().await;
    }
    assert_eq!((bed.played("reset"), bed.proxy.counts().open_connections), (1, 0));
    assert_eq!(bed.client(Http::Two).await.get(PODS, JSON).await.status, 200, "new ones are welcome meanwhile");
}

#[tokio::test]
async fn outage() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::Two).await;
    let mut watch = client.watch(WATCH, JSON).await;
    bed.proxy.play(Fault::Outage).await.unwrap();
    watch.next().await.expect("not the end").expect_err("a reset");
    client.must_end().await;
    assert!(is_refused(&bed).await);
    bed.proxy.clear().await.unwrap();
    assert_eq!(bed.client(Http::Two).await.get(PODS, JSON).await.status, 200);
}

#[tokio::test]
async fn black_hole() {
    let bed = Bed::start().await;
    let mut with_watch = bed.client(Http::One).await;
    let mut watch = with_watch.watch(WATCH, JSON).await;
    let mut idle = bed.client(Http::One).await;
    idle.get(PODS, JSON).await;
    let before = bed.server.seen().len();
    bed.proxy.play(Fault::BlackHole).await.unwrap();

    bed.server.send("MODIFIED", "late");
    assert!(watch.is_silent().await);
    let mut request = Box::pin(idle.answer("GET", PODS, JSON));
    assert!(timeout(SILENCE, &mut request).await.is_err(), "no answer");
    let mut connect = Box::pin(Client::connect(&bed.proxy, Http::Two));
    assert!(timeout(SILENCE, &mut connect).await.is_err(), "accepted, but TLS is not answered");
    assert!(with_watch.ended().await.is_none(), "nothing is closed");
    assert_eq!(bed.server.seen().len(), before, "nothing is forwarded");

    bed.proxy.clear().await.unwrap();
    assert_eq!(watch.bytes().await, event("MODIFIED", "late", false), "what was open goes on");
    assert_eq!(timeout(PATIENCE, request).await.unwrap().unwrap().status, 200);
    assert_eq!(timeout(PATIENCE, connect).await.unwrap().unwrap().get(PODS, JSON).await.status, 200);
    assert_eq!(bed.played("black hole"), 1);
}

#[tokio::test]
async fn a_black_hole_answers_no_ping() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::Two).await;
    let _watch = client.watch(WATCH, JSON).await;
    assert!(client.ended().await.is_none());
    bed.proxy.play(Fault::BlackHole).await.unwrap();
    client.must_end().await;
}

#[tokio::test]
async fn a_window_is_kept_without_anybody_asking() {
    let bed = Bed::start().await;
    let mut client = bed.client(Http::One).await;
    let mut watch = client.watch(WATCH, JSON).await;
    let second = Duration::from_secs(1);
    let when = When { window: Some(second / 2..second * 3 / 2), ..When::default() };
    let rules = [Effect::BlackHole, Effect::Refuse].map(|effect| Rule { when: when.clone(), effect });
    bed.proxy.set(rules.to_vec()).await.unwrap();
    bed.server.send("MODIFIED", "before");
    assert_eq!(watch.bytes().await, event("MODIFIED", "before", false));
    until("a refused connection", async || is_refused(&bed).await).await;
    bed.server.send("MODIFIED", "within");
    assert!(watch.is_silent().await);
    assert_eq!(watch.bytes().await, event("MODIFIED", "within", false), "it opens again by itself");
    until("a connection", async || !is_refused(&bed).await).await;
    assert_eq!(bed.proxy.counts().played(), 2);
}

#[tokio::test]
async fn an_upstream_that_dies_takes_the_connection_with_it() {
    for http in BOTH {
        let Bed { server, proxy } = Bed::start().await;
        let mut client = Client::connect(&proxy, http).await.unwrap();
        let mut watch = client.watch(WATCH, JSON).await;
        drop(server);
        // The server ends its task; its streams end with it, well or not.
        while let Some(Ok(_)) = watch.next().await {}
        if http == Http::One {
            client.answer("GET", PODS, JSON).await.expect_err("nobody answers");
        }
        client.must_end().await;
        // A new connection gets as far as TLS, which the proxy itself answers, and no further.
        let mut client = Client::connect(&proxy, http).await.unwrap();
        client.answer("GET", PODS, JSON).await.expect_err("nobody answers");
        client.must_end().await;
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let bed = Bed::with(|options| options.max_connections = 2).await;
    let first = bed.client(Http::Two).await;
    let _second = bed.client(Http::Two).await;
    let mut third = Box::pin(Client::connect(&bed.proxy, Http::Two));
    assert!(timeout(SILENCE, &mut third).await.is_err(), "it waits");
    assert_eq!(bed.proxy.counts().accepted, 2);
    drop(first);
    assert_eq!(timeout(PATIENCE, third).await.unwrap().unwrap().get(PODS, JSON).await.status, 200);
}

#[tokio::test]
async fn all_ends_when_it_is_dropped() {
    let bed = Bed::start().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let Bed { server, proxy } = bed;
    for fault in [None, Some(Fault::Hang), Some(Fault::Slow), Some(Fault::BlackHole)] {
        let mut clients = Vec::new();
        for http in BOTH {
            let mut client = Client::connect(&proxy, http).await.unwrap();
            let watch = client.watch(WATCH, JSON).await;
            clients.push((client, watch));
        }
        if let Some(fault) = fault {
            proxy.play(fault).await.unwrap();
            drop(timeout(SILENCE, clients[1].0.answer("GET", PODS, JSON)).await);
            proxy.clear().await.unwrap();
        }
        drop(clients);
    }
    let mut client = Client::connect(&proxy, Http::Two).await.unwrap();
    let _watch = client.watch(WATCH, JSON).await;
    proxy.play(Fault::Hang).await.unwrap();
    let address = proxy.address();
    drop(proxy);
    client.must_end().await;
    drop(server);
    until("all tasks to end", async || tasks() < before).await;
    TcpStream::connect(address).await.expect_err("nobody listens");
}
