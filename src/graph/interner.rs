//! Keys in slots: a slab with a hash index, so that whatever is kept about a key is found by a `u32`.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Key;
use super::slots::Slots;

/// A key's place; stable from [`Interner::claim`] to [`Interner::release`].
pub(crate) type Slot = u32;

/// Gives each key a slot.
///
/// The hash is seeded for each process, because tenants choose keys; nothing that leaves the graph depends on
/// hash order or on slots.
#[derive(Debug)]
pub(crate) struct Interner<K> {
    hasher: DefaultHashBuilder,
    index: HashTable<Slot>,
    /// `None` in a free slot, so that nothing of a key that is gone stays in memory.
    keys: Slots<Option<K>>,
    free: Vec<Slot>,
}

impl<K> Default for Interner<K> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            keys: Slots::default(),
            free: Vec::new(),
        }
    }
}

impl<K: Key> Interner<K> {
    pub(crate) fn find(&self, key: &K) -> Option<Slot> {
        let same = |slot: &Slot| self.keys[*slot].as_ref() == Some(key);
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    /// The slot of this key, given now if it has none.
    pub(crate) fn claim(&mut self, key: &K) -> Slot {
        if let Some(slot) = self.find(key) {
            return slot;
        }
        let new = || Slot::try_from(self.keys.len()).expect("fewer than 2^32 keys fit into memory");
        let slot = self.free.pop().unwrap_or_else(new);
        *self.keys.beside(slot) = Some(key.clone());
        let Self { hasher, index, keys, .. } = self;
        let hash = |slot: &Slot| hasher.hash_one(keys[*slot].as_ref().expect("an indexed slot has a key"));
        index.insert_unique(hash(&slot), slot, hash);
        slot
    }

    /// Takes the slot back; its key is forgotten.
    pub(crate) fn release(&mut self, slot: Slot) {
        let Some(key) = self.keys.get_mut(slot).and_then(Option::take) else { return };
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(&key), |other| *other == slot) {
            found.remove();
        }
        self.free.push(slot);
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// The key in a claimed slot.
    pub(crate) fn key(&self, slot: Slot) -> &K {
        self.keys[slot].as_ref().expect("a slot is used only between claim and release")
    }

    /// How many keys have a slot.
    pub(crate) fn len(&self) -> usize {
        self.keys.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &K)> {
        (0..).zip(self.keys.iter()).filter_map(|(slot, key)| Some((slot, key.as_ref()?)))
    }
}
