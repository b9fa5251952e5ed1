//! What the sources of one scope have delivered: the names of their rows, so that a list yields what changed and an ended
//! scope takes everything with it (`gone_is_gone`).
//!
//! Invariants: what leaves here goes in the order of its evidence; nothing leaves after [`Scope::end`] (a late event of an
//! ended source is fenced, F14); the first lists of a staged scope leave together, so that no route is ever ahead of the pods
//! it leads to. Where nothing is served before all first lists are whole, pods leave while they are listed: a hundred thousand
//! of them are not held here and then all translated at once.

mod owners;
mod rows;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub(super) use owners::Owners;
use owners::{Place, Sharers};
use rows::{Book, Inner, Staged, newest_of_each};
pub(super) use rows::{Gathering, Loss};

use super::board::Board;
use super::target::Target;
use super::wire::{Change, Gone, Item, Value};
use crate::model::{Delta, Event, Kind, ObjectKey, ObjectRef};

/// Takes deltas to the door. Never blocks.
pub(super) type Sink = Arc<dyn Fn(Delta) + Send + Sync>;

/// The rows of one scope, as the sources of one generation hold them: what an older one says is fenced.
pub(super) struct Scope {
    rows: Arc<Rows>,
    generation: u32,
    sink: Sink,
    board: Board,
}

/// How the first lists of a scope leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// Each when it is whole.
    Whole,
    /// All of them together.
    Together,
    /// Pods as they are read; only for the sources that the start waits for.
    Early,
}

/// So many pods leave together while they are listed.
const EARLY: usize = 512;

struct Rows {
    inner: Arc<Mutex<Inner>>,
    /// Where others may have the same rows.
    place: Option<Arc<Place>>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            place.leave(&self.inner);
        }
    }
}

/// A scope while it has the turn in its namespace.
struct Turn<'a> {
    sharers: Option<MutexGuard<'a, Sharers>>,
    own: *const Mutex<Inner>,
    inner: MutexGuard<'a, Inner>,
}

impl Scope {
    /// A scope without others beside it.
    #[cfg(test)]
    pub(super) fn new(sink: Sink, board: Board, targets: &[Target], first: First) -> Arc<Self> {
        Self::among(None, sink, board, targets, first)
    }

    /// A scope of these targets. What another of the owners has is not taken back.
    pub(super) fn among(
        owners: Option<&Arc<Owners>>,
        sink: Sink,
        board: Board,
        targets: &[Target],
        first: First,
    ) -> Arc<Self> {
        let staged = (first == First::Together).then(|| Staged {
            arrived: Instant::now(),
            events: Vec::new(),
            lacking: targets.iter().cloned().collect(),
        });
        let books = targets.iter().map(|target| (target.clone(), Book::default())).collect();
        let inner = Arc::new(Mutex::new(Inner { ended: false, early: first == First::Early, staged, books }));
        let place = owners.and_then(|owners| owners.place(targets));
        if let Some(place) = &place {
            place.join(targets, &inner);
        }
        Arc::new(Self { rows: Arc::new(Rows { inner, place }), generation: 0, sink, board })
    }

    /// Adds one more source.
    pub(super) fn add(&self, target: &Target) {
        self.lock().books.entry(target.clone()).or_default();
    }

    /// Notes objects of a list that is being read. What is known already is not kept twice.
    pub(super) fn gather(&self, target: &Target, gathering: &mut Gathering, items: Vec<Item>) {
        let mut turn = self.turn();
        let Some(book) = turn.inner.books.get(target) else { return };
        if !std::mem::replace(&mut gathering.begun, true) {
            let early = turn.inner.early && target.kind == Kind::Pod && book.rows.is_empty();
            gathering.left = early.then_some(0);
            gathering.drops = book.drops;
        }
        for Item { key, version, value, .. } in items {
            // The key that is known already: its strings are those that others hold.
            let (key, known) =
                book.rows.get_key_value(&key).map_or((key, None), |(known, version)| (known.clone(), Some(*version)));
            match value {
                Value::Object(object, _) if gathering.left.is_some() => gathering.puts.push((key, version, object)),
                Value::Object(object, _) => {
                    if known != Some(version) {
                        gathering.puts.push((key.clone(), version, object));
                    }
                    gathering.seen.insert(key, version);
                }
                Value::Managed => {}
                Value::Unreadable(_) => gathering.unread.extend(known.map(|_| key)),
            }
        }
        // Ahead of the Services and routes a pod would be looked at twice.
        if gathering.left.is_some() && gathering.puts.len() >= EARLY && turn.inner.knows_what_leads_to_pods() {
            self.let_out(&mut turn, target, gathering, Instant::now());
        }
    }

    /// What was gathered leaves and is known from here on.
    fn let_out(&self, turn: &mut Turn<'_>, target: &Target, gathering: &mut Gathering, arrived: Instant) {
        let Some(book) = turn.inner.live(target, self.generation) else { return };
        let mut events = Vec::with_capacity(gathering.puts.len());
        for (key, version, object) in std::mem::take(&mut gathering.puts) {
            book.rows.insert(key.clone(), version);
            events.push(Event::Put(ObjectRef::new(target.kind, key), object));
        }
        gathering.left = gathering.left.map(|left| left + events.len());
        self.say(turn, Delta::new(arrived, events));
    }

    /// An object went while the list was read.
    pub(super) fn take_out(&self, target: &Target, gathering: &mut Gathering, key: &ObjectKey) {
        if gathering.seen.remove(key).is_some() || gathering.left.is_some() {
            gathering.puts.retain(|(put, ..)| put != key);
        }
        let mut turn = self.turn();
        if gathering.left.is_some()
            && let Some(book) = turn.inner.live(target, self.generation)
            && book.rows.remove(key).is_some()
        {
            gathering.left = gathering.left.map(|left| left.saturating_sub(1));
            let gone = Event::Delete(ObjectRef::new(target.kind, key.clone()));
            self.say(&mut turn, Delta::new(Instant::now(), vec![gone]));
        }
    }

    /// What swapping the list in would take away.
    pub(super) fn loss(&self, target: &Target, gathering: &Gathering) -> Loss {
        let inner = self.lock();
        let known = inner.books.get(target).filter(|_| gathering.left.is_none());
        let Some(book) = known else { return Loss { had: 0, lost: 0 } };
        let lost = book.rows.keys().filter(|key| !gathering.seen.contains_key(*key)).count();
        Loss { had: book.rows.len(), lost: lost.saturating_sub(gathering.unread.len()) }
    }

    /// The list is whole and believed: from here on it is what the source holds. False if the rows were dropped meanwhile: then it has to be
    /// read once more.
    pub(super) fn swap(&self, target: &Target, mut gathering: Gathering, arrived: Instant) -> bool {
        let mut turn = self.turn();
        if gathering.left.is_some() {
            self.let_out(&mut turn, target, &mut gathering, arrived);
        }
        let Some(book) = turn.inner.live(target, self.generation) else { return true };
        if gathering.begun && gathering.drops != book.drops {
            return false;
        }
        book.listed = true;
        if gathering.left.is_some() {
            self.board.rows(target, book.rows.len());
            self.settle_in(&mut turn, target);
            return true;
        }
        for key in gathering.unread {
            if let Some(version) = book.rows.get(&key) {
                gathering.seen.insert(key, *version);
            }
        }
        let gone = book.rows.keys().filter(|key| !gathering.seen.contains_key(*key));
        let mut events: Vec<_> = gone.map(|key| Event::Delete(ObjectRef::new(target.kind, key.clone()))).collect();
        let puts = gathering.puts.into_iter();
        events.extend(puts.map(|(key, _, object)| Event::Put(ObjectRef::new(target.kind, key), object)));
        book.rows = gathering.seen;
        self.board.rows(target, book.rows.len());
        self.say(&mut turn, Delta::new(arrived, events));
        self.settle_in(&mut turn, target);
        true
    }

    /// Changes that a watch yielded together. Gives what could not be read.
    pub(super) fn change(&self, target: &Target, changes: Vec<Change>, arrived: Instant) {
        let mut turn = self.turn();
        let Some(book) = turn.inner.live(target, self.generation) else { return };
        let mut events = Vec::with_capacity(changes.len());
        for change in changes {
            let (key, event) = match change {
                Change::Put(Item { key, version, value: Value::Object(object, _), .. }) => {
                    book.rows.insert(key.clone(), version);
                    events.push(Event::Put(ObjectRef::new(target.kind, key), object));
                    continue;
                }
                Change::Put(Item { key, value: Value::Managed, .. }) => {
                    (key.clone(), Event::Delete(ObjectRef::new(target.kind, key)))
                }
                Change::Delete(Gone { key, .. }) => (key.clone(), Event::Delete(ObjectRef::new(target.kind, key))),
                // It keeps what it last said.
                Change::Put(Item { value: Value::Unreadable(_), .. }) | Change::Bookmark { .. } | Change::Error(_) => {
                    continue;
                }
            };
            if book.rows.remove(&key).is_some() {
                events.push(event);
            }
        }
        self.board.rows(target, book.rows.len());
        newest_of_each(&mut events);
        self.say(&mut turn, Delta::new(arrived, events));
    }

    /// The source has nothing to deliver for now (an API that is absent, a right that is missing): others need not wait.
    pub(super) fn settle(&self, target: &Target) {
        let mut turn = self.turn();
        if turn.inner.live(target, self.generation).is_some() {
            self.settle_in(&mut turn, target);
        }
    }

    /// Lets what is staged go although some sources have not delivered.
    pub(super) fn release(&self) {
        let mut turn = self.turn();
        let Some(mut staged) = turn.inner.staged.take() else { return };
        newest_of_each(&mut staged.events);
        let lacking = |target: &&Target| staged.lacking.contains(*target);
        let delivered: Vec<_> = turn.inner.books.keys().filter(|target| !lacking(target)).cloned().collect();
        self.say(&mut turn, Delta::new(staged.arrived, staged.events));
        delivered.iter().for_each(|target| self.board.delivered(target));
    }

    /// Takes back the rows of these sources, as one epoch; the sources go on.
    pub(super) fn drop_rows(&self, targets: &[Target]) {
        let mut turn = self.turn();
        if turn.inner.ended {
            return;
        }
        let events = turn.inner.retract(|target| targets.contains(target));
        for target in targets {
            self.board.rows(target, 0);
        }
        self.say(&mut turn, Delta::firm(Instant::now(), events));
    }

    /// Takes back everything, as one epoch, and lets nothing through any more. Gives how many rows left.
    pub(super) fn end(&self) -> usize {
        let mut turn = self.turn();
        if turn.inner.ended {
            return 0;
        }
        turn.inner.ended = true;
        if turn.inner.staged.take().is_some() {
            // Nothing of it was ever said.
            return 0;
        }
        let events = turn.inner.retract(|_| true);
        self.say(&mut turn, Delta::firm(Instant::now(), events))
    }

    /// Takes out one source without a word: others tell of its rows.
    pub(super) fn forget(&self, target: &Target) {
        self.lock().books.remove(target);
    }

    /// Whether a source has this row.
    pub(super) fn has(&self, target: &Target, key: &ObjectKey) -> bool {
        self.lock().books.get(target).is_some_and(|book| book.rows.contains_key(key))
    }

    /// The scope for another source of the target than the one so far, whose late words are fenced.
    pub(super) fn renew(&self, target: &Target) -> Arc<Self> {
        let mut generation = self.generation;
        if let Some(book) = self.lock().books.get_mut(target) {
            book.generation += 1;
            generation = book.generation;
        }
        Arc::new(Self { rows: self.rows.clone(), generation, sink: self.sink.clone(), board: self.board.clone() })
    }

    /// What follows goes to the door, but for the end of what another still has. Gives how many events.
    fn say(&self, turn: &mut Turn<'_>, mut delta: Delta) -> usize {
        if let Some(staged) = &mut turn.inner.staged {
            staged.events.extend(delta.events);
            return 0;
        }
        delta.events.retain(|event| !matches!(event, Event::Delete(object) if turn.others_have(object)));
        let said = delta.events.len();
        if said > 0 {
            (self.sink)(delta);
        }
        said
    }

    /// The target has said what it has to say at first.
    fn settle_in(&self, turn: &mut Turn<'_>, target: &Target) {
        let Some(staged) = &mut turn.inner.staged else {
            self.board.delivered(target);
            return;
        };
        staged.lacking.remove(target);
        if staged.lacking.is_empty()
            && let Some(mut staged) = turn.inner.staged.take()
        {
            newest_of_each(&mut staged.events);
            let targets: Vec<_> = turn.inner.books.keys().cloned().collect();
            self.say(turn, Delta::new(staged.arrived, staged.events));
            targets.iter().for_each(|target| self.board.delivered(target));
        }
    }

    fn turn(&self) -> Turn<'_> {
        let sharers = self.rows.place.as_ref().map(|place| place.lock());
        Turn { sharers, own: Arc::as_ptr(&self.rows.inner), inner: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.rows.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    fn others_have(&self, object: &ObjectRef) -> bool {
        self.sharers.as_ref().is_some_and(|sharers| owners::others_have(sharers, self.own, object))
    }
}

#[cfg(test)]
mod tests;
