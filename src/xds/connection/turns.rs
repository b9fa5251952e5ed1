//! When the requests of a stranger are answered: some at once, then one after the other.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::metrics;

/// Requests that are answered at once, and the time between those that come after them. A probe of health comes once a second at most;
/// a token costs up to a millisecond, which is as much as a new connection costs.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_millis(500);

/// The turns of one connection. Its streams are few, so what waits is little.
#[derive(Debug)]
pub(super) struct Turns {
    /// When the next request would be on time if all came evenly. Held while waiting for it, first come first served.
    due: Mutex<Instant>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { due: Mutex::new(Instant::now()) }
    }
}

impl Turns {
    /// Completes when the next request may be answered. Whoever gives up before its turn has taken nothing of it.
    pub(super) async fn next(&self) {
        let mut next = self.due.lock().await;
        let due = (*next).max(Instant::now());
        let at = due.checked_sub(INTERVAL * (BURST - 1)).filter(|at| *at > Instant::now());
        if let Some(at) = at {
            metrics::requests_delayed();
            tokio::time::sleep_until(at).await;
        }
        *next = due + INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bounded_a_stranger_asks_in_turn_and_a_probe_never_waits() {
        let (turns, since) = (Turns::default(), Instant::now());
        for _ in 0..BURST {
            turns.next().await;
        }
        assert_eq!(since.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            turns.next().await;
        }
        assert_eq!(since.elapsed(), INTERVAL * 10);
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let asked = Instant::now();
            turns.next().await;
            assert_eq!(asked.elapsed(), Duration::ZERO);
        }
    }
}
