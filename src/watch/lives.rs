//! Namespaces that live and die, in namespaced scope: each has sources of its own, which end with it.
//!
//! What can be told apart depends on the rights (the table in the operations guide): who may read Namespaces sees
//! them come and go; who may not sees only refusals, and cannot tell a deleted namespace from a revoked right. That is then
//! said so, and the last state is held for a time.

mod running;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::{ArcStr, literal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info};

use running::{Existence, Running};
pub(super) use seen::Seen;

use super::board::{Life, Matter};
use super::sight::{Sight, View};
use super::target::Target;
use super::tasks::Tasks;
use super::{Context, EmptySelection, Selection};
use crate::model::{Coverage, Delta, Event, Kind};

/// The kinds that each watched namespace has sources of. Those that are read by object have one for each want.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Gateway, Kind::HttpRoute, Kind::ReferenceGrant, Kind::Service, Kind::Pod, Kind::EndpointSlice];
/// Clocks are looked at this often.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks: of many namespaces each change costs a look at all of them.
const PAUSE: Duration = Duration::from_millis(20);

/// A namespace that left the selection, while what references lead to comes to be read on demand instead. Its Gateways and routes have
/// left at once.
struct Leaving {
    running: Running,
    until: Instant,
}

/// Which of the targets of a namespace are refused, and of which of its lives.
type Reviewed = (ArcStr, ArcStr, Vec<Target>);

/// The keeper of all watched namespaces.
pub(super) struct Lives {
    cx: Context,
    seen: Arc<Seen>,
    sight: Sight,
    selection: watch::Receiver<Arc<Selection>>,
    running: BTreeMap<ArcStr, Running>,
    leaving: Vec<Leaving>,
    tasks: Tasks,
    reviews: JoinSet<Reviewed>,
    covered: Option<Arc<BTreeSet<ArcStr>>>,
    sealed: bool,
}

impl Lives {
    pub(super) fn new(cx: Context, seen: Arc<Seen>, selection: watch::Receiver<Arc<Selection>>) -> Self {
        let sight = Sight::new(cx.clone(), seen.clone(), selection.borrow().names.clone());
        Self {
            cx,
            seen,
            sight,
            selection,
            running: BTreeMap::new(),
            leaving: Vec::new(),
            tasks: Tasks::default(),
            reviews: JoinSet::new(),
            covered: None,
            sealed: false,
        }
    }

    /// Runs until a source fails; ends, with all sources, when it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            // Before the look: what changes during it is looked at once more.
            let changed = self.cx.board.changed();
            self.look();
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                () = self.seen.changed() => {}
                _ = self.selection.changed() => {}
                () = changed => {}
                Some(reviewed) = self.reviews.join_next() => match reviewed {
                    Ok(reviewed) => self.reviewed(reviewed),
                    Err(_) => return,
                },
                () = self.tasks.failed() => return,
                () = self.sight.failed() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Brings everything to what is known now.
    fn look(&mut self) {
        let selection = self.selection.borrow_and_update().clone();
        if !self.sight.look() {
            return;
        }
        let mut wanted = if self.sight.sees_all() { self.seen.matching(&selection) } else { BTreeSet::new() };
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
        self.seal(&selection, &wanted);
    }

    /// What the start waits for is known, once there is a selection.
    fn seal(&mut self, selection: &Selection, wanted: &BTreeSet<ArcStr>) {
        let lacks = self.sight.lacks_labels().filter(|_| selection.selector.is_some() && !self.sight.sees_all());
        let labels = lacks.map(|remedy| arcstr::format!("namespaces are selected by label: {remedy}"));
        self.cx.board.complain(Matter::Labels, labels.clone());
        if self.sealed {
            return;
        }
        if let Some(reason) = labels {
            return self.cx.board.waits(&reason);
        }
        let is_seen = |name| self.sight.view(name) != View::Unseen;
        if (selection.selector.is_some() && !self.sight.sees_all()) || !wanted.iter().all(is_seen) {
            return;
        }
        if let Some(reason) = self.emptiness(wanted) {
            self.cx.board.waits(&reason);
            return self.cx.board.complain(Matter::Empty, Some(reason));
        }
        self.cx.board.complain(Matter::Empty, None);
        self.sealed = true;
        self.cx.board.seal();
    }

    /// Why nothing would be served, if that is to be waited for (F37).
    fn emptiness(&self, wanted: &BTreeSet<ArcStr>) -> Option<ArcStr> {
        let remedy = "or start with --on-empty-selection=serve to serve nothing";
        match (self.cx.settings.on_empty_selection, wanted.first()) {
            (EmptySelection::Serve, _) => None,
            (EmptySelection::Wait, None) => {
                Some(arcstr::format!("no namespace is selected: name one, label one, {remedy}"))
            }
            // Those that may not be seen have sources, which answer for them.
            (EmptySelection::Wait, Some(first)) => self.running.is_empty().then(|| {
                arcstr::format!(
                    "none of the selected namespaces exists ({first} and {} more): create one, {remedy}",
                    wanted.len() - 1
                )
            }),
        }
    }

    fn cover(&mut self, wanted: &BTreeSet<ArcStr>) {
        if self.covered.as_deref() == Some(wanted) {
            return;
        }
        let covered = Arc::new(wanted.clone());
        self.covered = Some(covered.clone());
        let coverage = Coverage { on_demand: Kind::BY_OBJECT.into(), namespaces: Some(covered) };
        (self.cx.sink)(Delta::new(Instant::now(), vec![Event::Covers(coverage)]));
    }

    /// One namespace: what it is, and what follows.
    fn judge(&mut self, name: &ArcStr) {
        let existence = match (self.sight.view(name), self.seen.get(name)) {
            (View::Known, None) => {
                self.end(name, "is gone");
                return self.cx.board.life(name, Some((Life::Gone, literal!("the namespace does not exist"))));
            }
            (View::Known, Some(namespace)) => {
                // One that could not be seen so far is the same.
                let running = self.running.get(name).filter(|running| !running.uid.is_empty());
                if running.is_some_and(|running| running.uid != namespace.uid) {
                    self.end(name, "was deleted and created again");
                }
                self.start(name, &namespace.uid, !namespace.terminating);
                Existence::Known { terminating: namespace.terminating }
            }
            (View::Blind(remedy), _) => {
                self.start(name, &ArcStr::new(), true);
                Existence::Blind(remedy)
            }
            // Who looks changes: so long it is as it was.
            (View::Unseen, seen) if self.running.contains_key(name) => {
                Existence::Known { terminating: seen.is_some_and(|namespace| namespace.terminating) }
            }
            (View::Unseen, _) => {
                // One that is known to be gone stays so until more is known.
                if self.sealed && !self.cx.board.is_watched(name) {
                    let reason = literal!("whether it exists is being found out, or may not be known any more");
                    self.cx.board.life(name, Some((Life::Unknown, reason)));
                }
                return;
            }
        };
        let Some(running) = self.running.get_mut(name) else { return };
        if let Some(targets) = running.judge(&self.cx, &mut self.tasks, &existence) {
            let (cx, name, uid) = (self.cx.clone(), name.clone(), running.uid.clone());
            self.reviews.spawn(async move { (name, uid, running::refused(cx, targets).await) });
        }
        running.release();
    }

    fn reviewed(&mut self, (name, uid, refused): Reviewed) {
        // Of one that could not be seen when it was asked the answer holds too.
        let same = |running: &&mut Running| uid.is_empty() || running.uid == uid;
        if let Some(running) = self.running.get_mut(&name).filter(same) {
            running.reviewed(refused);
        }
    }

    fn start(&mut self, name: &ArcStr, uid: &ArcStr, required: bool) {
        if let Some(running) = self.running.get_mut(name) {
            if !uid.is_empty() {
                running.uid.clone_from(uid);
            }
            return;
        }
        // The board tells of one source for each kind. What those of a namespace that comes back had stays for a while.
        let back = self.leaving.iter_mut().filter(|leaving| leaving.running.name == *name);
        back.for_each(|leaving| leaving.running.sources.clear());
        let running = Running::start(&self.cx, &mut self.tasks, name, uid.clone(), required);
        self.running.insert(name.clone(), running);
        self.cx.board.life(name, Some((Life::Active, ArcStr::new())));
    }

    /// Takes a namespace out of the selection into which references may still lead.
    fn leave(&mut self, name: &ArcStr) {
        let Some(mut running) = self.running.remove(name) else { return };
        let own = [Kind::Gateway, Kind::HttpRoute].map(|kind| Target::all(kind, Some(name.clone())));
        running.scope.release();
        // Their last words, which may be under way, are fenced.
        own.iter().for_each(|target| drop(running.scope.renew(target)));
        running.scope.drop_rows(&own);
        for target in &own {
            running.sources.remove(target);
            self.cx.board.remove(target);
        }
        info!(namespace = %name, "the namespace left the selection: its Gateways and routes have left");
        self.leaving.push(Leaving { running, until: Instant::now() + self.cx.settings.handover });
    }

    fn end_leaving(&mut self) {
        let now = Instant::now();
        let board = &self.cx.board;
        let over = |leaving: &mut Leaving| leaving.until <= now && !board.is_being_read(&leaving.running.name);
        for Leaving { running, .. } in self.leaving.extract_if(.., over) {
            running.scope.end();
            running.sources.keys().for_each(|target| self.cx.board.remove(target));
            debug!(namespace = %running.name, "the sources of the namespace have ended");
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

#[cfg(test)]
mod tests;
