//! The board behind the gate: plain state, changed under one lock, with every change it owes to the observer and the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arcstr::{ArcStr, literal};
use tracing::{debug, info, warn};

use super::{Change, Gate, Layer, PartStatus, Report, State};

/// What is on the list, and how the gate stood last.
#[derive(Debug)]
pub(super) struct Board {
    parts: BTreeMap<u64, Entry>,
    next: u64,
    pub(super) sealed: bool,
    pub(super) shutting_down: bool,
    /// The gate was open at least once.
    pub(super) opened: bool,
    gate: Gate,
    since: Instant,
    /// Changes of parts that the observer has not been told of.
    owed: Vec<Owed>,
}

#[derive(Debug)]
struct Entry {
    layer: Layer,
    name: ArcStr,
    state: State,
    reason: ArcStr,
    since: Instant,
    /// It was ready at least once: what it has to deliver at the start is delivered.
    delivered: bool,
}

#[derive(Debug)]
enum Owed {
    State(PartStatus, Duration),
    Ended(PartStatus),
}

impl Board {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            parts: BTreeMap::new(),
            next: 0,
            sealed: false,
            shutting_down: false,
            opened: false,
            gate: Gate::Starting,
            since: now,
            owed: Vec::new(),
        }
    }

    pub(super) fn gate(&self) -> Gate {
        self.gate
    }

    pub(super) fn add(&mut self, layer: Layer, name: ArcStr, now: Instant) -> u64 {
        if self.sealed {
            warn!(%layer, %name, gate = %self.gate, "a part registered after the list was sealed");
        }
        let id = self.next;
        self.next += 1;
        let reason = literal!("not started");
        let entry = Entry { layer, name, state: State::Waiting, reason, since: now, delivered: false };
        self.owed.push(Owed::State(self.status(&entry), Duration::ZERO));
        self.parts.insert(id, entry);
        id
    }

    pub(super) fn set(&mut self, id: u64, state: State, reason: ArcStr, now: Instant) {
        let Some(entry) = self.parts.get_mut(&id) else { return };
        entry.reason = reason;
        entry.delivered |= state == State::Ready;
        if entry.state == state {
            return;
        }
        let after = now.saturating_duration_since(entry.since);
        entry.state = state;
        entry.since = now;
        let status = self.parts.get(&id).map(|entry| self.status(entry));
        self.owed.extend(status.map(|status| Owed::State(status, after)));
    }

    /// The part's handle is gone.
    pub(super) fn end(&mut self, id: u64, now: Instant) {
        let Some(entry) = self.parts.get(&id) else { return };
        // A failure keeps its place too: that the one who failed is gone does not mend it.
        if entry.delivered && entry.state != State::Failed {
            let status = self.status(entry);
            self.parts.remove(&id);
            self.owed.push(Owed::Ended(status));
            return;
        }
        let how = if entry.delivered { "ended" } else { "ended before it was ready" };
        let reason = match entry.reason.as_str() {
            "" => ArcStr::from(how),
            last => arcstr::format!("{how}; last: {last}"),
        };
        self.set(id, State::Failed, reason, now);
    }

    /// Whether the entry keeps the gate shut.
    fn blocks(&self, entry: &Entry) -> bool {
        if self.opened {
            entry.state == State::Failed && entry.layer != Layer::Source
        } else {
            !entry.delivered || entry.state == State::Failed
        }
    }

    fn status(&self, entry: &Entry) -> PartStatus {
        PartStatus {
            layer: entry.layer,
            name: entry.name.clone(),
            state: entry.state,
            reason: entry.reason.clone(),
            since: entry.since,
            missing: self.blocks(entry),
        }
    }

    /// What keeps the gate shut without being a part that registered.
    fn own(&self) -> Option<PartStatus> {
        let (layer, name, state, reason) = if self.shutting_down {
            (Layer::Process, literal!("process"), State::Failed, literal!("the process is shutting down"))
        } else if self.opened {
            return None;
        } else if !self.sealed {
            (Layer::Process, literal!("start"), State::Waiting, literal!("not every part is registered yet"))
        } else if !self.parts.values().any(|entry| entry.layer == Layer::Source) {
            let reason =
                literal!("no source is registered: nothing to serve was ever asked for; name one with --files");
            (Layer::Source, literal!("sources"), State::Failed, reason)
        } else {
            return None;
        };
        Some(PartStatus { layer, name, state, reason, since: self.since, missing: true })
    }

    pub(super) fn report(&self) -> Report {
        let mut parts: Vec<_> = self.own().into_iter().collect();
        parts.extend(self.parts.values().map(|entry| self.status(entry)));
        parts.sort_by(|a, b| (a.layer, &a.name).cmp(&(b.layer, &b.name)));
        Report { gate: self.gate, since: self.since, parts }
    }

    fn decide(&self) -> Gate {
        let shut = self.own().is_some() || self.parts.values().any(|entry| self.blocks(entry));
        match (self.shutting_down, shut, self.opened) {
            (true, ..) => Gate::ShuttingDown,
            (false, false, _) => Gate::Ready,
            (false, true, false) => Gate::Starting,
            (false, true, true) => Gate::Failed,
        }
    }

    /// Logs and reports every change since the last call, then moves the gate. Parts that end with the process are no
    /// news.
    pub(super) fn settle(&mut self, now: Instant, observer: &super::Observer) {
        for owed in std::mem::take(&mut self.owed) {
            match &owed {
                Owed::State(part, after) => {
                    if self.gate != Gate::ShuttingDown {
                        log_part(part, *after);
                    }
                    observer(&Change::Part { part, after: *after });
                }
                Owed::Ended(part) => observer(&Change::Ended { part }),
            }
        }
        let gate = self.decide();
        if gate == self.gate {
            return;
        }
        let after = now.saturating_duration_since(self.since);
        let before = std::mem::replace(&mut self.gate, gate);
        self.since = now;
        self.opened |= gate == Gate::Ready;
        match gate {
            Gate::Ready => info!(after_seconds = after.as_secs_f64(), "ready: every part has delivered"),
            Gate::Starting | Gate::Failed | Gate::ShuttingDown => {
                let missing: Vec<_> = self.report().parts.into_iter().filter(|part| part.missing).collect();
                let (after_seconds, missing) = (after.as_secs_f64(), join(&missing));
                match (before, gate) {
                    // What is missing has been said, and that it is missing is news no more.
                    (Gate::Ready, Gate::ShuttingDown) => info!(after_seconds, %gate, "no longer ready, as told"),
                    (Gate::Ready, _) => warn!(after_seconds, %gate, %missing, "no longer ready"),
                    _ => warn!(after_seconds, %gate, %missing, "was not ready"),
                }
            }
        }
        observer(&Change::Gate { gate, after });
    }
}

/// One line for each transition. Collections follow their sources, so they are told at debug only.
fn log_part(part: &PartStatus, after: Duration) {
    let PartStatus { layer, name, state, reason, .. } = part;
    let after_seconds = after.as_secs_f64();
    match (state, layer) {
        (State::Stale | State::Failed, _) => warn!(%layer, %name, %state, %reason, after_seconds, "part changed"),
        (State::Ready, Layer::Source | Layer::Publication | Layer::Listener | Layer::Process) => {
            info!(%layer, %name, %state, after_seconds, "part changed");
        }
        (State::Waiting, _) | (State::Ready, Layer::Collection) => {
            debug!(%layer, %name, %state, %reason, after_seconds, "part changed");
        }
    }
}

/// `source "Gateway": waiting: …; collection "listeners": waiting: …`
pub(super) fn join(parts: &[PartStatus]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
