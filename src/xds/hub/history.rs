//! What each Gateway had lately, for state-of-the-world clients that were away meanwhile (rule 27).
//!
//! Invariant: nothing is told that is older than [`Past::MAX_AGE`]; it is freed at the next publication, or when the next stream begins.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;

use crate::resource::ResourceType;
use crate::snapshot::Snapshot;
use crate::xds::session::Past;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Shared with the sessions that have begun and not yet asked for clusters.
    pasts: HashMap<ArcStr, Arc<Past>>,
    /// Which Gateway changed when, the oldest first.
    changes: VecDeque<(Instant, ArcStr)>,
}

impl History {
    /// A Gateway changed.
    pub(super) fn note(&mut self, gateway: &ArcStr, before: &Snapshot, now: &Snapshot, at: Instant) {
        let [old, new] = [before, now].map(|snapshot| snapshot.set(ResourceType::Cluster));
        if old.ptr_eq(new) {
            return;
        }
        Arc::make_mut(self.pasts.entry(gateway.clone()).or_default()).note(before, now, at);
        self.changes.push_back((at, gateway.clone()));
    }

    /// What a Gateway had.
    pub(super) fn of(&self, gateway: &str) -> Arc<Past> {
        self.pasts.get(gateway).cloned().unwrap_or_default()
    }

    /// Forgets what is too long ago, and returns it.
    #[must_use]
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Past> {
        let mut forgotten = Vec::new();
        let is_over = |(at, _): &(Instant, ArcStr)| now.saturating_duration_since(*at) >= Past::MAX_AGE;
        while let Some((_, gateway)) = self.changes.front().filter(|change| is_over(change)) {
            if let Some(past) = self.pasts.get_mut(gateway) {
                forgotten.push(Arc::make_mut(past).expire(now));
                if past.is_empty() {
                    self.pasts.remove(gateway);
                }
            }
            self.changes.pop_front();
        }
        forgotten
    }

    /// Whether nothing is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pasts.is_empty() && self.changes.is_empty()
    }
}
