//! Each collection of the graph as a part of readiness: complete means that every input it reads has delivered and that
//! the epoch which applied it is over (F35, F37).

use crate::{
    graph::{Graph, NodeKind, NodeStats},
    metrics,
    readiness::{Layer, Part, Readiness},
};

/// The collections that are not complete yet. Once all are, [`settle`](Self::settle) costs nothing.
#[derive(Debug)]
pub struct Collections {
    /// Position in the graph, and the part.
    waiting: Vec<(usize, Part)>,
    complete: Vec<Part>,
    since: std::time::Instant,
}

impl Collections {
    /// Registers every derived collection.
    #[must_use]
    pub fn register(graph: &Graph, readiness: &Readiness) -> Self {
        let parts = graph.stats().into_iter().enumerate().filter(|(_, node)| is_collection(node)).map(|(at, node)| {
            let part = readiness.register(Layer::Collection, node.name.clone());
            part.waiting(waits_for(&node));
            (at, part)
        });
        Self { waiting: parts.collect(), complete: Vec::new(), since: std::time::Instant::now() }
    }

    /// Tells readiness which collections the last epoch completed.
    pub fn settle(&mut self, graph: &Graph) {
        if self.waiting.is_empty() {
            return;
        }
        let nodes = graph.stats();
        for (at, part) in std::mem::take(&mut self.waiting) {
            let Some(node) = nodes.get(at) else { continue };
            if node.complete {
                part.ready();
                metrics::collection_synced(&node.name, self.since.elapsed());
                self.complete.push(part);
            } else {
                part.waiting(waits_for(node));
                self.waiting.push((at, part));
            }
        }
    }
}

fn is_collection(node: &NodeStats) -> bool {
    matches!(node.kind, NodeKind::Derive | NodeKind::Fold)
}

fn waits_for(node: &NodeStats) -> String {
    format!("the initial list of {} has not been delivered", node.waits_for.join(", "))
}
