//! The graph and the publication in numbers: for `syncgate status` and for the metrics.

use std::{sync::Arc, time::Instant};

use super::pipeline::Pipeline;
use crate::{
    files::Findings,
    metrics::{self, NodeCounts},
    proto,
    resource::ResourceType,
    snapshot::Snapshot,
    xds::Hub,
};

/// Every node of the graph.
#[must_use]
pub fn collections(pipeline: &Pipeline) -> Vec<proto::Collection> {
    let nodes = pipeline.graph.stats().into_iter();
    nodes
        .map(|node| proto::Collection {
            name: node.name.to_string(),
            complete: node.complete,
            rows: node.rows as u64,
            recomputed: node.total.recomputed,
            unchanged: node.total.no_ops,
            pending: node.pending as u64,
            faults: node.faults as u64,
            scans: node.total.scans,
            seconds: node.total.time.as_secs_f64(),
        })
        .collect()
}

/// Problems of files as such that are shown; the log and `check` say all.
const SHOWN: usize = 20;

/// What is wrong with files as a whole, each with its place: a broken one keeps its last good objects.
#[must_use]
pub fn file_problems(found: &Findings) -> Vec<String> {
    let of_files = found.problems.iter().filter(|problem| problem.object.is_none());
    of_files.take(SHOWN).map(ToString::to_string).collect()
}

/// What is served.
#[must_use]
pub fn publication(pipeline: &Pipeline, published: Option<Instant>, hub: &Hub) -> proto::Publication {
    let clients = hub.counts();
    let gateway = |snapshot: &Arc<Snapshot>| {
        let count = |kind| u32::try_from(snapshot.set(kind).len()).unwrap_or(u32::MAX);
        proto::Gateway {
            name: snapshot.gateway().to_string(),
            version: snapshot.version().to_string(),
            listeners: count(ResourceType::Listener),
            route_configurations: count(ResourceType::RouteConfiguration),
            clusters: count(ResourceType::Cluster),
            load_assignments: count(ResourceType::ClusterLoadAssignment),
            secrets: count(ResourceType::Secret),
            clients: clients.get(snapshot.gateway()).copied().unwrap_or(0),
        }
    };
    proto::Publication {
        epochs: pipeline.epochs(),
        published: published.is_some(),
        age_seconds: published.map_or(-1.0, |at| at.elapsed().as_secs_f64()),
        gateways: pipeline.world().iter().map(gateway).collect(),
    }
}

/// The counts of every collection as metrics; a handful of nodes, whatever the number of rows.
pub fn export(pipeline: &Pipeline) {
    for node in pipeline.graph.stats() {
        let counts = NodeCounts {
            rows: node.rows as u64,
            recomputed: node.total.recomputed,
            noops: node.total.no_ops,
            faults: node.faults as u64,
            scans: node.total.scans,
            complete: node.complete,
        };
        metrics::collection(node.name.as_str(), counts);
    }
}
