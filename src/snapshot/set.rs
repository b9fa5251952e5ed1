//! A persistent set of named resources of one type.

use std::sync::{Arc, OnceLock, Weak};

use arcstr::ArcStr;
use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

use crate::resource::{Domain, Resource, Version, VersionHasher};

/// Resources of one type by name, in the order of their names. Cheap to clone; clones share their structure.
#[derive(Debug, Clone, Default)]
pub struct ResourceSet {
    resources: OrdMap<ArcStr, Arc<Resource>>,
    derived: Arc<Derived>,
}

/// What follows from the resources, once for all clones; a set that is changed gets one of its own, so it tells sets apart
/// too.
#[derive(Debug, Default)]
struct Derived {
    /// Each alias with the name of a resource that goes by it; kept up to date, not computed.
    aliases: OrdSet<(ArcStr, ArcStr)>,
    version: OnceLock<Version>,
    /// The difference that was asked for first, and from which set: all clients come from the same one, mostly.
    since: OnceLock<(Weak<Derived>, Arc<Difference>)>,
}

impl ResourceSet {
    /// The resource of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name)
    }

    /// The resource of this name; if there is none, the one that goes by it (rule 24). Of several that do, the first.
    #[must_use]
    pub fn resolve(&self, name: &ArcStr) -> Option<&Arc<Resource>> {
        self.get(name).or_else(|| {
            let first = self.derived.aliases.range((name.clone(), ArcStr::new())..).next();
            first.filter(|(alias, _)| alias == name).and_then(|(_, of)| self.get(of))
        })
    }

    /// Whether there is a resource of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.resources.contains_key(name)
    }

    /// The resources, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The number of resources.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there are no resources.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Whether both are the same set in memory; if so they are equal, at no cost.
    #[must_use]
    pub fn ptr_eq(&self, other: &ResourceSet) -> bool {
        self.resources.ptr_eq(&other.resources)
    }

    /// What turns `old` into this set. The work is proportional to what differs if one was made from the other, and is done once for
    /// all who come from the same set as the first who asked.
    #[must_use]
    pub fn difference(&self, old: &ResourceSet) -> Arc<Difference> {
        let compute = || Arc::new(self.compute_difference(old));
        let (since, first) = self.derived.since.get_or_init(|| (Arc::downgrade(&old.derived), compute()));
        if std::ptr::eq(since.as_ptr(), Arc::as_ptr(&old.derived)) { first.clone() } else { compute() }
    }

    fn compute_difference(&self, old: &ResourceSet) -> Difference {
        let mut difference = Difference::default();
        for item in old.resources.diff(&self.resources) {
            match item {
                DiffItem::Add(_, new) => difference.upserts.push(new.clone()),
                DiffItem::Update { old, new } if old.1.version == new.1.version => {}
                DiffItem::Update { new, .. } => difference.upserts.push(new.1.clone()),
                DiffItem::Remove(name, _) => difference.removed.push(name.clone()),
            }
        }
        difference
    }

    /// This set with what only `other` has: the interim set of make-before-break in the state-of-the-world variant
    /// (rule 27) is `new.union(&old)`. Where both have a name, this set's resource stays. The work is proportional
    /// to what differs if one was made from the other.
    #[must_use]
    pub fn union(&self, other: &ResourceSet) -> ResourceSet {
        let mut union = self.clone();
        for item in self.resources.diff(&other.resources) {
            if let DiffItem::Add(_, missing) = item {
                union.insert(missing.clone());
            }
        }
        union
    }

    /// The hash of the sorted names and versions: the `version_info` of a set in the state-of-the-world variant.
    /// Hashes every name at the first call, and nothing afterwards, for all clones; delta has no need of it.
    #[must_use]
    pub fn version(&self) -> Version {
        *self.derived.version.get_or_init(|| {
            let mut hasher = VersionHasher::new(Domain::Set);
            for resource in self.iter() {
                hasher.sized(resource.name.as_bytes());
                hasher.version(resource.version);
            }
            hasher.finish()
        })
    }

    /// The version, if anybody asked for it: to tell whether a client was sent this very set costs nothing.
    #[must_use]
    pub fn known_version(&self) -> Option<Version> {
        self.derived.version.get().copied()
    }

    /// Puts a resource in. Says whether the set changed; an equal one that is there stays, so that structure and
    /// version stay shared.
    pub(super) fn insert(&mut self, resource: Arc<Resource>) -> bool {
        if self.resources.get(&resource.name).is_some_and(|there| *there == resource) {
            return false;
        }
        let name = resource.name.clone();
        let before = self.resources.insert(name.clone(), resource.clone());
        self.derive(&name, before.as_deref(), Some(&resource));
        true
    }

    /// Takes the resource of this name out. Says whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        // Looked for first: removing what is not there would still copy the path to it.
        if !self.contains(name) {
            return false;
        }
        let before = self.resources.remove(name);
        before.iter().for_each(|before| self.derive(&before.name, Some(before), None));
        true
    }

    /// Forgets what followed from the set as it was. Aliases are few, so the work is that of the change.
    fn derive(&mut self, name: &ArcStr, before: Option<&Resource>, now: Option<&Resource>) {
        let mut aliases = self.derived.aliases.clone();
        let of = |resource: Option<&Resource>| resource.map(|resource| resource.aliases.clone()).unwrap_or_default();
        for alias in of(before) {
            aliases.remove(&(alias, name.clone()));
        }
        aliases.extend(of(now).into_iter().map(|alias| (alias, name.clone())));
        self.derived = Arc::new(Derived { aliases, ..Derived::default() });
    }
}

impl PartialEq for ResourceSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.resources.diff(&other.resources).next().is_none()
    }
}

impl Eq for ResourceSet {}

impl FromIterator<Arc<Resource>> for ResourceSet {
    /// A set of these; of several with one name the last counts.
    fn from_iter<I: IntoIterator<Item = Arc<Resource>>>(resources: I) -> Self {
        let resources: OrdMap<ArcStr, Arc<Resource>> =
            resources.into_iter().map(|resource| (resource.name.clone(), resource)).collect();
        let of = |resource: &Arc<Resource>| {
            let name = resource.name.clone();
            resource.aliases.clone().into_iter().map(move |alias| (alias, name.clone()))
        };
        let aliases = resources.values().flat_map(of).collect();
        ResourceSet { resources, derived: Arc::new(Derived { aliases, ..Derived::default() }) }
    }
}

/// What turns one set into another. Both halves are sorted by name, and no name is in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Resources that are new or have another version.
    pub upserts: Vec<Arc<Resource>>,
    /// Names that are gone.
    pub removed: Vec<ArcStr>,
}

impl Difference {
    /// Whether the sets hold the same versions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removed.is_empty()
    }
}
