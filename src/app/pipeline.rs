//! Graph and snapshots as one synchronous step: events in, the next world out.
//!
//! Knows no clock, no thread and no socket; the owner thread, `check`, the tests and the benchmarks all drive this.

use std::{collections::BTreeMap, sync::Arc};

use arcstr::{ArcStr, format};

use crate::{
    graph::{Epoch, Graph, GraphBuilder},
    ingest::Backing,
    model::{Event, ObjectKey, ObjectRef, PortRef},
    resource::Resource,
    snapshot::{Change, World},
    translate::{self, Inputs, Outputs, Status, endpoints::has_endpoints, keys::ClusterKey},
};

/// The objects whose status has problems, with that status.
pub type Troubled = BTreeMap<ObjectRef, Arc<Status>>;

/// The graph with its translation, and the world it yields.
#[derive(Debug)]
pub struct Pipeline {
    /// The graph; read by `explain` and the statistics.
    pub graph: Graph,
    /// What translation yields.
    pub outputs: Outputs,
    /// The inputs of the graph.
    pub inputs: Inputs,
    world: World,
    troubled: Troubled,
    epochs: u64,
}

/// What one epoch changed.
#[derive(Debug)]
pub struct Applied {
    /// The Gateways whose snapshot came, went or changed, sorted.
    pub changed: Vec<ArcStr>,
    /// Whether the status of any object changed.
    pub judged: bool,
    /// The Service ports whose endpoints changed; of a port that changed its protocol, the end of the old one first.
    pub backings: Vec<Backing>,
    /// How long the epoch took.
    pub took: std::time::Duration,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipeline {
    /// An empty graph: nothing is complete yet.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = GraphBuilder::new();
        let (inputs, outputs) = translate::build(&mut builder);
        Self { graph: builder.build(), outputs, inputs, world: World::new(), troubled: Troubled::new(), epochs: 0 }
    }

    /// Derives endpoints where changes lead that wait at the door, in an epoch of its own. Whether there are any is all that changes
    /// by it: what is served is led to by a route that was let in.
    pub fn await_ports(&mut self, ports: &[(PortRef, bool)]) -> Vec<Backing> {
        let Applied { changed, judged, backings, .. } = self.epoch(&[], ports);
        debug_assert!(changed.is_empty() && !judged, "{changed:?}");
        backings
    }

    /// Lets the events in as one epoch.
    pub fn apply(&mut self, events: &[Event]) -> Applied {
        self.epoch(events, &[])
    }

    fn epoch(&mut self, events: &[Event], awaits: &[(PortRef, bool)]) -> Applied {
        let inputs = &self.inputs;
        let epoch = self.graph.epoch(|batch| {
            for (port, waits) in awaits {
                inputs.await_port(batch, port, *waits);
            }
            for event in events {
                match event {
                    Event::Put(object, value) => inputs.put(batch, &object.key, value),
                    Event::Delete(object) => inputs.delete(batch, object),
                    Event::Listed(kind) => inputs.complete(batch, *kind),
                    // Between sources and the door only.
                    Event::Answered(..) | Event::Covers(_) => {}
                }
            }
        });
        self.epochs += 1;
        let gateways = epoch.changes(self.outputs.gateways).iter().map(|(key, accepted)| match accepted {
            Some(_) => Change::Gateway(gateway_name(key)),
            None => Change::GatewayGone(gateway_name(key)),
        });
        let resources = epoch.changes(self.outputs.resources).iter().map(|(key, resource)| match resource {
            Some(resource) => Change::Put { gateway: gateway_name(&key.gateway), resource: resource.clone() },
            None => Change::Delete { gateway: gateway_name(&key.gateway), kind: key.kind, name: key.name.clone() },
        });
        let changed = self.world.apply(gateways.chain(resources));
        Applied { changed, judged: self.judge(&epoch), backings: self.backings(&epoch), took: epoch.duration() }
    }

    fn backings(&self, epoch: &Epoch) -> Vec<Backing> {
        let backing = |(key, assignment): &(ClusterKey, Option<Arc<Resource>>)| Backing {
            service: key.service.clone(),
            port: key.port,
            has_endpoints: assignment.as_deref().is_some_and(has_endpoints),
        };
        let mut backings: Vec<_> = epoch.changes(self.outputs.assignments).iter().map(backing).collect();
        backings.sort_by_key(|backing| backing.has_endpoints);
        backings
    }

    /// Keeps the list of troubled objects. Says whether any status changed.
    fn judge(&mut self, epoch: &Epoch) -> bool {
        let changes = epoch.changes(self.outputs.statuses);
        for (object, status) in changes {
            match status.as_ref().filter(|status| !status.problems.is_empty()) {
                Some(status) => self.troubled.insert(object.clone(), status.clone()),
                None => self.troubled.remove(object),
            };
        }
        !changes.is_empty()
    }

    /// Whether every collection has applied everything that its sources delivered (invariant `gated`).
    #[must_use]
    pub fn complete(&self) -> bool {
        self.graph.complete()
    }

    /// The snapshots of all Gateways.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The objects that translation found problems with.
    #[must_use]
    pub fn troubled(&self) -> &Troubled {
        &self.troubled
    }

    /// How many epochs have run.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.epochs
    }
}

fn gateway_name(key: &ObjectKey) -> ArcStr {
    format!("{key}")
}
