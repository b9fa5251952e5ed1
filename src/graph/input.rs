//! Inputs: rows that come from outside, written by a [`Batch`](super::Batch).

use std::any::Any;

use super::collection::Collection;
use super::explain::{Answer, Explanation, Teller};
use super::node::{Node, Nodes, Ran};
use super::stats::{NodeStats, Work};
use super::{Key, Value};

/// An input's node.
pub(crate) struct InputNode<K, V> {
    pub(crate) rows: Collection<K, V>,
}

impl<K: Key, V: Value> Node for InputNode<K, V> {
    fn state(&self) -> &dyn Any {
        &self.rows
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.rows
    }

    fn run(&mut self, _: Nodes<'_>) -> Ran {
        let dirty = self.rows.changes().len() as u64;
        let published = self.rows.publish();
        let no_ops = dirty - self.rows.changes().len() as u64;
        Ran { published, work: Work { dirty, no_ops, ..Work::default() } }
    }

    fn is_quiet(&self) -> bool {
        self.rows.is_quiet()
    }

    fn set_complete(&mut self, complete: bool) {
        self.rows.set_complete(complete);
    }

    fn settle(&mut self) {
        self.rows.settle();
    }

    fn measure(&self, stats: &mut NodeStats) {
        stats.rows = self.rows.table.len();
        stats.pending = self.rows.pending_marks();
    }

    fn explain(&self, _: Nodes<'_>, key: &dyn Any, _: &mut Teller) -> Option<Explanation> {
        let key = key.downcast_ref::<K>().filter(|key| self.rows.table.get(key).is_some())?;
        Some(Explanation::new(&self.rows.name, key, Answer::Found))
    }
}
