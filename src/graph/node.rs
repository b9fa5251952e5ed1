//! The nodes of a graph behind one trait: what the engine knows of them without their types.

use std::any::Any;
use std::sync::Arc;

use super::collection::Collection;
use super::index::IndexNode;
use super::{Index, Key, Rows, Value};

/// The changes of a node on their way out: a `Changes<K, V>` inside.
pub(crate) type Published = Arc<dyn Any + Send + Sync>;

/// A node: an input, an index, a derive or a fold.
pub(crate) trait Node: Send {
    /// The node's `Collection<K, V>`, or the `IndexNode<I, K, V>` itself.
    fn state(&self) -> &dyn Any;
    /// The same for writing; only inputs are written from outside.
    fn state_mut(&mut self) -> &mut dyn Any;
}

/// The nodes that stand before the one that runs: all that it can read.
#[derive(Clone, Copy)]
pub struct Nodes<'a>(pub(crate) &'a [Box<dyn Node>]);

impl<'a> Nodes<'a> {
    pub(crate) fn collection<K: Key, V: Value>(self, rows: Rows<K, V>) -> &'a Collection<K, V> {
        let state = self.0[rows.0.node as usize].state();
        state.downcast_ref().expect("a handle comes from its builder only, which gave it the node's types")
    }

    pub(crate) fn index<I: Key, K: Key, V: Value>(self, index: Index<I, K, V>) -> &'a IndexNode<I, K, V> {
        let state = self.0[index.0.node as usize].state();
        state.downcast_ref().expect("a handle comes from its builder only, which gave it the node's types")
    }
}
