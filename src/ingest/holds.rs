//! What was offered at the door and not let in: at most one change for each object, each with its clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::delta::Event;
use crate::model::{Kind, ObjectRef, PortRef};

use super::admission::Blocked;
use super::awaited::Awaited;
use super::demands::DEMAND;
use super::table::{Changes, Facts, Topic};

/// How long a change waits for its counterpart. Enough for two files that are saved one after the other, or for two API
/// requests of one `kubectl apply`; short enough that a reference that is simply wrong shows its effect at once.
pub const HOLD: Duration = Duration::from_millis(500);

/// A change that waits, for `/debug/held` (invariant `explained`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The object.
    pub object: ObjectRef,
    /// The object is to be deleted; otherwise created or updated.
    pub delete: bool,
    /// The reference that would dangle, or what is still being read: a lower-case fragment.
    pub why: String,
    /// When it began to wait.
    pub since: Instant,
    /// When it is let in whatever becomes of the reference.
    pub until: Instant,
}

/// One object's change, as it was offered.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) object: ObjectRef,
    pub(super) event: Event,
    /// What the object becomes; `None` is gone.
    pub(super) facts: Option<Arc<Facts>>,
    pub(super) arrived: Instant,
}

/// How a change waited.
#[derive(Debug)]
struct Waiting {
    event: Event,
    arrived: Instant,
    since: Instant,
    until: Instant,
    /// It goes in at `until`, whatever it waits for.
    last_call: bool,
    blocked: Option<Blocked>,
}

/// The changes that wait.
#[derive(Debug, Default)]
pub(super) struct Holds {
    waiting: BTreeMap<ObjectRef, Waiting>,
    /// What their objects would become.
    changes: Changes,
    /// The same objects by the end of their clocks.
    clocks: BTreeSet<(Instant, ObjectRef)>,
    /// Held changes by what could free them.
    freed_by: BTreeMap<Topic, BTreeSet<ObjectRef>>,
    /// Where they lead.
    awaited: Awaited,
    /// How many changes are blocked.
    held: usize,
}

impl Holds {
    /// Keeps a change. A newer change of a waiting object replaces the older one without restarting its clock.
    pub(super) fn offer(&mut self, Change { object, event, facts, arrived }: Change, now: Instant) {
        self.awaited.add(facts.as_deref());
        let older = self.changes.insert(object.clone(), facts).flatten();
        self.awaited.remove(older.as_deref());
        if let Some(waiting) = self.waiting.get_mut(&object) {
            waiting.event = event;
            waiting.arrived = waiting.arrived.min(arrived);
            return;
        }
        let until = now + HOLD;
        self.clocks.insert((until, object.clone()));
        let waiting = Waiting { event, arrived, since: now, until, last_call: false, blocked: None };
        self.waiting.insert(object, waiting);
    }

    /// Takes a change out. With it comes since when it was held, if it was.
    pub(super) fn take(&mut self, object: &ObjectRef) -> Option<(Change, Option<Instant>)> {
        let was_held = self.unblock(object);
        let Waiting { event, arrived, since, until, .. } = self.waiting.remove(object)?;
        self.clocks.remove(&(until, object.clone()));
        let facts = self.changes.remove(object).flatten();
        self.awaited.remove(facts.as_deref());
        Some((Change { object: object.clone(), event, facts, arrived }, was_held.then_some(since)))
    }

    /// What the objects of all waiting changes would become.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The Service ports that waiting changes lead to since this was asked last, and (`false`) those that none does any more.
    pub(super) fn newly_awaited(&mut self) -> impl Iterator<Item = (PortRef, bool)> {
        self.awaited.news()
    }

    /// Notes why a change waits. It has its clock of [`HOLD`], or of [`DEMAND`] while it waits for something to be read.
    pub(super) fn block(&mut self, object: &ObjectRef, blocked: Blocked) {
        self.unblock(object);
        let Some(waiting) = self.waiting.get_mut(object) else { return };
        let limit = if matches!(blocked, Blocked::Demand(_)) { DEMAND } else { HOLD };
        for topic in blocked.freed_by() {
            self.freed_by.entry(topic).or_default().insert(object.clone());
        }
        waiting.blocked = Some(blocked);
        self.held += 1;
        if !waiting.last_call {
            let until = waiting.since + limit;
            self.set_clock(object, until);
        }
    }

    /// Forgets why a change waits.
    pub(super) fn unblock(&mut self, object: &ObjectRef) -> bool {
        let Some(blocked) = self.waiting.get_mut(object).and_then(|waiting| waiting.blocked.take()) else {
            return false;
        };
        self.held -= 1;
        for topic in blocked.freed_by() {
            if let Some(held) = self.freed_by.get_mut(&topic) {
                held.remove(object);
                if held.is_empty() {
                    self.freed_by.remove(&topic);
                }
            }
        }
        true
    }

    /// The held changes that something could free.
    pub(super) fn freed_by(&self, topic: &Topic) -> impl Iterator<Item = &ObjectRef> {
        self.freed_by.get(topic).into_iter().flatten()
    }

    /// Whether a change waits for something to be read.
    pub(super) fn awaits_demand(&self, object: &ObjectRef) -> bool {
        self.waiting.get(object).is_some_and(|waiting| matches!(waiting.blocked, Some(Blocked::Demand(_))))
    }

    /// Lets the clocks of a kind end now.
    pub(super) fn end_clocks(&mut self, kind: Kind, now: Instant) {
        let of_kind: Vec<_> = self.waiting.keys().filter(|object| object.kind == kind).cloned().collect();
        for object in of_kind {
            self.set_clock(&object, now);
            if let Some(waiting) = self.waiting.get_mut(&object) {
                waiting.last_call = true;
            }
        }
    }

    /// A change whose clock has ended.
    pub(super) fn expired(&mut self, now: Instant) -> Option<ObjectRef> {
        loop {
            let (_, object) = self.clocks.first().filter(|(until, _)| *until <= now)?.clone();
            match self.extension(&object).filter(|later| *later > now) {
                Some(later) => self.set_clock(&object, later),
                None => return Some(object),
            }
        }
    }

    /// What a referrer is about to leave, stays as long as that referrer waits for something to be read or for endpoints:
    /// otherwise the referrer would hang in the air for the difference of the two clocks.
    fn extension(&self, object: &ObjectRef) -> Option<Instant> {
        let waiting = self.waiting.get(object).filter(|waiting| !waiting.last_call)?;
        let Some(Blocked::Referred(referrer, reference)) = &waiting.blocked else { return None };
        let facts = self.changes.get(referrer)?.as_ref()?;
        let waits = |waiting: &&Waiting| matches!(waiting.blocked, Some(Blocked::Demand(_) | Blocked::Unbacked(_)));
        let leaves = !facts.references.contains(reference);
        let until = self.waiting.get(referrer).filter(waits).filter(|_| leaves)?.until;
        Some(until.min(waiting.since + DEMAND))
    }

    fn set_clock(&mut self, object: &ObjectRef, until: Instant) {
        if let Some(waiting) = self.waiting.get_mut(object) {
            self.clocks.remove(&(waiting.until, object.clone()));
            waiting.until = until;
            self.clocks.insert((until, object.clone()));
        }
    }

    /// The end of the first clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.clocks.first().map(|(until, _)| *until)
    }

    /// What is held, in order of kind and name.
    pub(super) fn list(&self) -> Vec<Held> {
        let held = |(object, waiting): (&ObjectRef, &Waiting)| {
            let why = waiting.blocked.as_ref()?.to_string();
            let delete = matches!(waiting.event, Event::Delete(_));
            Some(Held { object: object.clone(), delete, why, since: waiting.since, until: waiting.until })
        };
        self.waiting.iter().filter_map(held).collect()
    }

    /// How many changes are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.changes.is_empty()
            && self.clocks.is_empty()
            && self.freed_by.is_empty()
            && self.awaited.is_empty()
    }
}
