//! The heartbeats of the loops: liveness is their progress, and nothing outside the process (F67).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A loop that has not beaten for this long is stalled: well beyond the longest epoch, and below the patience of a probe
/// that asks every 10 s and gives up after three failures.
pub const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How often an idle loop beats.
const PERIOD: Duration = Duration::from_secs(1);

/// The loops of the process. Clones share the list.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    start: Instant,
    loops: Arc<Mutex<Vec<Arc<Loop>>>>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    /// Milliseconds from the start to the last beat.
    last: AtomicU64,
}

/// One loop's handle. A loop that ends and drops it beats no more, and so is found.
#[derive(Debug)]
pub struct Beat {
    start: Instant,
    own: Arc<Loop>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self::new()
    }
}

impl Heartbeats {
    /// No loops yet.
    #[must_use]
    pub fn new() -> Self {
        Self::started_at(Instant::now())
    }

    /// No loops yet, in a process that started then.
    pub(super) fn started_at(start: Instant) -> Self {
        Self { start, loops: Arc::default() }
    }

    /// Adds a loop, which has just beaten.
    #[must_use]
    pub fn register(&self, name: &'static str) -> Beat {
        self.register_at(name, Instant::now())
    }

    /// Adds a loop that has beaten last at `now`.
    pub(super) fn register_at(&self, name: &'static str, now: Instant) -> Beat {
        let own = Arc::new(Loop { name, last: AtomicU64::new(0) });
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&own));
        let beat = Beat { start: self.start, own };
        beat.beat(now);
        beat
    }

    /// The loops that have not beaten for [`STALLED_AFTER`], with the time since their last beat.
    #[must_use]
    pub fn stalled(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = loops.iter().map(|each| {
            let last = self.start + Duration::from_millis(each.last.load(Ordering::Relaxed));
            (each.name, now.saturating_duration_since(last))
        });
        silent.filter(|(_, silence)| *silence > STALLED_AFTER).collect()
    }
}

impl Beat {
    /// The loop makes progress.
    pub fn beat(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.start).as_millis();
        self.own.last.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Beats for as long as it is polled: for a runtime, whose progress is that its tasks run.
    pub async fn keep_beating(self) {
        let mut tick = tokio::time::interval(PERIOD);
        loop {
            tick.tick().await;
            self.beat(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stops_beating_is_named() {
        let heartbeats = Heartbeats::new();
        let graph = heartbeats.register("graph");
        let runtime = heartbeats.register("runtime");
        let start = Instant::now();
        let later = start + STALLED_AFTER + Duration::from_secs(1);
        runtime.beat(later);
        assert_eq!(heartbeats.stalled(start), []);
        let stalled = heartbeats.stalled(later);
        assert_eq!(stalled.len(), 1);
        assert_eq!(stalled[0].0, "graph");
        assert!(stalled[0].1 > STALLED_AFTER);
        graph.beat(later);
        assert_eq!(heartbeats.stalled(later), []);
        drop(graph);
        assert_eq!(heartbeats.stalled(later + STALLED_AFTER * 2).len(), 2, "whoever ended is silent too");
    }
}
