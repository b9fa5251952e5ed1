//! Requests and responses of both variants as plain values: what a session reads and writes.
//!
//! Invariant: nothing here is specific to protobuf or to gRPC; `wire` translates.

use std::sync::Arc;

use arcstr::ArcStr;

use crate::resource::{Resource, ResourceType, Version};

/// The two variants of the protocol. A stream is of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variant {
    /// State of the world (SotW): requests name everything that is wanted, responses for CDS and LDS hold everything.
    StateOfTheWorld,
    /// Delta, or incremental: requests and responses say what is different.
    Delta,
}

impl Variant {
    /// `sotw` or `delta`, as in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Variant::StateOfTheWorld => "sotw",
            Variant::Delta => "delta",
        }
    }
}

/// One request for one type: a subscription, an ACK, a NACK, or several of these at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The type. Version, nonce and subscription are separate for each (rule 3).
    pub kind: ResourceType,
    /// The nonce of the response that this answers; empty if it answers none.
    pub nonce: String,
    /// The reason of a NACK. Its presence alone makes the request one (rule 8).
    pub error: Option<String>,
    /// What is wanted.
    pub ask: Ask,
}

/// The part of a request that differs between the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// State of the world.
    StateOfTheWorld {
        /// The last version that the client accepted, on any stream; empty if there is none.
        version: String,
        /// Every name that is wanted; replaces what was wanted before (rule 11).
        names: Vec<String>,
    },
    /// Delta.
    Delta {
        /// Names that are wanted from now on; `*` is all of them.
        subscribe: Vec<String>,
        /// Names that are not wanted any more.
        unsubscribe: Vec<String>,
        /// Names and versions that the client holds from an earlier stream; in the first message of a type only
        /// (rule 20).
        held: Vec<(String, String)>,
    },
}

impl Ask {
    /// How many names it says, whatever for.
    pub(super) fn len(&self) -> usize {
        match self {
            Ask::StateOfTheWorld { names, .. } => names.len(),
            Ask::Delta { subscribe, unsubscribe, held } => subscribe.len() + unsubscribe.len() + held.len(),
        }
    }

    /// The names that it says, whatever for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let (names, more, held): (&[String], &[String], &[(String, String)]) = match self {
            Ask::StateOfTheWorld { names, .. } => (names, &[], &[]),
            Ask::Delta { subscribe, unsubscribe, held } => (subscribe, unsubscribe, held),
        };
        names.iter().chain(more).map(String::as_str).chain(held.iter().map(|(name, _)| name.as_str()))
    }
}

/// One response for one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The type.
    pub kind: ResourceType,
    /// Unique for each response and each stream (rule 4).
    pub nonce: String,
    /// What it says.
    pub body: Body,
}

/// The part of a response that differs between the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// State of the world.
    StateOfTheWorld {
        /// The hash of `resources`.
        version: Version,
        /// For CDS and LDS everything that the client is to hold, for other types what it is to put in place.
        resources: Vec<Arc<Resource>>,
    },
    /// Delta. Never both halves at once (rule 25).
    Delta {
        /// What to put in place.
        resources: Vec<Arc<Resource>>,
        /// Names that are gone, or that do not exist although they were asked for.
        removed: Vec<ArcStr>,
    },
}

impl Response {
    /// The resources that it carries.
    #[must_use]
    pub fn resources(&self) -> &[Arc<Resource>] {
        match &self.body {
            Body::StateOfTheWorld { resources, .. } | Body::Delta { resources, .. } => resources,
        }
    }
}
