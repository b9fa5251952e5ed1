//! What opens the gate, what keeps it shut, and what does not close it again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

/// A gate, and the words of every change that its observer was told of.
fn observed() -> (Readiness, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let readiness = Readiness::new(move |change| {
        log.lock().unwrap().push(match change {
            Change::Part { part, .. } => format!("{} {}", part.name, part.state),
            Change::Ended { part } => format!("{} ended", part.name),
            Change::Gate { gate, .. } => format!("gate {gate}"),
        });
    });
    (readiness, told)
}

fn gate() -> Readiness {
    Readiness::new(|_| ())
}

/// The names of what is missing, with their reasons.
fn missing(readiness: &Readiness) -> Vec<String> {
    readiness.missing().iter().map(|part| format!("{}: {}", part.name, part.reason)).collect()
}

/// A gate with one source and one listener, open.
fn open() -> (Readiness, Part, Part) {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    let listener = readiness.register(Layer::Listener, "xds");
    readiness.seal();
    source.ready();
    listener.ready();
    assert!(readiness.is_ready());
    (readiness, source, listener)
}

#[test]
fn each_layer_keeps_the_gate_shut_and_is_named() {
    for layer in [Layer::Process, Layer::Source, Layer::Collection, Layer::Publication, Layer::Listener] {
        let readiness = gate();
        let source = readiness.register(Layer::Source, "Gateway");
        let slow = readiness.register(layer, "slow one");
        readiness.seal();
        source.ready();
        slow.waiting("it takes its time");
        assert!(!readiness.is_ready(), "{layer}");
        assert_eq!(missing(&readiness), ["slow one: it takes its time"], "{layer}");
        slow.ready();
        assert!(readiness.is_ready(), "{layer}");
        assert!(missing(&readiness).is_empty(), "{layer}");
    }
}

#[test]
fn an_unsealed_list_is_not_ready() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    source.ready();
    assert!(!readiness.is_ready());
    assert_eq!(missing(&readiness), ["start: not every part is registered yet"]);
    readiness.seal();
    assert!(readiness.is_ready());
}

#[test]
fn zero_sources_is_an_error_and_not_synced() {
    let readiness = gate();
    let listener = readiness.register(Layer::Listener, "xds");
    readiness.seal();
    listener.ready();
    assert!(!readiness.is_ready());
    let missing = readiness.missing();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].layer, missing[0].state), (Layer::Source, State::Failed));
    assert!(missing[0].reason.contains("no source is registered"), "{}", missing[0]);
}

#[test]
fn a_part_that_ends_before_it_was_ready_keeps_the_gate_shut() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    let lost = readiness.register(Layer::Collection, "listeners");
    readiness.seal();
    source.ready();
    lost.waiting("input Secret is not whole");
    drop(lost);
    assert!(!readiness.is_ready());
    assert_eq!(missing(&readiness), ["listeners: ended before it was ready; last: input Secret is not whole"]);
}

#[test]
fn a_part_that_failed_and_ended_is_not_forgotten() {
    let (readiness, _source, listener) = open();
    listener.failed("address in use");
    drop(listener);
    assert!(!readiness.is_ready());
    assert_eq!(missing(&readiness), ["xds: ended; last: address in use"]);
}

#[test]
fn a_part_that_was_ready_may_leave() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    let demand = readiness.register(Layer::Source, "demand");
    readiness.seal();
    demand.ready();
    drop(demand);
    assert!(!readiness.is_ready());
    source.ready();
    assert!(readiness.is_ready());
    assert_eq!(readiness.report().parts.len(), 1);
}

#[test]
fn an_outage_after_ready_shows_and_does_not_close_the_gate() {
    let (readiness, source, _listener) = open();
    source.stale("the folder cannot be read");
    assert!(readiness.is_ready());
    source.failed("the folder is gone");
    assert!(readiness.is_ready());
    let report = readiness.report();
    let part = report.parts.iter().find(|part| part.layer == Layer::Source).unwrap();
    assert_eq!((part.state, part.reason.as_str(), part.missing), (State::Failed, "the folder is gone", false));
}

#[test]
fn a_failure_of_our_own_closes_it_and_recovery_opens_it_again() {
    let (readiness, _source, listener) = open();
    listener.failed("address in use");
    assert!(!readiness.is_ready());
    assert!(readiness.started());
    assert_eq!(readiness.report().gate, Gate::Failed);
    listener.ready();
    assert!(readiness.is_ready());
}

#[test]
fn a_part_that_was_stale_before_it_was_ever_ready_counts_as_waiting() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    readiness.seal();
    source.stale("lost before it began");
    assert!(!readiness.is_ready());
    source.ready();
    source.stale("lost");
    assert!(readiness.is_ready());
}

#[test]
fn a_part_that_registers_after_the_start_does_not_close_an_open_gate() {
    let (readiness, _source, _listener) = open();
    let late = readiness.register(Layer::Source, "late");
    assert!(readiness.is_ready());
    late.waiting("listing");
    assert!(readiness.is_ready());
    assert!(readiness.missing().is_empty());
}

#[test]
fn a_part_that_registers_after_sealing_counts_while_the_gate_was_never_open() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    readiness.seal();
    let late = readiness.register(Layer::Collection, "late");
    source.ready();
    assert_eq!(missing(&readiness), ["late: not started"]);
    late.ready();
    assert!(readiness.is_ready());
}

#[test]
fn shutdown_is_final() {
    let (readiness, source, _listener) = open();
    readiness.begin_shutdown();
    assert!(!readiness.is_ready());
    assert!(readiness.started());
    source.ready();
    assert_eq!(readiness.report().gate, Gate::ShuttingDown);
    assert_eq!(missing(&readiness), ["process: the process is shutting down"]);
}

#[test]
fn every_flip_is_told_once_and_in_order() {
    let (readiness, told) = observed();
    let source = readiness.register(Layer::Source, "Gateway");
    let listener = readiness.register(Layer::Listener, "xds");
    readiness.seal();
    source.waiting("reading");
    source.waiting("reading more");
    source.ready();
    source.ready();
    listener.ready();
    listener.failed("closed");
    listener.ready();
    drop(source);
    readiness.begin_shutdown();
    readiness.begin_shutdown();
    let expected = [
        "Gateway waiting",
        "xds waiting",
        "Gateway ready",
        "xds ready",
        "gate ready",
        "xds failed",
        "gate failed",
        "xds ready",
        "gate ready",
        "Gateway ended",
        "gate shutting down",
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn since_is_the_time_of_the_state_and_not_of_its_reason() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    readiness.seal();
    let since = |readiness: &Readiness| readiness.missing()[0].since;
    let before = since(&readiness);
    source.waiting("a new reason");
    assert_eq!(since(&readiness), before);
    source.failed("unreadable");
    assert!(since(&readiness) >= before);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_last_part_is_ready() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    readiness.seal();
    let waiter = tokio::spawn({
        let readiness = readiness.clone();
        async move { readiness.wait_ready(std::future::pending()).await }
    });
    tokio::task::yield_now().await;
    source.ready();
    assert_eq!(waiter.await.unwrap(), Ok(()));
    assert_eq!(*readiness.subscribe().borrow(), Gate::Ready);
}

#[tokio::test(start_paused = true)]
async fn waiting_can_be_cancelled_and_names_what_was_missing() {
    let readiness = gate();
    let source = readiness.register(Layer::Source, "Gateway");
    readiness.seal();
    source.waiting("the folder is empty");
    let result = readiness.wait_ready(tokio::time::sleep(Duration::from_secs(3))).await;
    let missing = "source \"Gateway\": waiting: the folder is empty".to_owned();
    assert_eq!(result, Err(Cancelled { missing }));
    assert!(!readiness.is_ready());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_waiting_with_an_error() {
    let readiness = gate();
    let _source = readiness.register(Layer::Source, "Gateway");
    readiness.seal();
    readiness.begin_shutdown();
    assert!(readiness.wait_ready(std::future::pending()).await.is_err());
}
