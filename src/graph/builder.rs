//! Drawing the graph: every node after what it reads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use arcstr::ArcStr;

use super::collection::Collection;
use super::derive::DeriveNode;
use super::fold::{Fold, FoldNode, Grouped, Member, Producer};
use super::handle::NodeId;
use super::index::IndexNode;
use super::input::InputNode;
use super::node::Node;
use super::reads::{ReadSet, RoomFor};
use super::stats::{NodeKind, Work};
use super::view::Readable;
use super::{Graph, Index, Input, Key, Rows, Value};

/// What the engine knows of a node beside the node.
pub(crate) struct Plan {
    pub(crate) name: ArcStr,
    pub(crate) kind: NodeKind,
    /// The inputs it reads, directly or through others; of an input itself.
    pub(crate) inputs: BTreeSet<u32>,
    /// The nodes that read it.
    pub(crate) readers: Vec<u32>,
    pub(crate) complete: bool,
    pub(crate) last: Work,
    pub(crate) total: Work,
}

/// Draws a graph. A node can only name nodes that were drawn before it.
///
/// A handle of another graph names nothing here: it is drawn as a new input that never has a row and never
/// completes, so that [`Graph::stats`] shows it and nothing is taken for known.
pub struct GraphBuilder {
    graph: u32,
    nodes: Vec<Box<dyn Node>>,
    plans: Vec<Plan>,
}

impl Default for GraphBuilder {
    fn default() -> Self {
        static GRAPHS: AtomicU32 = AtomicU32::new(0);
        Self { graph: GRAPHS.fetch_add(1, Ordering::Relaxed), nodes: Vec::new(), plans: Vec::new() }
    }
}

impl GraphBuilder {
    /// An empty drawing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A collection whose rows come from outside. It is incomplete until [`Batch::complete`](super::Batch::complete).
    pub fn input<K: Key, V: Value>(&mut self, name: &'static str) -> Input<K, V> {
        Input::new(self.add(name, NodeKind::Input, InputNode::<K, V> { rows: Collection::new(name) }, &[]))
    }

    /// Files the rows of a collection under the keys that `keys` pushes for each; none files a row nowhere.
    pub fn index<I: Key, K: Key, V: Value>(
        &mut self,
        name: &'static str,
        rows: impl Into<Rows<K, V>>,
        keys: fn(&K, &V, &mut Vec<I>),
    ) -> Index<I, K, V> {
        let rows = self.adopt_rows(rows.into());
        Index::new(self.add(name, NodeKind::Index, IndexNode::new(name, rows, keys), &[rows.0]))
    }

    /// Derives rows from each row of `rows`, the primary collection.
    pub fn derive<K: Key, V: Value>(
        &mut self,
        name: &'static str,
        rows: impl Into<Rows<K, V>>,
    ) -> Derive<'_, K, V, ()> {
        let primary = self.adopt_rows(rows.into());
        Derive { builder: self, name, primary, reads: () }
    }

    /// Brings rows of one or several collections under one key.
    pub fn fold<F: Fold<G>, G: Key>(&mut self, name: &'static str) -> FoldBuilder<'_, F, G> {
        FoldBuilder { builder: self, name, reads: Vec::new(), producers: Vec::new() }
    }

    /// The graph, with nothing in it and every input incomplete.
    #[must_use]
    pub fn build(self) -> Graph {
        Graph::new(self.graph, self.nodes, self.plans)
    }

    fn add(&mut self, name: &'static str, kind: NodeKind, node: impl Node + 'static, reads: &[NodeId]) -> NodeId {
        let id = u32::try_from(self.nodes.len()).expect("a graph is drawn by hand and has few nodes");
        let mut inputs = BTreeSet::new();
        for read in reads {
            let plan = &mut self.plans[read.node as usize];
            inputs.extend(&plan.inputs);
            if !plan.readers.contains(&id) {
                plan.readers.push(id);
            }
        }
        if kind == NodeKind::Input {
            inputs.insert(id);
        }
        let (last, total) = (Work::default(), Work::default());
        self.plans.push(Plan { name: name.into(), kind, inputs, readers: Vec::new(), complete: false, last, total });
        self.nodes.push(Box::new(node));
        NodeId { graph: self.graph, node: id }
    }

    pub(crate) fn adopt_rows<K: Key, V: Value>(&mut self, rows: Rows<K, V>) -> Rows<K, V> {
        if rows.0.graph == self.graph { rows } else { self.input("a handle of another graph").rows() }
    }

    pub(crate) fn adopt_index<I: Key, K: Key, V: Value>(&mut self, index: Index<I, K, V>) -> Index<I, K, V> {
        if index.0.graph == self.graph {
            return index;
        }
        let nothing = self.input("a handle of another graph");
        self.index("an index of another graph", nothing, |_, _, _| {})
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
        R: RoomFor<H::View>,
    {
        let Self { builder, name, primary, reads } = self;
        let reads = reads.with(handle.view(), builder);
        Derive { builder, name, primary, reads }
    }

    /// The rows that `transform` makes of each primary row.
    ///
    /// The transform is a plain `fn(&K, &Arc<V>, Lens<'_, A>, …, &mut Out<K2, V2>) -> Result<(), Stop>`; it must be
    /// a pure function of what it is given and what it looks up. If it stops it contributes no rows and is run
    /// again when anything it looked up changes. Of two primary rows that put the same key the smaller primary
    /// key wins; the other's row comes back when the winner goes.
    pub fn rows<K2: Key, V2: Value>(self, transform: R::Transform<K, V, K2, V2>) -> Rows<K2, V2> {
        let Self { builder, name, primary, reads } = self;
        let read: Vec<NodeId> =
            [primary.0].into_iter().chain(reads.addresses().iter().map(|address| address.0)).collect();
        Rows::new(builder.add(name, NodeKind::Derive, DeriveNode::new(name, primary, reads, transform), &read))
    }
}

/// A fold being drawn: name its producers, then take its rows.
#[must_use = "a fold is a node only once its rows are taken with `rows`"]
pub struct FoldBuilder<'g, F, G> {
    builder: &'g mut GraphBuilder,
    name: &'static str,
    reads: Vec<NodeId>,
    producers: Vec<Box<dyn Producer<F, G>>>,
}

impl<F: Fold<G>, G: Key> FoldBuilder<'_, F, G> {
    /// Adds a producer: each of its rows is a member of the group that `group` names.
    pub fn from<K: Key, V: Value>(mut self, rows: impl Into<Rows<K, V>>, group: fn(&K, &V) -> G) -> Self
    where
        F: Member<K, V>,
    {
        let rows = self.builder.adopt_rows(rows.into());
        self.reads.push(rows.0);
        self.producers.push(Box::new(Grouped { rows, group }));
        self
    }

    /// One row for each group that has members and whose [`Fold::row`] makes one.
    pub fn rows(self) -> Rows<G, F::Row> {
        let Self { builder, name, reads, producers } = self;
        Rows::new(builder.add(name, NodeKind::Fold, FoldNode::new(name, producers), &reads))
    }
}
