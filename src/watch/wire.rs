//! What a Kubernetes API server answers to LIST and WATCH, decoded narrowly: Kubernetes' own kinds from its protobuf,
//! custom kinds from JSON, and its own kinds from JSON too where a server has no protobuf.
//!
//! What no transform reads is passed over and never held: managed fields, annotations, most of a Pod. Strings and label
//! sets come from a [`Pool`] that all sources share. Both encodings decode to equal values with equal problems, because
//! `model::decode` is the one place that knows what a field means: whatever of a protobuf message is not plainly right
//! is handed to it as the tree that JSON would have been.
//!
//! Invariants: no bytes make this module panic, or allocate for a length that they only claim; an object that cannot be
//! read is a [`Value::Unreadable`] and harms no other (`one_harms_one`); an answer that is not whole is [`Malformed`]
//! and never an empty page (`doubt_keeps`); nothing of a Secret stands in an error. It knows no HTTP, no task and no
//! clock.

mod envelope;
mod frames;
mod json;
mod keep;
mod messages;
mod pod;
mod pool;
mod protobuf;
mod status;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;

use arcstr::ArcStr;
use bytes::Bytes;

use crate::model::{FieldProblem, Kind, Object, ObjectKey};

pub use frames::{Frames, MAX_FRAME};
pub use pool::{Held, Pool};
pub use status::{Status, status};

/// The annotation of the bookmark that ends the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/json`; a watch is a line for each event.
    Json,
    /// `application/vnd.kubernetes.protobuf`; a watch is a length before each event.
    Protobuf,
}

impl Encoding {
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    const JSON: &str = "application/json";

    /// The encoding to ask for. Custom kinds have no protobuf.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Encoding {
        match kind {
            Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => Encoding::Json,
            Kind::Namespace | Kind::Service | Kind::Pod | Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap => {
                Encoding::Protobuf
            }
        }
    }

    /// The `Accept` header for it, of a list and of a watch alike: JSON is what a server may fall back to.
    #[must_use]
    pub const fn accept(self) -> &'static str {
        match self {
            Encoding::Json => Self::JSON,
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf, application/json",
        }
    }

    /// The encoding that a `Content-Type` header names, such as `application/vnd.kubernetes.protobuf;stream=watch`.
    #[must_use]
    pub fn of_content_type(header: &str) -> Option<Encoding> {
        let essence = header.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(Self::JSON) {
            Some(Encoding::Json)
        } else if essence.eq_ignore_ascii_case(Self::PROTOBUF) {
            Some(Encoding::Protobuf)
        } else {
            None
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Json => "JSON",
            Encoding::Protobuf => "protobuf",
        })
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Its objects in the order of the answer.
    pub items: Vec<Item>,
    /// `metadata.resourceVersion`, from which a watch goes on once the last page is there.
    pub revision: u64,
    /// `metadata.continue`: the token of the next page, if there is one.
    pub next: Option<String>,
    /// `metadata.remainingItemCount`: how many objects follow, where the server counts them.
    pub remaining: Option<u64>,
}

/// One object of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its name. Of an object that is unreadable, as it was written; it may be empty.
    pub key: ObjectKey,
    /// `metadata.resourceVersion`: of two versions of one kind the larger is newer, and a watch may go on from it.
    pub version: u64,
    /// What it is.
    pub value: Value,
}

/// What an object of an answer is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An object with everything that is wrong with it.
    Object(Object, Vec<FieldProblem>),
    /// An EndpointSlice that Kubernetes itself makes of pods, which are read instead: nothing is wrong.
    Managed,
    /// An object without a valid name, of another kind or version than was asked for, or of garbled bytes. It has no
    /// effect and harms no other.
    Unreadable(Vec<FieldProblem>),
}

/// One event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// ADDED and MODIFIED, which may arrive for what is known already and for what is not: the object as it is now.
    Put(Item),
    /// DELETED: the object is gone, or it no longer matches the selector of the watch.
    Delete(Gone),
    /// BOOKMARK: everything up to this revision has been told.
    Bookmark {
        /// From where a watch may go on.
        revision: u64,
        /// Whether all objects that were there when the watch began have been told now.
        initial_events_end: bool,
    },
    /// ERROR: the watch ends; 410 says that its revision is too old.
    Error(Status),
}

/// An object that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its name, as it was written.
    pub key: ObjectKey,
    /// The revision of its end.
    pub version: u64,
}

/// Reads a `resourceVersion` that is a positive number, as all of Kubernetes are.
fn revision(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| plain && (1..NO_REVISION).contains(number))
}

/// Set in the version of an object that is no number: it is larger than any revision, so that no server takes it for
/// one. Revisions are signed 64-bit integers.
const NO_REVISION: u64 = 1 << 63;

/// Reads the `resourceVersion` of an object: its revision, or else a hash, which differs when it does; 0 when absent.
fn version(text: &str) -> u64 {
    if text.is_empty() {
        return 0;
    }
    revision(text).unwrap_or_else(|| {
        let hash = blake3::hash(text.as_bytes());
        hash.as_bytes()[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)) | NO_REVISION
    })
}

/// The revision that an object's version is, if it is one: from where a watch may go on.
#[must_use]
pub(super) const fn as_revision(version: u64) -> Option<u64> {
    if version == 0 || version >= NO_REVISION { None } else { Some(version) }
}

/// The name of an object as it is written, whether or not it is valid.
fn written_key(kind: Kind, namespace: &str, name: &str, strings: &pool::Strings<'_>) -> ObjectKey {
    let namespace = match namespace {
        _ if kind.is_cluster_scoped() => ArcStr::new(),
        "" => arcstr::literal!("default"),
        namespace => strings.share(namespace),
    };
    ObjectKey { namespace, name: strings.share(name) }
}

/// An answer that is not what was asked for, not whole or too long: nothing of it may be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} in {encoding} {why}; it is passed over and asked for again")]
pub struct Malformed {
    what: &'static str,
    encoding: Encoding,
    why: String,
}

impl Malformed {
    fn new(what: &'static str, encoding: Encoding, why: impl Into<String>) -> Self {
        Self { what, encoding, why: why.into() }
    }
}

/// Decodes the answer to a LIST of `kind`.
///
/// # Errors
/// When it is not whole, of another kind, or without a revision. One bad object among its items is no error.
pub fn page(kind: Kind, encoding: Encoding, body: &Bytes, pool: &Pool) -> Result<Page, Malformed> {
    match encoding {
        Encoding::Json => json::page(kind, body, pool),
        Encoding::Protobuf => protobuf::page(kind, body, pool),
    }
    .map_err(|why| Malformed::new("a list", encoding, why))
}

/// Decodes one frame of the answer to a WATCH of `kind`.
///
/// # Errors
/// When it is not whole, of a type that is unknown, or does not say which object was deleted: what the server meant is
/// unknown, so the kind has to be listed again.
pub fn change(kind: Kind, encoding: Encoding, frame: &Bytes, pool: &Pool) -> Result<Change, Malformed> {
    match encoding {
        Encoding::Json => json::change(kind, frame, pool),
        Encoding::Protobuf => protobuf::change(kind, frame, pool),
    }
    .map_err(|why| Malformed::new("an event", encoding, why))
}
