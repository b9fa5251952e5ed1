//! What a source says to the door: the one language of folders and, later, of Kubernetes watches.
//!
//! A source compares before it speaks: a re-read folder, a re-list or a resumed watch yields only the objects that
//! really differ, so that a delta's size is the size of the change. Silence means "nothing changed", never "I do not
//! know": a source that lost sight of its origin says nothing here and calls itself stale in `readiness`
//! (invariant `doubt_keeps`).

use std::time::Instant;

use super::{Answer, Coverage, Kind, Object, ObjectRef, Want};

/// Changes that one source noticed together: a burst of file changes, or what one read of a watch yielded.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// When the first sign of it was seen (monotonic): the start of every latency that is measured.
    pub arrived: Instant,
    /// What changed, in an order in which it may be applied one by one. At most one event for each object.
    pub events: Vec<Event>,
    /// A fact about a scope as a whole, such as the end of a namespace: let in at once and in one piece, whatever
    /// refers to its objects.
    pub firm: bool,
}

impl Delta {
    /// A delta that arrived at `arrived`.
    #[must_use]
    pub fn new(arrived: Instant, events: Vec<Event>) -> Self {
        Self { arrived, events, firm: false }
    }

    /// A delta that passes the door at once and in one piece.
    #[must_use]
    pub fn firm(arrived: Instant, events: Vec<Event>) -> Self {
        Self { arrived, events, firm: true }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The object is new or differs from what the source said before.
    Put(ObjectRef, Object),
    /// The object is gone, by evidence: its file or its delete event, never an error or an outage.
    Delete(ObjectRef),
    /// The first list of this kind is whole: every object of it that the source knows was put before this event.
    /// Said once for each kind in a source's life; absence of an object means something from here on.
    Listed(Kind),
    /// What became of a want. Said again when it changes; rows that it stands for are put or deleted before it.
    Answered(Want, Answer),
    /// What the sources read by themselves, from here on. Without it: everything.
    Covers(Coverage),
}
