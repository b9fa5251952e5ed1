//! What the specs at the door refer to that no source reads by itself: the wants, what became of each, and the rows that
//! stand in for what cannot be read.
//!
//! Wants are those of two pictures of the world together: the one behind the door, which is in use, and the one to come,
//! in which everything that waits has been let in. They are kept by referrer, so that a change costs what it touches.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::{Duration, Instant};

use arcstr::{ArcStr, literal};

use crate::model::{Answer, Coverage, Event, Kind, ObjectRef, Want, Wants};

use super::holds::Held;
use super::needs::{self, Needs};
use super::stand_ins::StandIns;
use super::table::{Changes, Reference, Table, View, With};

/// How long a change, or the start, waits for what has to be read for it.
pub const DEMAND: Duration = Duration::from_secs(10);

/// What is said of a target that was not read in time; it stays so until it is.
const LATE: ArcStr = literal!("not delivered within 10 s; see whether its source is well (`syncgate status`)");

/// What became of a want.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It is being read; nobody waits any longer than until then, if that has begun to count.
    Open(Option<Instant>),
    /// It is still being read, and nobody waits for it any more.
    Late,
    /// See [`Answer::Known`].
    Known,
    /// See [`Answer::Unavailable`].
    Unavailable(ArcStr),
}

impl Standing {
    const fn is_answered(&self) -> bool {
        matches!(self, Standing::Known | Standing::Unavailable(_))
    }

    /// Why a row has to stand in for what is wanted.
    fn lack(&self) -> Option<ArcStr> {
        match self {
            Standing::Open(_) | Standing::Known => None,
            Standing::Late => Some(LATE),
            Standing::Unavailable(reason) => Some(reason.clone()),
        }
    }

    const fn slot(&self) -> usize {
        match self {
            Standing::Open(_) | Standing::Late => 0,
            Standing::Known => 1,
            Standing::Unavailable(_) => 2,
        }
    }
}

/// One want.
#[derive(Debug)]
struct Demand {
    /// How many objects need it.
    referrers: usize,
    standing: Standing,
}

/// The wants. Nothing is kept while the sources read everything by themselves.
#[derive(Debug, Default)]
pub(super) struct Demands {
    coverage: Coverage,
    /// What each referrer needs; who needs nothing has no entry.
    needs: BTreeMap<ObjectRef, Needs>,
    /// Referrers by the namespaces whose grants decide what they need.
    by_consent: BTreeMap<ArcStr, BTreeSet<ObjectRef>>,
    demands: BTreeMap<Want, Demand>,
    /// How many there are of each [`slot`](Standing::slot).
    counts: [usize; 3],
    /// The open ones by the end of their clocks.
    clocks: BTreeSet<(Instant, Want)>,
    /// Referrers whose needs may have changed.
    dirty: BTreeSet<ObjectRef>,
    stand_ins: StandIns,
    /// What is published.
    wants: Wants,
    /// The turn of the newest want.
    turn: u64,
}

impl Demands {
    /// What the sources read by themselves.
    pub(super) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The sources read something else from here on: everything is looked at again.
    pub(super) fn cover(&mut self, coverage: Coverage, table: &Table, changes: &Changes) {
        if self.coverage != coverage {
            self.coverage = coverage;
            let all = table.referring().chain(changes.keys()).chain(self.needs.keys());
            self.dirty.extend(all.cloned());
        }
    }

    /// A change of `object` was offered or let in: who may need something else because of it?
    pub(super) fn look_at(&mut self, object: &ObjectRef) {
        if self.coverage == Coverage::default() {
            return;
        }
        match object.kind {
            Kind::ReferenceGrant => self.grants_changed(&object.key.namespace),
            _ => {
                self.dirty.insert(object.clone());
            }
        }
    }

    fn grants_changed(&mut self, namespace: &ArcStr) {
        self.dirty.extend(self.by_consent.get(namespace).into_iter().flatten().cloned());
    }

    /// A row of `object` was let in, or its deletion: whatever stood in for it is gone.
    pub(super) fn entered(&mut self, object: &ObjectRef) {
        self.look_at(object);
        self.stand_ins.entered(object, |want| self.demands.contains_key(want));
    }

    /// Whether [`refresh`](Self::refresh) has something to do.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Works out anew what is wanted, as far as it may have changed. New wants are waited for until `until`. Gives the
    /// referrers that need something else than before.
    pub(super) fn refresh(&mut self, world: With<'_>, until: Option<Instant>) -> Vec<ObjectRef> {
        let mut changed = Vec::new();
        let mut released = BTreeSet::new();
        let classes: Vec<_> = self.dirty.iter().filter(|object| object.kind == Kind::GatewayClass).cloned().collect();
        for class in classes {
            // Whose class comes or goes needs something else.
            self.dirty.extend(world.table.referrers(&class).cloned());
            let waiting = world.changes.keys().filter(|object| object.kind == Kind::Gateway);
            self.dirty.extend(waiting.cloned());
        }
        while let Some(referrer) = self.dirty.pop_first() {
            let new = self.needs_of(&referrer, world);
            let old = self.needs.remove(&referrer).unwrap_or_default();
            if new == old {
                self.keep(referrer, new);
                continue;
            }
            for want in new.wants.difference(&old.wants) {
                self.add(want, until);
            }
            for want in old.wants.difference(&new.wants) {
                if let Some(demand) = self.demands.get_mut(want) {
                    demand.referrers -= 1;
                    released.extend((demand.referrers == 0).then(|| want.clone()));
                }
            }
            self.index(&referrer, &old.consents, &new.consents);
            if new.wants != old.wants {
                changed.push(referrer.clone());
            }
            self.keep(referrer, new);
        }
        // Only now: another referrer may have taken over what one gave up, and then the answer stays good.
        for want in released {
            self.forget_unless_needed(want);
        }
        changed
    }

    fn needs_of(&self, referrer: &ObjectRef, world: With<'_>) -> Needs {
        let is_answered = |want: &Want| self.demands.get(want).is_some_and(|demand| demand.standing.is_answered());
        let mut needs = Needs::default();
        if let Some(facts) = world.table.facts(referrer) {
            needs.add(&self.coverage, world.table, (referrer, facts), is_answered);
        }
        if let Some(facts) = world.facts(referrer).filter(|_| !world.changes.is_empty()) {
            needs.add(&self.coverage, &world, (referrer, facts), is_answered);
        }
        needs
    }

    fn keep(&mut self, referrer: ObjectRef, needs: Needs) {
        if !needs.is_empty() {
            self.needs.insert(referrer, needs);
        }
    }

    fn index(&mut self, referrer: &ObjectRef, old: &BTreeSet<ArcStr>, new: &BTreeSet<ArcStr>) {
        for namespace in old.difference(new) {
            if let Some(referrers) = self.by_consent.get_mut(namespace) {
                referrers.remove(referrer);
                if referrers.is_empty() {
                    self.by_consent.remove(namespace);
                }
            }
        }
        for namespace in new.difference(old) {
            self.by_consent.entry(namespace.clone()).or_default().insert(referrer.clone());
        }
    }

    fn add(&mut self, want: &Want, until: Option<Instant>) {
        if let Some(demand) = self.demands.get_mut(want) {
            demand.referrers += 1;
            return;
        }
        let standing = Standing::Open(until);
        self.counts[standing.slot()] += 1;
        self.clocks.extend(until.map(|until| (until, want.clone())));
        self.turn += 1;
        self.wants.insert(want.clone(), self.turn);
        self.demands.insert(want.clone(), Demand { referrers: 1, standing });
    }

    fn forget_unless_needed(&mut self, want: Want) {
        if let Some(Demand { referrers: 0, standing }) = self.demands.get(&want) {
            self.counts[standing.slot()] -= 1;
            if let Standing::Open(Some(until)) = *standing {
                self.clocks.remove(&(until, want.clone()));
            }
            self.demands.remove(&want);
            self.wants.remove(&want);
            self.stand_ins.look_at(want);
        }
    }

    /// Notes what became of a want. Whether that is news; an answer to what nobody wants is none.
    pub(super) fn answer(&mut self, want: &Want, answer: Answer) -> bool {
        self.stand(
            want,
            match answer {
                Answer::Known => Standing::Known,
                Answer::Unavailable(reason) => Standing::Unavailable(reason),
            },
        )
    }

    fn stand(&mut self, want: &Want, standing: Standing) -> bool {
        let Some(demand) = self.demands.get_mut(want).filter(|demand| demand.standing != standing) else {
            return false;
        };
        self.counts[standing.slot()] += 1;
        let old = mem::replace(&mut demand.standing, standing);
        self.counts[old.slot()] -= 1;
        if let Standing::Open(Some(until)) = old {
            self.clocks.remove(&(until, want.clone()));
        }
        self.stand_ins.look_at(want.clone());
        if let Want::Grants(namespace) = want {
            self.grants_changed(namespace);
        }
        true
    }

    /// The clock of a want that is still open has ended: nobody waits for it any more.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Want> {
        let (_, want) = self.clocks.first().filter(|(until, _)| *until <= now)?.clone();
        self.stand(&want, Standing::Late);
        Some(want)
    }

    /// A referrer has waited long enough for what it needs: nobody waits for that any more. Gives what was still open of it.
    pub(super) fn give_up(&mut self, referrer: &ObjectRef) -> Vec<Want> {
        let needed = self.needs.get(referrer).into_iter().flat_map(|needs| &needs.wants);
        let open: Vec<_> = needed.filter(|want| self.is_open(want)).cloned().collect();
        for want in &open {
            self.stand(want, Standing::Late);
        }
        open
    }

    /// Nobody waits any more for anything that is open.
    pub(super) fn give_up_all(&mut self) {
        for want in self.open() {
            self.stand(&want, Standing::Late);
        }
    }

    /// From here on, what is open is waited for until then.
    pub(super) fn start_clocks(&mut self, until: Instant) {
        for want in self.open() {
            self.stand(&want, Standing::Open(Some(until)));
            self.clocks.insert((until, want));
        }
    }

    fn open(&self) -> Vec<Want> {
        let open = self.demands.iter().filter(|(_, demand)| matches!(demand.standing, Standing::Open(_)));
        open.map(|(want, _)| want.clone()).collect()
    }

    fn is_open(&self, want: &Want) -> bool {
        self.demands.get(want).is_some_and(|demand| matches!(demand.standing, Standing::Open(_)))
    }

    /// What is still being read for a reference of `referrer`.
    pub(super) fn awaited(&self, referrer: &ObjectRef, reference: &Reference) -> Option<Want> {
        self.steps(referrer, reference).find(|want| self.is_open(want))
    }

    /// Whether something that a reference of `referrer` needs cannot be read.
    pub(super) fn is_unavailable(&self, referrer: &ObjectRef, reference: &Reference) -> bool {
        let lacks = |want| self.demands.get(&want).is_some_and(|demand| demand.standing.lack().is_some());
        self.steps(referrer, reference).any(lacks)
    }

    /// What is wanted for a reference of `referrer`.
    fn steps(&self, referrer: &ObjectRef, reference: &Reference) -> impl Iterator<Item = Want> {
        let wanted = self.needs.get(referrer).map(|needs| &needs.wants);
        let steps = wanted.map(|_| needs::path(&self.coverage, reference).steps());
        steps.into_iter().flatten().filter(move |want| wanted.is_some_and(|wanted| wanted.contains(want)))
    }

    /// The rows that come to stand in for what cannot be read, and the deletion of those that no longer have to. A row that
    /// is known stays, whatever is said of its source.
    pub(super) fn settle(&mut self, table: &Table) -> Vec<Event> {
        let lack = |want: &Want| self.demands.get(want).and_then(|demand| demand.standing.lack());
        self.stand_ins.settle(|want, target| lack(want).filter(|_| table.facts(target).is_none()))
    }

    /// Who waits for something to be read, from `since` to `until`.
    pub(super) fn list(&self, since: Instant, until: Instant) -> Vec<Held> {
        let waits = |(referrer, needs): (&ObjectRef, &Needs)| {
            let want = needs.wants.iter().find(|want| self.is_open(want))?;
            let why = format!("waits for {want} to be read");
            Some(Held { object: referrer.clone(), delete: false, why, since, until })
        };
        self.needs.iter().filter_map(waits).collect()
    }

    /// How many wants are unanswered, known and unavailable.
    pub(super) fn counts(&self) -> [usize; 3] {
        self.counts
    }

    /// The end of the first clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.clocks.first().map(|(until, _)| *until)
    }

    /// What is wanted.
    pub(super) fn wants(&self) -> &Wants {
        &self.wants
    }

    /// What is another pair of numbers whenever the set of wants is another one: each addition has a turn of its own.
    pub(super) fn edition(&self) -> (u64, usize) {
        (self.turn, self.wants.len())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.needs.is_empty()
            && self.by_consent.is_empty()
            && self.demands.is_empty()
            && self.counts == [0; 3]
            && self.clocks.is_empty()
            && self.dirty.is_empty()
            && self.stand_ins.is_empty()
            && self.wants.is_empty()
    }
}
