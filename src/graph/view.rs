//! What can be declared with `reading`, and what the engine asks of it.

use super::collection::Collection;
use super::handle::NodeId;
use super::index::IndexNode;
use super::node::Nodes;
use super::{Index, Input, Key, Rows, Value};

/// What `reading` accepts: an [`Input`], [`Rows`] or an [`Index`].
pub trait Readable {
    /// The handle whose [`Lens`](super::Lens) the transform gets; an input reads as its rows.
    type View: View;
    /// The handle.
    fn view(self) -> Self::View;
}

/// A handle that a [`Lens`](super::Lens) can look through. Not to be implemented outside the graph.
pub trait View: Copy + Send + 'static {
    /// What is looked up.
    type Key: Key;
    /// The node's state during a run.
    type Source<'a>: Copy + Send + Sync;
    /// The node it names.
    #[doc(hidden)]
    fn address(self) -> Address;
    /// The node's state.
    #[doc(hidden)]
    fn open<'a>(self, nodes: Nodes<'a>) -> Self::Source<'a>;
}

/// A node's id, opaque outside the graph.
#[derive(Debug, Clone, Copy)]
pub struct Address(pub(crate) NodeId);

impl<K: Key, V: Value> Readable for Input<K, V> {
    type View = Rows<K, V>;
    fn view(self) -> Rows<K, V> {
        self.rows()
    }
}

impl<K: Key, V: Value> Readable for Rows<K, V> {
    type View = Self;
    fn view(self) -> Self {
        self
    }
}

impl<I: Key, K: Key, V: Value> Readable for Index<I, K, V> {
    type View = Self;
    fn view(self) -> Self {
        self
    }
}

impl<K: Key, V: Value> View for Rows<K, V> {
    type Key = K;
    type Source<'a> = &'a Collection<K, V>;
    fn address(self) -> Address {
        Address(self.0)
    }
    fn open<'a>(self, nodes: Nodes<'a>) -> &'a Collection<K, V> {
        nodes.collection(self)
    }
}

impl<I: Key, K: Key, V: Value> View for Index<I, K, V> {
    type Key = I;
    type Source<'a> = (&'a IndexNode<I, K, V>, &'a Collection<K, V>);
    fn address(self) -> Address {
        Address(self.0)
    }
    fn open<'a>(self, nodes: Nodes<'a>) -> (&'a IndexNode<I, K, V>, &'a Collection<K, V>) {
        let node = nodes.index(self);
        (node, nodes.collection(node.over))
    }
}
