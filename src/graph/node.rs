//! The nodes of a graph behind one trait: what the engine knows of them without their types.

use std::any::Any;

use super::collection::{Collection, Published};
use super::explain::{Explanation, Teller};
use super::index::IndexNode;
use super::stats::{NodeStats, Work};
use super::{Index, Key, Rows, Stop, Value};

/// What came of running a node.
pub(crate) struct Ran {
    /// The changes of its rows, if any.
    pub(crate) published: Option<Published>,
    pub(crate) work: Work,
}

/// A node: an input, an index, a derive or a fold.
pub(crate) trait Node: Send {
    /// The node's `Collection<K, V>`, or the `IndexNode<I, K, V>` itself.
    fn state(&self) -> &dyn Any;

    /// The same for writing; only inputs are written from outside.
    fn state_mut(&mut self) -> &mut dyn Any;

    /// Takes in this epoch's changes of the nodes it reads, which stand before it.
    fn run(&mut self, before: Nodes<'_>) -> Ran;

    /// Whether nothing that a reader could ask has another answer than before this epoch.
    fn is_quiet(&self) -> bool;

    /// The completeness of everything below it changed.
    fn set_complete(&mut self, complete: bool);

    /// The epoch ends: forget what was kept for its readers.
    fn settle(&mut self);

    /// Fills in what the node holds now.
    fn measure(&self, stats: &mut NodeStats);

    /// What made the row of this key.
    fn explain(&self, nodes: Nodes<'_>, key: &dyn Any, teller: &mut Teller) -> Option<Explanation>;

    /// Which primary rows stopped, and why.
    fn stops(&self, _nodes: Nodes<'_>) -> Vec<(String, Stop)> {
        Vec::new()
    }
}

/// The nodes that a running node can read: those that stand before it.
#[derive(Clone, Copy)]
pub struct Nodes<'a>(pub(crate) &'a [Box<dyn Node>]);

impl<'a> Nodes<'a> {
    pub(crate) fn get(self, node: u32) -> &'a dyn Node {
        self.0[node as usize].as_ref()
    }

    pub(crate) fn collection<K: Key, V: Value>(self, rows: Rows<K, V>) -> &'a Collection<K, V> {
        self.get(rows.0.node).state().downcast_ref().expect("a handle comes from its builder, which typed the node so")
    }

    pub(crate) fn index<I: Key, K: Key, V: Value>(self, index: Index<I, K, V>) -> &'a IndexNode<I, K, V> {
        self.get(index.0.node).state().downcast_ref().expect("a handle comes from its builder, which typed the node so")
    }
}
