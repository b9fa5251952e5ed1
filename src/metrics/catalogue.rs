//! The list of metrics: each is written once, as a constant name and a row of [`CATALOGUE`].

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over these buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) help: &'static str,
}

/// Work inside the process: 10 µs to 10 s. Budgets (1 ms, 5 ms, 10 ms) are bounds of buckets, so that they can be read off.
const WORK: &[f64] =
    &[0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];
/// What clients take part in: 1 ms to a minute.
const CLIENT: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Holds at the door end at 500 ms, or at 10 s while something is being read.
const HOLD: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0, 2.0, 5.0, 10.0, 11.0];
/// Counts of rows.
const ROWS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, 50_000.0, 100_000.0];

macro_rules! catalogue {
    ($($constant:ident = $kind:expr, $unit:ident, $name:literal, $help:literal;)*) => {
        $(pub(super) const $constant: &str = concat!("syncgate_", $name);)*
        /// Every metric that is recorded through the facade.
        pub(super) const CATALOGUE: &[Metric] =
            &[$(Metric { name: $constant, kind: $kind, unit: Unit::$unit, help: $help },)*];
    };
}

use Kind::{Counter, Gauge, Histogram};

catalogue! {
    BUILD_INFO = Gauge, Count, "build_info", "Always 1; the label is the version of this build.";
    SOURCE_SYNC_SECONDS = Gauge, Seconds, "source_sync_seconds", "How long the source took to deliver its initial list.";
    SOURCES = Gauge, Count, "sources", "Sources of this kind in this state.";
    SOURCE_STALENESS_SECONDS = Gauge, Seconds, "source_staleness_seconds", "How long the source of this kind that lost touch first has been without it.";
    SOURCE_ROWS = Gauge, Count, "source_rows", "Objects of this kind that are held.";
    SOURCE_LISTS = Counter, Count, "source_lists_total", "Lists of this kind that were begun.";
    SOURCE_FAULTS = Counter, Count, "source_faults_total", "What went wrong with sources of this kind, by class.";
    SOURCE_DOUBTS = Counter, Count, "source_doubts_total", "Lists of this kind that were not believed before a second look.";
    SOURCE_UNREADABLE = Counter, Count, "source_unreadable_total", "Objects of this kind that could not be read.";
    NAMESPACES = Gauge, Count, "namespaces", "Watched namespaces in this state, in namespaced scope.";
    API_REACHABLE = Gauge, Count, "api_reachable", "1 while the API server can be reached.";
    API_OUTAGE_SECONDS = Histogram(CLIENT), Seconds, "api_outage_seconds", "How long the API server was away.";
    API_CONNECTIONS = Gauge, Count, "api_connections", "Open connections to the API server.";
    API_WARNINGS = Counter, Count, "api_warnings_total", "Warning headers of the API server; each text is logged once.";
    API_CREDENTIALS_READ = Counter, Count, "api_credentials_read_total", "How often the credentials were read again because they were refused.";
    FILES = Gauge, Count, "files", "Manifest files that were read.";
    FILES_BROKEN = Gauge, Count, "files_broken", "Manifest files that cannot be read now; their last good objects stay.";
    FILES_RELOADS = Counter, Count, "files_reloads_total", "How often the folder was read again.";
    FILES_RELOAD_SECONDS = Histogram(WORK), Seconds, "files_reload_seconds", "How long reading the folder again took.";
    PROBLEMS = Gauge, Count, "problems", "Problems of objects of this kind, at present.";
    DOOR_MAILBOX = Gauge, Count, "door_mailbox_objects", "Objects that arrived and wait for the next epoch.";
    DOOR_HELD = Gauge, Count, "door_held_objects", "Objects that wait at the door for their counterpart.";
    DOOR_LONGEST_HOLD_SECONDS = Gauge, Seconds, "door_longest_hold_seconds", "The longest that an object waited at the door since the start.";
    DOOR_HOLD_SECONDS = Histogram(HOLD), Seconds, "door_hold_seconds", "How long objects waited at the door, by how it ended.";
    DOOR_OVERFLOW = Counter, Count, "door_overflow_total", "Objects that were let in at once because as many as allowed were held already.";
    DEMANDS = Gauge, Count, "demands", "Things that are read on demand because something refers to them, by what became of them.";
    EPOCHS = Counter, Count, "epochs_total", "Epochs of the collection graph.";
    EPOCH_SECONDS = Histogram(WORK), Seconds, "epoch_seconds", "How long an epoch took.";
    EPOCH_ROWS = Histogram(ROWS), Count, "epoch_rows", "Rows that came in with an epoch.";
    COLLECTION_COMPLETE = Gauge, Count, "collection_complete", "1 when everything that the collection reads is whole.";
    COLLECTION_SYNC_SECONDS = Gauge, Seconds, "collection_sync_seconds", "How long after the start the collection became complete.";
    COLLECTION_ROWS = Gauge, Count, "collection_rows", "Rows of the collection.";
    COLLECTION_FAULTS = Gauge, Count, "collection_faults", "Keys of the collection that stopped with a fault, at present.";
    COLLECTION_RECOMPUTED = Counter, Count, "collection_recomputed_total", "Keys of the collection that were worked on.";
    COLLECTION_NOOPS = Counter, Count, "collection_noops_total", "Keys that were worked on and gave what was there before.";
    COLLECTION_SCANS = Counter, Count, "collection_scans_total", "Full scans that the collection's transform made.";
    PUBLICATIONS = Counter, Count, "publications_total", "Snapshots that were published.";
    PROCESS_TASKS = Gauge, Count, "process_tasks", "Tasks that the asynchronous runtime has under way.";
    SNAPSHOT_AGE_SECONDS = Gauge, Seconds, "snapshot_age_seconds", "Age of the published snapshot.";
    GATEWAYS = Gauge, Count, "gateways", "Gateways in the published snapshot.";
    GATEWAYS_CHANGED = Counter, Count, "gateways_changed_total", "Gateways whose configuration a publication changed.";
    STREAMS = Gauge, Count, "streams", "Open ADS streams, by variant.";
    STREAMS_UNSERVED = Counter, Count, "streams_unserved_total", "ADS streams that were refused or left unanswered, by reason.";
    STREAMS_CUT = Counter, Count, "streams_cut_total", "ADS streams that were ended because they broke a bound or the framing, by reason.";
    REQUESTS_DELAYED = Counter, Count, "requests_delayed_total", "How often a stream sent more requests than are read at once, or a stranger more than are answered at once.";
    CONNECTIONS = Gauge, Count, "connections", "Open connections to the ADS listener.";
    CONNECTIONS_REFUSED = Counter, Count, "connections_refused_total", "Connections to the ADS listener that were turned away, by reason.";
    TLS_RELOADS = Counter, Count, "tls_reloads_total", "How often certificates of the ADS listener changed on disk, by outcome.";
    TLS_EXPIRY = Gauge, Seconds, "tls_certificate_expiry_timestamp_seconds", "When the certificate of the ADS listener expires, in seconds since 1970.";
    TOKENS = Counter, Count, "tokens_total", "Tokens that clients showed, by outcome: accepted, or why not.";
    TOKEN_REVIEWS = Counter, Count, "token_reviews_total", "Questions whether a token is accepted that its keys could not answer, by outcome.";
    TOKEN_KEYS_READ = Counter, Count, "token_keys_reads_total", "How often the keys of tokens were read, by outcome.";
    TOKEN_KEYS = Gauge, Count, "token_keys", "Keys by which tokens are proven at present.";
    PUSHES = Counter, Count, "pushes_total", "Responses that were sent, by type.";
    PUSHED_BYTES = Counter, Bytes, "pushed_bytes_total", "Bytes of the responses that were sent, by type.";
    PUSHED_RESOURCES = Counter, Count, "pushed_resources_total", "Resources in the responses that were sent, by type.";
    ACKS = Counter, Count, "acks_total", "Responses that clients accepted, by type.";
    ACK_SECONDS = Histogram(CLIENT), Seconds, "ack_seconds", "From a response sent to its ACK, by type.";
    NACKS = Counter, Count, "nacks_total", "Responses that clients refused, by type.";
    FIRST_ACK_SECONDS = Histogram(CLIENT), Seconds, "stream_first_ack_seconds", "From a stream opened to its first ACK.";
    PROPAGATION_SECONDS = Histogram(WORK), Seconds, "propagation_seconds", "From an event's arrival at a source to the first response with it written, by type.";
    PROPAGATION_STAGE_SECONDS = Histogram(WORK), Seconds, "propagation_stage_seconds", "How long each stage of an event's way took: read (its bytes, until it is in the mailbox), mailbox, graph (door, epoch, snapshot), publish, write (a client's response, until it is written).";
    READINESS = Gauge, Count, "readiness", "1 for the state that the process is in, 0 for the others.";
    READINESS_TRANSITIONS = Counter, Count, "readiness_transitions_total", "How often the process changed to this state.";
    PART_STATE = Gauge, Count, "readiness_part_state", "1 for the state that the part (a source, a collection, a listener) is in, 0 for the others.";
}

/// Tells the recorder in force the help text and unit of every metric.
pub(super) fn describe() {
    for metric in CATALOGUE {
        match metric.kind {
            Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}
