//! What became of changes of one sort.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

/// Failures kept in words; all are counted.
const KEPT: usize = 10;

/// How many were done, how many failed, and how long they took.
#[derive(Debug, Clone)]
pub struct Tally {
    /// That the server accepted.
    pub done: u64,
    /// That it did not.
    pub failed: u64,
    /// The first failures in words.
    pub details: Vec<String>,
    /// Microseconds that the accepted ones took.
    pub latency: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { done: 0, failed: 0, details: Vec::new(), latency: Histogram::new_with_bounds(1, 600_000_000, 3)? })
    }

    pub(super) fn record(&mut self, what: &str, took: Duration, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                self.done += 1;
                self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
            Err(reason) => {
                self.failed += 1;
                if self.details.len() < KEPT {
                    self.details.push(format!("{what}: {reason:#}"));
                }
            }
        }
    }

    pub(super) fn add(&mut self, other: Self) -> Result<()> {
        self.done += other.done;
        self.failed += other.failed;
        let room = KEPT.saturating_sub(self.details.len());
        self.details.extend(other.details.into_iter().take(room));
        self.latency.add(other.latency)?;
        Ok(())
    }

    /// Fails if one failed.
    pub fn ensure_clean(&self) -> Result<()> {
        if self.failed > 0 {
            bail!("{self}");
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        write!(f, "{} done, {} failed; ms: ", self.done, self.failed)?;
        write!(f, "p50 {:.1}, p99 {:.1}, max {:.1}", milliseconds(0.5), milliseconds(0.99), milliseconds(1.0))?;
        self.details.iter().try_for_each(|detail| write!(f, "\n    {detail}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn failures_are_counted_and_the_first_are_told() {
        let (mut all, mut part) = (Tally::new().unwrap(), Tally::new().unwrap());
        all.record("a", Duration::from_millis(5), Ok(()));
        for _ in 0..KEPT + 5 {
            part.record("b", Duration::ZERO, Err(anyhow!("refused")));
        }
        all.add(part).unwrap();
        assert_eq!((all.done, all.failed, all.details.len()), (1, 15, KEPT));
        assert!(all.to_string().contains("b: refused") && all.ensure_clean().is_err());
    }
}
