//! Handles: names of nodes. They exist only after their node, so no cycle has a spelling, and they have no
//! read method, so what a transform did not declare it cannot read.

use std::fmt;
use std::marker::PhantomData;

/// Which graph a handle belongs to, and which node of it. Ids grow in the order of building, which is
/// therefore a topological order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId {
    pub(crate) graph: u32,
    pub(crate) node: u32,
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident<$($p:ident),+>) => {
        $(#[$doc])*
        pub struct $name<$($p),+>(pub(crate) NodeId, pub(crate) PhantomData<fn() -> ($($p,)+)>);

        impl<$($p),+> $name<$($p),+> {
            pub(crate) fn new(id: NodeId) -> Self {
                Self(id, PhantomData)
            }
        }
        impl<$($p),+> Clone for $name<$($p),+> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$($p),+> Copy for $name<$($p),+> {}
        impl<$($p),+> fmt::Debug for $name<$($p),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.node)
            }
        }
    };
}

handle! {
    /// Where rows come in: what a [`Batch`](super::Batch) writes to.
    Input<K, V>
}
handle! {
    /// Names a collection of rows `K` → `V`. It cannot be read; a transform reads through a [`Lens`](super::Lens).
    Rows<K, V>
}
handle! {
    /// Names a collection by which of its keys have a row at the moment: see [`Rows::present`].
    Present<K, V>
}
handle! {
    /// Names an index over a collection `K` → `V`: the rows filed under each `I`.
    Index<I, K, V>
}

impl<K, V> Input<K, V> {
    /// The input as a collection like any other.
    pub fn rows(self) -> Rows<K, V> {
        Rows::new(self.0)
    }
}

impl<K, V> Rows<K, V> {
    /// The same collection for readers that ask only whether a key has a row now. That is never unknown, also while the
    /// collection is incomplete: a reader that would otherwise wait for everything below derives what is known already, and
    /// is run again when the row comes or goes.
    pub fn present(self) -> Present<K, V> {
        Present::new(self.0)
    }
}

impl<K, V> From<Input<K, V>> for Rows<K, V> {
    fn from(input: Input<K, V>) -> Self {
        input.rows()
    }
}
