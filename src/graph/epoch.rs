//! Epochs: everything that is pending is one batch; each affected node runs once, after what it reads.

use std::sync::Arc;
use std::time::Duration;

use super::{Explanation, Input, Key, NodeStats, Rows, Stop, Value};

/// An incremental collection graph. One owner; [`epoch`](Self::epoch) is the only way to change it.
#[derive(Debug)]
pub struct Graph {}

impl Graph {
    /// Applies the batch and runs every affected node once, in topological order.
    pub fn epoch(&mut self, change: impl FnOnce(&mut Batch<'_>)) -> Epoch {
        change(&mut Batch { graph: self });
        Epoch {}
    }

    /// The row of this key.
    #[must_use]
    pub fn get<K: Key, V: Value>(&self, _rows: impl Into<Rows<K, V>>, _key: &K) -> Option<Arc<V>> {
        None
    }

    /// All rows, sorted by key.
    pub fn iter<K: Key, V: Value>(&self, _rows: impl Into<Rows<K, V>>) -> impl Iterator<Item = (&K, &Arc<V>)> {
        std::iter::empty()
    }

    /// Whether every input that the collection reads, directly or through others, is complete.
    #[must_use]
    pub fn is_complete<K: Key, V: Value>(&self, _rows: impl Into<Rows<K, V>>) -> bool {
        false
    }

    /// Whether every node is complete.
    #[must_use]
    pub fn complete(&self) -> bool {
        false
    }

    /// The counts of every node, in topological order.
    #[must_use]
    pub fn stats(&self) -> Vec<NodeStats> {
        Vec::new()
    }

    /// The primary rows (as `Debug` text) whose transform stopped, sorted by key, and why.
    #[must_use]
    pub fn stops<K: Key, V: Value>(&self, _rows: impl Into<Rows<K, V>>) -> Vec<(String, Stop)> {
        Vec::new()
    }

    /// Which inputs made this row, and what was looked up on the way; `None` if there is no such row.
    #[must_use]
    pub fn explain<K: Key, V: Value>(&self, _rows: impl Into<Rows<K, V>>, _key: &K) -> Option<Explanation> {
        None
    }
}

/// The changes of one epoch, being written to the inputs. Of several for one key the last counts.
pub struct Batch<'g> {
    graph: &'g mut Graph,
}

impl Batch<'_> {
    /// The row is this now. An equal row changes nothing.
    pub fn put<K: Key, V: Value>(&mut self, _input: Input<K, V>, _key: K, _value: Arc<V>) {
        let _ = &self.graph;
    }

    /// The row is gone.
    pub fn delete<K: Key, V: Value>(&mut self, _input: Input<K, V>, _key: &K) {}

    /// Somebody is looking for this key: until the next `put`, `delete` or `absent` of it, a look-up says
    /// [`Stop::Pending`]. A key that has a row is known; nothing happens then.
    pub fn pending<K: Key, V: Value>(&mut self, _input: Input<K, V>, _key: K) {}

    /// The key is known not to exist, also while the input is incomplete. Takes a row away, ends pending.
    pub fn absent<K: Key, V: Value>(&mut self, _input: Input<K, V>, _key: &K) {}

    /// Everything this input has to say so far has been said.
    pub fn complete<K: Key, V: Value>(&mut self, _input: Input<K, V>) {}

    /// The input is listed anew from nothing: what has no row is unknown again.
    pub fn incomplete<K: Key, V: Value>(&mut self, _input: Input<K, V>) {}

    /// Takes away every row and every mark whose key is the source's that ended. Looks at every row of the input.
    pub fn retract<K: Key, V: Value>(&mut self, _input: Input<K, V>, _owned: impl Fn(&K) -> bool) {}
}

/// What an epoch changed.
#[derive(Debug)]
pub struct Epoch {}

impl Epoch {
    /// The rows of this collection that changed, sorted by key; `None` for a row that went.
    #[must_use]
    pub fn changes<K: Key, V: Value>(&self, _rows: impl Into<Rows<K, V>>) -> &[(K, Option<Arc<V>>)] {
        &[]
    }

    /// No row of any collection changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::ZERO
    }

    /// How many nodes ran.
    #[must_use]
    pub fn nodes_run(&self) -> usize {
        0
    }
}
