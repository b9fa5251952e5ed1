//! Random numbers that a seed repeats.

/// A sequence of them (SplitMix64: any seed is a good one).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, but not including, `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias is far below what anyone could see.
        (self.number() % (end as u64).max(1)) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        const { assert!(N > 0, "nothing to pick from") };
        from[self.below(N)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence_and_bounds_hold() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        for end in 1..200 {
            let drawn = one.below(end);
            assert!(drawn < end);
            assert_eq!(drawn, two.below(end));
        }
        assert_ne!(one.number(), Random::new(8).number());
        assert!((0.0..1.0).contains(&one.unit()));
    }
}
