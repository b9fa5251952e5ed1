//! Epochs: everything that is pending is one batch; each affected node runs once, after what it reads.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builder::Plan;
use super::collection::{Changes, Published};
use super::explain::Teller;
use super::handle::NodeId;
use super::mutant::{self, Mutant};
use super::node::{Node, Nodes, Ran};
use super::{Batch, Explanation, Key, NodeStats, Rows, Stop, Value};

/// An incremental collection graph. One owner; [`epoch`](Self::epoch) is the only way to change it.
///
/// A handle of another graph finds nothing here.
pub struct Graph {
    pub(crate) id: u32,
    /// In topological order, since a handle exists only after its node.
    pub(crate) nodes: Vec<Box<dyn Node>>,
    pub(crate) plans: Vec<Plan>,
    /// Nodes that have to run in this epoch.
    pub(crate) queue: BTreeSet<u32>,
}

impl Graph {
    pub(crate) fn new(id: u32, nodes: Vec<Box<dyn Node>>, plans: Vec<Plan>) -> Self {
        Self { id, nodes, plans, queue: BTreeSet::new() }
    }

    /// Applies the batch and runs every affected node once, in topological order. A transform that panics takes the
    /// graph with it: what an epoch left half done is not repaired.
    pub fn epoch(&mut self, change: impl FnOnce(&mut Batch<'_>)) -> Epoch {
        let start = Instant::now();
        let mut batch = Batch { graph: self, completeness: Vec::new(), misaddressed: 0 };
        change(&mut batch);
        let Batch { completeness, misaddressed, .. } = batch;
        let mut touched = self.declare(&completeness);
        let mut changes = Vec::new();
        let mut nodes_run = 0;
        while let Some(node) = self.next() {
            nodes_run += 1;
            touched.insert(node);
            changes.extend(self.run(node).map(|published| (node, published)));
        }
        for node in touched {
            self.nodes[node as usize].settle();
        }
        Epoch { graph: self.id, changes, nodes_run, misaddressed, duration: start.elapsed() }
    }

    /// Hands the completeness of inputs on to the nodes above them, and queues the readers of those that changed.
    fn declare(&mut self, completeness: &[(u32, bool)]) -> BTreeSet<u32> {
        let mut flipped = BTreeSet::new();
        if completeness.is_empty() {
            return flipped;
        }
        let mut inputs: Vec<bool> = self.plans.iter().map(|plan| plan.complete).collect();
        for (input, complete) in completeness {
            inputs[*input as usize] = *complete;
        }
        for ((plan, node), id) in self.plans.iter_mut().zip(&mut self.nodes).zip(0..) {
            let complete = !plan.inputs.is_empty() && plan.inputs.iter().all(|input| inputs[*input as usize]);
            if plan.complete != complete {
                plan.complete = complete;
                node.set_complete(complete);
                self.queue.extend(&plan.readers);
                flipped.insert(id);
            }
        }
        flipped
    }

    fn next(&mut self) -> Option<u32> {
        if mutant::is(Mutant::WrongOrder) { self.queue.pop_last() } else { self.queue.pop_first() }
    }

    /// Runs one node and queues its readers if there is something to tell them.
    fn run(&mut self, id: u32) -> Option<Published> {
        let start = Instant::now();
        let (before, rest) = self.nodes.split_at_mut(id as usize);
        let node = rest.first_mut()?;
        let Ran { published, mut work } = node.run(Nodes(before));
        let plan = &mut self.plans[id as usize];
        if !node.is_quiet() {
            self.queue.extend(&plan.readers);
        }
        work.runs = 1;
        work.time = start.elapsed();
        plan.total.add(&work);
        plan.last = work;
        published
    }

    /// The row of this key.
    #[must_use]
    pub fn get<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>, key: &K) -> Option<Arc<V>> {
        let rows = self.own(rows)?;
        Nodes(&self.nodes).collection(rows).table.get(key).cloned()
    }

    /// All rows, sorted by key.
    pub fn iter<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>) -> impl Iterator<Item = (&K, &Arc<V>)> {
        let rows = self.own(rows).map(|rows| Nodes(&self.nodes).collection(rows).table.sorted());
        rows.unwrap_or_default().into_iter()
    }

    /// How many rows there are.
    #[must_use]
    pub fn len<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>) -> usize {
        self.own(rows).map_or(0, |rows| Nodes(&self.nodes).collection(rows).table.len())
    }

    /// Whether every input that the collection reads, directly or through others, is complete.
    #[must_use]
    pub fn is_complete<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>) -> bool {
        self.own(rows).is_some_and(|rows| self.plans[rows.0.node as usize].complete)
    }

    /// Whether every node is complete. A graph without nodes never is: nothing is vacuously known.
    #[must_use]
    pub fn complete(&self) -> bool {
        !self.plans.is_empty() && self.plans.iter().all(|plan| plan.complete)
    }

    /// The counts of every node, in topological order. Counts stops and marks; for metrics, not for each epoch.
    #[must_use]
    pub fn stats(&self) -> Vec<NodeStats> {
        let stats = self.plans.iter().zip(&self.nodes).map(|(plan, node)| {
            let missing = |input: &&u32| !self.plans[**input as usize].complete;
            let waits_for = plan.inputs.iter().filter(missing).map(|input| self.plans[*input as usize].name.clone());
            let mut stats = NodeStats::new(plan.name.clone(), plan.kind, waits_for.collect());
            (stats.complete, stats.last, stats.total) = (plan.complete, plan.last, plan.total);
            node.measure(&mut stats);
            stats
        });
        stats.collect()
    }

    /// The primary rows (as `Debug` text) whose transform stopped, sorted by key, and why.
    #[must_use]
    pub fn stops<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>) -> Vec<(String, Stop)> {
        let nodes = Nodes(&self.nodes);
        self.own(rows).map(|rows| nodes.get(rows.0.node).stops(nodes)).unwrap_or_default()
    }

    /// Which inputs made this row, and what was looked up on the way; `None` if there is no such row.
    #[must_use]
    pub fn explain<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>, key: &K) -> Option<Explanation> {
        let nodes = Nodes(&self.nodes);
        nodes.get(self.own(rows)?.0.node).explain(nodes, key, &mut Teller::default())
    }

    fn own<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>) -> Option<Rows<K, V>> {
        Some(rows.into()).filter(|rows| rows.0.graph == self.id)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.plans.iter().map(|plan| &plan.name)).finish()
    }
}

/// What an epoch changed.
#[derive(Debug)]
pub struct Epoch {
    graph: u32,
    /// Sorted by node, which is the order in which nodes run.
    changes: Vec<(u32, Published)>,
    nodes_run: usize,
    misaddressed: usize,
    duration: Duration,
}

impl Epoch {
    /// The rows of this collection that changed, sorted by key; `None` for a row that went.
    #[must_use]
    pub fn changes<K: Key, V: Value>(&self, rows: impl Into<Rows<K, V>>) -> &[(K, Option<Arc<V>>)] {
        let NodeId { graph, node } = rows.into().0;
        let found = self.changes.iter().find(|(changed, _)| *changed == node && graph == self.graph);
        found.and_then(|(_, changes)| changes.downcast_ref::<Changes<K, V>>()).map_or(&[], Vec::as_slice)
    }

    /// No row of any collection changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How many nodes ran.
    #[must_use]
    pub fn nodes_run(&self) -> usize {
        self.nodes_run
    }

    /// How many writes were meant for another graph and not done: a mistake in the program.
    #[must_use]
    pub fn misaddressed(&self) -> usize {
        self.misaddressed
    }
}
