//! The state behind the board, with an index of what is in the way: of thousands of sources a change of one costs what it touches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use super::{LifeStatus, SourceStatus, State};
use crate::model::Kind;
use crate::readiness::Part;
use crate::watch::target::Target;

/// A kind is said to be in touch again once all its sources have been for this long: of many namespaces each finds back at a time of its
/// own, and that is one event, not one for each.
pub(super) const SETTLED: Duration = Duration::from_secs(3);

pub(super) struct Inner {
    sources: BTreeMap<Target, Entry>,
    pub(super) parts: BTreeMap<Kind, Part>,
    /// Kinds of which `Listed` was not said.
    pub(super) unlisted: Vec<Kind>,
    /// Nothing more is expected at the start.
    pub(super) sealed: bool,
    /// Kinds that are said to have lost touch, and when a source of theirs was seen without it last.
    pub(super) lost: BTreeMap<Kind, Instant>,
    /// The watched namespaces, in namespaced scope.
    pub(super) lives: BTreeMap<ArcStr, LifeStatus>,
    index: BTreeMap<Kind, Standing>,
    /// The sources of each watched namespace whose right is missing.
    denied: BTreeMap<ArcStr, BTreeSet<Target>>,
}

/// The sources of one kind that something is to be said of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// The required ones that have not delivered.
    lacking: BTreeSet<Target>,
    /// Those of them whose right is missing.
    refused: BTreeSet<Target>,
    /// Those that have lost touch.
    lost: BTreeSet<Target>,
}

/// How far a list is read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::watch) struct Progress {
    pub(in crate::watch) objects: usize,
    /// None of a list that comes as a stream.
    pub(in crate::watch) pages: usize,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress { objects, pages: 0 } => write!(f, "{objects} objects read"),
            Progress { objects, pages } => write!(f, "{objects} objects read, page {pages}"),
        }
    }
}

/// One source.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) reason: ArcStr,
    pub(super) since: Instant,
    pub(super) rows: usize,
    pub(super) emptied: Option<Instant>,
    pub(super) read: Progress,
    pub(super) required: bool,
    pub(super) delivered: bool,
}

impl Entry {
    pub(super) fn new(required: bool) -> Self {
        Self {
            state: State::Pending,
            reason: arcstr::literal!("not begun"),
            since: Instant::now(),
            rows: 0,
            emptied: None,
            read: Progress::default(),
            required,
            delivered: false,
        }
    }

    fn is_lacking(&self) -> bool {
        self.required && !self.delivered
    }

    /// A right that is missing in one namespace is said of the namespace.
    fn is_lost(&self, target: &Target) -> bool {
        let lost = match self.state {
            State::Stale => true,
            State::Denied => target.namespace.is_none(),
            // An API that we cannot do without, and had.
            State::Absent => self.delivered && !target.is_optional(),
            State::Pending | State::Listing | State::Synced => false,
        };
        lost && !target.demanded
    }
}

fn note(set: &mut BTreeSet<Target>, target: &Target, is_in: bool) {
    if !is_in {
        set.remove(target);
    } else if !set.contains(target) {
        set.insert(target.clone());
    }
}

impl Inner {
    pub(super) fn new(parts: BTreeMap<Kind, Part>) -> Self {
        let unlisted = parts.keys().copied().collect();
        Self {
            sources: BTreeMap::new(),
            parts,
            unlisted,
            sealed: false,
            lost: BTreeMap::new(),
            lives: BTreeMap::new(),
            index: BTreeMap::new(),
            denied: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, target: &Target, entry: Entry) {
        self.sources.insert(target.clone(), entry);
        self.reindex(target);
    }

    pub(super) fn remove(&mut self, target: &Target) {
        self.sources.remove(target);
        self.reindex(target);
    }

    /// Edits an entry, if there is one.
    pub(super) fn change<T>(&mut self, target: &Target, edit: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let done = edit(self.sources.get_mut(target)?);
        self.reindex(target);
        Some(done)
    }

    /// An entry, for numbers that no index knows of.
    pub(super) fn uncounted(&mut self, target: &Target) -> Option<&mut Entry> {
        self.sources.get_mut(target)
    }

    fn reindex(&mut self, target: &Target) {
        let entry = self.sources.get(target);
        let is = |of: fn(&Entry) -> bool| entry.is_some_and(of);
        let standing = self.index.entry(target.kind).or_default();
        note(&mut standing.lacking, target, is(Entry::is_lacking));
        note(&mut standing.refused, target, is(|entry| entry.is_lacking() && entry.state == State::Denied));
        note(&mut standing.lost, target, entry.is_some_and(|entry| entry.is_lost(target)));
        let Some(namespace) = target.namespace.as_ref().filter(|_| !target.demanded) else { return };
        let is_denied = is(|entry| entry.state == State::Denied);
        if is_denied || self.denied.contains_key(namespace) {
            let denied = self.denied.entry(namespace.clone()).or_default();
            note(denied, target, is_denied);
            if denied.is_empty() {
                self.denied.remove(namespace);
            }
        }
    }

    /// Every source, by kind and scope.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.sources.iter()
    }

    /// One source.
    pub(super) fn source(&self, target: &Target) -> Option<&Entry> {
        self.sources.get(target)
    }

    /// The required sources that have not delivered.
    pub(super) fn lacking(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        let targets = self.index.values().flat_map(|standing| &standing.lacking);
        targets.filter_map(|target| Some((target, self.sources.get(target)?)))
    }

    /// Whether a required source of the kind has not delivered.
    pub(super) fn lacks(&self, kind: Kind) -> bool {
        self.index.get(&kind).is_some_and(|standing| !standing.lacking.is_empty())
    }

    pub(super) fn denied_in(&self, namespace: &str) -> Vec<SourceStatus> {
        let targets = self.denied.get(namespace).into_iter().flatten();
        targets.filter_map(|target| Some(status(target, self.sources.get(target)?))).collect()
    }

    pub(super) fn is_denied_in(&self, namespace: &str) -> bool {
        self.denied.contains_key(namespace)
    }

    /// Looks at those again that were said to have lost touch: time alone may have changed what there is to say.
    pub(super) fn tell_of_the_lost(&mut self) {
        let lost: Vec<_> = self.lost.keys().copied().collect();
        lost.into_iter().for_each(|kind| self.tell(kind));
    }

    /// The first of these in words, and how many more there are.
    fn words(&self, targets: &BTreeSet<Target>, all: usize) -> Option<String> {
        let first = targets.first()?;
        let first = describe(first, self.sources.get(first)?);
        Some(match all - 1 {
            0 => first,
            more => format!("{first}; and {more} more"),
        })
    }

    /// Tells readiness how a kind stands.
    pub(super) fn tell(&mut self, kind: Kind) {
        let Some(part) = self.parts.get(&kind) else { return };
        if !self.sealed {
            return;
        }
        let none = Standing::default();
        let standing = self.index.get(&kind).unwrap_or(&none);
        let lacking = standing.lacking.len();
        // A missing right is said first: no waiting mends it.
        if let Some(reason) = self.words(&standing.refused, lacking) {
            return part.failed(reason);
        }
        if let Some(reason) = self.words(&standing.lacking, lacking) {
            return part.waiting(reason);
        }
        match self.words(&standing.lost, standing.lost.len()) {
            None if self.lost.get(&kind).is_some_and(|last| last.elapsed() < SETTLED) => {
                part.stale(arcstr::literal!("all its sources are in touch again; whether they stay so is awaited"));
            }
            None => {
                part.ready();
                self.lost.remove(&kind);
            }
            Some(reason) => {
                part.stale(reason);
                self.lost.insert(kind, Instant::now());
            }
        }
    }

    /// Whether the index is what a look at every source finds.
    #[cfg(test)]
    pub(super) fn is_indexed(&self) -> bool {
        let of = |is: &dyn Fn(&Target, &Entry) -> bool| {
            let found = self.sources.iter().filter(|(target, entry)| is(target, entry));
            found.map(|(target, _)| target.clone()).collect::<BTreeSet<_>>()
        };
        let all =
            |of: fn(&Standing) -> &BTreeSet<Target>| self.index.values().flat_map(of).cloned().collect::<BTreeSet<_>>();
        let denied = self.denied.values().flatten().cloned().collect::<BTreeSet<_>>();
        all(|standing| &standing.lacking) == of(&|_, entry| entry.required && !entry.delivered)
            && all(|standing| &standing.refused) == of(&|_, entry| entry.is_lacking() && entry.state == State::Denied)
            && all(|standing| &standing.lost) == of(&|target, entry| entry.is_lost(target))
            && denied
                == of(&|target, entry| entry.state == State::Denied && !target.demanded && target.namespace.is_some())
            && self.denied.values().all(|targets| !targets.is_empty())
    }
}

pub(super) fn status(target: &Target, entry: &Entry) -> SourceStatus {
    SourceStatus {
        target: target.clone(),
        state: entry.state,
        reason: entry.reason.clone(),
        since: entry.since,
        rows: entry.rows,
        emptied: entry.emptied,
        read: entry.read.objects,
        required: entry.required,
        delivered: entry.delivered,
    }
}

/// `Pod in shop: listing: 1500 objects read, page 3`.
pub(super) fn describe(target: &Target, entry: &Entry) -> String {
    let read = if entry.read.objects > 0 { format!(": {}", entry.read) } else { String::new() };
    let reason = match (entry.state, entry.reason.as_str()) {
        // It goes in together with what waits still.
        (State::Synced, _) if !entry.delivered => ": read, and waits for the other kinds of its namespace".to_owned(),
        (_, "") => String::new(),
        (_, reason) => format!(": {reason}"),
    };
    format!("{target}: {}{read}{reason}", entry.state.as_str())
}
