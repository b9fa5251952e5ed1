//! The door itself: sync and sans-IO. Arrivals in, batches out, and a clock that is passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::metrics;
use crate::model::delta::Event;
use crate::model::{Kind, Object, ObjectRef};

use super::admission::{self, Blocked};
use super::mailbox::Arrival;
use super::table::{Changes, Facts, Table, Topic, is_watched};

/// How long a change waits for its counterpart. Enough for two files that are saved one after the other, or for two API
/// requests of one `kubectl apply`; short enough that a reference that is simply wrong shows its effect at once.
pub const HOLD: Duration = Duration::from_millis(500);

/// How many changes are held at once. Beyond that they pass unheld: late news is worse than a moment of dangling.
pub const MAX_HELD: usize = 10_000;

/// Decides what is let in, and when.
///
/// While the first lists are incomplete everything passes at once: nothing is served yet. Afterwards a change that would
/// make a reference dangle that does not dangle already waits until that is no longer so, or for [`HOLD`]. Changes that wait
/// for each other are let in together. A newer change of a waiting object replaces the older one without restarting its clock.
/// Pods, EndpointSlices and Namespaces are never held.
#[derive(Debug)]
pub struct Door {
    table: Table,
    /// The kinds whose first list is not whole yet.
    unlisted: BTreeSet<Kind>,
    /// What was offered and not let in: at most one change for each object.
    waiting: BTreeMap<ObjectRef, Waiting>,
    /// The same by the end of their clocks.
    clocks: BTreeSet<(Instant, ObjectRef)>,
    /// Held changes by what could free them.
    freed_by: BTreeMap<Topic, BTreeSet<ObjectRef>>,
    /// What has changed, at the table or in `waiting`, since the last look.
    touched: BTreeSet<ObjectRef>,
    /// What is let in next.
    let_in: LetIn,
    /// Markers that go behind it.
    markers: Vec<Kind>,
    /// How many changes of `waiting` are blocked.
    held: usize,
    max_held: usize,
    longest: Duration,
}

/// One object's change at the door.
#[derive(Debug)]
struct Waiting {
    event: Event,
    facts: Option<Arc<Facts>>,
    arrived: Instant,
    since: Instant,
    until: Instant,
    blocked: Option<Blocked>,
}

/// One batch: to be applied as one epoch.
#[derive(Debug, Default, PartialEq)]
pub struct LetIn {
    /// Rows, each object's in the order of its events, then `Listed` markers.
    pub events: Vec<Event>,
    /// The earliest arrival among them: the start of the latency that is measured.
    pub arrived: Option<Instant>,
}

impl LetIn {
    /// Whether nothing is let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn push(&mut self, event: Event, arrived: Instant) {
        self.events.push(event);
        self.arrived = Some(self.arrived.map_or(arrived, |earliest| earliest.min(arrived)));
    }
}

/// A change that waits, for `/debug/held` (invariant `explained`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The object.
    pub object: ObjectRef,
    /// The object is to be deleted; otherwise created or updated.
    pub delete: bool,
    /// The reference that would dangle: a lower-case fragment.
    pub why: String,
    /// When it began to wait.
    pub since: Instant,
    /// When it is let in whatever becomes of the reference.
    pub until: Instant,
}

impl Default for Door {
    fn default() -> Self {
        Self::new()
    }
}

impl Door {
    /// A door that waits for the first list of every kind before it holds anything.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_held(MAX_HELD)
    }

    /// The same with another bound on how many changes are held.
    #[must_use]
    pub fn with_max_held(max_held: usize) -> Self {
        Self {
            table: Table::default(),
            unlisted: Kind::ALL.into_iter().collect(),
            waiting: BTreeMap::new(),
            clocks: BTreeSet::new(),
            freed_by: BTreeMap::new(),
            touched: BTreeSet::new(),
            let_in: LetIn::default(),
            markers: Vec::new(),
            held: 0,
            max_held,
            longest: Duration::ZERO,
        }
    }

    /// Takes what arrived. What of it may pass comes out of the next [`ready`](Self::ready).
    pub fn offer(&mut self, arrivals: impl IntoIterator<Item = Arrival>, now: Instant) {
        for Arrival { arrived, event } in arrivals {
            let (object, facts) = match &event {
                Event::Put(object, value) => (object.clone(), Some(value)),
                Event::Delete(object) => (object.clone(), None),
                Event::Answered(..) | Event::Covers(_) => continue,
                Event::Listed(kind) => {
                    self.list(*kind, arrived, now);
                    continue;
                }
            };
            if is_watched(object.kind) {
                let facts = facts.map(|value: &Object| Arc::new(Facts::of(&object, value)));
                self.consider(object, event, facts, arrived, now);
            } else {
                self.let_in.push(event, arrived);
            }
        }
    }

    fn consider(&mut self, object: ObjectRef, event: Event, facts: Option<Arc<Facts>>, arrived: Instant, now: Instant) {
        if !self.unlisted.is_empty() {
            self.table.set(&object, facts);
            self.let_in.push(event, arrived);
            return;
        }
        match self.waiting.get_mut(&object) {
            Some(waiting) => {
                waiting.event = event;
                waiting.facts = facts;
                waiting.arrived = waiting.arrived.min(arrived);
            }
            None => {
                let until = now + HOLD;
                self.clocks.insert((until, object.clone()));
                let waiting = Waiting { event, facts, arrived, since: now, until, blocked: None };
                self.waiting.insert(object.clone(), waiting);
            }
        }
        self.touched.insert(object);
    }

    /// A first list is whole: everything of its kind that was offered before goes in ahead of the marker.
    fn list(&mut self, kind: Kind, arrived: Instant, now: Instant) {
        self.unlisted.remove(&kind);
        self.markers.push(kind);
        self.let_in.arrived = Some(self.let_in.arrived.map_or(arrived, |earliest| earliest.min(arrived)));
        for (object, waiting) in self.waiting.iter_mut().filter(|(object, _)| object.kind == kind) {
            self.clocks.remove(&(waiting.until, object.clone()));
            waiting.until = now;
            self.clocks.insert((now, object.clone()));
        }
    }

    /// What is let in now, as one batch: what resolves, and what has waited long enough.
    #[must_use]
    pub fn ready(&mut self, now: Instant) -> LetIn {
        loop {
            self.settle(now);
            while let Some((until, _)) = self.clocks.first() {
                if *until > now {
                    break;
                }
                if let Some((_, object)) = self.clocks.pop_first() {
                    self.admit(&object, "expired", now);
                }
            }
            if self.touched.is_empty() {
                break;
            }
        }
        metrics::door_held(self.held);
        let mut let_in = std::mem::take(&mut self.let_in);
        let_in.events.extend(self.markers.drain(..).map(Event::Listed));
        let_in
    }

    /// Looks again at the changes that what was touched could have freed, and lets in those that may pass.
    fn settle(&mut self, now: Instant) {
        if self.touched.is_empty() {
            return;
        }
        let candidates = self.reachable();
        self.touched.clear();
        let mut changes: Changes = candidates
            .into_iter()
            .filter_map(|object| self.waiting.get(&object).map(|waiting| (object, waiting.facts.clone())))
            .collect();
        let blocked = admission::take_out(&self.table, &mut changes);
        for object in changes.into_keys() {
            self.admit(&object, "resolved", now);
        }
        for (object, blocked) in blocked {
            self.block(&object, blocked, now);
        }
    }

    /// The changes that were touched, and the held ones that these could free, and those that these could free, and so on.
    fn reachable(&self) -> BTreeSet<ObjectRef> {
        let mut found = self.touched.clone();
        let mut queue: Vec<_> = found.iter().cloned().collect();
        while let Some(object) = queue.pop() {
            for freed in self.freed_by.get(&Topic::of(&object)).into_iter().flatten() {
                if found.insert(freed.clone()) {
                    queue.push(freed.clone());
                }
            }
        }
        found
    }

    /// Holds a change, or lets it in when too many are held.
    fn block(&mut self, object: &ObjectRef, blocked: Blocked, now: Instant) {
        self.unblock(object);
        if self.held >= self.max_held {
            metrics::door_overflow();
            self.admit(object, "overflow", now);
            return;
        }
        let Some(waiting) = self.waiting.get_mut(object) else { return };
        debug!(kind = %object.kind, namespace = %object.key.namespace, name = %object.key.name, why = %blocked, "held at the door");
        for topic in blocked.freed_by() {
            self.freed_by.entry(topic).or_default().insert(object.clone());
        }
        waiting.blocked = Some(blocked);
        self.held += 1;
    }

    /// Forgets why a change waits.
    fn unblock(&mut self, object: &ObjectRef) -> bool {
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

    /// Lets a change in, whether or not it was held.
    fn admit(&mut self, object: &ObjectRef, outcome: &'static str, now: Instant) {
        let was_held = self.unblock(object);
        let Some(waiting) = self.waiting.remove(object) else { return };
        self.clocks.remove(&(waiting.until, object.clone()));
        if was_held {
            let held = now.saturating_duration_since(waiting.since);
            self.longest = self.longest.max(held);
            metrics::door_released(outcome, held, self.longest);
        }
        self.table.set(object, waiting.facts);
        self.let_in.push(waiting.event, waiting.arrived);
        self.touched.insert(object.clone());
    }

    /// When to call [`ready`](Self::ready) again if nothing arrives: the end of the first clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.clocks.first().map(|(until, _)| *until)
    }

    /// What waits, why, since when and until when, in order of kind and name.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let held = |(object, waiting): (&ObjectRef, &Waiting)| {
            let why = waiting.blocked.as_ref()?.to_string();
            let delete = matches!(waiting.event, Event::Delete(_));
            Some(Held { object: object.clone(), delete, why, since: waiting.since, until: waiting.until })
        };
        self.waiting.iter().filter_map(held).collect()
    }

    /// Whether nothing is kept beside the table of what was let in, and nothing of that either if all of it was deleted.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.clocks.is_empty()
            && self.freed_by.is_empty()
            && self.touched.is_empty()
            && self.table.is_empty()
    }

    /// How many changes are held.
    #[must_use]
    pub fn held_count(&self) -> usize {
        self.held
    }
}
