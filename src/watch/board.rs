//! Where every source stands: for readiness, `syncgate status`, `/startupz?verbose`, metrics and the log.
//!
//! It also counts first deliveries, because only here all sources of a kind are known: when every required one has
//! delivered, the kind is listed (F34, F37). Nothing is listed vacuously: what is expected is said before, and sealed.

mod selecting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arcstr::ArcStr;
use tokio::sync::watch;
use tracing::{debug, info};

pub(super) use selecting::Matter;
use selecting::Selecting;

use super::lives::KINDS;
use super::scope::Sink;
use super::target::Target;
use crate::metrics;
use crate::model::{Delta, Event, Kind};
use crate::readiness::Part;

/// Progress of a list is told after this many objects.
const STEP: usize = 500;

/// A kind is said to be in touch again once all its sources have been for this long: of many namespaces each finds back at a time of its
/// own, and that is one event, not one for each.
const SETTLED: Duration = Duration::from_secs(3);

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not begun.
    Pending,
    /// Reads its first list.
    Listing,
    /// Holds what the server holds.
    Synced,
    /// Has lost touch; its rows stay.
    Stale,
    /// Its API is not installed; it is looked for again.
    Absent,
    /// A right is missing; what it delivered before stays for a time.
    Denied,
}

impl State {
    /// Every state: a metric has one series for each.
    pub const ALL: [State; 6] =
        [State::Pending, State::Listing, State::Synced, State::Stale, State::Absent, State::Denied];

    /// Lower-case name, as in metrics and `syncgate status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Listing => "listing",
            State::Synced => "synced",
            State::Stale => "stale",
            State::Absent => "absent",
            State::Denied => "denied",
        }
    }
}

/// What is known of a watched namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// It is there and may be read.
    Active,
    /// It is being deleted; what still exists is served.
    Terminating,
    /// It does not exist; its sources have ended and its rows have left. It is noticed when it comes.
    Gone,
    /// Rights that were there are not any more; the last state is held.
    Revoked,
    /// Never read: a right is missing, or it does not exist.
    Unknown,
}

impl Life {
    /// Every state: a metric has one series for each.
    pub const ALL: [Life; 5] = [Life::Active, Life::Terminating, Life::Gone, Life::Revoked, Life::Unknown];

    /// Lower-case name, as in metrics and `syncgate status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Life::Active => "active",
            Life::Terminating => "terminating",
            Life::Gone => "gone",
            Life::Revoked => "revoked",
            Life::Unknown => "unknown",
        }
    }
}

/// A watched namespace as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeStatus {
    /// What is known.
    pub life: Life,
    /// Why, and what follows; empty when active.
    pub reason: ArcStr,
    /// Since when.
    pub since: Instant,
}

/// One source as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// What it reads.
    pub target: Target,
    /// What it is doing.
    pub state: State,
    /// Why, with the remedy; empty when in sync.
    pub reason: ArcStr,
    /// Since when.
    pub since: Instant,
    /// The rows it holds.
    pub rows: usize,
    /// When the last row left, if there is none.
    pub emptied: Option<Instant>,
    /// Objects of a list that is being read.
    pub read: usize,
    /// Whether readiness waits for it at the start.
    pub required: bool,
    /// Whether it has delivered what it has to deliver first.
    pub delivered: bool,
}

/// The board. Clones share it.
#[derive(Clone)]
pub struct Board {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    selecting: Mutex<Selecting>,
    sink: Sink,
    began: Instant,
    /// Counts changes of states, for those who wait for one.
    changes: watch::Sender<u64>,
}

struct Inner {
    sources: BTreeMap<Target, Entry>,
    parts: BTreeMap<Kind, Part>,
    /// Kinds of which `Listed` was not said.
    unlisted: Vec<Kind>,
    /// Nothing more is expected at the start.
    sealed: bool,
    /// Kinds that are said to have lost touch, and when a source of theirs was seen without it last.
    lost: BTreeMap<Kind, Instant>,
    /// The watched namespaces, in namespaced scope.
    lives: BTreeMap<ArcStr, LifeStatus>,
}

struct Entry {
    state: State,
    reason: ArcStr,
    since: Instant,
    rows: usize,
    emptied: Option<Instant>,
    read: usize,
    required: bool,
    delivered: bool,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// A board with a part of readiness for each kind that is listed, and in namespaced scope one for the selection.
    pub(super) fn new(parts: BTreeMap<Kind, Part>, selection: Option<Part>, sink: Sink) -> Self {
        let unlisted = parts.keys().copied().collect();
        let (lost, lives) = (BTreeMap::new(), BTreeMap::new());
        let inner = Inner { sources: BTreeMap::new(), parts, unlisted, sealed: false, lost, lives };
        Self {
            shared: Arc::new(Shared {
                inner: Mutex::new(inner),
                selecting: Mutex::new(Selecting::new(selection)),
                sink,
                began: Instant::now(),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// Adds a source. Of a required one readiness waits for the first list, if it is added before [`seal`](Self::seal).
    pub(super) fn add(&self, target: &Target, required: bool) {
        let mut inner = self.lock();
        let entry = Entry {
            state: State::Pending,
            reason: arcstr::literal!("not begun"),
            since: Instant::now(),
            rows: 0,
            emptied: None,
            read: 0,
            required: required && !inner.sealed,
            delivered: false,
        };
        inner.sources.insert(target.clone(), entry);
        inner.tell(target.kind);
    }

    /// The source is gone, with its rows.
    pub(super) fn remove(&self, target: &Target) {
        let mut inner = self.lock();
        inner.sources.remove(target);
        inner.tell(target.kind);
        self.list(&mut inner);
    }

    /// The start does not wait for this source any more.
    pub(super) fn excuse(&self, target: &Target) {
        let mut inner = self.lock();
        let Some(entry) = inner.sources.get_mut(target) else { return };
        entry.required = false;
        inner.tell(target.kind);
        self.list(&mut inner);
    }

    /// Everything that the start waits for was added.
    pub(super) fn seal(&self) {
        let mut inner = self.lock();
        inner.sealed = true;
        let kinds: Vec<_> = inner.parts.keys().copied().collect();
        kinds.into_iter().for_each(|kind| inner.tell(kind));
        self.list(&mut inner);
        drop(inner);
        self.selecting().seal();
    }

    /// Completes at the next change of any state. What changed before it is called is not waited for: look first.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.shared.changes.subscribe();
        async move {
            // The sender lives as long as the board.
            let _ = changes.changed().await;
        }
    }

    /// Wakes those who wait for a change.
    pub(super) fn touch(&self) {
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// What is known of a watched namespace; `None` when it is not watched any more.
    pub(super) fn life(&self, namespace: &ArcStr, life: Option<(Life, ArcStr)>) {
        let mut inner = self.lock();
        match life {
            None => {
                inner.lives.remove(namespace);
            }
            Some((life, reason)) => {
                let since = inner.lives.get(namespace).filter(|known| known.life == life).map(|known| known.since);
                let status = LifeStatus { life, reason, since: since.unwrap_or_else(Instant::now) };
                inner.lives.insert(namespace.clone(), status);
            }
        }
    }

    /// The watched namespaces, in namespaced scope.
    #[must_use]
    pub fn lives(&self) -> Vec<(ArcStr, LifeStatus)> {
        self.lock().lives.iter().map(|(name, status)| (name.clone(), status.clone())).collect()
    }

    /// The namespaces that something is known of, without these.
    pub(super) fn lives_but(&self, wanted: &BTreeSet<ArcStr>) -> Vec<ArcStr> {
        self.lock().lives.keys().filter(|name| !wanted.contains(*name)).cloned().collect()
    }

    /// Whether a namespace is among the watched ones, in namespaced scope.
    pub(super) fn is_watched(&self, namespace: &str) -> bool {
        self.lock().lives.contains_key(namespace)
    }

    /// Whether a source has delivered what it has to deliver first.
    pub(super) fn has_delivered(&self, target: &Target) -> bool {
        self.lock().sources.get(target).is_some_and(|entry| entry.delivered)
    }

    /// One source.
    pub(super) fn source(&self, target: &Target) -> Option<SourceStatus> {
        self.lock().sources.get(target).map(|entry| status(target, entry))
    }

    /// Whether the start is over: every kind is listed.
    pub(super) fn is_listed(&self) -> bool {
        let inner = self.lock();
        inner.sealed && inner.unlisted.is_empty()
    }

    /// What keeps every kind waiting before the first source can be added.
    pub(super) fn waits(&self, reason: &str) {
        let inner = self.lock();
        if !inner.sealed {
            for part in inner.parts.values() {
                part.waiting(reason);
            }
        }
    }

    /// The source's state, when it changed, and why.
    pub(super) fn set(&self, target: &Target, state: State, reason: impl Into<ArcStr>) {
        let mut inner = self.lock();
        let Some(entry) = inner.sources.get_mut(target) else { return };
        entry.reason = reason.into();
        if entry.state != state {
            debug!(kind = %target.kind, namespace = target.namespace.as_deref().unwrap_or_default(),
                name = target.name.as_deref().unwrap_or_default(), from = entry.state.as_str(), to = state.as_str(),
                reason = %entry.reason, "source changed");
            entry.state = state;
            entry.since = Instant::now();
            entry.read = 0;
            self.touch();
        }
        inner.tell(target.kind);
    }

    /// How many objects of a list were read.
    pub(super) fn read(&self, target: &Target, objects: usize) {
        let mut inner = self.lock();
        let Some(entry) = inner.sources.get_mut(target) else { return };
        if objects > 0 && matches!(entry.state, State::Absent | State::Denied) {
            // What was missing is there.
            (entry.state, entry.reason, entry.since) = (State::Listing, ArcStr::new(), Instant::now());
        }
        let before = std::mem::replace(&mut entry.read, objects);
        // Not for each of tens of thousands of pieces.
        if before / STEP != objects / STEP {
            inner.tell(target.kind);
        }
    }

    /// How many rows the source holds.
    pub(super) fn rows(&self, target: &Target, rows: usize) {
        if let Some(entry) = self.lock().sources.get_mut(target) {
            if rows > 0 {
                entry.emptied = None;
            } else if entry.rows > 0 {
                entry.emptied = Some(Instant::now());
            }
            entry.rows = rows;
        }
    }

    /// The source has delivered what it has to deliver at the start.
    pub(super) fn delivered(&self, target: &Target) {
        let mut inner = self.lock();
        let Some(entry) = inner.sources.get_mut(target) else { return };
        if std::mem::replace(&mut entry.delivered, true) {
            return;
        }
        inner.tell(target.kind);
        self.list(&mut inner);
        self.touch();
    }

    /// Says `Listed` of the kinds that are.
    fn list(&self, inner: &mut Inner) {
        if !inner.sealed || inner.unlisted.is_empty() {
            return;
        }
        let lacking: Vec<Kind> = inner.lacking().map(|(target, _)| target.kind).collect();
        let (unlisted, listed): (Vec<_>, Vec<_>) = inner.unlisted.drain(..).partition(|kind| lacking.contains(kind));
        inner.unlisted = unlisted;
        for kind in &listed {
            metrics::source_synced(kind.as_str(), self.shared.began.elapsed());
            inner.tell(*kind);
        }
        if !listed.is_empty() {
            (self.shared.sink)(Delta::new(Instant::now(), listed.into_iter().map(Event::Listed).collect()));
        }
    }

    /// Every source, by kind and scope.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.lock().sources.iter().map(|(target, entry)| status(target, entry)).collect()
    }

    /// The sources of a watched namespace whose right is missing.
    pub(super) fn denied_in(&self, namespace: &ArcStr) -> Vec<SourceStatus> {
        let inner = self.lock();
        let targets = KINDS.map(|kind| Target::all(kind, Some(namespace.clone())));
        let found = targets.iter().filter_map(|target| Some((target, inner.sources.get(target)?)));
        found.filter(|(_, entry)| entry.state == State::Denied).map(|(target, entry)| status(target, entry)).collect()
    }

    /// Whether there are any.
    pub(super) fn is_denied_in(&self, namespace: &ArcStr) -> bool {
        let inner = self.lock();
        let mut entries =
            KINDS.iter().filter_map(|kind| inner.sources.get(&Target::all(*kind, Some(namespace.clone()))));
        entries.any(|entry| entry.state == State::Denied)
    }

    /// Writes the gauges, and every ten seconds of the start a line of progress (F45, F46).
    pub(super) async fn report(self) {
        const EVERY: Duration = Duration::from_secs(1);
        const PROGRESS: u32 = 10;
        let mut since_line = 0;
        loop {
            tokio::time::sleep(EVERY).await;
            self.lock().tell_of_the_lost();
            self.export();
            since_line += 1;
            if since_line >= PROGRESS && !self.is_listed() {
                since_line = 0;
                let (waiting, first, read) = self.progress();
                info!(elapsed = ?self.shared.began.elapsed(), objects = read, waiting, %first, "still starting");
            }
        }
    }

    /// How many sources have not delivered, the first of them, and how many objects were read.
    fn progress(&self) -> (usize, String, usize) {
        let inner = self.lock();
        let first = inner.lacking().next().map(|(target, entry)| describe(target, entry));
        let read = inner.sources.values().map(|entry| entry.rows.max(entry.read)).sum();
        (inner.lacking().count(), first.unwrap_or_else(|| "the selection of namespaces".to_owned()), read)
    }

    fn export(&self) {
        let inner = self.lock();
        for kind in Kind::ALL {
            let of_kind =
                || inner.sources.iter().filter(move |(target, _)| target.kind == kind).map(|(_, entry)| entry);
            for state in State::ALL {
                let count = of_kind().filter(|entry| entry.state == state).count();
                metrics::sources(kind.as_str(), state.as_str(), count);
            }
            let stale = of_kind().filter(|entry| matches!(entry.state, State::Stale | State::Denied));
            let oldest = stale.map(|entry| entry.since.elapsed()).max().unwrap_or_default();
            metrics::source_staleness(kind.as_str(), oldest);
            metrics::source_rows(kind.as_str(), of_kind().map(|entry| entry.rows).sum());
        }
        for life in Life::ALL {
            let count = inner.lives.values().filter(|status| status.life == life).count();
            metrics::namespaces(life.as_str(), count);
        }
    }

    fn selecting(&self) -> MutexGuard<'_, Selecting> {
        self.shared.selecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The required sources that have not delivered.
    fn lacking(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.sources.iter().filter(|(_, entry)| entry.required && !entry.delivered)
    }

    /// Looks at those again that were said to have lost touch: time alone may have changed what there is to say.
    fn tell_of_the_lost(&mut self) {
        let lost: Vec<_> = self.lost.keys().copied().collect();
        lost.into_iter().for_each(|kind| self.tell(kind));
    }

    /// Tells readiness how a kind stands.
    fn tell(&mut self, kind: Kind) {
        let Some(part) = self.parts.get(&kind) else { return };
        if !self.sealed {
            return;
        }
        let lacking = || self.lacking().filter(|(target, _)| target.kind == kind);
        // A missing right is said first: no waiting mends it.
        let denied = lacking().find(|(_, entry)| entry.state == State::Denied);
        if let Some((target, entry)) = denied.or_else(|| lacking().next()) {
            let more = match lacking().count() - 1 {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let reason = format!("{}{more}", describe(target, entry));
            return if denied.is_some() { part.failed(reason) } else { part.waiting(reason) };
        }
        let of_kind = self.sources.iter().filter(|(target, _)| target.kind == kind && !target.demanded);
        // A right that is missing in one namespace is said of the namespace.
        let is_lost = |target: &Target, entry: &Entry| match entry.state {
            State::Stale => true,
            State::Denied => target.namespace.is_none(),
            State::Pending | State::Listing | State::Synced | State::Absent => false,
        };
        let mut lost = of_kind.filter(|(target, entry)| is_lost(target, entry));
        match lost.next() {
            None if self.lost.get(&kind).is_some_and(|last| last.elapsed() < SETTLED) => {
                part.stale(arcstr::literal!("all its sources are in touch again; whether they stay so is awaited"));
            }
            None => {
                part.ready();
                self.lost.remove(&kind);
            }
            Some((target, entry)) => {
                part.stale(match lost.count() {
                    0 => describe(target, entry),
                    more => format!("{}; and {more} more", describe(target, entry)),
                });
                self.lost.insert(kind, Instant::now());
            }
        }
    }
}

fn status(target: &Target, entry: &Entry) -> SourceStatus {
    SourceStatus {
        target: target.clone(),
        state: entry.state,
        reason: entry.reason.clone(),
        since: entry.since,
        rows: entry.rows,
        emptied: entry.emptied,
        read: entry.read,
        required: entry.required,
        delivered: entry.delivered,
    }
}

/// `Pod in shop: listing: 1500 objects read`.
fn describe(target: &Target, entry: &Entry) -> String {
    let read = if entry.read > 0 { format!(": {} objects read", entry.read) } else { String::new() };
    let reason = match (entry.state, entry.reason.as_str()) {
        // It goes in together with what waits still.
        (State::Synced, _) if !entry.delivered => ": read, and waits for the other kinds of its namespace".to_owned(),
        (_, "") => String::new(),
        (_, reason) => format!(": {reason}"),
    };
    format!("{target}: {}{read}{reason}", entry.state.as_str())
}

#[cfg(test)]
mod tests;
