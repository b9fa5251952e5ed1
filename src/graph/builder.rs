//! Drawing the graph: every node after what it reads.

use std::marker::PhantomData;

use super::fold::{Fold, Member};
use super::reads::{Extend, ReadSet};
use super::view::Readable;
use super::{Graph, Index, Input, Key, Rows, Value};

/// Draws a graph. A node can only name nodes that were drawn before it.
#[derive(Default)]
pub struct GraphBuilder {
    graph: u32,
    nodes: u32,
}

impl GraphBuilder {
    /// An empty drawing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn next<H>(&mut self, handle: fn(super::handle::NodeId) -> H) -> H {
        self.nodes += 1;
        handle(super::handle::NodeId { graph: self.graph, node: self.nodes - 1 })
    }

    /// A collection whose rows come from outside. It is incomplete until [`Batch::complete`](super::Batch::complete).
    pub fn input<K: Key, V: Value>(&mut self, _name: &'static str) -> Input<K, V> {
        self.next(Input::new)
    }

    /// Files the rows of a collection under the keys that `keys` pushes for each; none files a row nowhere.
    pub fn index<I: Key, K: Key, V: Value>(
        &mut self,
        _name: &'static str,
        _rows: impl Into<Rows<K, V>>,
        _keys: fn(&K, &V, &mut Vec<I>),
    ) -> Index<I, K, V> {
        self.next(Index::new)
    }

    /// Derives rows from each row of `rows`, the primary collection.
    pub fn derive<K: Key, V: Value>(
        &mut self,
        name: &'static str,
        rows: impl Into<Rows<K, V>>,
    ) -> Derive<'_, K, V, ()> {
        Derive { builder: self, name, primary: rows.into(), reads: () }
    }

    /// Brings rows of one or several collections under one key.
    pub fn fold<F: Fold<G>, G: Key>(&mut self, name: &'static str) -> FoldBuilder<'_, F, G> {
        FoldBuilder { builder: self, name, producers: PhantomData }
    }

    /// The graph, with nothing in it and every input incomplete.
    #[must_use]
    pub fn build(self) -> Graph {
        Graph {}
    }
}

/// A derive being drawn: declare what the transform reads, then name the transform.
#[must_use = "a derive is a node only once its transform is named with `rows`"]
pub struct Derive<'g, K, V, R> {
    builder: &'g mut GraphBuilder,
    name: &'static str,
    primary: Rows<K, V>,
    reads: R,
}

impl<'g, K: Key, V: Value, R: ReadSet> Derive<'g, K, V, R> {
    /// Lets the transform read this input, collection or index through its next lens; up to six.
    pub fn reading<H: Readable>(self, handle: H) -> Derive<'g, K, V, R::Extended>
    where
        R: Extend<H::View>,
    {
        let Self { builder, name, primary, reads } = self;
        Derive { builder, name, primary, reads: reads.with(handle.view()) }
    }

    /// The rows that `transform` makes of each primary row.
    ///
    /// The transform is a plain `fn(&K, &Arc<V>, Lens<'_, A>, …, &mut Out<K2, V2>) -> Result<(), Stop>`; it must be
    /// a pure function of what it is given and what it looks up. If it stops it contributes no rows and is run
    /// again when anything it looked up changes. Of two primary rows that put the same key the smaller primary
    /// key wins; the other's row comes back when the winner goes.
    pub fn rows<K2: Key, V2: Value>(self, transform: R::Transform<K, V, K2, V2>) -> Rows<K2, V2> {
        let _ = (self.name, self.primary, self.reads, transform);
        self.builder.next(Rows::new)
    }
}

/// A fold being drawn: name its producers, then take its rows.
#[must_use = "a fold is a node only once its rows are taken with `rows`"]
pub struct FoldBuilder<'g, F, G> {
    builder: &'g mut GraphBuilder,
    name: &'static str,
    producers: PhantomData<fn() -> (F, G)>,
}

impl<F: Fold<G>, G: Key> FoldBuilder<'_, F, G> {
    /// Adds a producer: each of its rows is a member of the group that `group` names.
    pub fn from<K: Key, V: Value>(self, rows: impl Into<Rows<K, V>>, group: fn(&K, &V) -> G) -> Self
    where
        F: Member<K, V>,
    {
        let _ = (rows.into(), group);
        self
    }

    /// One row for each group that has members and whose [`Fold::row`] makes one.
    pub fn rows(self) -> Rows<G, F::Row> {
        let _ = self.name;
        self.builder.next(Rows::new)
    }
}
