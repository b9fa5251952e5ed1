//! Where every source stands: for readiness, `syncgate status`, `/startupz?verbose`, metrics and the log.
//!
//! It also counts first deliveries, because only here all sources of a kind are known: when every required one has
//! delivered, the kind is listed (F34, F37). Nothing is listed vacuously: what is expected is said before, and sealed.

mod inner;
mod report;
mod selecting;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arcstr::ArcStr;
use tokio::sync::watch;
use tracing::debug;

pub(super) use inner::Progress;
use inner::{Entry, Inner, status};
pub(super) use selecting::Matter;
use selecting::Selecting;
pub use states::{Life, LifeStatus, SourceStatus, State};

use super::scope::Sink;
use super::target::Target;
use crate::metrics;
use crate::model::{Delta, Event, Kind};
use crate::readiness::Part;

/// Progress of a list is told after this many objects.
const STEP: usize = 500;

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

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// A board with a part of readiness for each kind that is listed, and in namespaced scope one for the selection.
    pub(super) fn new(parts: BTreeMap<Kind, Part>, selection: Option<Part>, sink: Sink) -> Self {
        let inner = Inner::new(parts);
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
        let required = required && !inner.sealed;
        inner.add(target, Entry::new(required));
        inner.tell(target.kind);
    }

    /// The source is gone, with its rows.
    pub(super) fn remove(&self, target: &Target) {
        let mut inner = self.lock();
        inner.remove(target);
        inner.tell(target.kind);
        self.list(&mut inner);
    }

    /// The start does not wait for this source any more.
    pub(super) fn excuse(&self, target: &Target) {
        let mut inner = self.lock();
        inner.change(target, |entry| entry.required = false);
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
        self.lock().source(target).is_some_and(|entry| entry.delivered)
    }

    /// One source.
    pub(super) fn source(&self, target: &Target) -> Option<SourceStatus> {
        self.lock().source(target).map(|entry| status(target, entry))
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
        let reason = reason.into();
        let changed = inner.change(target, |entry| {
            entry.reason = reason;
            (entry.state != state).then(|| {
                debug!(kind = %target.kind, namespace = target.namespace.as_deref().unwrap_or_default(),
                    name = target.name.as_deref().unwrap_or_default(), from = entry.state.as_str(), to = state.as_str(),
                    reason = %entry.reason, "source changed");
                (entry.state, entry.since, entry.read) = (state, Instant::now(), Progress::default());
            })
        });
        match changed {
            None => return,
            Some(None) => {}
            Some(Some(())) => self.touch(),
        }
        inner.tell(target.kind);
    }

    /// How far a list is read.
    pub(super) fn read(&self, target: &Target, progress: Progress) {
        let mut inner = self.lock();
        let before = inner.change(target, |entry| {
            if progress.objects > 0 && matches!(entry.state, State::Absent | State::Denied) {
                // What was missing is there.
                (entry.state, entry.reason, entry.since) = (State::Listing, ArcStr::new(), Instant::now());
            }
            std::mem::replace(&mut entry.read, progress)
        });
        // Not for each of tens of thousands of pieces.
        if before.is_some_and(|before| before.objects / STEP != progress.objects / STEP) {
            inner.tell(target.kind);
        }
    }

    /// How many rows the source holds.
    pub(super) fn rows(&self, target: &Target, rows: usize) {
        if let Some(entry) = self.lock().uncounted(target) {
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
        let Some(false) = inner.change(target, |entry| std::mem::replace(&mut entry.delivered, true)) else { return };
        inner.tell(target.kind);
        self.list(&mut inner);
        self.touch();
    }

    /// Says `Listed` of the kinds that are.
    fn list(&self, inner: &mut Inner) {
        if !inner.sealed || inner.unlisted.is_empty() {
            return;
        }
        let unlisted = std::mem::take(&mut inner.unlisted);
        let (unlisted, listed): (Vec<_>, Vec<_>) = unlisted.into_iter().partition(|kind| inner.lacks(*kind));
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
        self.lock().sources().map(|(target, entry)| status(target, entry)).collect()
    }

    /// The sources of a watched namespace whose right is missing.
    pub(super) fn denied_in(&self, namespace: &str) -> Vec<SourceStatus> {
        self.lock().denied_in(namespace)
    }

    /// Whether a source of a namespace, on demand too, has not delivered yet, and nothing but time is in its way.
    pub(super) fn is_being_read(&self, namespace: &str) -> bool {
        let is_of = |target: &Target| target.namespace.as_deref() == Some(namespace);
        let is_settled = |state: State| matches!(state, State::Absent | State::Denied);
        self.sources().iter().any(|source| is_of(&source.target) && !source.delivered && !is_settled(source.state))
    }

    /// Whether there are any.
    pub(super) fn is_denied_in(&self, namespace: &str) -> bool {
        self.lock().is_denied_in(namespace)
    }

    fn selecting(&self) -> MutexGuard<'_, Selecting> {
        self.shared.selecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
