//! Every metric reaches the page with its help text, and nothing else does.

use std::collections::HashSet;
use std::time::Duration;

use ::metrics::with_local_recorder;

use super::catalogue::{CATALOGUE, Kind, describe};
use super::*;
use ::metrics::Unit;

/// Calls every function of the module once.
fn record_everything() {
    gauge!(catalogue::BUILD_INFO, "version" => "1").set(1.0);
    gauge!(catalogue::SNAPSHOT_AGE_SECONDS).set(1.0);
    gauge!(catalogue::PROCESS_TASKS).set(1.0);
    let second = Duration::from_secs(1);
    source_synced("Gateway", second);
    sources("Gateway", "synced", 1);
    source_staleness("Gateway", second);
    source_rows("Gateway", 1);
    source_list("Gateway");
    source_fault("Gateway", "forbidden");
    source_doubt("Gateway");
    source_unreadable("Gateway");
    namespaces("active", 1);
    api_reachable(true);
    api_outage(second);
    api_connections(1);
    api_warning();
    api_credentials_read();
    files_reloaded(3, 1, second);
    problems("HTTPRoute", 2);
    mailbox(1);
    door_held(2);
    door_released("expired", second, second);
    door_overflow();
    demands([1, 2, 3]);
    epoch(second, 12);
    collection("pods", NodeCounts { rows: 7, recomputed: 9, noops: 2, faults: 1, scans: 0, complete: true });
    collection_synced("pods", second);
    published(2, 1);
    stream_opened("delta");
    stream_opened("delta");
    stream_closed("delta");
    stream_unserved("unknown_gateway");
    stream_cut("too_large");
    drop(connection());
    connection_refused("handshake");
    tls_reload("used");
    tls_expiry(1);
    token("accepted");
    token_review("accepted");
    token_keys_read("read");
    token_keys(2);
    requests_delayed();
    pushed("CDS", 100, 3);
    ack("CDS", second);
    nack("EDS");
    first_ack(second);
    propagated("EDS", second);
    propagation_stage("graph", second);
    gate("ready", &["starting", "ready"]);
    gate_transition("ready");
    part("source", "Gateway", Some("ready"), &["waiting", "ready"]);
}

fn page() -> String {
    let recorder = exporter::recorder().expect("the catalogue's buckets are not empty");
    let handle = recorder.handle();
    with_local_recorder(&recorder, || {
        describe();
        record_everything();
    });
    handle.render()
}

#[test]
fn every_metric_has_help_and_a_call_that_records_it() {
    let page = page();
    for metric in CATALOGUE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert!(page.contains(&format!("# HELP {} {}", metric.name, metric.help)), "no help: {}", metric.name);
        assert!(page.contains(&format!("# TYPE {} {kind}\n", metric.name)), "not recorded as {kind}: {}", metric.name);
    }
    let known: HashSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(known.contains(name), "recorded but not in the catalogue: {name}");
    }
    assert_eq!(known.len(), CATALOGUE.len(), "a name is there twice");
}

#[test]
fn names_follow_the_conventions() {
    for metric in CATALOGUE {
        let name = metric.name;
        assert!(name.starts_with("syncgate_"), "{name}");
        assert_eq!(name.ends_with("_total"), matches!(metric.kind, Kind::Counter), "{name}");
        let unit = match metric.unit {
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
            _ => "",
        };
        assert!(name.trim_end_matches("_total").ends_with(unit), "{name} does not end with its unit");
        assert!(metric.help.ends_with('.'), "{name}");
    }
}

#[test]
fn labels_are_few_and_never_name_a_client_or_an_object() {
    let allowed = [
        "source",
        "part",
        "state",
        "kind",
        "outcome",
        "collection",
        "reason",
        "stage",
        "class",
        "variant",
        "type",
        "to",
        "layer",
        "version",
        "le",
    ];
    for line in page().lines().filter(|line| !line.starts_with('#')) {
        let Some((_, rest)) = line.split_once('{') else { continue };
        for label in rest.split(',').filter_map(|pair| pair.split_once("=\"")) {
            assert!(allowed.contains(&label.0), "label {} in {line}", label.0);
        }
    }
}

#[test]
fn a_state_is_one_series_of_one_and_the_rest_zero() {
    let page = page();
    assert!(
        page.contains("syncgate_readiness_part_state{layer=\"source\",part=\"Gateway\",state=\"ready\"} 1\n"),
        "{page}"
    );
    assert!(
        page.contains("syncgate_readiness_part_state{layer=\"source\",part=\"Gateway\",state=\"waiting\"} 0\n"),
        "{page}"
    );
    assert!(page.contains("syncgate_streams{variant=\"delta\"} 1\n"), "{page}");
    assert!(page.contains("syncgate_nacks_total{type=\"EDS\"} 1\n"), "{page}");
}

#[test]
fn the_installed_exporter_adds_the_process_and_the_snapshots_age() {
    let exporter = Exporter::install().expect("the first in this process");
    published(1, 1);
    let page = Exporter::install().expect("the same one again").render();
    assert!(page.contains("syncgate_build_info{version="), "{page}");
    assert!(page.contains("syncgate_streams{variant=\"sotw\"} 0\n"), "{page}");
    assert!(page.contains("syncgate_snapshot_age_seconds "), "{page}");
    assert!(page.contains("process_resident_memory_bytes "), "{page}");
    assert!(page.contains("process_start_time_seconds "), "{page}");
    assert!(exporter.render().contains("syncgate_publications_total"));
}
