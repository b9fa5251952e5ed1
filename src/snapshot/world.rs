//! The snapshots of all Gateways, and how an epoch's changes become the next world.

use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;
use imbl::OrdMap;

use super::Snapshot;
use crate::resource::{Resource, ResourceType};

/// The snapshot of every Gateway. Cheap to clone.
///
/// A Gateway has a snapshot from the moment it is announced ([`Change::Gateway`]) until it is gone. Resources that
/// come for a Gateway that was not announced are kept aside and appear, whole, when it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    gateways: OrdMap<ArcStr, Arc<Snapshot>>,
    /// Resources of Gateways that were not announced; never empty snapshots.
    aside: OrdMap<ArcStr, Arc<Snapshot>>,
}

/// One change of a world. Gateways are `<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The Gateway exists, with or without resources.
    Gateway(ArcStr),
    /// The Gateway does not exist any more, nor does any resource it had.
    GatewayGone(ArcStr),
    /// The Gateway has this resource, in place of the one of that type and name, if any.
    Put {
        /// Whose it is.
        gateway: ArcStr,
        /// The resource.
        resource: Arc<Resource>,
    },
    /// The Gateway does not have this resource any more.
    Delete {
        /// Whose it was.
        gateway: ArcStr,
        /// The resource's type.
        kind: ResourceType,
        /// The resource's name.
        name: ArcStr,
    },
}

impl World {
    /// No Gateways.
    #[must_use]
    pub fn new() -> World {
        World::default()
    }

    /// The snapshot of a Gateway, if it is announced.
    #[must_use]
    pub fn get(&self, gateway: &str) -> Option<Arc<Snapshot>> {
        self.gateways.get(gateway).cloned()
    }

    /// The snapshots of all announced Gateways, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.gateways.values()
    }

    /// The number of announced Gateways.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gateways.len()
    }

    /// Whether no Gateway is announced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// Applies the changes of one epoch and returns the Gateways whose snapshot came, went or changed, sorted.
    ///
    /// The order of the changes does not matter: removals mean what stood before the call, so what the same call
    /// puts stays. Of several puts of one resource the last counts. Gateways that no change names are untouched.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Vec<ArcStr> {
        let mut plans: BTreeMap<ArcStr, Plan> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Gateway(gateway) => plans.entry(gateway).or_default().announced = true,
                Change::GatewayGone(gateway) => plans.entry(gateway).or_default().gone = true,
                Change::Put { gateway, resource } => plans.entry(gateway).or_default().put(resource),
                Change::Delete { gateway, kind, name } => plans.entry(gateway).or_default().delete(kind, name),
            }
        }
        plans.into_iter().filter_map(|(gateway, plan)| self.carry_out(&gateway, plan).then_some(gateway)).collect()
    }

    /// Says whether the Gateway's snapshot came, went or changed.
    fn carry_out(&mut self, gateway: &ArcStr, plan: Plan) -> bool {
        let announced = self.gateways.remove(gateway);
        let is_announced = plan.announced || (announced.is_some() && !plan.gone);
        let before = announced.clone().or_else(|| self.aside.remove(gateway));
        let mut after = match before {
            Some(snapshot) if !plan.gone => snapshot,
            _ => Arc::new(Snapshot::empty(gateway.clone())),
        };
        plan.edit(&mut after);
        let home = if is_announced { &mut self.gateways } else { &mut self.aside };
        if is_announced || !after.is_empty() {
            home.insert(gateway.clone(), after);
        }
        announced.as_ref() != self.gateways.get(gateway)
    }
}

/// What is to happen to one Gateway.
#[derive(Default)]
struct Plan {
    announced: bool,
    gone: bool,
    /// For each resource: what takes its place, or that it goes.
    resources: BTreeMap<(ResourceType, ArcStr), Option<Arc<Resource>>>,
}

impl Plan {
    fn put(&mut self, resource: Arc<Resource>) {
        self.resources.insert((resource.kind, resource.name.clone()), Some(resource));
    }

    fn delete(&mut self, kind: ResourceType, name: ArcStr) {
        self.resources.entry((kind, name)).or_insert(None);
    }

    /// Copies the snapshot only if something in it changes.
    fn edit(self, snapshot: &mut Arc<Snapshot>) {
        for ((kind, name), resource) in self.resources {
            let set = snapshot.set(kind);
            let differs = set.get(&name) != resource.as_ref();
            if !differs {
                continue;
            }
            let set = Arc::make_mut(snapshot).set_mut(kind);
            match resource {
                Some(resource) => set.insert(resource),
                None => set.remove(&name),
            };
        }
    }
}
