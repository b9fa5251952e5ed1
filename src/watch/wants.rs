//! What is read on demand: Secrets, ConfigMaps, and what lies outside the watched namespaces. A source for each want, as long as
//! something refers to it and a while longer.

mod allowed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;
use tokio::sync::watch;
use tracing::debug;

use super::board::State;
use super::scope::{First, Scope};
use super::source::Source;
use super::target::Target;
use super::tasks::{Handle, Tasks};
use super::{Context, Selection};
use crate::model::{Answer, Delta, Event, Kind, ObjectRef, Want, Wants};

/// The most that one namespace, and all together, can make syncgate read.
const MOST_IN_NAMESPACE: usize = 1_000;
const MOST: usize = 20_000;
const TICK: Duration = Duration::from_secs(1);

/// What is read for one want.
struct Reading {
    targets: Vec<Target>,
    /// The turn in which it is wanted: in another one the door has forgotten what became of it.
    turn: u64,
    said: Option<Answer>,
    /// What it gave is at the door.
    held: bool,
    /// Since when nothing refers to it.
    unwanted: Option<Instant>,
    /// Since when a right is missing that was there.
    revoked: Option<Instant>,
}

/// The sources of one target, which several wants may share.
struct Shared {
    scope: Arc<Scope>,
    users: usize,
    _source: Handle,
}

impl Shared {
    fn start(cx: &Context, tasks: &mut Tasks, target: &Target) -> Self {
        let scope = cx.scope(std::slice::from_ref(target), First::Whole);
        cx.board.add(target, false);
        let source = Source::new(target.clone(), scope.clone(), cx.clone());
        Self { scope, users: 0, _source: tasks.spawn(source.run()) }
    }
}

/// The keeper of everything that is read on demand.
pub(super) struct Demands {
    cx: Context,
    wants: watch::Receiver<Wants>,
    selection: Option<watch::Receiver<Arc<Selection>>>,
    readings: BTreeMap<Want, Reading>,
    /// How many of them are about each namespace.
    in_namespace: BTreeMap<ArcStr, usize>,
    /// When it was looked last whether all of them may be read.
    allowed: Instant,
    /// Those that might not then.
    disallowed: BTreeSet<Want>,
    sources: BTreeMap<Target, Shared>,
    tasks: Tasks,
    refused: BTreeMap<Want, (u64, ArcStr)>,
}

impl Demands {
    pub(super) fn new(
        cx: Context,
        wants: watch::Receiver<Wants>,
        selection: Option<watch::Receiver<Arc<Selection>>>,
    ) -> Self {
        Self {
            cx,
            wants,
            selection,
            readings: BTreeMap::new(),
            in_namespace: BTreeMap::new(),
            allowed: Instant::now(),
            disallowed: BTreeSet::new(),
            sources: BTreeMap::new(),
            tasks: Tasks::default(),
            refused: BTreeMap::new(),
        }
    }

    /// Runs until a source fails; ends, with all sources, when it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let board_changed = self.cx.board.changed();
            let wants = self.wants.borrow_and_update().clone();
            self.look(&wants);
            tokio::select! {
                changed = self.wants.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = board_changed => {}
                () = self.tasks.failed() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    fn look(&mut self, wants: &Wants) {
        self.end_disallowed();
        self.follow(wants);
        self.answer();
        self.end_unwanted();
    }

    fn follow(&mut self, wants: &Wants) {
        let now = Instant::now();
        for (want, reading) in &mut self.readings {
            match wants.get(want) {
                None => {
                    reading.unwanted.get_or_insert(now);
                }
                Some(turn) => {
                    reading.unwanted = None;
                    if std::mem::replace(&mut reading.turn, *turn) != *turn {
                        reading.said = None;
                    }
                }
            }
        }
        self.refused.retain(|want, _| wants.contains_key(want));
        let new: Vec<_> = wants.iter().filter(|(want, _)| !self.readings.contains_key(*want)).collect();
        for (want, turn) in new {
            match self.refusal(want) {
                None => {
                    self.refused.remove(want);
                    self.read(want.clone(), *turn);
                }
                Some(reason) => {
                    let refusal = (*turn, reason.clone());
                    if self.refused.insert(want.clone(), refusal.clone()).as_ref() != Some(&refusal) {
                        self.say(want.clone(), Answer::Unavailable(reason));
                    }
                }
            }
        }
    }

    fn read(&mut self, want: Want, turn: u64) {
        let targets = targets(&want);
        for target in &targets {
            let (cx, tasks) = (&self.cx, &mut self.tasks);
            self.sources.entry(target.clone()).or_insert_with(|| Shared::start(cx, tasks, target)).users += 1;
        }
        let reading = Reading { targets, turn, said: None, held: false, unwanted: None, revoked: None };
        *self.in_namespace.entry(want.namespace().clone()).or_default() += 1;
        self.readings.insert(want, reading);
    }

    /// Says what became of each want, when that changed.
    fn answer(&mut self) {
        let policy = self.cx.settings.revoked;
        let (mut answers, mut dropped) = (Vec::new(), BTreeSet::new());
        for (want, reading) in &mut self.readings {
            let Some(answer) = judge(&self.cx, reading, policy) else { continue };
            if matches!(answer, Answer::Unavailable(_)) && std::mem::take(&mut reading.held) {
                // Not what can be read still: others may need it.
                dropped.extend(reading.targets.iter().filter(|target| is_denied(&self.cx, target)).cloned());
            }
            if reading.said.as_ref() != Some(&answer) {
                reading.said = Some(answer.clone());
                answers.push((want.clone(), answer));
            }
        }
        dropped.into_iter().for_each(|target| self.restart(target));
        for (want, answer) in answers {
            self.say(want, answer);
        }
    }

    /// Drops what a source gave; a new one lists again when it may.
    fn restart(&mut self, target: Target) {
        let Some(old) = self.sources.remove(&target) else { return };
        old.scope.end();
        self.cx.board.remove(&target);
        let new = Shared { users: old.users, ..Shared::start(&self.cx, &mut self.tasks, &target) };
        self.sources.insert(target, new);
    }

    fn end_unwanted(&mut self) {
        let linger = self.cx.settings.linger;
        let over = |reading: &Reading| reading.unwanted.is_some_and(|since| since.elapsed() >= linger);
        let ended: Vec<_> = self
            .readings
            .iter()
            .filter(|(_, reading)| over(reading) && !self.is_to_be_taken_over(reading))
            .map(|(want, _)| want.clone())
            .collect();
        for want in ended {
            debug!(?want, "no longer read");
            self.end(&want);
        }
    }

    /// Whether a watched namespace is about to deliver what this gives: until then there is nobody else who has it.
    fn is_to_be_taken_over(&self, reading: &Reading) -> bool {
        reading.targets.iter().any(|target| {
            let watched = target.namespace.as_ref().filter(|namespace| self.cx.board.is_watched(namespace));
            let whole = watched.map(|namespace| Target::all(target.kind, Some(namespace.clone())));
            whole.and_then(|whole| self.cx.board.source(&whole)).is_some_and(|source| !source.delivered)
        })
    }

    fn end(&mut self, want: &Want) {
        let Some(reading) = self.readings.remove(want) else { return };
        if let Some(count) = self.in_namespace.get_mut(want.namespace()) {
            *count -= 1;
            if *count == 0 {
                self.in_namespace.remove(want.namespace());
            }
        }
        for target in reading.targets {
            let Some(shared) = self.sources.get_mut(&target) else { continue };
            shared.users -= 1;
            if shared.users == 0 {
                shared.scope.end();
                self.sources.remove(&target);
                self.cx.board.remove(&target);
            }
        }
    }

    fn say(&self, want: Want, answer: Answer) {
        debug!(?want, ?answer, "answered");
        (self.cx.sink)(Delta::new(Instant::now(), vec![Event::Answered(want, answer)]));
    }
}

/// What is read for a want.
fn targets(want: &Want) -> Vec<Target> {
    let all = |kind, namespace: &ArcStr| Target::all(kind, Some(namespace.clone())).on_demand();
    match want {
        Want::Object(object) => vec![Target::object(object).on_demand()],
        Want::Grants(namespace) => vec![all(Kind::ReferenceGrant, namespace)],
        Want::Backend(service) => vec![
            Target::object(&ObjectRef::new(Kind::Service, service.clone())).on_demand(),
            all(Kind::Pod, &service.namespace),
            all(Kind::EndpointSlice, &service.namespace),
        ],
    }
}

fn is_denied(cx: &Context, target: &Target) -> bool {
    cx.board.source(target).is_some_and(|source| source.state == State::Denied)
}

/// What is known of a want; `None` while nothing is.
fn judge(cx: &Context, reading: &mut Reading, policy: super::Policy) -> Option<Answer> {
    let sources: Vec<_> = reading.targets.iter().filter_map(|target| cx.board.source(target)).collect();
    let denied = sources.iter().find(|source| source.state == State::Denied);
    let Some(denied) = denied else {
        reading.revoked = None;
        if !sources.iter().all(|source| source.delivered) {
            // After a right came back, what it gives is waited for; before the first answer too.
            return None;
        }
        reading.held = true;
        return Some(Answer::Known);
    };
    if reading.held {
        // It was there: held for a time, as a namespace is.
        let since = *reading.revoked.get_or_insert_with(Instant::now);
        if !policy.drop || since.elapsed() < policy.hold {
            return Some(Answer::Known);
        }
    }
    Some(Answer::Unavailable(denied.reason.clone()))
}

#[cfg(test)]
mod tests;
