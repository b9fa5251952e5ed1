//! The names that are to be sent, and how many there are of each sort: requests come often and are small, so what is
//! asked at each of them must not cost the number of names.
//!
//! Invariant: an entry is counted as existing exactly if the target has its name.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use arcstr::ArcStr;

use super::{Todo, Why};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::xds::session) struct TodoList {
    names: BTreeMap<ArcStr, Entry>,
    /// By reason, of those that do not exist and of those that do.
    counts: [[usize; 2]; Why::COUNT],
    /// Names that changed and do not exist any more.
    gone: BTreeSet<ArcStr>,
    /// Names that were changed since they were taken out the last time.
    touched: Vec<ArcStr>,
    /// Likewise those that are to be sent and exist, if they are [followed](TodoList::following).
    upserts: Option<Vec<ArcStr>>,
    /// Counts changes.
    revision: u64,
    /// Counts entries that were looked at in passing.
    visited: Cell<u64>,
}

#[derive(Debug, Clone)]
struct Entry {
    todo: Todo,
    exists: bool,
}

impl TodoList {
    pub(in crate::xds::session) fn len(&self) -> usize {
        self.names.len()
    }

    pub(in crate::xds::session) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Changes with every change.
    pub(in crate::xds::session) fn revision(&self) -> u64 {
        self.revision
    }

    /// How many entries all walks so far have looked at.
    pub(in crate::xds::session) fn visited(&self) -> u64 {
        self.visited.get()
    }

    /// A list that remembers which upserts came.
    pub(in crate::xds::session) fn following() -> TodoList {
        TodoList { upserts: Some(Vec::new()), ..TodoList::default() }
    }

    /// Upserts that came since the last time; some may be changed or gone again.
    pub(in crate::xds::session) fn take_upserts(&mut self) -> Vec<ArcStr> {
        self.upserts.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Names of which something changed since the last time.
    pub(in crate::xds::session) fn take_touched(&mut self) -> Vec<ArcStr> {
        std::mem::take(&mut self.touched)
    }

    /// Something changed that has to do with this name.
    pub(in crate::xds::session) fn touch(&mut self, name: ArcStr) {
        self.touched.push(name);
    }

    pub(in crate::xds::session) fn get(&self, name: &str) -> Option<&Todo> {
        self.names.get(name).map(|entry| &entry.todo)
    }

    /// How many there are for this reason, existing or not.
    pub(in crate::xds::session) fn count(&self, why: Why, exists: bool) -> usize {
        self.counts[why as usize][usize::from(exists)]
    }

    /// Whether there are any for this reason.
    pub(in crate::xds::session) fn has(&self, why: Why) -> bool {
        self.counts[why as usize] != [0; 2]
    }

    /// Names that changed and do not exist any more.
    pub(in crate::xds::session) fn gone(&self) -> &BTreeSet<ArcStr> {
        &self.gone
    }

    /// All of it, sorted. Costs the number of names.
    pub(in crate::xds::session) fn iter(&self) -> impl Iterator<Item = (&ArcStr, &Todo)> {
        self.visit(self.names.len());
        self.names.iter().map(|(name, entry)| (name, &entry.todo))
    }

    /// So many names were looked at that are not noted here.
    pub(in crate::xds::session) fn visit(&self, names: usize) {
        self.visited.set(self.visited.get() + names as u64);
    }

    /// Adds or replaces; `exists` says whether the target has the name.
    pub(in crate::xds::session) fn insert(&mut self, name: ArcStr, todo: Todo, exists: bool) {
        self.remove(&name);
        self.note(&name, todo.why, exists, true);
        self.names.insert(name, Entry { todo, exists });
    }

    pub(in crate::xds::session) fn remove(&mut self, name: &str) -> Option<Todo> {
        let (name, entry) = self.names.remove_entry(name)?;
        if self.names.is_empty() {
            // An emptied map keeps a node, and of most clients there is nothing to be sent.
            self.names = BTreeMap::new();
        }
        self.note(&name, entry.todo.why, entry.exists, false);
        self.touched.push(name);
        Some(entry.todo)
    }

    /// Changes an entry, if there is one.
    pub(in crate::xds::session) fn change(&mut self, name: &ArcStr, change: impl FnOnce(&mut Todo)) {
        let Some(entry) = self.names.get_mut(name) else { return };
        let before = entry.todo.why;
        change(&mut entry.todo);
        let (after, exists) = (entry.todo.why, entry.exists);
        self.note(name, before, exists, false);
        self.note(name, after, exists, true);
    }

    /// The target has this name now, or has it no more.
    pub(in crate::xds::session) fn exists(&mut self, name: &ArcStr, exists: bool) {
        let Some(entry) = self.names.get_mut(name).filter(|entry| entry.exists != exists) else { return };
        let (why, before) = (entry.todo.why, std::mem::replace(&mut entry.exists, exists));
        self.note(name, why, before, false);
        self.note(name, why, exists, true);
    }

    /// Keeps the entries that may stay. Costs the number of names.
    pub(in crate::xds::session) fn retain(&mut self, stays: impl Fn(&ArcStr, &Todo) -> bool) {
        let leaving: Vec<ArcStr> =
            self.iter().filter(|(name, todo)| !stays(name, todo)).map(|(name, _)| name.clone()).collect();
        for name in leaving {
            self.remove(&name);
        }
    }

    /// Changes the reason of all entries that have another.
    pub(in crate::xds::session) fn turn(&mut self, from: Why, to: Why, is_meant: impl Fn(&ArcStr) -> bool) {
        if !self.has(from) {
            return;
        }
        let meant = |(name, todo): &(&ArcStr, &Todo)| todo.why == from && is_meant(name);
        let names: Vec<ArcStr> = self.iter().filter(meant).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.change(&name, |todo| todo.why = to);
        }
    }

    /// Whether it counts what there is, and as existing just what `exists`.
    #[cfg(test)]
    pub(in crate::xds::session) fn counts_right(&self, exists: impl Fn(&str) -> bool) -> bool {
        let mut counts = [[0; 2]; Why::COUNT];
        let mut gone = BTreeSet::new();
        for (name, entry) in &self.names {
            counts[entry.todo.why as usize][usize::from(exists(name))] += 1;
            if entry.todo.why == Why::Changed && !exists(name) {
                gone.insert(name.clone());
            }
        }
        counts == self.counts && gone == self.gone
    }

    fn note(&mut self, name: &ArcStr, why: Why, exists: bool, comes: bool) {
        self.revision += 1;
        if comes {
            self.touched.push(name.clone());
        }
        if let Some(upserts) = self.upserts.as_mut().filter(|_| comes && exists)
            && matches!(why, Why::Asked | Why::Changed)
        {
            upserts.push(name.clone());
        }
        let count = &mut self.counts[why as usize][usize::from(exists)];
        *count = if comes { *count + 1 } else { *count - 1 };
        if why == Why::Changed && !exists {
            if comes {
                self.gone.insert(name.clone());
            } else {
                self.gone.remove(name);
            }
        }
    }
}
