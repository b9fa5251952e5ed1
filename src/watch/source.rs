//! One source: a list and a watch turned into deltas, for as long as its scope lives.
//!
//! ```text
//!            ┌────────────── Relist, a revision that went back ──────────────┐
//!            ▼                                                               │
//!  Pending ─► Listing ─► (disbelief: once more) ─► Synced ⇄ watching ─────────┤
//!                │                                   │  Resume              │
//!                ▼                                   ▼                      │
//!        Absent · Denied ◄──── confirmed ────────  Stale ◄──── every fault ──┘
//! ```
//!
//! What a fault asks for is the table in [`fault`](super::fault); how it is done stands in `recover`. Invariant: rows change
//! only by a list that was read whole and believed, or by a change that a watch told.

mod doubt;
mod recover;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::Context;
use super::backoff::Backoff;
use super::board::{Progress, State};
use super::fault::{Fault, Phase};
use super::read::{self, Batch, Dialect, Stream};
use super::rights;
use super::scope::{Gathering, Scope};
use super::target::{Ask, Target};
use super::wire::{self, Change, Item, Status, Value};
use crate::metrics;
use crate::model::ObjectKey;

/// After this long without a word (bookmarks come once a minute) the server's revision is looked at.
const QUIET: Duration = Duration::from_secs(20);
/// Lists by watch that may fail until the pages are read instead: not every server that grants them ends them.
const WATCH_LISTS: u32 = 2;
/// Objects that cannot be read and are told of by name.
const UNREADABLE: usize = 100;
/// How long a watch that begins with the list may take until its end, and how much longer for each object. Changes that follow do not make it
/// longer: where pods come and go all the time it would never be given up.
const UNENDED: Duration = Duration::from_secs(10);
const EACH_OBJECT: Duration = Duration::from_millis(1);
/// How much longer than its own time-out a watch may stay open.
const OVERDUE: Duration = Duration::from_secs(15);
/// The longest between looks whether the right cluster answers again, or whether a right is there.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// After an outage of the server everything is listed once more, this much later and spread over as much again: a restored etcd may have
/// passed the revision that was seen before anybody asked, and then nothing else tells what it lost.
const VERIFY: Duration = Duration::from_secs(20);

/// A source before it runs.
pub(super) struct Source {
    target: Target,
    scope: Arc<Scope>,
    cx: Context,
    dialect: Dialect,
    backoff: Backoff,
    /// The pauses after outages, but for the first one since a sync that lasted.
    comes_and_goes: Option<Backoff>,
    /// The newest revision that was seen.
    revision: Option<u64>,
    /// The watch that began with the list.
    stream: Option<Stream>,
    /// Since when it is in sync: watches that end in order and are opened again do not interrupt that.
    synced: Option<Instant>,
    /// Since when the watch is open.
    watching: Option<Instant>,
    listed: Option<Instant>,
    /// Watches in a row that did not begin.
    failed_starts: u32,
    /// Lists by watch in a row that did not end.
    failed_watch_lists: u32,
    /// Failures in a row that may have been the server's.
    troubles: u32,
    /// Objects that cannot be read, as far as that was said.
    unreadable: BTreeSet<ObjectKey>,
    /// Answers in a row that refused us.
    denials: u32,
    /// Since when the API is missing.
    missing: Option<Instant>,
    /// When discovery told that it is there by now.
    told: Option<Instant>,
    /// When the last thing happened that may have hidden a restore of etcd or another cluster (the first is its own beginning); `None` once
    /// that was looked into.
    broke: Option<Instant>,
    /// When to list once more, because of an outage or a break.
    verify: Option<Instant>,
    /// When that was done last.
    verified: Option<Instant>,
    /// Whether the right to list is known to be there: a watch that begins with the list does without it.
    may_list: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    List,
    Watch,
}

type Failed = (Phase, Fault);

impl Source {
    pub(super) fn new(target: Target, scope: Arc<Scope>, cx: Context) -> Self {
        let dialect = Dialect::of(&target);
        Self {
            target,
            scope,
            cx,
            dialect,
            backoff: Backoff::default(),
            comes_and_goes: None,
            revision: None,
            stream: None,
            synced: None,
            watching: None,
            listed: None,
            failed_starts: 0,
            failed_watch_lists: 0,
            troubles: 0,
            unreadable: BTreeSet::new(),
            denials: 0,
            missing: None,
            told: None,
            // Whoever answers now may be another than who was met at the start.
            broke: Some(Instant::now()),
            verify: None,
            verified: None,
            may_list: false,
        }
    }

    /// Runs for ever; ends when it is dropped.
    pub(super) async fn run(mut self) {
        let mut next = Next::List;
        loop {
            let done = match next {
                Next::List => self.list().await,
                Next::Watch => self.watch().await,
            };
            next = match done {
                Ok(next) => next,
                Err((phase, fault)) => {
                    metrics::source_fault(self.target.kind.as_str(), fault.class());
                    self.recover(phase, fault).await
                }
            };
        }
    }

    /// Reads a list and makes it what the source holds.
    async fn list(&mut self) -> Result<Next, Failed> {
        // A look for what is absent or denied changes nothing until it finds something.
        if self.listed.is_none() {
            self.state(State::Listing, "");
        }
        self.stream = None;
        self.listed = Some(Instant::now());
        if let Some(broke) = self.broke
            && self.is_another(broke).await.map_err(|fault| (Phase::List, fault))?
        {
            return Ok(Next::List);
        }
        if self.dialect.plain && self.revision.is_none() {
            self.may_watch().await.map_err(|fault| (Phase::List, fault))?;
        }
        metrics::source_list(self.target.kind.as_str());
        let (mut gathering, mut revision) = if self.dialect.plain || self.failed_watch_lists >= WATCH_LISTS {
            self.pages().await.map_err(|fault| (Phase::List, fault))?
        } else {
            self.failed_watch_lists += 1;
            self.watch_list().await.map_err(|fault| (Phase::WatchList, fault))?
        };
        self.failed_watch_lists = 0;
        if let Some(doubt) = self.doubt(&gathering, revision) {
            self.stream = None;
            let confirmed = self.confirm(&doubt).await.map_err(|fault| (Phase::List, fault))?;
            let Some(confirmed) = confirmed else { return Ok(Next::List) };
            (gathering, revision) = confirmed;
        }
        let objects = gathering.len();
        // What was missing is there: the list is told of before it is whole.
        if self.revision.is_none() {
            self.state(State::Listing, "");
        }
        if !self.scope.swap(&self.target, gathering, std::time::Instant::now()) {
            return Ok(Next::List);
        }
        tracing::debug!(target = %self.target, objects, revision, "listed");
        self.revision = Some(revision);
        self.broke = None;
        // One that was read at once, for another reason, came too soon to stand for breaks to come.
        if self.verify.take().is_some_and(|due| due <= Instant::now()) {
            self.verified = Some(Instant::now());
        }
        self.in_sync();
        Ok(Next::Watch)
    }

    /// A list without the right to watch would be a start that no change follows.
    async fn may_watch(&self) -> Result<(), Fault> {
        if rights::may(&self.cx.client, &self.target, "watch").await? {
            return Ok(());
        }
        Err(Fault::Answer(Status { code: 403, message: "no right to watch".into(), ..Status::default() }))
    }

    /// Once, when there is time: the question for the revision would show that no list is granted, but others may ask it.
    async fn check_rights(&mut self) -> Result<(), Fault> {
        if !self.may_list {
            match rights::may(&self.cx.client, &self.target, "list").await {
                Ok(true) => self.may_list = true,
                Ok(false) => {
                    let status = Status { code: 403, message: "no right to list".into(), ..Status::default() };
                    return Err(Fault::Answer(status));
                }
                Err(fault) => tracing::debug!(source = %self.target, %fault, "the rights are not told"),
            }
        }
        Ok(())
    }

    /// A consistent list, page by page.
    async fn pages(&mut self) -> Result<(Gathering, u64), Fault> {
        let (mut gathering, mut after, mut pages) = (Gathering::default(), None::<String>, 0);
        loop {
            let ask = Ask::List { limit: self.cx.settings.page_size, after: after.as_deref() };
            let page = read::page(&self.cx.client, &self.target, self.dialect, ask, &self.cx.pool).await?;
            self.note_unreadable(&page.items);
            self.scope.gather(&self.target, &mut gathering, page.items);
            pages += 1;
            self.cx.board.read(&self.target, Progress { objects: gathering.len(), pages });
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok((gathering, page.revision)),
            }
        }
    }

    /// A watch that begins with the list.
    async fn watch_list(&mut self) -> Result<(Gathering, u64), Fault> {
        let mut stream = self.open(Ask::WatchList).await?;
        let mut gathering = Gathering::default();
        loop {
            let objects = u32::try_from(gathering.len()).unwrap_or(u32::MAX);
            let left = (UNENDED + EACH_OBJECT * objects).saturating_sub(stream.opened.elapsed());
            let next = stream.next(left.min(self.cx.settings.list_pause), &self.cx.pool).await;
            let Batch { changes, arrived } = next.map_err(|fault| match fault {
                Fault::Silent(_) => Fault::Unended,
                fault => fault,
            })?;
            let (mut items, mut end, mut later) = (Vec::new(), None, Vec::new());
            for change in changes {
                match change {
                    Change::Bookmark { revision, initial_events_end: true } => end = Some(revision),
                    Change::Bookmark { .. } => {}
                    Change::Error(status) => return Err(Fault::Answer(status)),
                    change if end.is_some() => later.push(change),
                    Change::Put(item) => items.push(item),
                    Change::Delete(item) => self.scope.take_out(&self.target, &mut gathering, &item.key),
                }
            }
            self.note_unreadable(&items);
            self.scope.gather(&self.target, &mut gathering, items);
            self.cx.board.read(&self.target, Progress { objects: gathering.len(), pages: 0 });
            if let Some(revision) = end {
                stream.put_back(Batch { arrived, changes: later });
                self.stream = Some(stream);
                return Ok((gathering, revision));
            }
        }
    }

    /// Reads a watch until it fails or ends.
    async fn watch(&mut self) -> Result<Next, Failed> {
        let stream = match self.stream.take() {
            Some(stream) => Ok(stream),
            None => {
                let revision = self.revision.unwrap_or_default().to_string();
                self.open(Ask::Watch(&revision)).await
            }
        };
        let mut stream = stream.map_err(|fault| (Phase::Start, fault))?;
        self.failed_starts = 0;
        self.watching = Some(Instant::now());
        self.in_sync();
        let (mut heard, mut looked, mut looking) = (Instant::now(), Instant::now(), false);
        loop {
            let left = self.verify.map_or(QUIET, |due| due.saturating_duration_since(Instant::now()));
            let told = tokio::select! {
                told = stream.next(left.min(QUIET), &self.cx.pool) => told,
                // The watch is read on meanwhile: a server that cannot list must not hold up what it tells.
                back = self.went_back(looked), if looking => {
                    looking = false;
                    match back {
                        Ok(true) => return Ok(Next::List),
                        // What others ask from here on counts for the next look, not what was answered before.
                        Ok(false) => looked = Instant::now(),
                        Err(fault) if fault.ends_a_watch() => return Err((Phase::Stream, fault)),
                        // The watch itself has said nothing bad.
                        Err(fault) => tracing::debug!(source = %self.target, %fault, "the revision is not told"),
                    }
                    continue;
                }
            };
            match told {
                Ok(batch) => {
                    heard = Instant::now();
                    (looked, looking) = (heard, false);
                    let went_back = self.apply(batch).map_err(|fault| (Phase::Stream, fault))?;
                    if went_back || left.is_zero() {
                        return Ok(Next::List);
                    }
                }
                Err(Fault::Silent(_)) if left < QUIET => return Ok(Next::List),
                Err(Fault::Silent(_)) if stream.opened.elapsed() < self.cx.settings.watch_timeout + OVERDUE => {
                    self.check_rights().await.map_err(|fault| (Phase::Stream, fault))?;
                    looking = true;
                }
                Err(Fault::Silent(_)) => return Err((Phase::Stream, Fault::Silent(heard.elapsed()))),
                Err(fault) => return Err((Phase::Stream, fault)),
            }
        }
    }

    /// Takes in what a watch told. Says whether its revision is lower than what was seen, as after a restore of etcd.
    fn apply(&mut self, Batch { arrived, changes }: Batch) -> Result<bool, Fault> {
        let (mut said, mut went_back) = (Vec::with_capacity(changes.len()), false);
        for change in changes {
            match change {
                Change::Error(status) => {
                    self.scope.change(&self.target, said, arrived);
                    return Err(Fault::Answer(status));
                }
                // Only of bookmarks: a change tells the version of its object, which a deletion may tell late.
                Change::Bookmark { revision, .. } => match self.revision {
                    Some(seen) if revision < seen => went_back = true,
                    _ => self.revision = Some(revision),
                },
                Change::Put(item) => {
                    self.revision = wire::as_revision(item.version).or(self.revision);
                    self.note_unreadable(std::slice::from_ref(&item));
                    said.push(Change::Put(item));
                }
                Change::Delete(item) => {
                    self.revision = wire::as_revision(item.version).or(self.revision);
                    said.push(Change::Delete(item));
                }
            }
        }
        self.scope.change(&self.target, said, arrived);
        Ok(went_back)
    }

    async fn open(&self, ask: Ask<'_>) -> Result<Stream, Fault> {
        let timeout = self.cx.settings.watch_timeout;
        Stream::open(&self.cx.client, &self.target, self.dialect, ask, timeout).await
    }

    /// The source holds what the server holds.
    fn in_sync(&mut self) {
        self.synced.get_or_insert_with(Instant::now);
        self.denials = 0;
        self.troubles = 0;
        self.missing = None;
        self.state(State::Synced, "");
    }

    fn state(&self, state: State, reason: impl Into<arcstr::ArcStr>) {
        self.cx.board.set(&self.target, state, reason);
    }

    /// Tells of what cannot be read: of each object once.
    fn note_unreadable(&mut self, items: &[Item]) {
        for Item { key, value, .. } in items {
            let Value::Unreadable(problems) = value else {
                self.unreadable.remove(key);
                continue;
            };
            metrics::source_unreadable(self.target.kind.as_str());
            if self.unreadable.len() < UNREADABLE && self.unreadable.insert(key.clone()) {
                let problem = problems
                    .first()
                    .map(|problem| format!("{}: {}", problem.field, problem.message))
                    .unwrap_or_default();
                warn!(source = %self.target, object = %key, %problem, "an object cannot be read; what was known of it stays");
            }
        }
    }
}

#[cfg(test)]
mod tests;
