//! Indexes: the rows of a collection filed under keys that a function reads out of them.

use std::any::Any;
use std::sync::Arc;

use arcstr::ArcStr;

use super::collection::Collection;
use super::explain::{Explanation, Teller};
use super::interner::{Interner, Slot};
use super::mutant::{self, Mutant};
use super::node::{Node, Nodes, Ran};
use super::slots::Slots;
use super::stats::{NodeStats, Work};
use super::{Key, Rows, Scope, Stop, Value};

/// An index's node.
pub struct IndexNode<I, K, V> {
    name: ArcStr,
    pub(crate) over: Rows<K, V>,
    keys: fn(&K, &V, &mut Vec<I>),
    filed: Interner<I>,
    /// By slot of an index key: the slots of its rows, sorted by their keys.
    members: Slots<Vec<Slot>>,
    /// By slot of a row: the slots of its index keys, sorted.
    keys_of: Slots<Box<[Slot]>>,
    /// Index keys under which a row came, went or changed in this epoch; sorted.
    touched: Vec<Slot>,
    entries: usize,
}

impl<I: Key, K: Key, V: Value> IndexNode<I, K, V> {
    pub(crate) fn new(name: &str, over: Rows<K, V>, keys: fn(&K, &V, &mut Vec<I>)) -> Self {
        Self {
            name: name.into(),
            over,
            keys,
            filed: Interner::default(),
            members: Slots::default(),
            keys_of: Slots::default(),
            touched: Vec::new(),
            entries: 0,
        }
    }

    /// The slots of the rows filed under this key, sorted by their keys.
    pub(crate) fn slots(&self, index: &I) -> &[Slot] {
        self.filed.find(index).map_or(&[], |slot| &self.members[slot])
    }

    /// The rows filed under this key, sorted by their keys.
    pub(crate) fn members(&self, rows: &Collection<K, V>, index: &I) -> Vec<(K, Arc<V>)> {
        let row = |slot: &Slot| Some((rows.table.key(*slot).clone(), rows.table.value(*slot)?.clone()));
        self.slots(index).iter().filter_map(row).collect()
    }

    pub(crate) fn pending(&self, index: &I) -> Stop {
        Stop::Pending(Scope { node: self.name.clone(), key: format!("{index:?}") })
    }

    pub(crate) fn touched(&self) -> impl Iterator<Item = &I> {
        self.touched.iter().map(|slot| self.filed.key(*slot))
    }

    pub(crate) fn name(&self) -> &ArcStr {
        &self.name
    }

    /// Files a row under these keys and no others.
    fn file(&mut self, rows: &Collection<K, V>, row: Slot, keys: &[I]) {
        let mut new: Vec<Slot> = keys.iter().map(|key| self.filed.claim(key)).collect();
        new.sort_unstable();
        new.dedup();
        let old = std::mem::take(self.keys_of.beside(row));
        let place =
            |members: &[Slot]| members.binary_search_by(|other| rows.table.key(*other).cmp(rows.table.key(row)));
        for slot in old.iter().filter(|slot| new.binary_search(slot).is_err()) {
            let members = &mut self.members[*slot];
            if let Ok(at) =
                place(members).and_then(|at| if mutant::is(Mutant::IndexKeepsOldKeys) { Err(at) } else { Ok(at) })
            {
                members.remove(at);
            }
            self.touched.push(*slot);
        }
        for slot in &new {
            let members = self.members.beside(*slot);
            match place(members) {
                Err(at) => members.insert(at, row),
                Ok(_) if mutant::is(Mutant::IndexUnheard) => continue,
                Ok(_) => {}
            }
            self.touched.push(*slot);
        }
        self.entries = self.entries + new.len() - old.len();
        self.keys_of[row] = new.into();
    }
}

impl<I: Key, K: Key, V: Value> Node for IndexNode<I, K, V> {
    fn state(&self) -> &dyn Any {
        self
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn run(&mut self, before: Nodes<'_>) -> Ran {
        let rows = before.collection(self.over);
        let mut work = Work { dirty: rows.changes().len() as u64, ..Work::default() };
        let mut keys = Vec::new();
        for change in rows.changes() {
            keys.clear();
            if let Some(value) = rows.table.value(change.slot) {
                work.recomputed += 1;
                (self.keys)(rows.table.key(change.slot), value, &mut keys);
            }
            let touched = self.touched.len();
            self.file(rows, change.slot, &keys);
            work.no_ops += u64::from(self.touched.len() == touched);
        }
        self.touched.sort_unstable();
        self.touched.dedup();
        if rows.table.len() == 0 {
            self.keys_of = Slots::default();
        }
        Ran { published: None, work }
    }

    fn is_quiet(&self) -> bool {
        self.touched.is_empty()
    }

    /// A look-up asks the indexed collection.
    fn set_complete(&mut self, _: bool) {}

    fn settle(&mut self) {
        for slot in std::mem::take(&mut self.touched) {
            if self.members[slot].is_empty() {
                self.members[slot] = Vec::new();
                self.filed.release(slot);
            }
        }
        if self.filed.is_empty() {
            self.members = Slots::default();
        }
    }

    fn measure(&self, stats: &mut NodeStats) {
        stats.rows = self.filed.len();
        stats.entries = self.entries;
    }

    fn explain(&self, _: Nodes<'_>, _: &dyn Any, _: &mut Teller) -> Option<Explanation> {
        None
    }
}
