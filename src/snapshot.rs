//! What each Gateway's Envoys are to hold, as immutable values that are cheap to keep and to compare.
//!
//! A [`World`] holds a [`Snapshot`] for each Gateway, and a snapshot a [`ResourceSet`] for each type. An epoch
//! makes a new world that shares everything it did not change with the one before, so readers keep whatever they
//! look at, and the difference of two sets costs what differs.
//!
//! Invariant: a world is a function of the Gateways and resources in it, not of the order they came in. Equal on
//! every replica.
//!
//! This module knows no graph, no clients and no clock; it imports `resource` only.

mod set;
mod world;

use arcstr::ArcStr;

use crate::resource::{Domain, ResourceType, Version, VersionHasher};

pub use set::{Difference, ResourceSet};
pub use world::{Change, World};

/// All resources of one Gateway. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    gateway: ArcStr,
    sets: [ResourceSet; ResourceType::COUNT],
}

impl Snapshot {
    /// A Gateway without resources.
    pub fn empty(gateway: impl Into<ArcStr>) -> Snapshot {
        Snapshot { gateway: gateway.into(), sets: Default::default() }
    }

    /// The Gateway, `<namespace>/<name>`.
    #[must_use]
    pub fn gateway(&self) -> &ArcStr {
        &self.gateway
    }

    /// The resources of one type.
    #[must_use]
    pub fn set(&self, kind: ResourceType) -> &ResourceSet {
        &self.sets[kind.index()]
    }

    /// The hash of the sets' versions; costs what theirs cost, see [`ResourceSet::version`].
    #[must_use]
    pub fn version(&self) -> Version {
        let mut hasher = VersionHasher::new(Domain::Snapshot);
        for set in &self.sets {
            hasher.version(set.version());
        }
        hasher.finish()
    }

    fn set_mut(&mut self, kind: ResourceType) -> &mut ResourceSet {
        &mut self.sets[kind.index()]
    }

    fn is_empty(&self) -> bool {
        self.sets.iter().all(ResourceSet::is_empty)
    }
}

#[cfg(test)]
mod tests;
