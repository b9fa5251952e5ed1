//! Clusters that were announced to the client and are not yet known to be usable (rules 27 and 28).
//!
//! A cluster is made when its announcement, its load assignment and every secret it names are acknowledged. Until
//! then no route that names it is sent, so that no request meets a cluster without endpoints.
//!
//! Invariant: a cluster is waited for no longer than the hold once it is sent, and no longer than three holds in all,
//! whatever the client does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

#[derive(Debug, Default)]
pub(super) struct Making {
    clusters: BTreeMap<ArcStr, Wait>,
    /// Counts clusters that were looked at.
    visited: Cell<u64>,
}

#[derive(Debug)]
struct Wait {
    announced: Instant,
    /// None while an unanswered response is in its way, which has a clock of its own.
    sent: Option<Instant>,
}

impl Wait {
    /// Of the three holds one is for the response in the way, and one for a removal that goes first.
    fn end(&self, hold: Duration) -> Instant {
        let last = self.announced + 3 * hold;
        self.sent.map_or(last, |sent| last.min(sent + hold))
    }
}

impl Making {
    /// Whether there is nothing to wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// Whether routes that name this cluster wait.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.clusters.contains_key(name)
    }

    /// The cluster is to be sent. One that changes all the time does not start its clock anew.
    pub(super) fn announce(&mut self, name: ArcStr, now: Instant) {
        self.clusters.entry(name).or_insert(Wait { announced: now, sent: None });
    }

    /// The cluster is in a response.
    pub(super) fn sent(&mut self, name: &str, now: Instant) {
        if let Some(wait) = self.clusters.get_mut(name) {
            wait.sent.get_or_insert(now);
        }
    }

    /// Strikes off what is made, and what was waited for too long.
    pub(super) fn update(&mut self, now: Instant, hold: Duration, is_made: impl Fn(&str) -> bool) {
        self.visit();
        self.clusters.retain(|name, wait| !is_made(name) && now < wait.end(hold));
    }

    /// How many clusters were looked at so far.
    pub(super) fn visited(&self) -> u64 {
        self.visited.get()
    }

    fn visit(&self) {
        self.visited.set(self.visited.get() + self.clusters.len() as u64);
    }

    /// When the first cluster is waited for too long.
    pub(super) fn deadline(&self, hold: Duration) -> Option<Instant> {
        self.visit();
        self.clusters.values().map(|wait| wait.end(hold)).min()
    }
}
