//! One direction of the stream: messages arrive in the order in which they were sent, each after a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::random::Random;

#[derive(Debug)]
pub(super) struct Wire<T> {
    messages: VecDeque<(Instant, T)>,
    /// The longest that a message is under way, in milliseconds.
    lag: u64,
}

impl<T> Wire<T> {
    pub(super) fn new(lag: u64) -> Wire<T> {
        Wire { messages: VecDeque::new(), lag }
    }

    pub(super) fn put(&mut self, message: T, now: Instant, random: &mut Random) {
        let arrives = now + Duration::from_millis(random.below(self.lag));
        let last = self.messages.back().map_or(arrives, |(last, _)| *last);
        self.messages.push_back((arrives.max(last), message));
    }

    /// When the next message arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.messages.front().map(|(at, _)| *at)
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<T> {
        if self.due()? > now { None } else { self.messages.pop_front().map(|(_, message)| message) }
    }

    /// The connection breaks: what is under way never arrives.
    pub(super) fn cut(&mut self) {
        self.messages.clear();
    }
}
