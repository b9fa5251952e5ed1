//! Every metric of the product: name, description, unit, buckets, and the one-line function that records it.
//!
//! Invariants: a name is written in this module and nowhere else; labels have few, fixed values, so no node id and no
//! object name is ever a label (they would grow without bound and leak tenants' names to whoever may scrape).
//!
//! Architecture invariant: imports nothing of ours; callers pass plain words and numbers.

mod catalogue;
mod exporter;
mod process;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ::metrics::{Gauge, counter, gauge, histogram};

pub use exporter::{Exporter, InstallError};

use catalogue as name;

// ---- sources and files

/// A source delivered its initial list, this long after it began (F41).
pub fn source_synced(source: &str, after: Duration) {
    gauge!(name::SOURCE_SYNC_SECONDS, "source" => source.to_owned()).set(after);
}

/// The folder was read again; `broken` files keep what they last said.
pub fn files_reloaded(files: usize, broken: usize, took: Duration) {
    counter!(name::FILES_RELOADS).increment(1);
    gauge!(name::FILES).set(files as f64);
    gauge!(name::FILES_BROKEN).set(broken as f64);
    histogram!(name::FILES_RELOAD_SECONDS).record(took);
}

/// How many problems objects of this kind have at present.
pub fn problems(kind: &'static str, count: usize) {
    gauge!(name::PROBLEMS, "kind" => kind).set(count as f64);
}

// ---- the API server and its sources. `kind` is a kind that syncgate reads

/// How many sources of this kind are in this state (F23, F40).
pub fn sources(kind: &'static str, state: &'static str, count: usize) {
    gauge!(name::SOURCES, "kind" => kind, "state" => state).set(count as f64);
}

/// How long the source of this kind that lost touch first has been without it; zero when none has (F23).
pub fn source_staleness(kind: &'static str, age: Duration) {
    gauge!(name::SOURCE_STALENESS_SECONDS, "kind" => kind).set(age);
}

/// How many objects of this kind are held.
pub fn source_rows(kind: &'static str, rows: usize) {
    gauge!(name::SOURCE_ROWS, "kind" => kind).set(rows as f64);
}

/// A list of this kind was begun.
pub fn source_list(kind: &'static str) {
    counter!(name::SOURCE_LISTS, "kind" => kind).increment(1);
}

/// Something went wrong with a source of this kind; `class` is one of a fixed few.
pub fn source_fault(kind: &'static str, class: &'static str) {
    counter!(name::SOURCE_FAULTS, "kind" => kind, "class" => class).increment(1);
}

/// A list was not believed at once.
pub fn source_doubt(kind: &'static str) {
    counter!(name::SOURCE_DOUBTS, "kind" => kind).increment(1);
}

/// An object could not be read.
pub fn source_unreadable(kind: &'static str) {
    counter!(name::SOURCE_UNREADABLE, "kind" => kind).increment(1);
}

/// How many watched namespaces are in this state, in namespaced scope.
pub fn namespaces(state: &'static str, count: usize) {
    gauge!(name::NAMESPACES, "state" => state).set(count as f64);
}

/// Whether the API server can be reached. Not part of readiness, nor of liveness (F67).
pub fn api_reachable(reachable: bool) {
    gauge!(name::API_REACHABLE).set(f64::from(u8::from(reachable)));
}

/// The API server was away for this long.
pub fn api_outage(took: Duration) {
    histogram!(name::API_OUTAGE_SECONDS).record(took);
}

/// Open connections to the API server.
pub fn api_connections(open: usize) {
    gauge!(name::API_CONNECTIONS).set(open as f64);
}

/// A `Warning` header of the API server (F33).
pub fn api_warning() {
    counter!(name::API_WARNINGS).increment(1);
}

/// The credentials were read again.
pub fn api_credentials_read() {
    counter!(name::API_CREDENTIALS_READ).increment(1);
}

// ---- the door

/// How many distinct objects wait in the mailbox for the next epoch.
pub fn mailbox(objects: usize) {
    gauge!(name::DOOR_MAILBOX).set(objects as f64);
}

/// How many objects are held at the door.
pub fn door_held(objects: usize) {
    gauge!(name::DOOR_HELD).set(objects as f64);
}

/// How many things that are read on demand are unanswered, known and unavailable.
pub fn demands([unanswered, known, unavailable]: [usize; 3]) {
    for (state, count) in [("unanswered", unanswered), ("known", known), ("unavailable", unavailable)] {
        gauge!(name::DEMANDS, "state" => state).set(count as f64);
    }
}

/// A hold ended. `outcome` is `resolved`, `expired`, `overflow` or, when a firm change took its place, `firm`; `longest` is the longest hold of this process.
pub fn door_released(outcome: &'static str, held: Duration, longest: Duration) {
    histogram!(name::DOOR_HOLD_SECONDS, "outcome" => outcome).record(held);
    gauge!(name::DOOR_LONGEST_HOLD_SECONDS).set(longest);
}

/// An object that should have been held was let in at once, because as many as allowed were held already.
pub fn door_overflow() {
    counter!(name::DOOR_OVERFLOW).increment(1);
}

// ---- the graph

/// An epoch ran: how long it took and how many rows came in with it.
pub fn epoch(took: Duration, rows: usize) {
    counter!(name::EPOCHS).increment(1);
    histogram!(name::EPOCH_SECONDS).record(took);
    histogram!(name::EPOCH_ROWS).record(rows as f64);
}

/// What one node of the graph did up to now; totals since the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeCounts {
    /// Rows it holds.
    pub rows: u64,
    /// Keys it has worked on.
    pub recomputed: u64,
    /// Of these, how many gave what was there before.
    pub noops: u64,
    /// Keys that stopped with a fault, at present.
    pub faults: u64,
    /// Full scans of a collection.
    pub scans: u64,
    /// Whether everything it reads is whole.
    pub complete: bool,
}

/// The counts of one collection (F40).
pub fn collection(collection: &str, counts: NodeCounts) {
    let label = || collection.to_owned();
    gauge!(name::COLLECTION_COMPLETE, "collection" => label()).set(f64::from(u8::from(counts.complete)));
    gauge!(name::COLLECTION_ROWS, "collection" => label()).set(counts.rows as f64);
    gauge!(name::COLLECTION_FAULTS, "collection" => label()).set(counts.faults as f64);
    counter!(name::COLLECTION_RECOMPUTED, "collection" => label()).absolute(counts.recomputed);
    counter!(name::COLLECTION_NOOPS, "collection" => label()).absolute(counts.noops);
    counter!(name::COLLECTION_SCANS, "collection" => label()).absolute(counts.scans);
}

/// A collection became complete, this long after the process started (F41).
pub fn collection_synced(collection: &str, after: Duration) {
    gauge!(name::COLLECTION_SYNC_SECONDS, "collection" => collection.to_owned()).set(after);
}

// ---- publication

/// A snapshot was published now: how many Gateways it holds and how many of them changed.
pub fn published(gateways: usize, changed: usize) {
    exporter::published_at(Instant::now());
    counter!(name::PUBLICATIONS).increment(1);
    gauge!(name::GATEWAYS).set(gateways as f64);
    counter!(name::GATEWAYS_CHANGED).increment(changed as u64);
}

// ---- streams. `kind` is the short name of a resource type: CDS, EDS, LDS and so on, nine in all

/// A stream opened; `variant` is `sotw` or `delta`.
pub fn stream_opened(variant: &'static str) {
    streams(variant).increment(1.0);
}

/// A stream ended.
pub fn stream_closed(variant: &'static str) {
    streams(variant).decrement(1.0);
}

/// A stream was refused or is held unanswered; `reason` is one of a fixed few, such as `unknown_gateway`.
pub fn stream_unserved(reason: &'static str) {
    counter!(name::STREAMS_UNSERVED, "reason" => reason).increment(1);
}

/// A stream was ended because it broke a bound or the framing; `reason` is one of a fixed few, such as `too_large`.
pub fn stream_cut(reason: &'static str) {
    counter!(name::STREAMS_CUT, "reason" => reason).increment(1);
}

/// A connection to the ADS listener, counted as long as this is held.
#[must_use]
pub fn connection() -> impl Drop + Send {
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            gauge!(name::CONNECTIONS).decrement(1.0);
        }
    }
    gauge!(name::CONNECTIONS).increment(1.0);
    Counted
}

/// A connection to the ADS listener was turned away; `reason` is one of a fixed few, such as `handshake`.
pub fn connection_refused(reason: &'static str) {
    counter!(name::CONNECTIONS_REFUSED, "reason" => reason).increment(1);
}

/// Certificates of the ADS listener changed on disk; `outcome` is `used` or `refused`.
pub fn tls_reload(outcome: &'static str) {
    counter!(name::TLS_RELOADS, "outcome" => outcome).increment(1);
}

/// When the certificate of the ADS listener ends to be valid, in seconds since 1970.
pub fn tls_expiry(seconds: i64) {
    gauge!(name::TLS_EXPIRY).set(seconds as f64);
}

/// A client showed a token; `outcome` is `accepted`, or one of a fixed few reasons why it is not.
pub fn token(outcome: &'static str) {
    counter!(name::TOKENS, "outcome" => outcome).increment(1);
}

/// A token's keys were not there; `outcome` is `known` (asked before), `accepted`, `refused`, `failed` or `late`.
pub fn token_review(outcome: &'static str) {
    counter!(name::TOKEN_REVIEWS, "outcome" => outcome).increment(1);
}

/// The keys of tokens were asked for; `outcome` is `read` or `failed`.
pub fn token_keys_read(outcome: &'static str) {
    counter!(name::TOKEN_KEYS_READ, "outcome" => outcome).increment(1);
}

/// By how many keys tokens are proven.
pub fn token_keys(count: usize) {
    gauge!(name::TOKEN_KEYS).set(count as f64);
}

/// A stream sent more requests than are read at once.
pub fn requests_delayed() {
    counter!(name::REQUESTS_DELAYED).increment(1);
}

/// A response left, with this many bytes and resources.
pub fn pushed(kind: &'static str, bytes: usize, resources: usize) {
    counter!(name::PUSHES, "type" => kind).increment(1);
    counter!(name::PUSHED_BYTES, "type" => kind).increment(bytes as u64);
    counter!(name::PUSHED_RESOURCES, "type" => kind).increment(resources as u64);
}

/// A client accepted a response, this long after it was sent.
pub fn ack(kind: &'static str, after: Duration) {
    counter!(name::ACKS, "type" => kind).increment(1);
    histogram!(name::ACK_SECONDS, "type" => kind).record(after);
}

/// A client refused a response.
pub fn nack(kind: &'static str) {
    counter!(name::NACKS, "type" => kind).increment(1);
}

/// A client's first ACK on a stream, this long after the stream opened (F42).
pub fn first_ack(after: Duration) {
    histogram!(name::FIRST_ACK_SECONDS).record(after);
}

/// A response was written, this long after the event that caused it arrived at a source.
pub fn propagated(kind: &'static str, after: Duration) {
    histogram!(name::PROPAGATION_SECONDS, "type" => kind).record(after);
}

/// A stage of an event's way is over; `stage` is `read`, `mailbox`, `graph`, `publish` or, once for each response, `write`.
pub fn propagation_stage(stage: &'static str, took: Duration) {
    histogram!(name::PROPAGATION_STAGE_SECONDS, "stage" => stage).record(took);
}

// ---- readiness. Parts have few, fixed names: a kind in a scope, a collection, a listener

/// The gate is in one of `states`: exactly that series is 1.
pub fn gate(state: &'static str, states: &[&'static str]) {
    for each in states {
        gauge!(name::READINESS, "state" => *each).set(f64::from(u8::from(*each == state)));
    }
}

/// The gate flipped to `state` (F43).
pub fn gate_transition(state: &'static str) {
    counter!(name::READINESS_TRANSITIONS, "to" => state).increment(1);
}

/// A part is in one of `states`: exactly that series is 1. `None` when the part has ended (F40).
pub fn part(layer: &'static str, part: &str, state: Option<&'static str>, states: &[&'static str]) {
    for each in states {
        let is = f64::from(u8::from(state == Some(*each)));
        gauge!(name::PART_STATE, "layer" => layer, "part" => part.to_owned(), "state" => *each).set(is);
    }
}

fn streams(variant: &'static str) -> Gauge {
    gauge!(name::STREAMS, "variant" => variant)
}
