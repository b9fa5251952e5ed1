//! The mailbox between sources and the graph's thread: the newest event of each object, and nobody who sends ever waits.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics;
use crate::model::delta::{Delta, Event};
use crate::model::{Kind, ObjectRef};

/// One event with the instant at which the first sign of it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The start of the latency that is measured; of several coalesced events, the earliest.
    pub arrived: Instant,
    /// The newest event.
    pub event: Event,
}

impl Arrival {
    /// The events of a delta, one by one.
    pub fn of(delta: Delta) -> impl Iterator<Item = Arrival> {
        let Delta { arrived, events, .. } = delta;
        events.into_iter().map(move |event| Arrival { arrived, event })
    }
}

/// What [`Mailbox::take`] found.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// What came since the last time, whole deltas only; rows first, then the `Listed` markers, so that no marker is ahead of
    /// a row it stands for. Empty when the time was up or someone called [`Sender::wake`].
    Arrivals(Vec<Arrival>),
    /// Empty, and every sender is gone: nothing will ever come.
    Closed,
}

/// An empty mailbox with its first sender.
#[must_use]
pub fn mailbox() -> (Sender, Mailbox) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            rows: Vec::new(),
            slots: HashMap::new(),
            listed: Vec::new(),
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
    /// At most one entry for each object.
    rows: Vec<Arrival>,
    /// Where in `rows` an object's entry is.
    slots: HashMap<ObjectRef, usize>,
    /// At most one entry for each kind. Apart from the rows: a marker stays true when more rows go ahead of it.
    listed: Vec<(Kind, Instant)>,
    /// Someone wants the reader to look up, whether or not there is anything.
    awake: bool,
    /// How many [`Sender`]s there are.
    senders: usize,
}

impl State {
    fn put(&mut self, Arrival { arrived, event }: Arrival) {
        let object = match &event {
            Event::Put(object, _) | Event::Delete(object) => object.clone(),
            Event::Answered(..) | Event::Covers(_) => return,
            Event::Listed(kind) => {
                if !self.listed.iter().any(|(listed, _)| listed == kind) {
                    self.listed.push((*kind, arrived));
                }
                return;
            }
        };
        if let Some(pending) = self.slots.get(&object).and_then(|slot| self.rows.get_mut(*slot)) {
            pending.event = event;
            pending.arrived = pending.arrived.min(arrived);
        } else {
            self.slots.insert(object, self.rows.len());
            self.rows.push(Arrival { arrived, event });
        }
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.listed.is_empty()
    }

    fn drain(&mut self) -> Vec<Arrival> {
        self.awake = false;
        // A new map rather than `clear`: the first list's capacity would stay for ever.
        self.slots = HashMap::new();
        let mut arrivals = std::mem::take(&mut self.rows);
        let markers = self.listed.drain(..);
        arrivals.extend(markers.map(|(kind, arrived)| Arrival { arrived, event: Event::Listed(kind) }));
        arrivals
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
        let mut state = self.shared.lock();
        Arrival::of(delta).for_each(|arrival| state.put(arrival));
        metrics::mailbox(state.rows.len());
        drop(state);
        self.shared.filled.notify_one();
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
        metrics::mailbox(0);
        Taken::Arrivals(state.drain())
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
