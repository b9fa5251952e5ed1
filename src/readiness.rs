//! The gate: whether this process may be sent traffic, and if not, what is missing.
//!
//! Each part of the process (a source, a collection, the publication, a listener) registers itself and reports its own
//! state. The gate opens when the list of parts is [sealed](Readiness::seal), names at least one source, and every part
//! has been ready; whoever never finishes keeps it shut and is named, with the reason (F34–F37, F46).
//!
//! Once open, the gate stays open through an outage: a source that fails or turns stale leaves its rows in place, and
//! what is served stays right (F15). Only a failed part of ours (anything that is not a source) or shutdown closes it.
//!
//! Architecture invariant: imports nothing of ours. Metrics learn of changes through the observer that `app` passes in.

mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arcstr::ArcStr;
use tokio::sync::watch;

use state::Board;

/// Where in the way of the data a part stands: the order in which parts become ready, and in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The process itself: configuration, threads.
    Process,
    /// Where rows come from: one kind in one scope. At least one is required.
    Source,
    /// A collection of the graph: its inputs are whole and it has applied them (F35, F37).
    Collection,
    /// The first snapshot is published.
    Publication,
    /// A socket is open.
    Listener,
}

impl Layer {
    /// Lower-case name, as in `/readyz?verbose`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Layer::Process => "process",
            Layer::Source => "source",
            Layer::Collection => "collection",
            Layer::Publication => "publication",
            Layer::Listener => "listener",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a part says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not there yet; the reason says what it waits for.
    Waiting,
    /// Did what it has to do.
    Ready,
    /// Was ready, and has since lost touch: what it delivered is kept.
    Stale,
    /// Cannot do it; the reason says why and how to mend it. It may recover.
    Failed,
}

impl State {
    /// Every state: a metric has one series for each.
    pub const ALL: [State; 4] = [State::Waiting, State::Ready, State::Stale, State::Failed];

    /// Lower-case name, as in `/readyz?verbose` and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Ready => "ready",
            State::Stale => "stale",
            State::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Never was ready.
    Starting,
    /// Ready for traffic.
    Ready,
    /// Was ready, until a part of ours failed.
    Failed,
    /// Shutting down; final.
    ShuttingDown,
}

impl Gate {
    /// Every state: a metric has one series for each.
    pub const ALL: [Gate; 4] = [Gate::Starting, Gate::Ready, Gate::Failed, Gate::ShuttingDown];

    /// Lower-case words, as in `/readyz?verbose`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Gate::Starting => "starting",
            Gate::Ready => "ready",
            Gate::Failed => "failed",
            Gate::ShuttingDown => "shutting down",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One part as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartStatus {
    /// Its layer.
    pub layer: Layer,
    /// The name it registered under.
    pub name: ArcStr,
    /// Its state.
    pub state: State,
    /// Why it is in that state; empty when ready.
    pub reason: ArcStr,
    /// When it entered that state; a new reason alone does not move it.
    pub since: Instant,
    /// Whether this part keeps the gate shut.
    pub missing: bool,
}

impl fmt::Display for PartStatus {
    /// `source "Gateway": waiting: the folder is being read`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.layer, self.name.as_str(), self.state)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// Everything that `/readyz?verbose` shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// The gate.
    pub gate: Gate,
    /// When the gate entered that state.
    pub since: Instant,
    /// Every part, by layer, then by name.
    pub parts: Vec<PartStatus>,
}

/// A change that the observer is told of, in order.
#[derive(Debug)]
pub enum Change<'a> {
    /// A part registered or changed its state.
    Part {
        /// The part in its new state.
        part: &'a PartStatus,
        /// How long it was in the state before; zero when it has just registered.
        after: Duration,
    },
    /// A part that had been ready ended: its series end too.
    Ended {
        /// The part as it last was.
        part: &'a PartStatus,
    },
    /// The gate changed (F43).
    Gate {
        /// The new state.
        gate: Gate,
        /// How long it was in the state before.
        after: Duration,
    },
}

/// Told of every change under the gate's lock: it must be quick and must not call back.
type Observer = dyn Fn(&Change<'_>) + Send + Sync;

/// The gate. Clones share it.
#[derive(Clone)]
pub struct Readiness {
    shared: Arc<Shared>,
}

struct Shared {
    board: Mutex<Board>,
    gate: watch::Sender<Gate>,
    observer: Box<Observer>,
}

/// Waiting for readiness ended without it. Never to be taken for success (F36).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up waiting to become ready; missing: {missing}")]
pub struct Cancelled {
    /// What was missing, joined by semicolons.
    pub missing: String,
}

impl Readiness {
    /// A shut gate without parts. The observer is told of every change, under a lock: it must be quick and must not
    /// call back.
    pub fn new(observer: impl Fn(&Change<'_>) + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                board: Mutex::new(Board::new(Instant::now())),
                gate: watch::Sender::new(Gate::Starting),
                observer: Box::new(observer),
            }),
        }
    }

    /// Adds a part, waiting. Adding one after [`seal`](Self::seal) is said so in the log; it counts like any other while
    /// the gate has never been open.
    #[must_use = "dropping a part that never became ready keeps the gate shut"]
    pub fn register(&self, layer: Layer, name: impl Into<ArcStr>) -> Part {
        let id = self.shared.change(|board, now| board.add(layer, name.into(), now));
        Part { id, shared: Arc::clone(&self.shared) }
    }

    /// Says that every part of the start is registered. Before that the gate does not open, however ready the parts
    /// are; a sealed list without a source is an error, not "synced" (F37).
    pub fn seal(&self) {
        self.shared.change(|board, _| board.sealed = true);
    }

    /// The process is going away: not ready from now on, for good (F62).
    pub fn begin_shutdown(&self) {
        self.shared.change(|board, _| board.shutting_down = true);
    }

    /// Whether the gate is open now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.gate.borrow() == Gate::Ready
    }

    /// Whether the gate was ever open: the start-up probe.
    #[must_use]
    pub fn started(&self) -> bool {
        self.shared.lock().opened
    }

    /// The parts that keep the gate shut, by layer, then by name. Empty when it is open.
    #[must_use]
    pub fn missing(&self) -> Vec<PartStatus> {
        self.report().parts.into_iter().filter(|part| part.missing).collect()
    }

    /// The gate and every part.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.lock().report()
    }

    /// Follows the gate, for the gRPC health service and for streams that wait for the first complete epoch.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Gate> {
        self.shared.gate.subscribe()
    }

    /// Waits until the gate is open, or `cancel` completes, or shutdown begins.
    ///
    /// # Errors
    /// [`Cancelled`], naming what was missing, in the last two cases.
    pub async fn wait_ready(&self, cancel: impl Future<Output = ()>) -> Result<(), Cancelled> {
        let mut gate = self.subscribe();
        let decided = gate.wait_for(|gate| matches!(gate, Gate::Ready | Gate::ShuttingDown));
        let open = tokio::select! {
            biased;
            decided = decided => decided.is_ok_and(|gate| *gate == Gate::Ready),
            () = cancel => false,
        };
        if open { Ok(()) } else { Err(Cancelled { missing: state::join(&self.missing()) }) }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("report", &self.report()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Board> {
        // A panic elsewhere leaves the board whole: every change to it is a single assignment.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the board, then moves the gate and tells everyone, all in one order.
    fn change<T>(&self, edit: impl FnOnce(&mut Board, Instant) -> T) -> T {
        let mut board = self.lock();
        let now = Instant::now();
        let result = edit(&mut board, now);
        board.settle(now, &*self.observer);
        let gate = board.gate();
        self.gate.send_if_modified(|old| std::mem::replace(old, gate) != gate);
        result
    }
}

/// A part's own handle. Dropping it before it ever was ready keeps the gate shut and names it; dropping it afterwards
/// takes it off the list.
#[derive(Debug)]
pub struct Part {
    id: u64,
    shared: Arc<Shared>,
}

impl Part {
    /// Not there yet, or no longer; the reason says what it waits for: a lower-case fragment.
    pub fn waiting(&self, reason: impl Into<ArcStr>) {
        self.set(State::Waiting, reason.into());
    }

    /// Did what it has to do.
    pub fn ready(&self) {
        self.set(State::Ready, ArcStr::new());
    }

    /// Lost touch after it was ready; what it delivered is kept. Before that it counts as waiting.
    pub fn stale(&self, reason: impl Into<ArcStr>) {
        self.set(State::Stale, reason.into());
    }

    /// Cannot do it, for now; the reason says why and how to mend it.
    pub fn failed(&self, reason: impl Into<ArcStr>) {
        self.set(State::Failed, reason.into());
    }

    fn set(&self, state: State, reason: ArcStr) {
        self.shared.change(|board, now| board.set(self.id, state, reason, now));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.change(|board, now| board.end(self.id, now));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
