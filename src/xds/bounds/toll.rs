//! What all streams of one tenant may ask together: streams are free, so a [pace](super::pace) of each alone bounds nothing.
//!
//! It is counted as a stream's own pace is, in requests, of which one counts for [`NAMES`] names. Openings, names and NACKs are
//! charged; a request that says little is not, since a fleet answers whatever it is told.
//!
//! A tenant has what one stream has, and a [twentieth](SHARE) of it for each stream that it has open. So an Envoy that is alone
//! is bounded by its own pace and never here. A fleet that comes at once brings what it needs with it: by default each stream
//! adds 100,000 names at once and 10,000 a second, and a resume with 400 names and their versions costs some 2,000 and a few
//! requests. Whoever opens streams, asks for much and leaves brings nothing more than its few streams are worth, however often.
//!
//! What is over is paid before more of the tenant is decoded, in no order. So a debt is never larger than what the
//! threads of the process work on at once, and those who come wait only for that.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::{BURST, NAMES};
use crate::metrics;
use crate::xds::hub::now;

/// What an open stream adds to its tenant's pace, as a share of its own: half of the largest request in each ten seconds.
const SHARE: f64 = 1.0 / 20.0;

/// What opening a stream costs: as much as a request. Someone is proven, registered and told apart in the log.
const OPENING: f64 = 1.0;

/// How much later each of those that wait looks again for each that waits: so all together look no more than so often.
const LOOK: Duration = Duration::from_micros(100);

/// Of one tenant.
#[derive(Debug, Default)]
pub(in crate::xds) struct Toll {
    purse: Mutex<Purse>,
    /// How many wait. They hold nothing that others need: whoever waits may be busy with a client that does not read.
    waiting: AtomicUsize,
}

/// One that waits.
struct Waits<'a>(&'a AtomicUsize);

impl Waits<'_> {
    fn new(waiting: &AtomicUsize) -> Waits<'_> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream of the tenant, as long as it is open.
#[derive(Debug)]
pub(in crate::xds) struct Payer(Arc<Toll>);

#[derive(Debug, Default)]
struct Purse {
    /// Requests a second of one stream; nothing before there was one.
    per_second: f64,
    left: f64,
    /// When `left` was right.
    at: Option<Instant>,
    open: usize,
    /// As many as were open at once in the last [`BURST`] seconds, and until when they were. What each stream adds at once it
    /// adds only as this grows: coming and going again brings no more than staying does.
    most: usize,
    most_until: Option<Instant>,
}

impl Toll {
    /// A stream is open, each of which may have so many requests a second.
    pub(in crate::xds) fn stream(self: &Arc<Toll>, per_second: u32) -> Payer {
        self.purse().enter(f64::from(per_second.max(1)), now());
        Payer(self.clone())
    }

    /// Whether it would make no difference to forget it.
    pub(in crate::xds) fn is_rested(&self) -> bool {
        self.purse().is_rested(now())
    }

    fn purse(&self) -> MutexGuard<'_, Purse> {
        // Nothing under the lock panics.
        self.purse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pay(&self, cost: f64) {
        // Not behind those that wait: some may be busy with a client that does not read.
        if self.purse().pay(cost, now()).is_ok() {
            return;
        }
        metrics::requests_delayed();
        let _waits = Waits::new(&self.waiting);
        let mut until = now();
        loop {
            let waiting = u32::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
            tokio::time::sleep_until((until + LOOK.saturating_mul(waiting)).into()).await;
            match self.purse().pay(cost, now()) {
                Ok(()) => return,
                Err(later) => until = later,
            }
        }
    }
}

impl Payer {
    /// Pays for the opening, once nothing is owed.
    pub(in crate::xds) async fn pay_for_opening(&self) {
        self.0.pay(OPENING).await;
    }

    /// Pays for as much work as so many names are, once nothing is owed. Does not borrow, so that it can be kept.
    pub(in crate::xds) fn pay(&self, names: u64) -> impl Future<Output = ()> + Send + use<> {
        let toll = self.0.clone();
        async move { toll.pay(names as f64 / NAMES).await }
    }

    /// Work was done that was not paid for.
    pub(in crate::xds) fn charge(&self, names: u64) {
        self.0.purse().left -= names as f64 / NAMES;
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        self.0.purse().leave(now());
    }
}

impl Purse {
    fn enter(&mut self, per_second: f64, now: Instant) {
        if self.per_second == 0.0 {
            (self.per_second, self.left) = (per_second, per_second * BURST);
        }
        self.refill(now);
        self.open += 1;
        if self.open > self.most {
            self.most = self.open;
            self.left += self.per_second * SHARE * BURST;
        }
    }

    fn leave(&mut self, now: Instant) {
        self.refill(now);
        if self.open == self.most {
            self.most_until = Some(now);
        }
        self.open -= 1;
    }

    fn pay(&mut self, cost: f64, now: Instant) -> Result<(), Instant> {
        self.refill(now);
        if self.left > 0.0 {
            self.left -= cost;
            return Ok(());
        }
        // A little more, so that rounding never wakes anyone in vain.
        Err(now + Duration::from_secs_f64(-self.left / self.rate(self.open)) + Duration::from_millis(1))
    }

    fn is_rested(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.most == 0 && self.left >= self.per_second * BURST
    }

    fn refill(&mut self, now: Instant) {
        let since = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.at = Some(now);
        let is_past = |until: Instant| now.saturating_duration_since(until).as_secs_f64() >= BURST;
        if self.open < self.most && self.most_until.is_none_or(is_past) {
            (self.most, self.most_until) = (self.open, Some(now));
        }
        self.left = (self.left + since * self.rate(self.open)).min(self.rate(self.most) * BURST);
    }

    /// What so many open streams have, in requests a second.
    fn rate(&self, streams: usize) -> f64 {
        self.per_second * (1.0 + SHARE * streams as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What a purse pays at one moment, in so large payments.
    fn pays(purse: &mut Purse, cost: f64, now: Instant) -> f64 {
        let mut paid = 0.0;
        while purse.pay(cost, now).is_ok() {
            paid += cost;
        }
        paid
    }

    #[test]
    fn bounded_streams_that_come_and_go_bring_no_more_than_those_that_stay() {
        let start = Instant::now();
        let (mut one, mut many) = (Purse::default(), Purse::default());
        let (mut stays, mut comes) = (0.0, 0.0);
        one.enter(200.0, start);
        for second in 0..60 {
            let now = start + SECOND * second;
            stays += pays(&mut one, 200.0, now);
            // A stream for each of the largest requests.
            while {
                many.enter(200.0, now);
                let is_paid = many.pay(200.0, now).is_ok();
                comes += if is_paid { 200.0 } else { 0.0 };
                many.leave(now);
                is_paid
            } {}
        }
        assert!(stays >= 60.0 * 200.0, "{stays}");
        assert!(comes <= stays + 200.0, "{comes} by streams that come and go, {stays} by one");
    }

    #[test]
    fn a_fleet_that_comes_at_once_does_not_wait() {
        let (start, mut purse) = (Instant::now(), Purse::default());
        for again in 0..3 {
            let now = start + Duration::from_secs(60) * again;
            for _ in 0..10_000 {
                purse.enter(200.0, now);
                assert!(purse.pay(OPENING, now).is_ok());
                // Two types: 400 names, their versions, and what the session goes through.
                for _ in 0..2 {
                    assert!(purse.pay(0.4, now).is_ok());
                    purse.left -= 1.0;
                }
            }
            (0..10_000).for_each(|_| purse.leave(now + SECOND));
        }
    }

    #[test]
    fn what_is_owed_is_paid_off_and_then_nothing_is_left_to_remember() {
        let (start, mut purse) = (Instant::now(), Purse::default());
        assert!(purse.is_rested(start), "there was no stream");
        purse.enter(2.0, start);
        assert!(purse.pay(100.0, start).is_ok(), "whoever owes nothing goes on");
        let until = purse.pay(1.0, start).expect_err("it owes 79");
        // 2 a second, and a twentieth of it for the stream that is open.
        assert_eq!((until - start).as_secs(), 37);
        purse.leave(start);
        assert!(!purse.is_rested(start + 30 * SECOND));
        assert!(purse.is_rested(start + 60 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_pay_one_after_the_other() {
        let toll = Arc::new(Toll::default());
        let payer = Arc::new(toll.stream(10));
        payer.charge(205_000);
        let start = tokio::time::Instant::now();
        let waits = |names: u64| {
            let paying = payer.pay(names);
            tokio::spawn(async move {
                paying.await;
                start.elapsed().as_secs()
            })
        };
        let first = waits(100_000);
        tokio::task::yield_now().await;
        let second = waits(100_000);
        let (one, other) = (first.await.expect("no panic"), second.await.expect("no panic"));
        assert_eq!((one.min(other), one.max(other)), (9, 19));
    }
}
