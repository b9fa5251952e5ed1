//! Clusters that were announced to the client and are not yet known to be usable (rules 27 and 28).
//!
//! A cluster is made when its announcement, its load assignment and every secret it names are acknowledged. Until
//! then no route that names it is sent, so that no request meets a cluster without endpoints.
//!
//! Invariant: a cluster is waited for no longer than the hold, whatever the client does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

#[derive(Debug, Default)]
pub(super) struct Making {
    /// Since when each is waited for.
    clusters: BTreeMap<ArcStr, Instant>,
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
        self.clusters.entry(name).or_insert(now);
    }

    /// Strikes off what is made, and what was waited for too long.
    pub(super) fn update(&mut self, now: Instant, hold: Duration, is_made: impl Fn(&str) -> bool) {
        self.clusters.retain(|name, since| !is_made(name) && now < *since + hold);
    }

    /// When the first cluster is waited for too long.
    pub(super) fn deadline(&self, hold: Duration) -> Option<Instant> {
        self.clusters.values().min().map(|since| *since + hold)
    }
}
