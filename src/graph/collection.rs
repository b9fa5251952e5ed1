//! A collection as its readers see it: rows, what is known about keys without a row, and this epoch's changes.

use std::any::Any;
use std::sync::Arc;

use arcstr::ArcStr;
use hashbrown::HashMap;

use super::table::{Slot, Table};
use super::{Key, Scope, Stop, Value};

/// What is known about a key that has no row, beyond what the completeness of the whole input says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Somebody is looking for it.
    Pending,
    /// Known not to exist although the input is not complete.
    Absent,
}

/// A row that changed in this epoch. What it is now stands in the table.
#[derive(Debug)]
pub(crate) struct Change<V> {
    pub(crate) slot: Slot,
    pub(crate) old: Option<Arc<V>>,
}

/// The changes of a node as they leave the epoch: sorted by key, `None` for a row that went.
pub(crate) type Changes<K, V> = Vec<(K, Option<Arc<V>>)>;

/// The rows of one node.
#[derive(Debug)]
pub struct Collection<K, V> {
    pub(crate) name: ArcStr,
    pub(crate) table: Table<K, V>,
    /// Every input below has delivered everything: a key without a row does not exist.
    pub(crate) complete: bool,
    /// `complete` changed in this epoch.
    pub(crate) flipped: bool,
    pub(crate) marks: HashMap<K, Mark>,
    /// Sorted by key.
    pub(crate) changes: Vec<Change<V>>,
    /// Keys without a row, before and after, whose mark changed in this epoch.
    pub(crate) unsettled: Vec<K>,
}

impl<K: Key, V: Value> Collection<K, V> {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            table: Table::default(),
            complete: false,
            flipped: false,
            marks: HashMap::new(),
            changes: Vec::new(),
            unsettled: Vec::new(),
        }
    }

    /// Found, known to be absent, or unknown.
    pub(crate) fn look_up(&self, key: &K) -> Result<Option<&Arc<V>>, Stop> {
        if let Some(value) = self.table.get(key) {
            return Ok(Some(value));
        }
        if self.knows_absent(key) { Ok(None) } else { Err(self.pending(key)) }
    }

    /// Whether a key without a row is known not to exist.
    pub(crate) fn knows_absent(&self, key: &K) -> bool {
        match self.marks.get(key) {
            Some(Mark::Pending) => false,
            Some(Mark::Absent) => true,
            None => self.complete,
        }
    }

    pub(crate) fn pending(&self, key: &dyn std::fmt::Debug) -> Stop {
        Stop::Pending(Scope { node: self.name.clone(), key: format!("{key:?}") })
    }

    /// Nothing that a reader could ask has another answer than before this epoch.
    pub(crate) fn is_quiet(&self) -> bool {
        self.changes.is_empty() && self.unsettled.is_empty() && !self.flipped
    }

    /// Sorts this epoch's changes and drops those that changed nothing; what leaves the epoch.
    pub(crate) fn publish(&mut self, mut changes: Vec<Change<V>>) -> Option<Arc<dyn Any + Send + Sync>> {
        let table = &self.table;
        changes.sort_by(|a, b| table.key(a.slot).cmp(table.key(b.slot)));
        self.changes = changes;
        if self.changes.is_empty() {
            return None;
        }
        let new = |change: &Change<V>| (table.key(change.slot).clone(), table.value(change.slot).cloned());
        let changes: Changes<K, V> = self.changes.iter().map(new).collect();
        Some(Arc::new(changes))
    }

    /// The end of an epoch: what went is forgotten.
    pub(crate) fn settle(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            self.table.release(change.slot);
        }
        self.unsettled = Vec::new();
        self.flipped = false;
    }
}
