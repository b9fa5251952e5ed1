//! Which primary rows of a derive depend on what.
//!
//! Rows that look up the same are many (the replicas of a workload have the same labels), so a set of
//! dependencies is kept once and the rows share it: a key knows its sets, and a set its rows. A hundred thousand
//! pods cost a few bytes each for this.

use super::interner::{Interner, Slot};
use super::mutant::{self, Mutant};
use super::reads::ReadSet;
use super::slots::Slots;
use super::watch::{Crowd, Dep};

/// The dependencies of all primary rows of a derive.
pub(crate) struct Dependents<R: ReadSet> {
    pub(crate) watches: R::Watches,
    /// Sets of dependencies, each sorted.
    sets: Interner<Box<[Dep]>>,
    /// By slot of a set: the primary rows that have it.
    rows: Slots<Crowd>,
    /// By slot of a primary row: its set.
    set_of: Slots<Option<SetId>>,
    /// The sum of the dependencies of all primary rows.
    pub(crate) entries: usize,
}

/// A set's slot and one more, so that `Option` of it is as small.
type SetId = std::num::NonZero<u32>;

fn slot(set: SetId) -> Slot {
    set.get() - 1
}

impl<R: ReadSet> Default for Dependents<R> {
    fn default() -> Self {
        let (sets, rows, set_of) = (Interner::default(), Slots::default(), Slots::default());
        Self { watches: R::Watches::default(), sets, rows, set_of, entries: 0 }
    }
}

impl<R: ReadSet> Dependents<R> {
    /// The primary rows that this epoch's changes make dirty, with repetitions.
    pub(crate) fn dirty(&self, sources: R::Sources<'_>) -> Vec<Slot> {
        let mut sets = Vec::new();
        R::dirty(&self.watches, sources, &mut sets);
        sets.sort_unstable();
        sets.dedup();
        let mut rows = Vec::new();
        for set in sets {
            self.rows[set].collect(&mut rows);
        }
        rows
    }

    /// What this primary row depends on.
    pub(crate) fn of(&self, row: Slot) -> &[Dep] {
        let set = self.set_of.get(row).copied().flatten();
        set.map_or(&[], |set| self.sets.key(slot(set)))
    }

    /// From now on this primary row depends on these, sorted, and on nothing else.
    pub(crate) fn depend(&mut self, row: Slot, deps: Vec<Dep>) {
        let old = self.of(row);
        if old == deps || (mutant::is(Mutant::KeepsFirstLookUps) && !old.is_empty() && !deps.is_empty()) {
            return;
        }
        self.entries = self.entries + deps.len() - old.len();
        // The new one first: what both have must not be forgotten in between.
        let new = (!deps.is_empty()).then(|| self.join(row, deps.into()));
        let old = std::mem::replace(self.set_of.beside(row), new);
        if let Some(old) = old {
            self.leave(row, slot(old));
        }
    }

    fn join(&mut self, row: Slot, deps: Box<[Dep]>) -> SetId {
        let set = self.sets.claim(&deps);
        let rows = self.rows.beside(set);
        if rows.is_empty() {
            for dep in &deps {
                if let Some(watch) = R::wiring(&mut self.watches, *dep) {
                    watch.attach(*dep, set);
                }
            }
        }
        if rows.is_empty() || !mutant::is(Mutant::SharesNothing) {
            rows.add(row);
        }
        SetId::MIN.saturating_add(set)
    }

    fn leave(&mut self, row: Slot, set: Slot) {
        self.rows[set].remove(row);
        if !self.rows[set].is_empty() {
            return;
        }
        for dep in self.sets.key(set) {
            if let Some(watch) = R::wiring(&mut self.watches, *dep) {
                watch.detach(*dep, set);
            }
        }
        self.sets.release(set);
        if self.sets.is_empty() {
            (self.rows, self.set_of) = (Slots::default(), Slots::default());
        }
    }
}
