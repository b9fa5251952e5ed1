//! Rows in slots: a slab with a hash index, so that whatever is kept about a row beside it is a `u32`.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Key, Value};

/// A row's place in its table; stable while the row lives and until the end of the epoch in which it goes.
pub(crate) type Slot = u32;

#[derive(Debug)]
struct Entry<K, V> {
    /// `None` in a free slot, so that nothing of a row that is gone stays in memory.
    key: Option<K>,
    /// `None` beside a key: the row went in this epoch, and its slot is not given away before the epoch's end.
    value: Option<Arc<V>>,
}

/// Rows `K` → `Arc<V>`.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    hasher: DefaultHashBuilder,
    index: HashTable<Slot>,
    entries: Vec<Entry<K, V>>,
    free: Vec<Slot>,
    rows: usize,
}

impl<K: Key, V: Value> Default for Table<K, V> {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { hasher, index: HashTable::new(), entries: Vec::new(), free: Vec::new(), rows: 0 }
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// The slot of this key, of a living row or of one that went in this epoch.
    pub(crate) fn find(&self, key: &K) -> Option<Slot> {
        let entries = &self.entries;
        let same = |slot: &Slot| entries[*slot as usize].key.as_ref() == Some(key);
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Arc<V>> {
        self.find(key).and_then(|slot| self.value(slot))
    }

    /// The key in this slot; it is still there until the end of the epoch in which the row goes.
    pub(crate) fn key(&self, slot: Slot) -> &K {
        self.entries[slot as usize].key.as_ref().expect("a slot is read only while its key is in it")
    }

    pub(crate) fn value(&self, slot: Slot) -> Option<&Arc<V>> {
        self.entries[slot as usize].value.as_ref()
    }

    /// The slot of this key, taken now if it has none.
    pub(crate) fn claim(&mut self, key: &K) -> Slot {
        if let Some(slot) = self.find(key) {
            return slot;
        }
        let entry = Entry { key: Some(key.clone()), value: None };
        let slot = if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = entry;
            slot
        } else {
            self.entries.push(entry);
            Slot::try_from(self.entries.len() - 1).expect("fewer than 2^32 rows fit into memory")
        };
        let Self { hasher, index, entries, .. } = self;
        let rehash =
            |slot: &Slot| hasher.hash_one(entries[*slot as usize].key.as_ref().expect("indexed slots are used"));
        index.insert_unique(hasher.hash_one(key), slot, rehash);
        slot
    }

    /// Writes or takes away the row of a claimed slot; what stood there before.
    pub(crate) fn set(&mut self, slot: Slot, value: Option<Arc<V>>) -> Option<Arc<V>> {
        self.rows += usize::from(value.is_some());
        let old = std::mem::replace(&mut self.entries[slot as usize].value, value);
        self.rows -= usize::from(old.is_some());
        old
    }

    /// Gives a slot away if its row is gone. Only at an epoch's end.
    pub(crate) fn release(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot as usize];
        if entry.value.is_some() {
            return;
        }
        let Some(key) = entry.key.take() else { return };
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(&key), |other| *other == slot) {
            found.remove();
        }
        self.free.push(slot);
        if self.free.len() == self.entries.len() {
            (self.entries, self.free, self.index) = (Vec::new(), Vec::new(), HashTable::new());
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// One more than the highest slot ever given out.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The living rows in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &K, &Arc<V>)> {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| Some((slot, entry.key.as_ref()?, entry.value.as_ref()?)))
    }

    /// The living rows sorted by key.
    pub(crate) fn sorted(&self) -> Vec<(&K, &Arc<V>)> {
        let mut rows: Vec<_> = self.iter().map(|(_, key, value)| (key, value)).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(b.0));
        rows
    }
}
