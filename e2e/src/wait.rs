//! Waiting for a condition of the outside world. It polls, because what it waits for (a port, a probe, an Envoy's counter) cannot notify;
//! a wait that ends in vain says what was wanted and what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Calls `probe` until it succeeds and returns what it gave. Fails after `limit`, naming `what` and the last reason.
pub async fn eventually<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        // A probe that hangs must not outlive the limit; a last one gets a moment even when the time is up.
        let reason = match tokio::time::timeout(left.max(POLL), probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(reason)) => reason,
            Err(_) => anyhow!("no answer"),
        };
        if start.elapsed() >= limit {
            return Err(reason.context(format!("waited {limit:?} in vain for {what}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_was_wanted_and_what_was_seen_last() {
        let mut calls = 0;
        let limit = Duration::from_millis(50);
        let failed = eventually::<()>("rain", limit, async || {
            calls += 1;
            Err(anyhow!("still dry"))
        });
        let message = format!("{:#}", failed.await.unwrap_err());
        assert!(message.contains("rain") && message.contains("still dry"), "{message}");
        assert!(calls > 1);
    }

    #[tokio::test]
    async fn a_hanging_probe_ends_at_the_limit() {
        let failed = eventually::<()>("rain", Duration::from_millis(50), async || std::future::pending().await);
        assert!(failed.await.is_err());
    }
}
