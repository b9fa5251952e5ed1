//! What a fleet counts. All its clients write here, so a response costs them a few atomic additions and nothing more.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Notify;

/// Reasons of failures that are kept; all are counted.
const REASONS: usize = 10;

/// Counts so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Streams that are open.
    pub open: u64,
    /// Responses received.
    pub responses: u64,
    /// Resources in them.
    pub resources: u64,
    /// Bytes of messages received.
    pub bytes: u64,
    /// Connections and streams that failed or ended.
    pub failures: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) open: AtomicU64,
    responses: AtomicU64,
    resources: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    told: Mutex<Told>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Told {
    /// How long each honest client took until it held everything, since the start or the last order.
    whole: Vec<Duration>,
    /// When a client was told of each new version of a load assignment, by name and version.
    arrivals: HashMap<(u32, u32), Vec<Instant>>,
    reasons: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn figures(&self) -> Figures {
        Figures {
            open: self.open.load(Relaxed),
            responses: self.responses.load(Relaxed),
            resources: self.resources.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }

    /// A response came.
    pub(super) fn received(&self, resources: u64, bytes: u64) {
        self.responses.fetch_add(1, Relaxed);
        self.resources.fetch_add(resources, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// A stream could not be opened, or ended.
    pub(super) fn failed(&self, reason: &anyhow::Error) {
        self.failures.fetch_add(1, Relaxed);
        let (mut told, reason) = (self.lock(), format!("{reason:#}"));
        if told.reasons.len() < REASONS || told.reasons.contains_key(&reason) {
            *told.reasons.entry(reason).or_default() += 1;
        }
    }

    /// A client holds everything.
    pub(super) fn whole(&self, after: Duration) {
        self.lock().whole.push(after);
        self.news.notify_one();
    }

    /// A client was told of a new version of a load assignment.
    pub(super) fn arrived(&self, change: (u32, u32), at: Instant) {
        self.lock().arrivals.entry(change).or_default().push(at);
        self.news.notify_one();
    }

    /// What the clients were told of, by name and version, and when.
    pub(super) fn arrivals(&self) -> HashMap<(u32, u32), Vec<Instant>> {
        self.lock().arrivals.clone()
    }

    /// The reasons of failures, the most frequent first.
    pub(super) fn reasons(&self) -> Vec<(String, u64)> {
        let mut reasons: Vec<_> = self.lock().reasons.clone().into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// Forgets times, not counts.
    pub(super) fn begin(&self) {
        let mut told = self.lock();
        told.whole.clear();
        told.arrivals.clear();
    }

    /// How many hold everything.
    pub(super) fn whole_count(&self) -> usize {
        self.lock().whole.len()
    }

    /// The times until so many clients held everything, sorted, once they do.
    pub(super) async fn all_whole(&self, clients: usize, limit: Duration) -> Result<Vec<Duration>> {
        self.wait(clients, limit, |told| told.whole.len(), |told| told.whole.clone()).await
    }

    /// The times from `since` until so many clients were told of one new version, sorted, once they were.
    pub(super) async fn all_told(&self, clients: usize, since: Instant, limit: Duration) -> Result<Vec<Duration>> {
        let most = |told: &Told| told.arrivals.values().map(Vec::len).max().unwrap_or_default();
        let times = |told: &Told| {
            let arrivals = told.arrivals.values().max_by_key(|times| times.len());
            arrivals.into_iter().flatten().map(|at| at.saturating_duration_since(since)).collect()
        };
        self.wait(clients, limit, most, times).await
    }

    /// The times since the first arrival, of each version that so many clients were told of.
    pub(super) fn told_to_all(&self, clients: usize) -> Vec<Vec<Duration>> {
        let told = self.lock();
        let whole = told.arrivals.values().filter(|times| times.len() >= clients);
        whole
            .filter_map(|times| {
                let first = times.iter().min()?;
                Some(times.iter().map(|at| at.saturating_duration_since(*first)).collect())
            })
            .collect()
    }

    async fn wait(
        &self,
        clients: usize,
        limit: Duration,
        count: impl Fn(&Told) -> usize,
        times: impl Fn(&Told) -> Vec<Duration>,
    ) -> Result<Vec<Duration>> {
        let reached = async {
            while count(&self.lock()) < clients {
                self.news.notified().await;
            }
        };
        if tokio::time::timeout(limit, reached).await.is_err() {
            let told = self.lock();
            bail!("{} of {clients} clients after {limit:?}; failures: {:?}", count(&told), told.reasons);
        }
        let mut times = times(&self.lock());
        times.sort_unstable();
        Ok(times)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_end_with_the_last_client_and_say_how_many_are_missing() {
        let tally = Tally::default();
        let since = Instant::now();
        tally.arrived((1, 1), since + Duration::from_millis(2));
        tally.arrived((2, 1), since);
        tally.arrived((1, 1), since + Duration::from_millis(1));
        let times = tally.all_told(2, since, Duration::from_secs(1)).await.unwrap();
        assert_eq!(times, [Duration::from_millis(1), Duration::from_millis(2)]);
        tally.failed(&anyhow::anyhow!("no route"));
        let error = tally.all_whole(1, Duration::from_millis(10)).await.unwrap_err().to_string();
        assert!(error.contains("0 of 1") && error.contains("no route"), "{error}");
    }
}
