//! The changes of one epoch, on their way into the inputs.

use std::sync::Arc;

use super::collection::{Collection, Mark};
use super::mutant::{self, Mutant};
use super::{Graph, Input, Key, Value};

/// The changes of one epoch, being written to the inputs. Of several for one key the last counts.
///
/// A write to an input of another graph is not done; [`Epoch::misaddressed`](super::Epoch::misaddressed) counts it.
pub struct Batch<'g> {
    pub(crate) graph: &'g mut Graph,
    /// Completeness of inputs that was declared, in order.
    pub(crate) completeness: Vec<(u32, bool)>,
    pub(crate) misaddressed: usize,
}

impl Batch<'_> {
    /// The row is this now. An equal row changes nothing.
    pub fn put<K: Key, V: Value>(&mut self, input: Input<K, V>, key: K, value: Arc<V>) {
        let Some(rows) = self.open(input) else { return };
        rows.mark(&key, None);
        let slot = rows.table.claim(&key);
        rows.write(slot, Some(value));
    }

    /// The row is gone. In an incomplete input the key is unknown then, as if it had never come.
    pub fn delete<K: Key, V: Value>(&mut self, input: Input<K, V>, key: &K) {
        let Some(rows) = self.open(input) else { return };
        rows.mark(key, None);
        if let Some(slot) = rows.table.find(key) {
            rows.write(slot, None);
        }
    }

    /// Somebody is looking for this key: until the next `put`, `delete` or `absent` of it, a look-up says
    /// [`Stop::Pending`](super::Stop::Pending). A key that has a row is known; nothing happens then.
    pub fn pending<K: Key, V: Value>(&mut self, input: Input<K, V>, key: K) {
        let Some(rows) = self.open(input) else { return };
        if rows.table.find(&key).is_none() {
            rows.mark(&key, Some(Mark::Pending));
        }
    }

    /// The key is known not to exist, also while the input is incomplete. Takes a row away, ends pending.
    pub fn absent<K: Key, V: Value>(&mut self, input: Input<K, V>, key: &K) {
        self.delete(input, key);
        let complete = self.declared(input.0.node);
        let Some(rows) = self.open(input) else { return };
        if !complete {
            rows.mark(key, Some(Mark::Absent));
        }
    }

    /// Everything this input has to say so far has been said: a key without a row does not exist.
    pub fn complete<K: Key, V: Value>(&mut self, input: Input<K, V>) {
        let Some(rows) = self.open(input) else { return };
        rows.unmark(|_, mark| mark == Mark::Absent);
        self.completeness.push((input.0.node, true));
    }

    /// The input is listed anew: what has no row is unknown again. Rows stay.
    pub fn incomplete<K: Key, V: Value>(&mut self, input: Input<K, V>) {
        if self.open(input).is_some() {
            self.completeness.push((input.0.node, false));
        }
    }

    /// Takes away every row and every mark whose key belonged to a source that ended. Looks at every row of the input.
    pub fn retract<K: Key, V: Value>(&mut self, input: Input<K, V>, owned: impl Fn(&K) -> bool) {
        let Some(rows) = self.open(input) else { return };
        let slots: Vec<_> = rows.table.iter().filter(|(_, key, _)| owned(key)).map(|(slot, ..)| slot).collect();
        for slot in slots {
            if mutant::is(Mutant::RetractUnheard) {
                rows.table.set(slot, None);
            } else {
                rows.write(slot, None);
            }
        }
        rows.unmark(|key, _| owned(key));
    }

    fn open<K: Key, V: Value>(&mut self, input: Input<K, V>) -> Option<&mut Collection<K, V>> {
        if input.0.graph != self.graph.id {
            self.misaddressed += 1;
            return None;
        }
        self.graph.queue.insert(input.0.node);
        let state = self.graph.nodes[input.0.node as usize].state_mut();
        Some(state.downcast_mut().expect("a handle comes from its builder, which typed the node so"))
    }

    /// Whether the input is complete, as far as this batch was written.
    fn declared(&self, input: u32) -> bool {
        let last = self.completeness.iter().rfind(|(node, _)| *node == input).map(|(_, complete)| *complete);
        last.unwrap_or_else(|| self.graph.plans.get(input as usize).is_some_and(|plan| plan.complete))
    }
}
