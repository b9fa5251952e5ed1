//! The door itself: sync and sans-IO. Arrivals in, batches out, and a clock that is passed in.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::metrics;
use crate::model::delta::Event;
use crate::model::{Answer, Kind, Object, ObjectKey, ObjectRef, PortRef, Want, Wants};

use super::admission::{self, Blocked};
use super::demands::{DEMAND, Demands};
use super::holds::{Change, Held, Holds};
use super::mailbox::Arrival;
use super::table::{Changes, Facts, Table, Topic, With, is_watched};

/// How many changes are held at once. Beyond that they pass unheld: late news is worse than a moment of dangling.
pub const MAX_HELD: usize = 10_000;

/// Decides what is let in, and when.
///
/// While the first lists are incomplete everything passes at once: nothing is served yet. Afterwards a change that would
/// make a reference dangle that does not dangle already waits until that is no longer so, or for [`HOLD`](super::HOLD); so does
/// one that would lead to a Service port without endpoints, because a Service and its first pod come apart; one
/// with a new reference to what is still being read waits for that, or for [`DEMAND`]. Changes that wait for each other are
/// let in together. A newer change of a waiting object replaces the older one without restarting its clock.
/// Pods, EndpointSlices and Namespaces are never held, and neither is what is firm.
#[derive(Debug)]
pub struct Door {
    table: Table,
    demands: Demands,
    holds: Holds,
    start: Start,
    /// What has changed, at the table or among the holds, since the last look.
    touched: BTreeSet<ObjectRef>,
    /// What is let in next.
    let_in: LetIn,
    /// Markers that go behind it.
    markers: Vec<Kind>,
    max_held: usize,
    longest: Duration,
    /// The edition of the wants that was given out last.
    told: (u64, usize),
}

/// How far the start is.
#[derive(Debug)]
enum Start {
    /// The first list of these kinds is not whole yet.
    Lists(BTreeSet<Kind>),
    /// Only kinds on demand are left: they are whole when everything that is wanted is answered, or at `until`.
    Demands { left: BTreeSet<Kind>, until: Instant },
    /// Over.
    Done,
}

/// What the graph made of a Service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// The Service.
    pub service: ObjectKey,
    /// `spec.ports[].port`, 1 to 65535.
    pub port: u16,
    /// Whether requests can go anywhere from there.
    pub has_endpoints: bool,
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
        self.stamp(arrived);
    }

    fn stamp(&mut self, arrived: Instant) {
        self.arrived = Some(self.arrived.map_or(arrived, |earliest| earliest.min(arrived)));
    }
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
            demands: Demands::default(),
            holds: Holds::default(),
            start: Start::Lists(Kind::ALL.into_iter().collect()),
            touched: BTreeSet::new(),
            let_in: LetIn::default(),
            markers: Vec::new(),
            max_held,
            longest: Duration::ZERO,
            told: (0, 0),
        }
    }

    /// Takes what arrived. What of it may pass comes out of the next [`ready`](Self::ready).
    pub fn offer(&mut self, arrivals: impl IntoIterator<Item = Arrival>, now: Instant) {
        for Arrival { arrived, event, firm } in arrivals {
            let (object, value) = match event {
                Event::Put(ref object, ref value) => (object.clone(), Some(value)),
                Event::Delete(ref object) => (object.clone(), None),
                Event::Answered(want, answer) => {
                    self.answer(&want, answer);
                    continue;
                }
                Event::Covers(coverage) => {
                    self.demands.cover(coverage, &self.table, self.holds.changes());
                    continue;
                }
                Event::Listed(kind) => {
                    self.list(kind, arrived, now);
                    continue;
                }
            };
            if is_watched(object.kind) {
                let facts = value.map(|value: &Object| Arc::new(Facts::of(&object, value)));
                self.consider(Change { object, event, facts, arrived }, firm, now);
            } else {
                self.let_in.push(event, arrived);
            }
        }
    }

    fn consider(&mut self, mut change: Change, firm: bool, now: Instant) {
        if firm || !matches!(self.start, Start::Done) {
            if let Some((older, held_since)) = self.holds.take(&change.object) {
                change.arrived = change.arrived.min(older.arrived);
                self.released("firm", held_since, now);
            }
            self.enter(change);
            return;
        }
        self.demands.look_at(&change.object);
        self.touched.insert(change.object.clone());
        self.holds.offer(change, now);
    }

    fn answer(&mut self, want: &Want, answer: Answer) {
        if self.demands.answer(want, answer) {
            self.touch_waiting_for(want);
        }
    }

    /// The Service ports that waiting changes lead to since this was asked last, and (`false`) those that none does any more.
    /// The graph derives endpoints only where something leads: with its word on them ([`back`](Self::back)) ahead of
    /// [`ready`](Self::ready), a change to where nothing led before passes together with those that arrived with it.
    pub fn newly_awaited(&mut self) -> Vec<(PortRef, bool)> {
        self.holds.newly_awaited().collect()
    }

    /// Of some Service ports it is known anew whether they have endpoints. Says whether a change that waits may be let in
    /// for it, so that [`ready`](Self::ready) is worth a call.
    pub fn back(&mut self, ports: impl IntoIterator<Item = Backing>) -> bool {
        for Backing { service, port, has_endpoints } in ports {
            if has_endpoints {
                let service = ObjectRef::new(Kind::Service, service.clone());
                self.touched.extend(self.holds.freed_by(&Topic::Object(service)).cloned());
            }
            self.table.back(service, port, has_endpoints);
        }
        !self.touched.is_empty()
    }

    fn touch_waiting_for(&mut self, want: &Want) {
        self.touched.extend(self.holds.freed_by(&Topic::Want(want.clone())).cloned());
    }

    /// A first list is whole: everything of its kind that was offered before goes in ahead of the marker.
    fn list(&mut self, kind: Kind, arrived: Instant, now: Instant) {
        if let Start::Lists(left) | Start::Demands { left, .. } = &mut self.start {
            left.remove(&kind);
        }
        self.markers.push(kind);
        self.let_in.stamp(arrived);
        self.holds.end_clocks(kind, now);
    }

    /// What is let in now, as one batch: what resolves, and what has waited long enough.
    #[must_use]
    pub fn ready(&mut self, now: Instant) -> LetIn {
        loop {
            self.refresh(now);
            self.settle(now);
            self.expire(now);
            if self.touched.is_empty() && !self.demands.is_dirty() {
                break;
            }
        }
        self.end_start(now);
        for event in self.demands.settle(&self.table) {
            self.let_in.push(event, now);
        }
        metrics::door_held(self.holds.held());
        metrics::demands(self.demands.counts());
        let mut let_in = mem::take(&mut self.let_in);
        let_in.events.extend(self.markers.drain(..).map(Event::Listed));
        let_in
    }

    /// Works out what is wanted now, and looks again at the changes that need something else than before.
    fn refresh(&mut self, now: Instant) {
        // At the start nothing waits for a want but the start itself, which has a clock of its own.
        let until = matches!(self.start, Start::Done).then(|| now + DEMAND);
        let changes = self.holds.changes();
        let changed = self.demands.refresh(With { table: &self.table, changes }, until);
        self.touched.extend(changed.into_iter().filter(|referrer| changes.contains_key(referrer)));
    }

    /// Looks again at the changes that what was touched could have freed, and lets in those that may pass.
    fn settle(&mut self, now: Instant) {
        if self.touched.is_empty() {
            return;
        }
        let candidates = self.reachable();
        self.touched.clear();
        let waiting = self.holds.changes();
        let mut changes: Changes = candidates
            .into_iter()
            .filter_map(|object| waiting.get(&object).map(|facts| (object, facts.clone())))
            .collect();
        let blocked = admission::take_out(&self.table, &self.demands, &mut changes);
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
            for freed in self.holds.freed_by(&Topic::of(&object)) {
                if found.insert(freed.clone()) {
                    queue.push(freed.clone());
                }
            }
        }
        found
    }

    /// Lets in what has waited long enough, and waits no longer for what should have been read by now.
    fn expire(&mut self, now: Instant) {
        while let Some(object) = self.holds.expired(now) {
            if self.holds.awaits_demand(&object) {
                for want in self.demands.give_up(&object) {
                    self.touch_waiting_for(&want);
                }
            }
            self.admit(&object, "expired", now);
        }
        while let Some(want) = self.demands.expired(now) {
            self.touch_waiting_for(&want);
        }
    }

    /// The start is over when every first list is whole. Those of kinds on demand are when what is wanted is answered, and
    /// then the door says so itself.
    fn end_start(&mut self, now: Instant) {
        let on_demand = &self.demands.coverage().on_demand;
        let (left, until) = match mem::replace(&mut self.start, Start::Done) {
            Start::Done => return,
            Start::Lists(left) | Start::Demands { left, .. } if left.iter().any(|kind| !on_demand.contains(kind)) => {
                self.start = Start::Lists(left);
                return;
            }
            Start::Lists(left) => (left, now + DEMAND),
            Start::Demands { left, until } => (left, until),
        };
        let [unanswered, ..] = self.demands.counts();
        if left.is_empty() {
            self.demands.start_clocks(now + DEMAND);
        } else if unanswered == 0 || until <= now {
            self.demands.give_up_all();
            self.markers.extend(left);
            self.let_in.stamp(now);
        } else {
            self.start = Start::Demands { left, until };
        }
    }

    /// Holds a change, or lets it in when too many are held.
    fn block(&mut self, object: &ObjectRef, blocked: Blocked, now: Instant) {
        self.holds.unblock(object);
        if self.holds.held() >= self.max_held {
            metrics::door_overflow();
            self.admit(object, "overflow", now);
            return;
        }
        debug!(kind = %object.kind, namespace = %object.key.namespace, name = %object.key.name, why = %blocked, "held at the door");
        self.holds.block(object, blocked);
    }

    /// Lets a change in, whether or not it was held.
    fn admit(&mut self, object: &ObjectRef, outcome: &'static str, now: Instant) {
        if let Some((change, held_since)) = self.holds.take(object) {
            self.released(outcome, held_since, now);
            self.enter(change);
        }
    }

    fn released(&mut self, outcome: &'static str, held_since: Option<Instant>, now: Instant) {
        if let Some(since) = held_since {
            let held = now.saturating_duration_since(since);
            self.longest = self.longest.max(held);
            metrics::door_released(outcome, held, self.longest);
        }
    }

    fn enter(&mut self, Change { object, event, facts, arrived }: Change) {
        self.table.set(&object, facts);
        self.let_in.push(event, arrived);
        self.demands.entered(&object);
        // At the start nothing waits that it could free.
        if matches!(self.start, Start::Done) {
            self.touched.insert(object);
        }
    }

    /// When to call [`ready`](Self::ready) again if nothing arrives: the end of the first clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let start = match self.start {
            Start::Demands { until, .. } => Some(until),
            Start::Lists(_) | Start::Done => None,
        };
        [self.holds.deadline(), self.demands.deadline(), start].into_iter().flatten().min()
    }

    /// What is to be read because something refers to it; a clone shares the set.
    #[must_use]
    pub fn wants(&self) -> &Wants {
        self.demands.wants()
    }

    /// The wants, if they are others than those that this gave last.
    pub fn new_wants(&mut self) -> Option<Wants> {
        let edition = self.demands.edition();
        (mem::replace(&mut self.told, edition) != edition).then(|| self.demands.wants().clone())
    }

    /// What waits, why, since when and until when, in order of kind and name. At the start it is the start that waits, for
    /// these objects' sake.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        match self.start {
            Start::Demands { until, .. } => self.demands.list(until - DEMAND, until),
            Start::Lists(_) | Start::Done => self.holds.list(),
        }
    }

    /// How many changes are held, or at the start how much is still being read.
    #[must_use]
    pub fn held_count(&self) -> usize {
        match self.start {
            Start::Demands { .. } => self.demands.counts()[0],
            Start::Lists(_) | Start::Done => self.holds.held(),
        }
    }

    /// Whether nothing is kept beside the table of what was let in, and nothing of that either if all of it was deleted.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.holds.is_empty() && self.touched.is_empty() && self.table.is_empty() && self.demands.is_empty()
    }
}
