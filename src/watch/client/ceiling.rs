//! The most that all sources together ask of the API server: requests in flight, and requests a second (F53).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait for their answer or read a list at once. A watch counts until it is granted.
    pub in_flight: usize,
    /// Requests a second, in the long run.
    pub per_second: u32,
    /// Requests that may be sent at once after a quiet time.
    pub burst: u32,
}

impl Default for Limits {
    /// Gentler than what priority and fairness gives one user of a small API server by default, and enough to start 500
    /// namespaces of six kinds in under half a minute.
    fn default() -> Self {
        Self { in_flight: 32, per_second: 200, burst: 200 }
    }
}

/// Lets requests through at the pace of its [`Limits`], in the order in which they came.
#[derive(Debug)]
pub(super) struct Ceiling {
    in_flight: Arc<Semaphore>,
    interval: Duration,
    tolerance: Duration,
    /// When the next request would be on time if all came evenly (the generic cell rate algorithm).
    next: Mutex<Instant>,
}

impl Ceiling {
    pub(super) fn new(limits: Limits) -> Self {
        let interval = Duration::from_secs(1) / limits.per_second.max(1);
        Self {
            in_flight: Arc::new(Semaphore::new(limits.in_flight.max(1))),
            interval,
            tolerance: interval * limits.burst.saturating_sub(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for a place and for the pace. The place is given back when the permit is dropped.
    pub(super) async fn pass(&self) -> Option<OwnedSemaphorePermit> {
        // Closed never: an error cannot be.
        let permit = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        tokio::time::sleep_until(self.turn()).await;
        permit
    }

    fn turn(&self) -> Instant {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (*next).max(now);
        *next = due + self.interval;
        due.checked_sub(self.tolerance).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_the_pace() {
        let ceiling = Ceiling::new(Limits { in_flight: 100, per_second: 10, burst: 5 });
        let start = Instant::now();
        let mut at = Vec::new();
        for _ in 0..8 {
            ceiling.pass().await;
            at.push(start.elapsed().as_millis());
        }
        assert_eq!(at[..5], [0; 5], "the burst");
        assert!(at[5] >= 100 && at[7] >= 300 && at[7] <= 310, "{at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_in_flight_than_may_be() {
        let ceiling = Arc::new(Ceiling::new(Limits { in_flight: 2, per_second: 1000, burst: 1000 }));
        let held = (ceiling.pass().await, ceiling.pass().await);
        let third = tokio::time::timeout(Duration::from_secs(1), ceiling.pass()).await;
        assert!(third.is_err(), "the third waits");
        drop(held);
        assert!(tokio::time::timeout(Duration::from_secs(1), ceiling.pass()).await.is_ok());
    }
}
