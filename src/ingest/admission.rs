//! Which of some changes may be let in together: pure, on the table and the changes alone.
//!
//! The rule: no reference may dangle afterwards that does not dangle already, and no new one may lead to what is still
//! being read or to a Service port without endpoints. The largest such set is found by taking out of
//! all changes, again and again, those that break the rule, until none does. So changes that wait for each other
//! (a route that moves to a new Service, that Service, and the deletion of the old one) are let in as one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::{ObjectRef, Want};

use super::demands::Demands;
use super::table::{Changes, Facts, Lack, Reference, Table, Topic, View, With, grants_among};

/// Why a change waits: the first thing to be read, or else the first reference that would dangle. That one has to be mended
/// in any case, so nothing can free the change before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blocked {
    /// The object itself would refer to something that is not there.
    Refers(Reference, Lack),
    /// The object would be gone from under this referrer.
    Referred(ObjectRef, Reference),
    /// The object itself would refer to something that is still being read.
    Demand(Want),
    /// The object itself would lead to a Service port that has no endpoint yet.
    Unbacked(Reference),
}

impl Blocked {
    /// Whose change could free it: of any one of these.
    pub(super) fn freed_by(&self) -> Vec<Topic> {
        match self {
            Blocked::Refers(reference, Lack::Target | Lack::Port) | Blocked::Unbacked(reference) => {
                vec![Topic::Object(reference.target.clone())]
            }
            Blocked::Refers(reference, Lack::Consent) => vec![consent(reference)],
            // The referrer may move away, another grant take the place of one that goes, or the reference be lost otherwise.
            Blocked::Referred(referrer, reference) => {
                let mut topics = vec![Topic::of(referrer), Topic::Object(reference.target.clone())];
                topics.extend(reference.by_consent.then(|| consent(reference)));
                topics
            }
            Blocked::Demand(want) => vec![Topic::Want(want.clone())],
        }
    }
}

fn consent(reference: &Reference) -> Topic {
    Topic::Grants(reference.target.key.namespace.clone())
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::Refers(Reference { target, .. }, Lack::Target) => {
                write!(f, "refers to {target}, which is not there")
            }
            Blocked::Refers(Reference { target, port, .. }, Lack::Port) => {
                write!(f, "refers to port {} of {target}, which has no such port", port.unwrap_or_default())
            }
            Blocked::Refers(Reference { target, .. }, Lack::Consent) => {
                let namespace = &target.key.namespace;
                write!(f, "refers to {target}, which no ReferenceGrant in namespace {namespace} permits")
            }
            Blocked::Referred(referrer, Reference { target, .. }) => {
                write!(f, "{referrer} still refers to {target} and would lose it")
            }
            Blocked::Demand(want) => write!(f, "waits for {want} to be read"),
            Blocked::Unbacked(Reference { target, port, .. }) => {
                write!(f, "leads to port {} of {target}, which has no ready endpoint yet", port.unwrap_or_default())
            }
        }
    }
}

/// Leaves in `changes` what may be let in together, and gives the others, each with its reason.
pub(super) fn take_out(table: &Table, demands: &Demands, changes: &mut Changes) -> BTreeMap<ObjectRef, Blocked> {
    let mut given_up = BTreeMap::new();
    loop {
        let offered = changes.clone();
        let (mut out, wanted) = shrink(table, demands, changes);
        // A target that stays out only for a referrer that had to stay out itself may be let in after all: without that
        // referrer from the outset. Each round gives up at least one, for good: this ends.
        let mut in_vain: BTreeSet<_> =
            wanted.values().filter(|referrer| out.contains_key(*referrer)).cloned().collect();
        if in_vain.is_empty() {
            out.append(&mut given_up);
            return out;
        }
        *changes = offered;
        // Those first that keep out what they lack themselves: others may lack it for their sake only.
        let stands_in_its_own_way = |referrer: &ObjectRef| match out.get(referrer) {
            Some(Blocked::Refers(Reference { target, .. }, _)) => wanted.get(target) == Some(referrer),
            _ => false,
        };
        if in_vain.iter().any(stands_in_its_own_way) {
            in_vain.retain(stands_in_its_own_way);
        }
        for referrer in in_vain {
            changes.remove(&referrer);
            if let Some(blocked) = out.remove(&referrer) {
                given_up.insert(referrer, blocked);
            }
        }
    }
}

/// Takes out of `changes` those that break the rule, again and again, until none does. Gives these with their reasons, and
/// beside them the targets that stay out because of what a referrer wanted to become, with that referrer.
fn shrink(
    table: &Table,
    demands: &Demands,
    changes: &mut Changes,
) -> (BTreeMap<ObjectRef, Blocked>, BTreeMap<ObjectRef, ObjectRef>) {
    let (mut out, mut wanted) = (BTreeMap::new(), BTreeMap::new());
    loop {
        let found = Culprits::find(table, demands, changes);
        // Referrers first: one that stays out no longer needs what it would have referred to, so a target's change that
        // looked harmful because of it may be fine.
        let culprits = if found.referrers.is_empty() {
            wanted.extend(found.wanted);
            found.targets
        } else {
            found.referrers
        };
        if culprits.is_empty() {
            return (out, wanted);
        }
        changes.retain(|object, _| !culprits.contains_key(object));
        out.extend(culprits);
    }
}

/// The changes that break the rule.
#[derive(Default)]
struct Culprits {
    /// Puts of objects that would refer to what is not there.
    referrers: BTreeMap<ObjectRef, Blocked>,
    /// Changes that take a target, its port or its consent from under a referrer.
    targets: BTreeMap<ObjectRef, Blocked>,
    /// Those of `targets` to blame only because of what a referrer is about to become, with that referrer.
    wanted: BTreeMap<ObjectRef, ObjectRef>,
}

impl Culprits {
    fn find(table: &Table, demands: &Demands, changes: &Changes) -> Self {
        let after = With { table, changes };
        let mut culprits = Self::default();
        for object in changes.keys().filter(|object| after.takes(object)) {
            culprits.check_target(after, object);
        }
        for (object, facts) in changes {
            if let Some(facts) = facts {
                culprits.check_referrer(after, demands, object, facts);
            }
        }
        culprits
    }

    /// Whether what `object` becomes would refer to something that is not there or still being read.
    fn check_referrer(&mut self, after: With<'_>, demands: &Demands, object: &ObjectRef, facts: &Facts) {
        let old = after.table.facts(object).map_or(&[][..], |facts| &facts.references);
        let mut new = facts.references.iter().filter(|reference| !old.contains(reference));
        if let Some(want) = new.find_map(|reference| demands.awaited(object, reference)) {
            self.referrers.insert(object.clone(), Blocked::Demand(want));
            return;
        }
        for reference in &facts.references {
            let Some(lack) = after.lack(object, reference) else { continue };
            let useless = if old.contains(reference) {
                after.table.lack(object, reference).is_some() // It dangles already.
            } else {
                demands.is_unavailable(object, reference) // What stands in for its target says so.
            };
            if useless {
                continue;
            }
            let Some(taker) = taker(after, object, reference) else {
                self.referrers.entry(object.clone()).or_insert_with(|| Blocked::Refers(reference.clone(), lack));
                continue;
            };
            if let Entry::Vacant(entry) = self.targets.entry(taker.clone()) {
                entry.insert(Blocked::Referred(object.clone(), reference.clone()));
                self.wanted.insert(taker, object.clone());
            }
        }
        let mut led_to = facts.references.iter().filter(|reference| !old.contains(reference));
        let is_unbacked = |reference: &&Reference| {
            after.lack(object, reference).is_none()
                && after.may_be_backed_soon(reference)
                && !demands.is_unavailable(object, reference)
        };
        if let Some(reference) = led_to.find(is_unbacked) {
            self.referrers.entry(object.clone()).or_insert_with(|| Blocked::Unbacked(reference.clone()));
        }
    }

    /// Whether the change of `object` takes something from a referrer that stays as it is.
    fn check_target(&mut self, after: With<'_>, object: &ObjectRef) {
        for referrer in after.table.referrers(object).filter(|referrer| !after.changes.contains_key(*referrer)) {
            let references = after.table.facts(referrer).map_or(&[][..], |facts| &facts.references);
            let topic = Topic::of(object);
            let lost = references.iter().find(|reference| {
                concerns(reference, &topic)
                    && after.table.lack(referrer, reference).is_none()
                    && taker(after, referrer, reference).as_ref() == Some(object)
            });
            if let Some(reference) = lost {
                let blocked = Blocked::Referred(referrer.clone(), reference.clone());
                self.targets.entry(object.clone()).or_insert(blocked);
                return;
            }
        }
    }
}

fn concerns(reference: &Reference, topic: &Topic) -> bool {
    match topic {
        Topic::Object(object) => reference.target == *object,
        Topic::Grants(namespace) => reference.by_consent && reference.target.key.namespace == *namespace,
        // No object's change is about this.
        Topic::Want(_) => false,
    }
}

/// The change that takes away what `reference` lacks afterwards and has today; `None` if it lacks that today too. Of several
/// grants that go together it is the first: while that one stays, the others may go.
fn taker(after: With<'_>, referrer: &ObjectRef, reference: &Reference) -> Option<ObjectRef> {
    match after.lack(referrer, reference)? {
        Lack::Target | Lack::Port => after.table.offers(reference).then(|| reference.target.clone()),
        Lack::Consent => {
            let permitted = |facts: &Facts| facts.permits(referrer, reference);
            let mut changed = grants_among(after.changes, &reference.target.key.namespace).map(|(grant, _)| grant);
            changed.find(|grant| after.table.facts(grant).is_some_and(permitted)).cloned()
        }
    }
}
