//! What can be declared with `reading`, and what the engine asks of it.

use super::builder::GraphBuilder;
use super::collection::Collection;
use super::explain::{Answer, Explanation, Teller};
use super::handle::NodeId;
use super::index::IndexNode;
use super::node::Nodes;
use super::{Index, Input, Key, Present, Rows, Value};

/// What `reading` accepts: an [`Input`], [`Rows`], what is [`Present`] of them, or an [`Index`].
pub trait Readable {
    /// The handle whose [`Lens`](super::Lens) the transform gets; an input reads as its rows.
    type View: View;
    /// The handle.
    fn view(self) -> Self::View;
}

/// A node's id, opaque outside the graph.
#[derive(Debug, Clone, Copy)]
pub struct Address(pub(crate) NodeId);

/// A handle that a [`Lens`](super::Lens) can look through. Not to be implemented outside the graph.
pub trait View: Copy + Send + 'static {
    /// What is looked up.
    type Key: Key;
    /// The node's state during a run.
    type Source<'a>: Copy + Send + Sync;

    /// The node it names.
    #[doc(hidden)]
    fn address(self) -> Address;
    /// The handle, or if it is of another graph one of a node of this graph that is empty for ever.
    #[doc(hidden)]
    fn adopted(self, builder: &mut GraphBuilder) -> Self;
    /// The node's state.
    #[doc(hidden)]
    fn open<'a>(self, nodes: Nodes<'a>) -> Self::Source<'a>;
    /// Whether every look-up has the answer it had before this epoch.
    #[doc(hidden)]
    fn is_quiet(source: Self::Source<'_>) -> bool;
    /// Whether the completeness changed in this epoch.
    #[doc(hidden)]
    fn flipped(source: Self::Source<'_>) -> bool;
    /// The keys of which a look-up may have another answer, completeness aside.
    #[doc(hidden)]
    fn changed(source: Self::Source<'_>, on: &mut dyn FnMut(&Self::Key));
    /// Whether the answer for this key holds whatever the completeness is.
    #[doc(hidden)]
    fn is_found(source: Self::Source<'_>, key: &Self::Key) -> bool;
    /// The answer for this key, or for a scan, and what made it.
    #[doc(hidden)]
    fn explain(self, nodes: Nodes<'_>, key: Option<&Self::Key>, teller: &mut Teller) -> Explanation;
}

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

impl<K: Key, V: Value> Readable for Present<K, V> {
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

    fn adopted(self, builder: &mut GraphBuilder) -> Self {
        builder.adopt_rows(self)
    }

    fn open<'a>(self, nodes: Nodes<'a>) -> &'a Collection<K, V> {
        nodes.collection(self)
    }

    fn is_quiet(source: &Collection<K, V>) -> bool {
        source.is_quiet()
    }

    fn flipped(source: &Collection<K, V>) -> bool {
        source.flipped
    }

    fn changed(source: &Collection<K, V>, on: &mut dyn FnMut(&K)) {
        source.changed().for_each(on);
    }

    fn is_found(source: &Collection<K, V>, key: &K) -> bool {
        source.table.get(key).is_some()
    }

    fn explain(self, nodes: Nodes<'_>, key: Option<&K>, teller: &mut Teller) -> Explanation {
        let rows = nodes.collection(self);
        let node = nodes.get(self.0.node);
        let Some(key) = key else {
            let answer = if rows.complete { Answer::Found } else { Answer::Pending };
            let keys = rows.table.sorted().into_iter().map(|(key, _)| key);
            return Explanation::new(&rows.name, &format_args!("*"), answer)
                .with(keys, teller, |key, teller| node.explain(nodes, key, teller));
        };
        let unknown = || {
            let answer = if rows.knows_absent(key) { Answer::Absent } else { Answer::Pending };
            Explanation::new(&rows.name, key, answer)
        };
        node.explain(nodes, key, teller).unwrap_or_else(unknown)
    }
}

impl<K: Key, V: Value> View for Present<K, V> {
    type Key = K;
    type Source<'a> = &'a Collection<K, V>;

    fn address(self) -> Address {
        Address(self.0)
    }

    fn adopted(self, builder: &mut GraphBuilder) -> Self {
        builder.adopt_rows(Rows::new(self.0)).present()
    }

    fn open<'a>(self, nodes: Nodes<'a>) -> &'a Collection<K, V> {
        nodes.collection(Rows::new(self.0))
    }

    fn is_quiet(source: &Collection<K, V>) -> bool {
        source.changes().is_empty()
    }

    /// No answer depends on it.
    fn flipped(_: &Collection<K, V>) -> bool {
        false
    }

    fn changed(source: &Collection<K, V>, on: &mut dyn FnMut(&K)) {
        source.changes().iter().for_each(|change| on(source.table.key(change.slot)));
    }

    fn is_found(source: &Collection<K, V>, key: &K) -> bool {
        source.table.get(key).is_some()
    }

    fn explain(self, nodes: Nodes<'_>, key: Option<&K>, teller: &mut Teller) -> Explanation {
        let rows = nodes.collection(Rows::<K, V>::new(self.0));
        let told = key.and_then(|key| nodes.get(self.0.node).explain(nodes, key, teller));
        told.unwrap_or_else(|| Explanation::new(&rows.name, &key, Answer::Absent))
    }
}

impl<I: Key, K: Key, V: Value> View for Index<I, K, V> {
    type Key = I;
    type Source<'a> = (&'a IndexNode<I, K, V>, &'a Collection<K, V>);

    fn address(self) -> Address {
        Address(self.0)
    }

    fn adopted(self, builder: &mut GraphBuilder) -> Self {
        builder.adopt_index(self)
    }

    fn open<'a>(self, nodes: Nodes<'a>) -> Self::Source<'a> {
        let node = nodes.index(self);
        (node, nodes.collection(node.over))
    }

    fn is_quiet((index, rows): Self::Source<'_>) -> bool {
        index.touched().next().is_none() && !rows.flipped
    }

    fn flipped((_, rows): Self::Source<'_>) -> bool {
        rows.flipped
    }

    fn changed((index, _): Self::Source<'_>, on: &mut dyn FnMut(&I)) {
        index.touched().for_each(on);
    }

    /// "These and no others" depends on completeness even where some are found.
    fn is_found(_: Self::Source<'_>, _: &I) -> bool {
        false
    }

    fn explain(self, nodes: Nodes<'_>, key: Option<&I>, teller: &mut Teller) -> Explanation {
        let (index, rows) = self.open(nodes);
        let node = nodes.get(index.over.0.node);
        let Some(key) = key else {
            return Explanation::new(index.name(), &format_args!("*"), Answer::Found);
        };
        let slots = index.slots(key);
        let answer = match (rows.complete, slots.is_empty()) {
            (false, _) => Answer::Pending,
            (true, true) => Answer::Absent,
            (true, false) => Answer::Found,
        };
        let keys = slots.iter().map(|slot| rows.table.key(*slot));
        Explanation::new(index.name(), key, answer).with(keys, teller, |key, teller| node.explain(nodes, key, teller))
    }
}
