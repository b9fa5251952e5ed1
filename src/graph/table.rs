//! Rows in slots.

use std::sync::Arc;

use super::interner::{Interner, Slot};
use super::slots::Slots;
use super::{Key, Value};

/// Rows `K` → `Arc<V>`. A row's slot lives until the end of the epoch in which the row goes.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    keys: Interner<K>,
    /// `None` beside a key: the row went in this epoch.
    values: Slots<Option<Arc<V>>>,
    rows: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { keys: Interner::default(), values: Slots::default(), rows: 0 }
    }
}

impl<K: Key, V: Value> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&Arc<V>> {
        self.keys.find(key).and_then(|slot| self.value(slot))
    }

    /// The slot of this key if it has a row.
    pub(crate) fn find(&self, key: &K) -> Option<Slot> {
        self.keys.find(key).filter(|slot| self.value(*slot).is_some())
    }

    /// The key in this slot; it is still there until the end of the epoch in which the row goes.
    pub(crate) fn key(&self, slot: Slot) -> &K {
        self.keys.key(slot)
    }

    pub(crate) fn value(&self, slot: Slot) -> Option<&Arc<V>> {
        self.values.get(slot)?.as_ref()
    }

    /// The slot of this key, given now if it has none.
    pub(crate) fn claim(&mut self, key: &K) -> Slot {
        let slot = self.keys.claim(key);
        self.values.beside(slot);
        slot
    }

    /// Writes or takes away the row of a claimed slot; what stood there before.
    pub(crate) fn set(&mut self, slot: Slot, value: Option<Arc<V>>) -> Option<Arc<V>> {
        self.rows += usize::from(value.is_some());
        let old = std::mem::replace(&mut self.values[slot], value);
        self.rows -= usize::from(old.is_some());
        old
    }

    /// Takes a slot back if its row is gone.
    pub(crate) fn release(&mut self, slot: Slot) {
        if self.value(slot).is_none() {
            self.keys.release(slot);
            if self.keys.is_empty() {
                self.values = Slots::default();
            }
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// The living rows in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &K, &Arc<V>)> {
        self.keys.iter().filter_map(|(slot, key)| Some((slot, key, self.value(slot)?)))
    }

    /// The living rows sorted by key.
    pub(crate) fn sorted(&self) -> Vec<(&K, &Arc<V>)> {
        let mut rows: Vec<_> = self.iter().map(|(_, key, value)| (key, value)).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(b.0));
        rows
    }
}
