//! A question that many have and one asks: whoever comes while it is under way, or soon enough after it, shares the answer, failures
//! included, so that a server in trouble is not asked by each in turn.
//!
//! Invariant: who waits holds nothing but a place in the queue, and may go away at any time.

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fault::Fault;

/// The question, with its newest answer and when that was asked for.
#[derive(Debug)]
pub(super) struct Once<T>(Mutex<Option<(Instant, Result<T, Fault>)>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Once<T> {
    /// The answer, if it was asked for at `since` or later; else `ask` is asked.
    pub(super) async fn ask(&self, since: Instant, ask: impl AsyncFnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        // The queue itself: an asynchronous lock, which stops no thread. Who drops out lets the next one ask.
        let mut newest = self.0.lock().await;
        if let Some((asked, answer)) = &*newest
            && *asked >= since
        {
            return answer.clone();
        }
        let asked = Instant::now();
        let answer = ask().await;
        *newest = Some((asked, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_asks_for_all_and_failures_are_shared_too() {
        let (once, asked) = (Once::<u64>::default(), AtomicUsize::new(0));
        let ask = async |since| {
            once.ask(since, async || {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(10)).await;
                Err(Fault::Cut)
            })
            .await
        };
        let start = Instant::now();
        let answers = tokio::join!(ask(start), ask(start), ask(start));
        assert_eq!(answers, (Err(Fault::Cut), Err(Fault::Cut), Err(Fault::Cut)));
        assert_eq!((asked.load(Ordering::Relaxed), start.elapsed().as_secs()), (1, 10), "not one after the other");
        let _ = ask(start + Duration::from_secs(1)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2, "an answer that is too old does not count");
    }
}
