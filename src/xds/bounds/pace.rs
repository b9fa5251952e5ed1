//! How fast a client asks, whether it reads, and how much of it is logged: clocks of a stream.

use std::time::{Duration, Instant};

use crate::metrics;
use crate::xds::grpc::Taken;

/// How many seconds' worth of requests may come at once: a reconnect asks for everything.
pub(in crate::xds) const BURST: f64 = 10.0;

/// Names for which a request counts once more: an Envoy's few requests with many names fit into a burst.
pub(in crate::xds) const NAMES: f64 = 1_000.0;

/// Bytes that are as much work as a name, wherever they are looked through: an empty field, of two bytes, costs a few
/// nanoseconds to skip, and a name some hundred.
pub(in crate::xds) const BYTES: usize = 100;

/// What a NACK costs beside the resources that are searched for what it means, in names: it is traced back and logged.
pub(in crate::xds) const NACK: u64 = 1_000;

/// NACKs of a stream that are logged in a minute. An Envoy refuses what it refuses once; they are all counted.
const LINES: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Requests of a stream: as many a second as allowed, and some at once. Who asks more is read later, and by HTTP/2's
/// windows cannot even send more. A request that costs more than most counts for several.
#[derive(Debug)]
pub(in crate::xds) struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(in crate::xds) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, left: per_second * BURST, at: now }
    }

    /// A request was read.
    pub(in crate::xds) fn count(&mut self, now: Instant) {
        self.refill(now);
        self.left -= 1.0;
        if self.left < 1.0 {
            metrics::requests_delayed();
        }
    }

    /// The request that was read last says so many names, or made the session go through them.
    pub(in crate::xds) fn charge(&mut self, names: u64) {
        self.left -= names as f64 / NAMES;
    }

    /// Until when no request is to be read, if that is so.
    pub(in crate::xds) fn paused(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        // A little more than the time until there is one again, so that rounding never wakes anyone in vain.
        let wait = || Duration::from_secs_f64((1.0 - self.left) / self.per_second) + Duration::from_millis(1);
        (self.left < 1.0).then(|| now + wait())
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.per_second * BURST);
        self.at = now;
    }
}

/// Which NACKs of a stream are logged.
#[derive(Debug, Default)]
pub(in crate::xds) struct Lines {
    since: Option<Instant>,
    said: u32,
    left_out: u32,
}

impl Lines {
    /// Whether this one is logged, and if so, how many were left out before it.
    pub(in crate::xds) fn next(&mut self, now: Instant) -> Option<u32> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= MINUTE) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == LINES {
            self.left_out += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// How many were left out and not told of.
    pub(in crate::xds) fn left_out(&self) -> u32 {
        self.left_out
    }
}

/// What was written and not taken to the socket.
#[derive(Debug)]
pub(in crate::xds) struct Unread {
    /// The longest that nothing may be taken.
    pub(in crate::xds) limit: Duration,
    taken: Taken,
    written: u64,
    /// How much was taken when it was looked last, and when that was first seen.
    seen: (u64, Instant),
}

impl Unread {
    pub(in crate::xds) fn new(limit: Duration, taken: Taken) -> Self {
        Self { limit, taken, written: 0, seen: (0, crate::xds::hub::now()) }
    }

    /// So many bytes were written.
    pub(in crate::xds) fn wrote(&mut self, bytes: usize, now: Instant) {
        if self.taken.count() == self.written {
            self.seen = (self.written, now);
        }
        self.written += bytes as u64;
    }

    /// Whether the client has left unread what it was sent, for too long.
    pub(in crate::xds) fn is_over(&mut self, now: Instant) -> bool {
        let taken = self.taken.count();
        if taken != self.seen.0 {
            self.seen = (taken, now);
        }
        taken < self.written && now.saturating_duration_since(self.seen.1) >= self.limit
    }

    /// When that may be so, if nothing is taken until then.
    pub(in crate::xds) fn deadline(&self) -> Option<Instant> {
        (self.taken.count() < self.written).then(|| self.seen.1 + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_the_rest_at_the_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(2, start);
        for _ in 0..20 {
            assert_eq!(pace.paused(start), None);
            pace.count(start);
        }
        let until = pace.paused(start).expect("as many as allowed");
        assert_eq!(until - start, Duration::from_millis(501));
        assert_eq!(pace.paused(until), None);
        pace.count(until);
        assert!(pace.paused(until).is_some());
    }

    #[test]
    fn bounded_a_stream_fills_no_log() {
        let (start, mut lines) = (Instant::now(), Lines::default());
        let logged = (0..100).filter(|_| lines.next(start).is_some()).count();
        assert_eq!((logged, lines.left_out()), (5, 95));
        assert_eq!(lines.next(start + MINUTE), Some(95));
        assert_eq!((lines.next(start + MINUTE), lines.left_out()), (Some(0), 0));
    }

    #[test]
    fn bounded_a_request_with_much_work_counts_for_several() {
        let start = Instant::now();
        let mut pace = Pace::new(2, start);
        pace.count(start);
        pace.charge(18_000);
        assert_eq!(pace.paused(start), None);
        pace.count(start);
        pace.charge(100_000);
        let until = pace.paused(start).expect("more than allowed");
        assert_eq!((until - start).as_secs(), 50);
    }
}
