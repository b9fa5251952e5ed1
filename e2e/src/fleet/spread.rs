//! Times of many clients as a few figures.

use std::fmt;
use std::time::Duration;

/// Sorted times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of these times, in any order.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time within which this share of the clients (0 to 1) was; zero if there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is one")]
        let place = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The shortest.
    #[must_use]
    pub fn first(&self) -> Duration {
        self.at(0.0)
    }

    /// The longest.
    #[must_use]
    pub fn last(&self) -> Duration {
        self.at(1.0)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |share| self.at(share).as_secs_f64() * 1e3;
        write!(f, "first {:.1}, p50 {:.1}, p99 {:.1}, last {:.1} ms", ms(0.0), ms(0.5), ms(0.99), ms(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_place_in_the_sorted_times() {
        let spread = Spread::of((1..=101).rev().map(Duration::from_millis).collect());
        assert_eq!(spread.at(0.5), Duration::from_millis(51));
        assert_eq!((spread.first(), spread.last()), (Duration::from_millis(1), Duration::from_millis(101)));
        assert_eq!(spread.to_string(), "first 1.0, p50 51.0, p99 100.0, last 101.0 ms");
        assert_eq!(Spread::default().last(), Duration::ZERO);
    }
}
