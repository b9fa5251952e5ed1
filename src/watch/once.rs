//! A question that many have and one asks: whoever comes while it is under way, or soon enough after it, shares the answer. A failure is
//! shared by those who waited for it, so that a server in trouble is not asked by each in turn, and by nobody who comes later.
//!
//! Invariant: who waits holds nothing but a place in the queue, and may go away at any time.

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fault::Fault;

/// The question, with its newest answer.
#[derive(Debug)]
pub(super) struct Once<T>(Mutex<Option<Answer<T>>>);

#[derive(Debug)]
struct Answer<T> {
    asked: Instant,
    came: Instant,
    answer: Result<T, Fault>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Once<T> {
    /// The answer, if it was asked for at `since` or later; else `ask` is asked.
    pub(super) async fn ask(&self, since: Instant, ask: impl AsyncFnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let begun = Instant::now();
        // The queue itself: an asynchronous lock, which stops no thread. Who drops out lets the next one ask.
        let mut newest = self.0.lock().await;
        match &*newest {
            Some(Answer { asked, answer: Ok(answer), .. }) if *asked >= since => return Ok(answer.clone()),
            Some(Answer { came, answer: Err(fault), .. }) if *came > begun => return Err(fault.clone()),
            _ => {}
        }
        let asked = Instant::now();
        let answer = ask().await;
        *newest = Some(Answer { asked, came: Instant::now(), answer: answer.clone() });
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
        let _ = ask(start).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2, "who comes later asks again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_whom_it_is_new_enough() {
        let (once, start) = (Once::<u64>::default(), Instant::now());
        assert_eq!(once.ask(start, async || Ok(1)).await, Ok(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(once.ask(start, async || Ok(2)).await, Ok(1));
        assert_eq!(once.ask(start + Duration::from_secs(1), async || Ok(3)).await, Ok(3));
    }
}
