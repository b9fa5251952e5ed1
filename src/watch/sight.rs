//! How much can be known of a Namespace, by the rights that there are: the smallest that suffices decides how exactly its
//! end is told from a missing right.
//!
//! | Rights on Namespaces | Precision |
//! |---|---|
//! | `list` and `watch` of all | exact, pushed; the only one for selectors |
//! | `list` and `watch` by `resourceNames` | exact, pushed |
//! | `get` by `resourceNames` | exact, asked every few seconds while in doubt |
//! | none | gone and revoked cannot be told apart |
//!
//! But for the first, each Namespace is judged by the rights on itself. Rights come and go: whoever takes over says first what is,
//! and only then what the one before had told and is not so goes (`doubt_keeps`).

mod learn;
mod looks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;
use tokio::sync::watch;

use learn::{How, Learned, Learner};
use looks::Looks;

use super::Context;
use super::board::State;
use super::lives::Seen;
use super::scope::{First, Scope};
use super::source::Source;
use super::target::Target;
use super::tasks::{Handle, Tasks};
use crate::model::{Delta, Event, Kind, Namespace, Object, ObjectKey, ObjectRef};

/// What is known of one Namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Nothing yet.
    Unseen,
    /// Nothing but by what its kinds answer, and the rule that would change that.
    Blind(ArcStr),
    /// Whether it exists.
    Known,
}

/// How Namespaces are seen.
pub(super) struct Sight {
    cx: Context,
    seen: Arc<Seen>,
    scope: Arc<Scope>,
    tasks: Tasks,
    /// Whoever asks for the rights.
    _learner: Handle,
    wanted: watch::Sender<Arc<BTreeSet<ArcStr>>>,
    learned: watch::Receiver<Arc<Learned>>,
    /// The source of all.
    all: Option<Handle>,
    /// It has taken over.
    sees_all: bool,
    /// Something can be said.
    clear: bool,
    /// Sources of single ones.
    named: BTreeMap<ArcStr, Handle>,
    looks: Arc<Looks>,
    looking: Option<Handle>,
    /// Those of which something else was told than what may be seen of them now.
    blind: BTreeSet<ArcStr>,
    /// How each was seen at the last look.
    hows: BTreeMap<ArcStr, How>,
}

impl Sight {
    /// Begins to ask for the rights on these.
    pub(super) fn new(cx: Context, seen: Arc<Seen>, names: BTreeSet<ArcStr>) -> Self {
        let scope = cx.scope(&[], First::Whole);
        let (wanted, asked) = watch::channel(Arc::new(names));
        let (learning, learned) = watch::channel(Arc::new(Learned::default()));
        let (mut tasks, looks) = (Tasks::default(), Arc::new(Looks::default()));
        let learner = Learner { cx: cx.clone(), wanted: asked, learned: learning, looks: looks.clone() };
        let learner = tasks.spawn(learner.run());
        Self {
            cx,
            seen,
            scope,
            tasks,
            _learner: learner,
            wanted,
            learned,
            all: None,
            sees_all: false,
            clear: false,
            named: BTreeMap::new(),
            looks,
            looking: None,
            blind: BTreeSet::new(),
            hows: BTreeMap::new(),
        }
    }

    /// Completes when a task of its own has failed.
    pub(super) async fn failed(&mut self) {
        self.tasks.failed().await;
    }

    /// Brings what is seen to the rights that are known now, before anything is asked of it: whether anything can be said at all.
    pub(super) fn look(&mut self) -> bool {
        let learned = self.learned.borrow().clone();
        if learned.all == Some(Ok(())) {
            self.see_all();
        }
        // Later those that were there go on until all are seen.
        self.clear = self.clear || self.sees_all || matches!(learned.all, Some(Err(_)));
        self.clear
    }

    /// Whether Namespaces can be selected by label.
    pub(super) const fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// The rule that would let Namespaces be selected by label.
    pub(super) fn lacks_labels(&self) -> Option<ArcStr> {
        self.learned.borrow().all.as_ref().and_then(|all| all.as_ref().err().cloned())
    }

    /// These are watched from here on.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<ArcStr>) {
        if self.sees_all {
            return;
        }
        let changed = **self.wanted.borrow() != *wanted;
        if changed {
            self.wanted.send_replace(Arc::new(wanted.clone()));
        }
        let learned = self.learned.borrow().clone();
        if learned.all == Some(Ok(())) {
            // Those that were there go on until it has taken over.
            return;
        }
        let of = |is: fn(&How) -> bool| {
            let names = learned.names.iter().filter(|(name, how)| is(how) && wanted.contains(*name));
            names.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>()
        };
        self.follow_named(&of(|how| *how == How::Named));
        let got = of(|how| *how == How::Get);
        if !got.is_empty() && self.looking.is_none() {
            self.looking = Some(self.tasks.spawn(Looks::run(self.looks.clone(), self.cx.clone())));
        }
        self.looks.follow(&got);
        self.tell_of_blind(&of(|how| matches!(how, How::Blind(_))));
        self.doubt_changed(&learned.names);
        self.settle_blind(wanted);
        if changed && self.all.is_none() {
            self.forget(&self.seen.but(wanted));
        }
    }

    /// What is known of this one.
    pub(super) fn view(&self, name: &ArcStr) -> View {
        if self.sees_all {
            // One that came to be selected after the right had gone was never looked for.
            let all = self.cx.board.source(&Target::all(Kind::Namespace, None));
            let is_denied = all.is_some_and(|all| all.state == State::Denied);
            return if is_denied && self.seen.get(name).is_none() { View::Unseen } else { View::Known };
        }
        let learned = self.learned.borrow();
        let known = match learned.names.get(name) {
            Some(How::Blind(remedy)) => return View::Blind(remedy.clone()),
            Some(How::Named) => self.cx.board.has_delivered(&named_target(name)),
            Some(How::Get) => self.looks.has_looked_for(name),
            None => false,
        };
        if known { View::Known } else { View::Unseen }
    }

    /// Starts the source of all, and lets it take over once it has delivered.
    fn see_all(&mut self) {
        let all = Target::all(Kind::Namespace, None);
        if self.all.is_none() {
            self.scope.add(&all);
            self.cx.board.add(&all, true);
            let source = Source::new(all.clone(), self.scope.clone(), self.cx.clone());
            self.all = Some(self.tasks.spawn(source.run()));
        }
        if self.sees_all || !self.cx.board.has_delivered(&all) {
            return;
        }
        self.sees_all = true;
        self.follow_named(&BTreeSet::new());
        self.looks.follow(&BTreeSet::new());
        self.looking = None;
        self.blind.clear();
        let is_gone = |name: &ArcStr| !self.scope.has(&all, &ObjectKey::cluster(name.clone()));
        self.forget(&self.seen.but(&BTreeSet::new()).into_iter().filter(is_gone).collect::<Vec<_>>());
    }

    fn follow_named(&mut self, wanted: &BTreeSet<ArcStr>) {
        let left: Vec<_> = self.named.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        for name in left {
            self.named.remove(&name);
            let target = named_target(&name);
            self.scope.forget(&target);
            self.cx.board.remove(&target);
        }
        for name in wanted {
            if !self.named.contains_key(name) {
                let target = named_target(name);
                self.scope.add(&target);
                self.cx.board.add(&target, true);
                let source = Source::new(target, self.scope.clone(), self.cx.clone());
                self.named.insert(name.clone(), self.tasks.spawn(source.run()));
            }
        }
    }

    /// Namespaces that nothing is known of are told of as unknown.
    fn tell_of_blind(&mut self, wanted: &BTreeSet<ArcStr>) {
        let unknown = Arc::new(Namespace {
            unavailable: Some(arcstr::literal!(
                "its labels may not be read: grant get on the Namespace in a ClusterRole"
            )),
            ..Namespace::default()
        });
        let mut events = Vec::new();
        for name in wanted {
            // What was seen of it before the right went stays.
            if self.blind.insert(name.clone()) && self.seen.get(name).is_none() {
                events.push(Event::Put(object(name), Object::Namespace(unknown.clone())));
            }
        }
        self.say(events);
    }

    /// Of those that are seen in another way than before, what was told last is looked at again: who takes over knows nothing of it.
    fn doubt_changed(&mut self, names: &BTreeMap<ArcStr, How>) {
        if self.hows == *names {
            return;
        }
        let changed = self.hows.iter().filter(|(name, how)| names.get(*name).is_some_and(|now| now != *how));
        self.blind.extend(changed.map(|(name, _)| name.clone()).filter(|name| self.seen.get(name).is_some()));
        self.hows.clone_from(names);
    }

    /// Takes back what was told of those that can be seen by now and are not there.
    fn settle_blind(&mut self, wanted: &BTreeSet<ArcStr>) {
        let seen = |name: &&ArcStr| self.view(name) == View::Known;
        let settled: Vec<_> = self.blind.iter().filter(seen).cloned().collect();
        let is_there = |name: &ArcStr| {
            self.looks.has_found(name) || self.scope.has(&named_target(name), &ObjectKey::cluster(name.clone()))
        };
        self.forget(&settled.iter().filter(|name| !is_there(name)).cloned().collect::<Vec<_>>());
        self.blind.retain(|name| wanted.contains(name) && !settled.contains(name));
    }

    fn forget(&self, names: &[ArcStr]) {
        self.say(names.iter().map(|name| Event::Delete(object(name))).collect());
    }

    fn say(&self, events: Vec<Event>) {
        if !events.is_empty() {
            (self.cx.sink)(Delta::new(Instant::now(), events));
        }
    }
}

fn object(name: &ArcStr) -> ObjectRef {
    ObjectRef::new(Kind::Namespace, ObjectKey::cluster(name.clone()))
}

fn named_target(name: &ArcStr) -> Target {
    Target::object(&object(name))
}
