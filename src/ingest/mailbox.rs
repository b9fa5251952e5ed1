//! The mailbox between sources and the graph's thread: the newest event of each object, and nobody who sends ever waits.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics;
use crate::model::delta::{Delta, Event};
use crate::model::{Kind, ObjectRef, Want};

/// One event with the instant at which the first sign of it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The start of the latency that is measured; of several coalesced events, the earliest.
    pub arrived: Instant,
    /// The newest event.
    pub event: Event,
    /// It belongs to a [firm](Delta::firm) delta; of several coalesced events the newest one's word counts.
    pub firm: bool,
}

impl Arrival {
    /// The events of a delta, one by one.
    pub fn of(delta: Delta) -> impl Iterator<Item = Arrival> {
        let Delta { arrived, events, firm } = delta;
        events.into_iter().map(move |event| Arrival { arrived, event, firm })
    }
}

/// What [`Mailbox::take`] found.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// What came since the last time, whole deltas only; what the sources cover first, then rows, then answers, then the
    /// `Listed` markers, so that no answer and no marker is ahead of a row it stands for. Empty when the time was up or someone called [`Sender::wake`].
    Arrivals(Vec<Arrival>),
    /// Empty, and every sender is gone: nothing will ever come.
    Closed,
}

/// An empty mailbox with its first sender.
#[must_use]
pub fn mailbox() -> (Sender, Mailbox) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            covers: None,
            rows: Vec::new(),
            slots: HashMap::new(),
            answers: BTreeMap::new(),
            listed: BTreeMap::new(),
            since: None,
            awake: false,
            senders: 1,
        }),
        filled: Condvar::new(),
    });
    (Sender { shared: Arc::clone(&shared) }, Mailbox { shared })
}

/// The end that sources write to. Clones write to the same mailbox.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// The end that one thread reads.
#[derive(Debug)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug)]
struct State {
    /// What the sources cover, if they said so since. Ahead of the rows, which are judged by it.
    covers: Option<Arrival>,
    /// At most one entry for each object.
    rows: Vec<Arrival>,
    /// Where in `rows` an object's entry is.
    slots: HashMap<ObjectRef, usize>,
    /// At most one entry for each want. Apart from the rows: an answer stays true when more rows go ahead of it.
    answers: BTreeMap<Want, Arrival>,
    /// At most one entry for each kind, apart for the same reason.
    listed: BTreeMap<Kind, Arrival>,
    /// When the first of what is here came.
    since: Option<Instant>,
    /// Someone wants the reader to look up, whether or not there is anything.
    awake: bool,
    /// How many [`Sender`]s there are.
    senders: usize,
}

impl State {
    fn put(&mut self, arrival: Arrival) {
        match &arrival.event {
            Event::Put(object, _) | Event::Delete(object) => {
                if let Some(pending) = self.slots.get(object).and_then(|slot| self.rows.get_mut(*slot)) {
                    renew(pending, arrival);
                } else {
                    self.slots.insert(object.clone(), self.rows.len());
                    self.rows.push(arrival);
                }
            }
            Event::Answered(want, _) => coalesce(self.answers.entry(want.clone()), arrival),
            Event::Listed(kind) => coalesce(self.listed.entry(*kind), arrival),
            Event::Covers(_) => match &mut self.covers {
                Some(pending) => renew(pending, arrival),
                None => self.covers = Some(arrival),
            },
        }
    }

    fn is_empty(&self) -> bool {
        self.covers.is_none() && self.rows.is_empty() && self.answers.is_empty() && self.listed.is_empty()
    }

    fn drain(&mut self) -> Vec<Arrival> {
        self.awake = false;
        // A new map rather than `clear`: the first list's capacity would stay for ever.
        self.slots = HashMap::new();
        let mut arrivals = mem::take(&mut self.rows);
        if let Some(covers) = self.covers.take() {
            arrivals.insert(0, covers);
        }
        arrivals.extend(mem::take(&mut self.answers).into_values());
        arrivals.extend(mem::take(&mut self.listed).into_values());
        arrivals
    }
}

/// The newer event takes the place of the older one.
fn renew(pending: &mut Arrival, newer: Arrival) {
    *pending = Arrival { arrived: pending.arrived.min(newer.arrived), ..newer };
}

fn coalesce<K: Ord>(entry: Entry<'_, K, Arrival>, newer: Arrival) {
    match entry {
        Entry::Vacant(entry) => drop(entry.insert(newer)),
        Entry::Occupied(entry) => renew(entry.into_mut(), newer),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Entries are whole at every point where a panic could strike.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Adds a delta, whole: the reader sees all of its events or none. Never blocks on the reader. Of two events of one object
    /// the newer stays, also a delete after a put: only the reader knows whether the object was let in before.
    pub fn send(&self, delta: Delta) {
        if delta.is_empty() {
            return;
        }
        let (now, arrived) = (Instant::now(), delta.arrived);
        let mut state = self.shared.lock();
        state.since.get_or_insert(now);
        Arrival::of(delta).for_each(|arrival| state.put(arrival));
        metrics::mailbox(state.rows.len());
        drop(state);
        self.shared.filled.notify_one();
        metrics::propagation_stage("read", now.saturating_duration_since(arrived));
    }

    /// Makes the reader look up at once, though nothing came: it has other work.
    pub fn wake(&self) {
        self.shared.lock().awake = true;
        self.shared.filled.notify_one();
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().senders -= 1;
        self.shared.filled.notify_one();
    }
}

impl Mailbox {
    /// Waits for something to come, for `timeout` at most, and takes everything that is there.
    #[must_use]
    pub fn take(&self, timeout: Duration) -> Taken {
        let idle = |state: &mut State| state.is_empty() && !state.awake && state.senders > 0;
        let waited = self.shared.filled.wait_timeout_while(self.shared.lock(), timeout, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_empty() && state.senders == 0 {
            return Taken::Closed;
        }
        let (since, arrivals) = (state.since.take(), state.drain());
        drop(state);
        metrics::mailbox(0);
        if let Some(since) = since {
            metrics::propagation_stage("mailbox", since.elapsed());
        }
        Taken::Arrivals(arrivals)
    }

    /// How many distinct objects wait here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().rows.len()
    }

    /// Whether no object waits here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
