//! A collection as its readers see it: rows, what is known about keys without a row, and this epoch's changes.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arcstr::ArcStr;
use hashbrown::HashMap;

use super::interner::Slot;
use super::mutant::{self, Mutant};
use super::table::Table;
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

/// The changes of a node without their types: a `Changes<K, V>` inside.
pub(crate) type Published = Arc<dyn Any + Send + Sync>;

/// The rows of one node.
#[derive(Debug)]
pub struct Collection<K, V> {
    pub(crate) name: ArcStr,
    pub(crate) table: Table<K, V>,
    /// Every input below has delivered everything: a key without a row does not exist.
    pub(crate) complete: bool,
    /// `complete` changed in this epoch.
    pub(crate) flipped: bool,
    marks: HashMap<K, Mark>,
    /// Before `publish` every write in its order, afterwards the changes sorted by key.
    journal: Vec<Change<V>>,
    /// Keys whose mark changed in this epoch.
    marked: Vec<K>,
}

impl<K: Key, V: Value> Collection<K, V> {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            table: Table::default(),
            complete: false,
            flipped: false,
            marks: HashMap::new(),
            journal: Vec::new(),
            marked: Vec::new(),
        }
    }

    /// Found, known to be absent, or unknown.
    pub(crate) fn look_up(&self, key: &K) -> Result<Option<&Arc<V>>, Stop> {
        match self.table.get(key) {
            None if !self.knows_absent(key) => Err(self.pending(key)),
            found => Ok(found),
        }
    }

    /// Whether a key without a row is known not to exist.
    pub(crate) fn knows_absent(&self, key: &K) -> bool {
        match self.marks.get(key) {
            Some(Mark::Pending) => false,
            Some(Mark::Absent) => true,
            None => self.complete || mutant::is(Mutant::UnknownIsAbsent),
        }
    }

    pub(crate) fn pending(&self, key: &dyn Debug) -> Stop {
        Stop::Pending(Scope { node: self.name.clone(), key: format!("{key:?}") })
    }

    /// This epoch's changes, sorted by key.
    pub(crate) fn changes(&self) -> &[Change<V>] {
        &self.journal
    }

    /// Every key of which a look-up may have another answer than before this epoch, completeness aside.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &K> {
        self.journal.iter().map(|change| self.table.key(change.slot)).chain(&self.marked)
    }

    /// Writes a row or takes it away, unless it is so already. Whether that was a change.
    pub(crate) fn write(&mut self, slot: Slot, value: Option<Arc<V>>) -> bool {
        if same(self.table.value(slot), value.as_ref()) && !mutant::is(Mutant::NoEqualityCut) {
            return false;
        }
        let old = self.table.set(slot, value);
        self.journal.push(Change { slot, old });
        true
    }

    /// Writes what is known about a key besides its row.
    pub(crate) fn mark(&mut self, key: &K, mark: Option<Mark>) {
        if mark.is_none() && self.marks.is_empty() {
            return;
        }
        let old = match mark {
            Some(mark) => self.marks.insert(key.clone(), mark),
            None => self.marks.remove(key),
        };
        if old != mark && !mutant::is(Mutant::MarkUnheard) {
            self.marked.push(key.clone());
        }
    }

    /// Drops the marks of these keys.
    pub(crate) fn unmark(&mut self, which: impl Fn(&K, Mark) -> bool) {
        let dropped: Vec<K> =
            self.marks.iter().filter(|(key, mark)| which(key, **mark)).map(|(key, _)| key.clone()).collect();
        for key in dropped {
            self.mark(&key, None);
        }
    }

    /// How many keys are marked pending.
    pub(crate) fn pending_marks(&self) -> usize {
        self.marks.values().filter(|mark| **mark == Mark::Pending).count()
    }

    /// Turns the writes of this epoch into its changes: one for each row that is not what it was.
    pub(crate) fn publish(&mut self) -> Option<Published> {
        let Self { table, journal, marked, .. } = self;
        marked.sort_unstable();
        marked.dedup();
        journal.sort_by_key(|change| change.slot);
        // The first of several writes knows what stood there before the epoch.
        journal.dedup_by_key(|change| change.slot);
        journal.retain(|change| {
            let now = table.value(change.slot);
            if change.old.is_none() && now.is_none() {
                table.release(change.slot);
                return false;
            }
            !same(change.old.as_ref(), now) || mutant::is(Mutant::NoEqualityCut)
        });
        journal.sort_by(|a, b| table.key(a.slot).cmp(table.key(b.slot)));
        if journal.is_empty() {
            return None;
        }
        let row = |change: &Change<V>| (table.key(change.slot).clone(), table.value(change.slot).cloned());
        let changes: Changes<K, V> = journal.iter().map(row).collect();
        Some(Arc::new(changes))
    }

    /// Nothing that a reader could ask has another answer than before this epoch.
    pub(crate) fn is_quiet(&self) -> bool {
        self.journal.is_empty() && self.marked.is_empty() && !self.flipped
    }

    pub(crate) fn set_complete(&mut self, complete: bool) {
        self.flipped = self.complete != complete;
        self.complete = complete;
    }

    /// The end of an epoch: what went is forgotten.
    pub(crate) fn settle(&mut self) {
        for change in std::mem::take(&mut self.journal) {
            self.table.release(change.slot);
        }
        self.marked = Vec::new();
        self.flipped = false;
    }
}

fn same<V: Value>(a: Option<&Arc<V>>, b: Option<&Arc<V>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    }
}
