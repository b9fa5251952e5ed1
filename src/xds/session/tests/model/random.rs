//! Numbers that depend on a seed alone.

/// The test bed's sequence, in the type that the model counts in.
#[derive(Debug, Clone)]
pub(super) struct Random(syncgate_e2e::random::Random);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(syncgate_e2e::random::Random::new(seed))
    }

    /// Less than `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.number() % bound
    }

    /// One time in `n`.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
