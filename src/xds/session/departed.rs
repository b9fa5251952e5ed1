//! Load assignments that went together with their clusters, while the client may still have these (rule 29).
//!
//! A cluster goes when no route names it any more. Until then one that the client got just before warms, or is asked about
//! by a client that comes back: it is given what its load assignment was, so that the routes of before meet endpoints.
//!
//! Invariant: nothing is kept here of a cluster that is back, or whose removal is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;

use super::past::Gone;
use super::type_state::TypeState;
use crate::resource::{Resource, ResourceType};
use crate::snapshot::Snapshot;

#[derive(Debug, Default)]
pub(super) struct Departed {
    /// By their names, each with a cluster that names it.
    assignments: BTreeMap<ArcStr, (ArcStr, Arc<Resource>)>,
    /// Counts load assignments that were looked at.
    visited: u64,
}

impl Departed {
    /// Keeps what goes with the clusters that this client has to be told to remove.
    pub(super) fn note(&mut self, clusters: &TypeState, before: &Snapshot, now: &Snapshot) {
        let (kind, of) = (ResourceType::Cluster, ResourceType::ClusterLoadAssignment);
        let gone = now.set(kind).difference(before.set(kind));
        for name in gone.removed.iter().filter(|name| clusters.is_leaving(name)) {
            let Some(cluster) = before.set(kind).get(name) else { continue };
            for assignment in cluster.refs_of(of).filter_map(|name| before.set(of).get(name)) {
                self.assignments.insert(assignment.name.clone(), (name.clone(), assignment.clone()));
            }
        }
    }

    /// Keeps what went with a cluster while the client was away.
    pub(super) fn recall(&mut self, gone: &Gone) {
        for assignment in &gone.assignments {
            self.assignments.insert(assignment.name.clone(), (gone.cluster.name.clone(), assignment.clone()));
        }
    }

    /// What this load assignment was.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.assignments.get(name).map(|(_, assignment)| assignment)
    }

    /// Forgets what is back, or whose cluster the client has not any more.
    pub(super) fn prune(&mut self, clusters: &TypeState, now: &Snapshot) {
        self.visited += self.assignments.len() as u64;
        let there = now.set(ResourceType::ClusterLoadAssignment);
        self.assignments.retain(|name, (cluster, _)| !there.contains(name) && clusters.is_leaving(cluster));
    }

    /// What the load assignments were.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.assignments.values().map(|(_, assignment)| assignment)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.assignments.is_empty()
    }

    /// How many load assignments were looked at so far.
    pub(super) fn visited(&self) -> u64 {
        self.visited
    }
}
