//! Names, ids and choices that look random and follow from a seed and from what they are for.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::random::Random;

/// Characters of the names that Kubernetes generates: none that spells words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many names of five such characters there are.
const SUFFIXES: u64 = 27_u64.pow(5);

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Draws(Random);

impl Draws {
    /// The sequence that belongs to a seed and to what the numbers are for.
    pub(crate) fn of(seed: u64, purpose: &[u64]) -> Self {
        let mut random = Random::new(seed);
        for part in purpose {
            random = Random::new(random.number() ^ part);
        }
        Self(random)
    }

    /// A sequence that no other run has.
    pub(crate) fn of_now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Random::new(u64::try_from(since.as_nanos()).unwrap_or_default()))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0.number()
    }

    /// A number below `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Characters as Kubernetes generates them.
    pub(crate) fn word(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(ALPHABET[usize::try_from(self.below(27)).unwrap_or_default()])).collect()
    }

    /// Hexadecimal digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        let mut digits = String::with_capacity(length + 16);
        while digits.len() < length {
            digits += &format!("{:016x}", self.next());
        }
        digits.truncate(length);
        digits
    }

    /// An id as objects have them (a UUID of version 4).
    pub(crate) fn uid(&mut self) -> String {
        let digits = self.hex(31);
        let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[12..15], &digits[15..18], &digits[18..30]);
        let variant = ["8", "9", "a", "b"][usize::try_from(self.below(4)).unwrap_or_default()];
        format!("{a}-{b}-4{c}-{variant}{d}-{e}")
    }
}

/// Five characters that no other number below fourteen million has.
pub(crate) fn suffix(number: u64) -> String {
    // A factor without a divisor in common with 27^5 permutes all numbers below that.
    let mut left = (number % SUFFIXES) * 5_915_587 % SUFFIXES;
    let mut name = [0; 5];
    for character in &mut name {
        *character = ALPHABET[usize::try_from(left % 27).unwrap_or_default()];
        left /= 27;
    }
    name.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_and_purpose_give_the_same_and_others_do_not() {
        assert_eq!(Draws::of(1, &[2, 3]).uid(), Draws::of(1, &[2, 3]).uid());
        let others = [Draws::of(2, &[2, 3]).uid(), Draws::of(1, &[3, 2]).uid(), Draws::of(1, &[2]).uid()];
        assert!(!others.contains(&Draws::of(1, &[2, 3]).uid()));
        let uid = Draws::of(1, &[]).uid();
        let shape: Vec<usize> = uid.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{uid}");
    }

    #[test]
    fn suffixes_are_all_different() {
        let names: BTreeSet<String> = (0..100_000).map(suffix).collect();
        assert_eq!(names.len(), 100_000);
    }
}
