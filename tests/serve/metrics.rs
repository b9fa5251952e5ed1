//! The metrics after a client has connected, taken its configuration, seen a change and refused one.

use crate::{
    ads::{CDS, Stream},
    manifests::{BROKEN, GATEWAY, app, folder, write},
    process::{Syncgate, eventually},
};

/// Series that must be there and above zero; a prefix of the line, up to its value.
const RISEN: &[&str] = &[
    // Sync state and duration of each source and collection.
    "syncgate_readiness_part_state{layer=\"source\",part=\"files\",state=\"ready\"}",
    "syncgate_readiness_part_state{layer=\"collection\",part=\"resources\",state=\"ready\"}",
    "syncgate_source_sync_seconds{source=\"files\"}",
    "syncgate_collection_sync_seconds{collection=\"resources\"}",
    "syncgate_collection_complete{collection=\"resources\"}",
    "syncgate_collection_rows{collection=\"resources\"}",
    "syncgate_collection_recomputed_total{collection=\"resources\"}",
    "syncgate_files",
    "syncgate_files_broken",
    "syncgate_files_reloads_total",
    "syncgate_files_reload_seconds_count",
    // Epoch duration and size.
    "syncgate_epochs_total",
    "syncgate_epoch_seconds_sum",
    "syncgate_epoch_rows_sum",
    // Longest hold at the door.
    "syncgate_door_longest_hold_seconds",
    "syncgate_door_hold_seconds_count{outcome=\"expired\"}",
    // Age of the published snapshot.
    "syncgate_snapshot_age_seconds",
    "syncgate_publications_total",
    "syncgate_gateways",
    "syncgate_gateways_changed_total",
    // Streams, pushes, bytes, ACK and NACK by type.
    "syncgate_streams{variant=\"delta\"}",
    "syncgate_pushes_total{type=\"CDS\"}",
    "syncgate_pushed_bytes_total{type=\"CDS\"}",
    "syncgate_pushed_resources_total{type=\"CDS\"}",
    "syncgate_acks_total{type=\"CDS\"}",
    "syncgate_ack_seconds_count{type=\"CDS\"}",
    "syncgate_nacks_total{type=\"CDS\"}",
    // From stream open to first ACK, from an event's arrival to its response written.
    "syncgate_stream_first_ack_seconds_sum",
    "syncgate_propagation_seconds_sum{type=\"CDS\"}",
    // Readiness transitions.
    "syncgate_readiness{state=\"ready\"}",
    "syncgate_readiness_transitions_total{to=\"ready\"}",
    "syncgate_problems{kind=\"HTTPRoute\"}",
    "process_start_time_seconds",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_there_with_help_and_has_risen() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &app("shop"))]);
    let syncgate = Syncgate::start_ready(dir.path(), &[]);
    let mut stream = Stream::open(syncgate.address("ads"), CDS).await.expect("served");
    let first = stream.next().await.expect("served");
    stream.ack(&first).await;
    write(dir.path(), "cart.yaml", &app("cart"));
    let change = stream.next().await.expect("served");
    stream.nack(&change, "not today").await;
    let refused = eventually("the refusal is shown", || {
        let page = syncgate.debug("/debug/clients");
        page["clients"][0]["types"]["CDS"]["refused"]["message"].as_str().map(str::to_owned)
    });
    assert_eq!(refused, "not today");
    // A route to nowhere: held at the door, then let in with a problem. And a file that breaks later.
    write(dir.path(), "lost.yaml", &app("lost").replace("{name: lost, port: 80}", "{name: nowhere, port: 80}"));
    write(dir.path(), "broken.yaml", BROKEN);

    let page = eventually("the problem is counted", || {
        let page = syncgate.health("/metrics").body;
        value(&page, "syncgate_problems{kind=\"HTTPRoute\"}").filter(|count| *count > 0.0).map(|_| page)
    });
    for series in RISEN {
        let value = value(&page, series).unwrap_or_else(|| panic!("no series {series} in:\n{page}"));
        assert!(value > 0.0, "{series} is {value}");
    }
    assert_eq!(value(&page, "syncgate_problems{kind=\"HTTPRoute\"}"), Some(1.0), "each problem counts once");
    assert_eq!(value(&page, "syncgate_problems{kind=\"Gateway\"}"), Some(0.0));
    every_series_has_help(&page);

    std::fs::remove_file(dir.path().join("lost.yaml")).expect("written before");
    eventually("the problem is gone", || {
        (value(&syncgate.health("/metrics").body, "syncgate_problems{kind=\"HTTPRoute\"}") == Some(0.0)).then_some(())
    });
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn every_series_has_help(page: &str) {
    let described: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(described.len() > 30, "{page}");
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let of = |suffix: &str| name.strip_suffix(suffix).is_some_and(|base| described.contains(&base));
        let has_help = described.contains(&name) || ["_bucket", "_sum", "_count"].into_iter().any(of);
        assert!(has_help, "no help for {name}");
    }
}
