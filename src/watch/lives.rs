//! Namespaces that live and die, in namespaced scope: each has sources of its own, which end with it.
//!
//! What can be told apart depends on the rights (the table in the operations guide): who may read Namespaces sees
//! them come and go; who may not sees only refusals, and cannot tell a deleted namespace from a revoked right. That is then
//! said so, and the last state is held for a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arcstr::{ArcStr, literal};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::board::{Life, SourceStatus};
use super::scope::Scope;
use super::sight::Sight;
use super::source::Source;
use super::target::Target;
use super::tasks::{Handle, Tasks};
use super::{Context, EmptySelection, Policy, Selection};
use crate::model::{Coverage, Delta, Event, Kind, Namespace};

/// The kinds that each watched namespace has sources of. Secrets are read on demand.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Gateway, Kind::HttpRoute, Kind::ReferenceGrant, Kind::Service, Kind::Pod, Kind::EndpointSlice];
/// How long the first lists of a namespace wait for each other.
const TOGETHER: Duration = Duration::from_secs(10);
/// Between the end of a namespace's last pod and that of its RoleBindings, when the namespace is deleted. How long the missing right
/// takes to show, which it does at the next request, comes on top.
const DRAINED: Duration = Duration::from_secs(60);
/// Clocks are looked at this often.
const TICK: Duration = Duration::from_millis(500);

/// The Namespaces that are known to exist, as they were told last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rows: Mutex<BTreeMap<ArcStr, Arc<Namespace>>>,
    changed: Notify,
}

impl Seen {
    /// Takes what a source of Namespaces says on its way to the door.
    pub(super) fn hear(&self, delta: &Delta) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heard = false;
        for event in &delta.events {
            match event {
                Event::Put(object, crate::model::Object::Namespace(namespace)) => {
                    rows.insert(object.key.name.clone(), namespace.clone());
                }
                Event::Delete(object) if object.kind == Kind::Namespace => {
                    rows.remove(&object.key.name);
                }
                _ => continue,
            }
            heard = true;
        }
        drop(rows);
        if heard {
            self.changed.notify_one();
        }
    }

    fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn matching(&self, selection: &Selection) -> BTreeSet<ArcStr> {
        let Some(selector) = &selection.selector else { return BTreeSet::new() };
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().filter(|(_, namespace)| selector.matches(&namespace.labels)).map(|(name, _)| name.clone()).collect()
    }
}

/// The sources of one namespace.
struct Running {
    uid: ArcStr,
    scope: Arc<Scope>,
    /// Each ends when it is dropped.
    sources: BTreeMap<Target, Handle>,
    /// When the first lists no longer wait for each other.
    release: Option<Instant>,
    /// Since when rights are missing that were there.
    revoked: Option<Instant>,
    dropped: bool,
}

/// A namespace that left the selection, while what references lead to comes to be read on demand instead. Its Gateways and routes have
/// left at once.
struct Leaving {
    name: ArcStr,
    running: Running,
    until: Instant,
}

/// The keeper of all watched namespaces.
pub(super) struct Lives {
    cx: Context,
    seen: Arc<Seen>,
    sight: Sight,
    selection: watch::Receiver<Arc<Selection>>,
    running: BTreeMap<ArcStr, Running>,
    leaving: Vec<Leaving>,
    tasks: Tasks,
    covered: Option<Arc<BTreeSet<ArcStr>>>,
    sealed: bool,
}

impl Lives {
    pub(super) fn new(cx: Context, seen: Arc<Seen>, sight: Sight, selection: watch::Receiver<Arc<Selection>>) -> Self {
        let (running, tasks) = (BTreeMap::new(), Tasks::default());
        Self { cx, seen, sight, selection, running, leaving: Vec::new(), tasks, covered: None, sealed: false }
    }

    /// Runs until a source fails; ends, with all sources, when it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            // Before the look: what changes during it is looked at once more.
            let changed = self.cx.board.changed();
            self.look();
            tokio::select! {
                () = self.seen.changed.notified() => {}
                _ = self.selection.changed() => {}
                () = changed => {}
                () = self.tasks.failed() => return,
                () = self.sight.failed() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Brings everything to what is known now.
    fn look(&mut self) {
        let selection = self.selection.borrow_and_update().clone();
        if !self.sight.is_clear(&self.cx.board) {
            return;
        }
        let mut wanted = self.seen.matching(&selection);
        wanted.extend(selection.names.iter().cloned());
        self.sight.follow(&wanted);
        self.cover(&wanted);
        // By what was told of them, not by what runs: one that went during the look before has no sources any more.
        for name in self.cx.board.lives_but(&wanted) {
            if selection.allows_foreign(&name) {
                self.leave(&name);
            } else {
                self.end(&name, "left the selection");
            }
            self.cx.board.life(&name, None);
        }
        self.end_leaving();
        for name in &wanted {
            self.judge(name);
        }
        self.seal(&wanted);
    }

    /// What the start waits for is known, once there is a selection.
    fn seal(&mut self, wanted: &BTreeSet<ArcStr>) {
        if self.sealed || (self.sight.knows_existence() && !self.sight.is_complete(&self.cx.board, wanted)) {
            return;
        }
        if wanted.is_empty() && self.cx.settings.on_empty_selection == EmptySelection::Wait {
            self.cx.board.waits(
                "no namespace is selected: name one, label one, or start with --on-empty-selection=serve to serve nothing",
            );
            return;
        }
        self.sealed = true;
        self.cx.board.seal();
    }

    fn cover(&mut self, wanted: &BTreeSet<ArcStr>) {
        if self.covered.as_deref() == Some(wanted) {
            return;
        }
        let covered = Arc::new(wanted.clone());
        self.covered = Some(covered.clone());
        let coverage = Coverage { on_demand: vec![Kind::Secret], namespaces: Some(covered) };
        (self.cx.sink)(Delta::new(Instant::now(), vec![Event::Covers(coverage)]));
    }

    /// One namespace: what it is, and what follows.
    fn judge(&mut self, name: &ArcStr) {
        let exists = self.seen.get(name);
        if self.sight.knows_existence() {
            let Some(namespace) = exists else {
                if self.sight.has_looked_for(name, &self.cx.board) {
                    self.end(name, "is gone");
                    self.cx.board.life(name, Some((Life::Gone, "the namespace does not exist".into())));
                }
                return;
            };
            if self.running.get(name).is_some_and(|running| running.uid != namespace.uid) {
                self.end(name, "was deleted and created again");
            }
            self.start(name, &namespace.uid);
            self.judge_rights(name, namespace.terminating);
        } else {
            self.start(name, &ArcStr::new());
            self.judge_rights(name, false);
        }
        self.release(name);
    }

    /// Whether what was granted still is.
    fn judge_rights(&mut self, name: &ArcStr, terminating: bool) {
        let knows = self.sight.knows_existence();
        let denied = self.cx.board.denied_in(name);
        let Some(running) = self.running.get_mut(name) else { return };
        let had: Vec<_> = denied.iter().filter(|status| status.delivered).collect();
        let life = match (had.is_empty(), terminating, knows) {
            // RoleBindings go before the namespace does: what still exists stays until it is gone.
            (_, true, _) => {
                (Life::Terminating, literal!("the namespace is being deleted; what still exists is served"))
            }
            (true, false, _) if denied.is_empty() => (Life::Active, ArcStr::new()),
            (true, false, true) => never_granted(&denied, running.sources.len()),
            (true, false, false) => {
                (Life::Unknown, literal!("no right to read it, or it does not exist: that cannot be told apart"))
            }
            (false, false, _) => (Life::Revoked, revoked(had.len(), knows, running.dropped, &self.cx.settings.revoked)),
        };
        if life.0 != Life::Revoked {
            if running.revoked.take().is_some() {
                running.dropped = false;
                info!(namespace = %name, state = life.0.as_str(), "rights in the namespace are back");
            }
            self.cx.board.life(name, Some(life));
            return;
        }
        let since = *running.revoked.get_or_insert_with(|| {
            warn!(namespace = %name, sources = had.len(), reason = %life.1, "rights in the namespace are gone");
            Instant::now()
        });
        let Policy { hold, drop } = self.cx.settings.revoked;
        // Who may not read Namespaces still saw its pods go, as they do when a namespace is deleted: just before the rights. That
        // there are no pods says nothing; a namespace of Gateways alone never had any.
        let just_left = |status: &SourceStatus| {
            let recent = self.cx.settings.watch_timeout + DRAINED;
            status.target.kind != Kind::Pod
                || status.emptied.is_some_and(|at| since.saturating_duration_since(at) < recent)
        };
        let drained = !knows && had.len() == running.sources.len() && had.iter().copied().all(just_left);
        if !running.dropped && (drained || (drop && since.elapsed() >= hold)) {
            running.dropped = true;
            let targets: Vec<_> = had.iter().map(|status| status.target.clone()).collect();
            running.scope.drop_rows(&targets);
            warn!(namespace = %name, drained, "what the namespace held is dropped");
        }
        self.cx.board.life(name, Some(life));
    }

    fn release(&mut self, name: &ArcStr) {
        let Some(running) = self.running.get_mut(name) else { return };
        if running.release.is_some_and(|at| at <= Instant::now()) {
            running.release = None;
            running.scope.release();
        }
    }

    fn start(&mut self, name: &ArcStr, uid: &ArcStr) {
        if self.running.contains_key(name) {
            return;
        }
        // The board tells of one source for each kind. What those of a namespace that comes back had stays for a while.
        self.leaving
            .iter_mut()
            .filter(|leaving| leaving.name == *name)
            .for_each(|leaving| leaving.running.sources.clear());
        let targets: Vec<_> = KINDS.map(|kind| Target::all(kind, Some(name.clone()))).to_vec();
        let scope = self.cx.scope(&targets, true);
        let mut sources = BTreeMap::new();
        for target in targets {
            self.cx.board.add(&target, true);
            let source = Source::new(target.clone(), scope.clone(), self.cx.clone());
            sources.insert(target, self.tasks.spawn(source.run()));
        }
        debug!(namespace = %name, "watching");
        let release = Some(Instant::now() + TOGETHER).filter(|_| self.sealed);
        let running = Running { uid: uid.clone(), scope, sources, release, revoked: None, dropped: false };
        self.running.insert(name.clone(), running);
        self.cx.board.life(name, Some((Life::Active, ArcStr::new())));
    }

    /// Takes a namespace out of the selection into which references may still lead.
    fn leave(&mut self, name: &ArcStr) {
        let Some(mut running) = self.running.remove(name) else { return };
        let own: Vec<_> = [Kind::Gateway, Kind::HttpRoute].map(|kind| Target::all(kind, Some(name.clone()))).into();
        running.scope.release();
        running.scope.drop_rows(&own);
        for target in &own {
            running.sources.remove(target);
            self.cx.board.remove(target);
        }
        info!(namespace = %name, "the namespace left the selection: its Gateways and routes have left");
        self.leaving.push(Leaving { name: name.clone(), running, until: Instant::now() + self.cx.settings.handover });
    }

    fn end_leaving(&mut self) {
        let now = Instant::now();
        for Leaving { name, running, .. } in self.leaving.extract_if(.., |leaving| leaving.until <= now) {
            running.scope.end();
            running.sources.keys().for_each(|target| self.cx.board.remove(target));
            debug!(namespace = %name, "the sources of the namespace have ended");
        }
    }

    /// Ends a namespace's sources and takes back its rows, in one epoch.
    fn end(&mut self, name: &ArcStr, why: &str) {
        let Some(running) = self.running.remove(name) else { return };
        let rows = running.scope.end();
        running.sources.keys().for_each(|target| self.cx.board.remove(target));
        info!(namespace = %name, rows, "the namespace {why}: its sources have ended and its objects have left");
    }
}

/// It exists, and some of its kinds, or all, were never to be read.
fn never_granted(denied: &[SourceStatus], kinds: usize) -> (Life, ArcStr) {
    let first = denied.first().map(|status| status.reason.clone()).unwrap_or_default();
    match denied.len() {
        all if all == kinds => (Life::Unknown, arcstr::format!("none of its kinds may be read: {first}")),
        some => (Life::Active, arcstr::format!("{some} of its {kinds} kinds may not be read: {first}")),
    }
}

fn revoked(sources: usize, knows: bool, dropped: bool, policy: &Policy) -> ArcStr {
    let what = if knows {
        "rights were revoked"
    } else {
        "gone or revoked, which cannot be told apart without the right to get the Namespace"
    };
    let then = if dropped {
        "what it held was dropped".to_owned()
    } else if policy.drop {
        format!("what it held stays for {:?}, then it is dropped", policy.hold)
    } else {
        "what it held stays".to_owned()
    };
    arcstr::format!("{what} (kinds that are refused: {sources}); {then}")
}

#[cfg(test)]
mod tests;
