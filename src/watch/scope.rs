//! What the sources of one scope have delivered: the names of their rows, so that a list yields what changed and an ended
//! scope takes everything with it (`gone_is_gone`).
//!
//! Invariants: what leaves here goes in the order of its evidence; nothing leaves after [`Scope::end`] (a late event of an
//! ended source is fenced, F14); the first lists of a staged scope leave together, so that no route is ever ahead of the pods
//! it leads to. Where nothing is served before all first lists are whole, pods leave while they are listed: a hundred thousand
//! of them are not held here and then all translated at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::board::Board;
use super::target::Target;
use super::wire::{Change, Gone, Item, Value};
use crate::model::{Delta, Event, Kind, Object, ObjectKey, ObjectRef};

/// Takes deltas to the door. Never blocks.
pub(super) type Sink = Arc<dyn Fn(Delta) + Send + Sync>;

/// The rows of one scope.
pub(super) struct Scope {
    inner: Mutex<Inner>,
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

struct Inner {
    ended: bool,
    /// Pods may leave while they are listed.
    early: bool,
    /// The first lists, until all of them are there.
    staged: Option<Staged>,
    books: BTreeMap<Target, Book>,
}

struct Staged {
    arrived: Instant,
    events: Vec<Event>,
    lacking: BTreeSet<Target>,
}

/// The rows of one source: each object's version.
#[derive(Default)]
struct Book {
    rows: HashMap<ObjectKey, u64>,
    /// A list was whole and believed.
    listed: bool,
}

/// A list while it is read: swapped in at its end.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    seen: HashMap<ObjectKey, u64>,
    puts: Vec<(ObjectKey, u64, Object)>,
    /// What leaves early is not seen twice: how many have left. `None` where everything waits for the end.
    left: Option<usize>,
    begun: bool,
    /// Objects that could not be read: what was known of them stays.
    unread: Vec<ObjectKey>,
}

/// What a list would take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) had: usize,
    pub(super) lost: usize,
}

impl Gathering {
    /// Objects read so far.
    pub(super) fn len(&self) -> usize {
        self.left.map_or(self.seen.len(), |left| left + self.puts.len())
    }
}

impl Scope {
    /// A scope of these targets.
    pub(super) fn new(sink: Sink, board: Board, targets: &[Target], first: First) -> Arc<Self> {
        let staged = (first == First::Together).then(|| Staged {
            arrived: Instant::now(),
            events: Vec::new(),
            lacking: targets.iter().cloned().collect(),
        });
        let books = targets.iter().map(|target| (target.clone(), Book::default())).collect();
        let inner = Inner { ended: false, early: first == First::Early, staged, books };
        Arc::new(Self { inner: Mutex::new(inner), sink, board })
    }

    /// Adds one more source.
    pub(super) fn add(&self, target: &Target) {
        self.lock().books.entry(target.clone()).or_default();
    }

    /// Notes objects of a list that is being read. What is known already is not kept twice.
    pub(super) fn gather(&self, target: &Target, gathering: &mut Gathering, items: Vec<Item>) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(book) = inner.books.get(target) else { return };
        if !std::mem::replace(&mut gathering.begun, true) {
            let early = inner.early && target.kind == Kind::Pod && book.rows.is_empty();
            gathering.left = early.then_some(0);
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
        // Ahead of the Services a pod would be looked at twice.
        if gathering.left.is_some() && gathering.puts.len() >= EARLY && inner.knows_services() {
            self.let_out(inner, target, gathering, Instant::now());
        }
    }

    /// What was gathered leaves and is known from here on.
    fn let_out(&self, inner: &mut Inner, target: &Target, gathering: &mut Gathering, arrived: Instant) {
        let Some(book) = inner.live(target) else { return };
        let mut events = Vec::with_capacity(gathering.puts.len());
        for (key, version, object) in std::mem::take(&mut gathering.puts) {
            book.rows.insert(key.clone(), version);
            events.push(Event::Put(ObjectRef::new(target.kind, key), object));
        }
        gathering.left = gathering.left.map(|left| left + events.len());
        self.say(inner, Delta::new(arrived, events));
    }

    /// An object went while the list was read.
    pub(super) fn forget(&self, target: &Target, gathering: &mut Gathering, key: &ObjectKey) {
        if gathering.seen.remove(key).is_some() || gathering.left.is_some() {
            gathering.puts.retain(|(put, ..)| put != key);
        }
        let mut inner = self.lock();
        if gathering.left.is_some()
            && let Some(book) = inner.live(target)
            && book.rows.remove(key).is_some()
        {
            gathering.left = gathering.left.map(|left| left.saturating_sub(1));
            let gone = Event::Delete(ObjectRef::new(target.kind, key.clone()));
            self.say(&mut inner, Delta::new(Instant::now(), vec![gone]));
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

    /// The list is whole and believed: from here on it is what the source holds.
    pub(super) fn swap(&self, target: &Target, mut gathering: Gathering, arrived: Instant) {
        let mut inner = self.lock();
        if gathering.left.is_some() {
            self.let_out(&mut inner, target, &mut gathering, arrived);
        }
        let Some(book) = inner.live(target) else { return };
        book.listed = true;
        if gathering.left.is_some() {
            self.board.rows(target, book.rows.len());
            return self.settle_in(&mut inner, target);
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
        self.say(&mut inner, Delta::new(arrived, events));
        self.settle_in(&mut inner, target);
    }

    /// Changes that a watch yielded together. Gives what could not be read.
    pub(super) fn change(&self, target: &Target, changes: Vec<Change>, arrived: Instant) {
        let mut inner = self.lock();
        let Some(book) = inner.live(target) else { return };
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
        self.say(&mut inner, Delta::new(arrived, events));
    }

    /// The source has nothing to deliver for now (an API that is absent, a right that is missing): others need not wait.
    pub(super) fn settle(&self, target: &Target) {
        let mut inner = self.lock();
        if !inner.ended {
            self.settle_in(&mut inner, target);
        }
    }

    /// Lets what is staged go although some sources have not delivered.
    pub(super) fn release(&self) {
        let mut inner = self.lock();
        let Some(staged) = inner.staged.take() else { return };
        let delivered: Vec<_> = inner.books.keys().filter(|target| !staged.lacking.contains(target)).cloned().collect();
        self.say(&mut inner, Delta::new(staged.arrived, staged.events));
        delivered.iter().for_each(|target| self.board.delivered(target));
    }

    /// Takes back the rows of these sources, as one epoch; the sources go on.
    pub(super) fn drop_rows(&self, targets: &[Target]) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        let events = inner.retract(|target| targets.contains(target));
        for target in targets {
            self.board.rows(target, 0);
        }
        self.say(&mut inner, Delta::firm(Instant::now(), events));
    }

    /// Takes back everything, as one epoch, and lets nothing through any more. Gives how many rows left.
    pub(super) fn end(&self) -> usize {
        let mut inner = self.lock();
        if inner.ended {
            return 0;
        }
        inner.ended = true;
        if inner.staged.take().is_some() {
            // Nothing of it was ever said.
            inner.books.clear();
            return 0;
        }
        let events = inner.retract(|_| true);
        inner.books.clear();
        let rows = events.len();
        (self.sink)(Delta::firm(Instant::now(), events));
        rows
    }

    /// Takes out one source with its rows, by a delta of its own.
    pub(super) fn remove(&self, target: &Target) {
        self.drop_rows(std::slice::from_ref(target));
        self.lock().books.remove(target);
    }

    fn say(&self, inner: &mut Inner, delta: Delta) {
        match &mut inner.staged {
            Some(staged) => staged.events.extend(delta.events),
            None => {
                if !delta.is_empty() {
                    (self.sink)(delta);
                }
            }
        }
    }

    /// The target has said what it has to say at first.
    fn settle_in(&self, inner: &mut Inner, target: &Target) {
        let Some(staged) = &mut inner.staged else {
            self.board.delivered(target);
            return;
        };
        staged.lacking.remove(target);
        if staged.lacking.is_empty()
            && let Some(staged) = inner.staged.take()
        {
            let targets: Vec<_> = inner.books.keys().cloned().collect();
            self.say(inner, Delta::new(staged.arrived, staged.events));
            targets.iter().for_each(|target| self.board.delivered(target));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The book of a source whose word counts.
    fn live(&mut self, target: &Target) -> Option<&mut Book> {
        if self.ended {
            return None;
        }
        self.books.get_mut(target)
    }

    /// Whether every source of Services has delivered.
    fn knows_services(&self) -> bool {
        let mut services = self.books.iter().filter(|(target, _)| target.kind == Kind::Service);
        services.all(|(_, book)| book.listed)
    }

    fn retract(&mut self, of: impl Fn(&Target) -> bool) -> Vec<Event> {
        let books = self.books.iter_mut().filter(|(target, _)| of(target));
        let gone = books.flat_map(|(target, book)| {
            std::mem::take(&mut book.rows).into_keys().map(|key| Event::Delete(ObjectRef::new(target.kind, key)))
        });
        gone.collect()
    }
}

/// Of several events of one object the newest counts.
fn newest_of_each(events: &mut Vec<Event>) {
    if events.len() < 2 {
        return;
    }
    let mut seen = std::collections::HashSet::new();
    let newest = |event: &Event| match event {
        Event::Put(object, _) | Event::Delete(object) => seen.insert(object.clone()),
        Event::Listed(_) | Event::Answered(..) | Event::Covers(_) => true,
    };
    events.reverse();
    events.retain(newest);
    events.reverse();
}

#[cfg(test)]
mod tests;
