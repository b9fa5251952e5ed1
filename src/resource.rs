//! What is served: named Envoy resources as encoded, shared bytes with a version that depends on them alone.
//!
//! A resource is encoded once, where it is derived, and never decoded or copied again: clients, snapshots and
//! responses share its [`Parts`]. Its [`Version`] is a hash of those parts, so replicas and restarts of one
//! release agree without talking to each other (rule 16).
//!
//! Invariant: equal content gives equal bytes and equal versions, whatever the history that led to it.
//!
//! This module knows no Kubernetes, no graph, no subscriptions and no sockets, and imports nothing of ours.

mod chunks;
pub mod encode;
mod frames;
mod kind;
mod parts;
mod per_type;
mod version;

use std::fmt;
use std::sync::Arc;

use arcstr::ArcStr;

pub use chunks::Chunks;
pub use frames::FrameBuffer;
pub use kind::ResourceType;
pub use parts::{Frames, Parts, PartsBuilder};
pub use per_type::PerType;
pub(crate) use version::{Domain, VersionHasher};
pub use version::{ParseVersionError, Version};

/// One named resource of one type, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub kind: ResourceType,
    /// Its name, unique among its type in one Gateway. It is what clients subscribe to.
    pub name: ArcStr,
    /// Other names that clients may subscribe to it by (rule 24): a virtual host goes by each of its hosts.
    pub aliases: Box<[ArcStr]>,
    /// The hash of `body` and `aliases`; a client that holds this version holds these bytes.
    pub version: Version,
    /// The encoded message, without the `Any` around it.
    pub body: Parts,
    /// What this resource names and cannot work without; sorted, without duplicates. A cluster names its load
    /// assignment and secrets, a listener its route configurations and secrets, a route configuration its
    /// clusters. Make-before-break (rule 27) is decided from these.
    pub refs: Arc<[Ref]>,
}

impl Resource {
    /// A resource from its encoded message; the version follows from `body`, and `refs` may come in any order.
    pub fn new(
        kind: ResourceType,
        name: impl Into<ArcStr>,
        body: Parts,
        refs: impl IntoIterator<Item = Ref>,
    ) -> Resource {
        let mut refs: Vec<Ref> = refs.into_iter().collect();
        refs.sort_unstable();
        refs.dedup();
        Resource { kind, name: name.into(), aliases: [].into(), version: body.version(), body, refs: refs.into() }
    }

    /// That there is no virtual host that goes by this name: a resource without a message, by which Envoy ends the wait of
    /// the request that asked for it.
    #[must_use]
    pub fn unresolved(name: ArcStr) -> Resource {
        Resource::new(ResourceType::VirtualHost, name.clone(), Parts::empty(), []).with_aliases([name])
    }

    /// That a load assignment has no endpoints, in the shortest message that says so.
    #[must_use]
    pub fn without_endpoints(name: ArcStr) -> Resource {
        const CLUSTER_NAME: u32 = 1;
        let body = Parts::nested(CLUSTER_NAME, Parts::leaf(name.as_bytes().to_vec()));
        Resource::new(ResourceType::ClusterLoadAssignment, name, body, [])
    }

    /// Whether this says that there is no such resource; a virtual host that is one has a name at least.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.kind == ResourceType::VirtualHost && self.body.is_empty()
    }

    /// This resource with other names that it goes by, in any order.
    #[must_use]
    pub fn with_aliases(self, aliases: impl IntoIterator<Item = ArcStr>) -> Resource {
        let mut aliases: Vec<ArcStr> = aliases.into_iter().collect();
        aliases.sort_unstable();
        aliases.dedup();
        let mut hasher = VersionHasher::new(Domain::Aliases);
        hasher.version(self.body.version());
        aliases.iter().for_each(|alias| hasher.sized(alias.as_bytes()));
        Resource { version: hasher.finish(), aliases: aliases.into(), ..self }
    }

    /// The names of one type that this resource refers to, sorted.
    pub fn refs_of(&self, kind: ResourceType) -> impl Iterator<Item = &ArcStr> {
        self.refs.iter().filter(move |to| to.kind == kind).map(|to| &to.name)
    }
}

/// A mention of another resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref {
    /// The type of what is named.
    pub kind: ResourceType,
    /// Its name.
    pub name: ArcStr,
}

impl Ref {
    /// A mention of the resource `name` of type `kind`.
    pub fn new(kind: ResourceType, name: impl Into<ArcStr>) -> Ref {
        Ref { kind, name: name.into() }
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests;
