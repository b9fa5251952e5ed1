//! What a client wants of one type.

use std::collections::{BTreeSet, HashSet};
use std::iter::Sum;
use std::ops::{AddAssign, SubAssign};

use arcstr::ArcStr;

use crate::resource::ResourceType;
use crate::snapshot::ResourceSet;

/// The name that stands for all names.
const WILDCARD: &str = "*";

/// The longest name that counts as one, in bytes. Few of those that translation makes are longer, and none counts for more than three.
pub(super) const USUAL_NAME: usize = 256;

/// What a name takes that a snapshot has too, in bytes, and what another one takes beside its letters: its header, and places in two sets.
const SHARED: usize = 24;
const FOREIGN: usize = 80;

/// The names that a client wants. Names are kept as clones of the snapshot's, so a name costs a pointer.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// How all names are wanted, if they are.
    wildcard: Wildcard,
    names: BTreeSet<ArcStr>,
    /// Those of them that were the client's alone when it asked for them.
    foreign: BTreeSet<ArcStr>,
    /// What the names count for.
    weight: Weight,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Wildcard {
    #[default]
    No,
    /// By an empty list in the first request; ends with the first list that is not empty (rule 12).
    Implied,
    /// By `*`.
    Explicit,
}

/// What a request changed.
#[derive(Debug, Default)]
pub(super) struct Update {
    /// Names that are to be answered: new ones, and in delta also known ones (rule 18).
    pub(super) asked: Vec<ArcStr>,
    /// Names that are not wanted by name any more.
    pub(super) dropped: Vec<ArcStr>,
    /// All names are wanted, and were not before; in delta also: are wanted anew.
    pub(super) all_asked: bool,
    /// All names were wanted, and are not any more.
    pub(super) all_dropped: bool,
}

impl Subscription {
    /// Whether `name` is wanted. Names and `*` both match (rule 24).
    pub(super) fn wants(&self, name: &str) -> bool {
        self.is_wildcard() || self.names.contains(name)
    }

    /// Whether all names are wanted.
    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard != Wildcard::No
    }

    /// Whether all names are wanted and none by name: the one subscription that a version can resume (rule 16).
    pub(super) fn is_pure_wildcard(&self) -> bool {
        self.is_wildcard() && self.names.is_empty()
    }

    /// The names that are wanted by name, sorted.
    pub(super) fn names(&self) -> &BTreeSet<ArcStr> {
        &self.names
    }

    /// What they count for.
    pub(super) fn weight(&self) -> Weight {
        self.weight
    }

    /// State of the world: the list replaces what was wanted (rules 11 and 12). `first` is the type's first request.
    pub(super) fn replace(
        &mut self,
        kind: ResourceType,
        names: Vec<String>,
        target: &ResourceSet,
        first: bool,
    ) -> Update {
        let before = self.wildcard;
        self.wildcard = if names.iter().any(|name| name == WILDCARD) {
            Wildcard::Explicit
        } else if names.is_empty() && implies_wildcard(kind) && (first || before == Wildcard::Implied) {
            Wildcard::Implied
        } else {
            Wildcard::No
        };
        self.foreign.clear();
        let mut kept = |name: String| {
            let shared = target.get(&name).map(|resource| resource.name.clone());
            shared.unwrap_or_else(|| {
                let foreign = ArcStr::from(name);
                self.foreign.insert(foreign.clone());
                foreign
            })
        };
        let wanted: BTreeSet<ArcStr> = names.into_iter().filter(|name| name != WILDCARD).map(&mut kept).collect();
        let update = Update {
            asked: wanted.difference(&self.names).cloned().collect(),
            dropped: self.names.difference(&wanted).cloned().collect(),
            all_asked: before == Wildcard::No && self.is_wildcard(),
            all_dropped: before != Wildcard::No && !self.is_wildcard(),
        };
        self.weight = wanted.iter().map(|name| Weight::of(name, self.foreign.contains(name))).sum();
        self.names = wanted;
        update
    }

    /// Delta: names come and go (rules 17, 18, 22 and 23). `first` is the type's first request.
    pub(super) fn change(
        &mut self,
        kind: ResourceType,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        target: &ResourceSet,
        first: bool,
    ) -> Update {
        let mut update = Update::default();
        if first && subscribe.is_empty() && implies_wildcard(kind) {
            self.wildcard = Wildcard::Implied;
            update.all_asked = true;
        }
        for name in subscribe {
            if name == WILDCARD {
                self.wildcard = Wildcard::Explicit;
                update.all_asked = true;
            } else {
                update.asked.push(intern(name, target));
            }
        }
        self.add(&update.asked, target);
        for name in unsubscribe {
            if name == WILDCARD {
                update.all_dropped = self.is_wildcard() && !update.all_asked;
                update.all_asked = false;
                self.wildcard = Wildcard::No;
            } else if let Some(name) = self.names.take(name.as_str()) {
                self.weight -= Weight::of(&name, self.foreign.remove(&name));
                update.dropped.push(name);
            }
        }
        if !update.dropped.is_empty() {
            // Once for all of them: both lists may be long.
            let dropped: HashSet<&ArcStr> = update.dropped.iter().collect();
            update.asked.retain(|asked| !dropped.contains(asked));
        }
        if self.is_wildcard() {
            // `*` still wants them: the client is told what becomes of them (rule 23).
            update.asked.append(&mut update.dropped);
        }
        update
    }

    fn add(&mut self, names: &[ArcStr], target: &ResourceSet) {
        if self.names.is_empty() {
            // Built at once, a set takes two thirds of the memory that it takes name by name.
            self.names = names.iter().cloned().collect();
            self.foreign = self.names.iter().filter(|name| is_foreign(name, target)).cloned().collect();
            self.weight = self.names.iter().map(|name| Weight::of(name, self.foreign.contains(name))).sum();
            return;
        }
        for name in names {
            if self.names.insert(name.clone()) {
                let is_foreign = is_foreign(name, target);
                self.weight += Weight::of(name, is_foreign);
                if is_foreign {
                    self.foreign.insert(name.clone());
                }
            }
        }
    }
}

/// For CDS and LDS an empty first list means all names; for other types it means no interest (rule 12).
fn implies_wildcard(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

/// What names count for, as long as they are kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight {
    /// As names of a usual length: a long one that nothing has counts for several.
    pub(super) names: usize,
    /// As what they take: those that a snapshot has too are shared with it.
    pub(super) bytes: usize,
}

impl Weight {
    pub(super) fn of(name: &str, is_foreign: bool) -> Weight {
        let bytes = if is_foreign { FOREIGN + name.len() } else { SHARED };
        Weight { names: name.len().div_ceil(USUAL_NAME).max(1), bytes }
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, more: Weight) {
        self.names += more.names;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Weight {
    fn sub_assign(&mut self, less: Weight) {
        self.names -= less.names;
        self.bytes -= less.bytes;
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Weight>>(all: I) -> Weight {
        let mut sum = Weight::default();
        all.for_each(|weight| sum += weight);
        sum
    }
}

/// Whether nothing but a client has this name.
fn is_foreign(name: &str, target: &ResourceSet) -> bool {
    !target.contains(name)
}

fn intern(name: String, target: &ResourceSet) -> ArcStr {
    match target.get(&name) {
        Some(resource) => resource.name.clone(),
        None => ArcStr::from(name),
    }
}
