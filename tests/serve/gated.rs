//! Nothing is served from a world that is not whole (invariant `gated`).

use std::time::{Duration, Instant};

use tonic::Code;

use crate::{
    ads::{CDS, LDS, first_answer, names, serving},
    manifests::{BROKEN, GATEWAY, app, cluster, folder, write},
    process::{Syncgate, eventually},
};

/// How long a stream is held before it is told what is missing, and some time for a busy machine.
const HELD_AT_MOST: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn gated_a_broken_file_keeps_everything_shut_until_it_is_mended() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop")), ("cart.yaml", BROKEN)]);
    let syncgate = Syncgate::start(dir.path(), &[]);
    let ads = syncgate.address("ads");
    let page = eventually("the broken file is named", || {
        Some(syncgate.health("/readyz")).filter(|page| page.body.contains("cart.yaml"))
    });
    assert_eq!(page.status, 503);
    assert!(page.body.contains("cart.yaml:2:18: error: "), "file, line and column: {}", page.body);
    assert!(page.body.contains("--on-broken-file=skip"), "what to do: {}", page.body);
    assert_eq!(syncgate.health("/startupz").status, 503);
    assert_eq!(syncgate.health("/livez").status, 200);
    assert!(!serving(ads, "").await);

    let opened = Instant::now();
    let refused = first_answer(ads, CDS).await.expect_err("nothing is served");
    assert!(opened.elapsed() < HELD_AT_MOST);
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("cart.yaml:2:18"), "{}", refused.message());
    let (code, said) = syncgate.ask(&["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("NOT READY") && said.contains("cart.yaml"), "{said}");

    write(dir.path(), "cart.yaml", &app("cart"));
    syncgate.wait_ready();
    assert_eq!(syncgate.health("/startupz").status, 200);
    let clusters = first_answer(ads, CDS).await.expect("served");
    assert_eq!(names(&clusters), [cluster("cart"), cluster("shop")], "the first push is whole");
    assert_eq!(names(&first_answer(ads, LDS).await.expect("served")), ["demo/web/8080"]);
    assert!(serving(ads, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn gated_a_stream_that_came_too_early_is_served_once_the_world_is_whole() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", BROKEN)]);
    let syncgate = Syncgate::start(dir.path(), &[]);
    let ads = syncgate.address("ads");
    let early = tokio::spawn(first_answer(ads, CDS));
    write(dir.path(), "shop.yaml", &app("shop"));
    // Either within the hold, or told to come again: never a part of the world.
    let clusters = match early.await.expect("no panic") {
        Ok(clusters) => clusters,
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            syncgate.wait_ready();
            first_answer(ads, CDS).await.expect("served")
        }
    };
    assert_eq!(names(&clusters), [cluster("shop")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_may_be_skipped() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop")), ("cart.yaml", BROKEN)]);
    let syncgate = Syncgate::start_ready(dir.path(), &["--on-broken-file=skip"]);
    let clusters = first_answer(syncgate.address("ads"), CDS).await.expect("served");
    assert_eq!(names(&clusters), [cluster("shop")]);
    let found = syncgate.debug("/debug/files");
    assert_eq!(found["broken"], 1, "reported all the same: {found}");
}

#[test]
fn gated_a_folder_that_is_not_there_is_never_ready_and_says_why() {
    let dir = folder(&[]);
    let inner = dir.path().join("manifests");
    let syncgate = Syncgate::start(&inner, &[]);
    let page = eventually("the reason is said", || {
        Some(syncgate.health("/readyz?verbose")).filter(|page| page.body.contains("does not exist"))
    });
    assert_eq!(page.status, 503);
    assert!(page.body.contains("[-] source files: failed for"), "{}", page.body);
    assert!(page.body.contains("[-] publication snapshot: waiting"), "{}", page.body);
    assert!(page.body.contains("[+] listener ads"), "{}", page.body);
    let started = syncgate.health("/startupz?verbose");
    assert_eq!((started.status, started.body.contains("[-] source files")), (503, true), "{}", started.body);

    std::fs::create_dir(&inner).expect("a new folder");
    write(&inner, "gateway.yaml", GATEWAY);
    syncgate.wait_ready();
    let page = syncgate.health("/readyz?verbose");
    assert!(page.body.contains("[+] source files: ready"), "{}", page.body);
    assert!(syncgate.ask(&["status"]).1.contains("demo/web"));
}

#[test]
fn gated_a_file_in_place_of_the_folder_is_never_ready() {
    let dir = folder(&[("manifests", GATEWAY)]);
    let syncgate = Syncgate::start(&dir.path().join("manifests"), &[]);
    let page = eventually("the reason is said", || {
        Some(syncgate.health("/readyz")).filter(|page| page.body.contains("is not a folder"))
    });
    assert_eq!(page.status, 503);
}

/// A folder without objects was read whole: it is a source, and it has delivered everything it has. (No source at all
/// is an error before anything starts.)
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_is_ready_with_nothing_and_guesses_nothing() {
    let dir = folder(&[]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let (code, said) = syncgate.ask(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no Gateway is served"), "{said}");
    let refused = first_answer(syncgate.address("ads"), CDS).await.expect_err("never an empty set");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("there is no Gateway demo/web"), "{}", refused.message());

    write(dir.path(), "all.yaml", &format!("{GATEWAY}---{}", app("shop")));
    eventually("the Gateway is served", || syncgate.ask(&["status"]).1.contains("demo/web").then_some(()));
    assert_eq!(names(&first_answer(syncgate.address("ads"), CDS).await.expect("served")), [cluster("shop")]);
}
