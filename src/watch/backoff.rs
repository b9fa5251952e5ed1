//! The pause before a source tries again: 800 ms to 30 s, doubling, with jitter (F13).

use std::time::Duration;

use super::jitter;

/// The first pause.
const FIRST: Duration = Duration::from_millis(800);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// How long a sync has to last before the next failure counts as the first again. A list that is followed by a failing
/// watch, over and over, must not be let off with the shortest pause (kube-rs resets on any success).
pub(super) const LASTED: Duration = Duration::from_secs(30);

/// The pauses of one source.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next pause: between half of the bound and the bound.
    pub(super) fn pause(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(LONGEST);
        bound / 2 + jitter::up_to(bound / 2)
    }

    /// The source was in sync for this long; [`LASTED`] makes the next pause the first again.
    pub(super) fn synced_for(&mut self, time: Duration) {
        if time >= LASTED {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again_only_after_a_sync_that_lasted() {
        let mut backoff = Backoff::default();
        let mut bound = FIRST;
        for _ in 0..10 {
            let pause = backoff.pause();
            assert!(pause >= bound / 2 && pause <= bound, "{pause:?} of {bound:?}");
            bound = (bound * 2).min(LONGEST);
        }
        assert_eq!(bound, LONGEST);
        backoff.synced_for(LASTED - Duration::from_millis(1));
        assert!(backoff.pause() >= LONGEST / 2, "a sync that did not last resets nothing");
        backoff.synced_for(LASTED);
        assert!(backoff.pause() <= FIRST);
    }
}
