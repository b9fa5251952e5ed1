//! Counts for each node, for metrics and the admin page.

use std::time::Duration;

use arcstr::ArcStr;

/// Work done by a node: in its last epoch, or since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Epochs in which the node ran.
    pub runs: u64,
    /// What had to be looked at: writes to an input, changed rows below an index, primary rows of a derive, groups of a fold.
    pub dirty: u64,
    /// Calls of the transform, of the index function or of [`Fold::row`](super::Fold::row).
    pub recomputed: u64,
    /// Dirty keys after which every row was equal to before.
    pub no_ops: u64,
    /// Runs that ended in [`Stop::Fault`](super::Stop::Fault).
    pub faults: u64,
    /// Runs that ended in [`Stop::Pending`](super::Stop::Pending).
    pub pending: u64,
    /// Full scans of a collection by a transform.
    pub scans: u64,
    /// Wall time.
    pub time: Duration,
}

impl Work {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { runs, dirty, recomputed, no_ops, faults, pending, scans, time } = other;
        self.runs += runs;
        self.dirty += dirty;
        self.recomputed += recomputed;
        self.no_ops += no_ops;
        self.faults += faults;
        self.pending += pending;
        self.scans += scans;
        self.time += *time;
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Rows come in here.
    Input,
    /// Rows are filed under other keys.
    Index,
    /// Rows are derived from one primary row each.
    Derive,
    /// Rows are groups of other rows.
    Fold,
}

/// A node's state and work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStats {
    /// The name given when the graph was drawn.
    pub name: ArcStr,
    /// What it is.
    pub kind: NodeKind,
    /// Rows; of an index its index keys.
    pub rows: usize,
    /// Primary rows of a derive whose transform stopped with a fault.
    pub faults: usize,
    /// Primary rows of a derive that are pending; of an input, keys that are marked pending.
    pub pending: usize,
    /// Keys that lost against a smaller source key and wait behind it.
    pub collisions: usize,
    /// Distinct (collection, key) pairs looked up.
    pub dependencies: usize,
    /// Entries beside the rows: (source, dependency) pairs of a derive, (row, index key) pairs of an index, members of a fold.
    pub entries: usize,
    /// In the last epoch in which it ran.
    pub last: Work,
    /// Since the start.
    pub total: Work,
    /// Whether every input below is complete.
    pub complete: bool,
    /// The inputs that are not.
    pub waits_for: Vec<ArcStr>,
}

impl NodeStats {
    pub(crate) fn new(name: ArcStr, kind: NodeKind, waits_for: Vec<ArcStr>) -> Self {
        Self {
            name,
            kind,
            rows: 0,
            faults: 0,
            pending: 0,
            collisions: 0,
            dependencies: 0,
            entries: 0,
            last: Work::default(),
            total: Work::default(),
            complete: false,
            waits_for,
        }
    }
}
