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
    clusters: BTreeMap<ArcStr, Progress>,
}

#[derive(Debug)]
struct Progress {
    since: Instant,
    acknowledged: bool,
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
        self.clusters.entry(name).or_insert(Progress { since: now, acknowledged: false }).acknowledged = false;
    }

    /// The client accepted the cluster as it now is.
    pub(super) fn acknowledge(&mut self, name: &str) {
        if let Some(progress) = self.clusters.get_mut(name) {
            progress.acknowledged = true;
        }
    }

    /// The cluster is refused or not wanted any more: nothing waits for it.
    pub(super) fn forget(&mut self, name: &str) {
        self.clusters.remove(name);
    }

    /// Strikes off what is made, as `has_all_parts` says of acknowledged clusters, and what was waited for too long.
    pub(super) fn update(&mut self, now: Instant, hold: Duration, has_all_parts: impl Fn(&str) -> bool) {
        self.clusters.retain(|name, progress| {
            let is_made = progress.acknowledged && has_all_parts(name);
            !is_made && now < progress.since + hold
        });
    }

    /// When the first cluster is waited for too long.
    pub(super) fn deadline(&self, hold: Duration) -> Option<Instant> {
        self.clusters.values().map(|progress| progress.since + hold).min()
    }
}
