//! The end: announced, then gentle, then bounded (F62).

use std::time::{Duration, Instant};

use tonic::Code;

use crate::{
    ads::{CDS, Stream, names, serving},
    manifests::{BROKEN, GATEWAY, app, cluster, folder, write},
    process::{Syncgate, eventually},
};

/// What the whole end may take beyond the lame-duck and drain times.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_is_announced_served_through_and_bounded() {
    let (lame_duck, drain) = (Duration::from_secs(3), Duration::from_millis(500));
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop"))]);
    let mut syncgate = Syncgate::start_ready(dir.path(), &["--lame-duck", "3s", "--drain", "500ms"]);
    let ads = syncgate.address("ads");
    let mut stream = Stream::open(ads, CDS).await.expect("served");
    let first = stream.next().await.expect("served");
    stream.ack(&first).await;
    assert!(serving(ads, "envoy.service.discovery.v3.AggregatedDiscoveryService").await);

    let told = Instant::now();
    syncgate.signal("TERM");
    let page = eventually("not ready", || Some(syncgate.health("/readyz")).filter(|page| page.status == 503));
    assert!(told.elapsed() < lame_duck, "at once, not after the lame-duck time");
    assert!(page.body.starts_with("shutting down"), "{}", page.body);
    assert_eq!(syncgate.health("/livez").status, 200);
    assert!(!serving(ads, "").await, "gRPC health says so too");
    assert!(!serving(ads, "envoy.service.discovery.v3.AggregatedDiscoveryService").await);

    write(dir.path(), "cart.yaml", &app("cart"));
    let change = stream.next().await.expect("still served");
    assert_eq!(names(&change), [cluster("cart")]);
    assert!(told.elapsed() < lame_duck + drain, "the change came while the end was announced");
    stream.ack(&change).await;

    let ended = loop {
        match stream.next().await {
            Ok(response) => stream.ack(&response).await,
            Err(status) => break status,
        }
    };
    assert!(told.elapsed() >= lame_duck, "streams last through the lame-duck time");
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    assert!(ended.message().contains("shutting down"), "{ended}");
    assert_eq!(syncgate.wait().code(), Some(0));
    assert!(told.elapsed() < lame_duck + drain + SLACK, "took {:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let dir = folder(&[("gateway.yaml", GATEWAY)]);
    for second in ["TERM", "INT"] {
        let mut syncgate = Syncgate::start_ready(dir.path(), &["--lame-duck", "10m", "--drain", "10m"]);
        let mut stream = Stream::open(syncgate.address("ads"), CDS).await.expect("served");
        let _ = stream.next().await.expect("served");
        syncgate.signal("TERM");
        eventually("not ready", || (syncgate.health("/readyz").status == 503).then_some(()));
        let told = Instant::now();
        syncgate.signal(second);
        assert_eq!(syncgate.wait().code(), Some(0));
        assert!(told.elapsed() < SLACK, "took {:?}", told.elapsed());
    }
}

#[test]
fn a_process_that_never_became_ready_ends_too() {
    let dir = folder(&[("gateway.yaml", BROKEN)]);
    let mut syncgate = Syncgate::start(dir.path(), &["--lame-duck", "0s", "--drain", "0s"]);
    let told = Instant::now();
    syncgate.signal("INT");
    assert_eq!(syncgate.wait().code(), Some(0));
    assert!(told.elapsed() < SLACK, "took {:?}", told.elapsed());
}
