//! The rows of a derive, of which several primary rows may put the same key: the smallest primary key wins,
//! the others wait behind it and come back when it goes.

use std::sync::Arc;

use hashbrown::HashMap;

use super::collection::Collection;
use super::interner::Slot;
use super::mutant::{self, Mutant};
use super::slots::Slots;
use super::{Key, Value};

/// A collection of winners, and the losers behind them.
#[derive(Debug)]
pub(crate) struct Candidates<K, V> {
    pub(crate) winners: Collection<K, V>,
    /// By slot of a row: the slot of the primary row that put it.
    owners: Slots<Slot>,
    /// By slot of a row: the primary rows that also put it, and what they put.
    losers: HashMap<Slot, Vec<(Slot, Arc<V>)>>,
}

impl<K: Key, V: Value> Candidates<K, V> {
    pub(crate) fn new(name: &str) -> Self {
        Self { winners: Collection::new(name), owners: Slots::default(), losers: HashMap::new() }
    }

    pub(crate) fn claim(&mut self, key: &K) -> Slot {
        let slot = self.winners.table.claim(key);
        self.owners.beside(slot);
        slot
    }

    /// The primary row `source` puts this row. Whether the collection changed by it.
    pub(crate) fn offer<P: Key, W: Value>(
        &mut self,
        primary: &Collection<P, W>,
        slot: Slot,
        source: Slot,
        value: Arc<V>,
    ) -> bool {
        let owner = self.owners[slot];
        let Some(current) = self.winners.table.value(slot) else {
            self.owners[slot] = source;
            return self.winners.write(slot, Some(value));
        };
        if owner == source {
            return self.winners.write(slot, Some(value));
        }
        let wins = (primary.table.key(source) < primary.table.key(owner)) != mutant::is(Mutant::LargestWins);
        let losers = self.losers.entry(slot).or_default();
        losers.retain(|(loser, _)| *loser != source);
        if !wins {
            losers.push((source, value));
            return false;
        }
        losers.push((owner, current.clone()));
        if mutant::is(Mutant::DropsLoser) {
            losers.clear();
        }
        self.owners[slot] = source;
        self.winners.write(slot, Some(value))
    }

    /// The primary row `source` does not put this row any more. Whether the collection changed by it.
    pub(crate) fn withdraw<P: Key, W: Value>(&mut self, primary: &Collection<P, W>, slot: Slot, source: Slot) -> bool {
        let Some(losers) = self.losers.get_mut(&slot) else {
            return self.winners.write(slot, None);
        };
        if self.owners[slot] != source {
            losers.retain(|(loser, _)| *loser != source);
            if losers.is_empty() {
                self.losers.remove(&slot);
            }
            return false;
        }
        let smallest = (0..losers.len()).min_by_key(|at| primary.table.key(losers[*at].0));
        let next = smallest.map(|at| losers.swap_remove(at));
        if losers.is_empty() {
            self.losers.remove(&slot);
        }
        if let Some((owner, _)) = next {
            self.owners[slot] = owner;
        }
        self.winners.write(slot, next.map(|(_, value)| value))
    }

    /// The primary row that put the row in this slot.
    pub(crate) fn owner(&self, slot: Slot) -> Slot {
        self.owners[slot]
    }

    /// The primary rows that put the same key and lost.
    pub(crate) fn behind(&self, slot: Slot) -> Vec<Slot> {
        self.losers.get(&slot).into_iter().flatten().map(|(source, _)| *source).collect()
    }

    /// How many rows wait behind a winner.
    pub(crate) fn losers(&self) -> usize {
        self.losers.values().map(Vec::len).sum()
    }
}
