//! Random parts of pauses, so that sources which failed together do not try again together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A random time below `most`. Not for secrets: the seed of a hash map is random enough to spread requests.
pub(super) fn up_to(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(std::thread::current().id());
    most.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_spreads_and_stays_below() {
        let most = Duration::from_secs(1);
        let drawn: Vec<_> = (0..100).map(|_| up_to(most)).collect();
        assert!(drawn.iter().all(|time| *time <= most));
        let low = drawn.iter().filter(|time| **time < most / 2).count();
        assert!((20..80).contains(&low), "{low} of 100 in the lower half");
    }
}
