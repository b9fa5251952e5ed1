//! Versions: 128 bits of BLAKE3.
//!
//! Tenants choose much of the bytes that are hashed here, and a client that is told "you hold this already" must
//! be right; so the hash is a cryptographic one, and each use has a domain of its own.

use std::fmt;
use std::str::FromStr;

/// The hash of some content: equal versions mean equal content, on every replica and after every restart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([u8; Version::LEN]);

impl Version {
    /// Its size in bytes.
    pub const LEN: usize = 16;

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Version::LEN] {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version: expected 32 lower-case hexadecimal digits")]
pub struct ParseVersionError;

impl FromStr for Version {
    type Err = ParseVersionError;

    /// Reads exactly what `Display` writes: clients give versions back as they got them.
    fn from_str(text: &str) -> Result<Version, ParseVersionError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 2 * Version::LEN || !text.bytes().all(is_digit) {
            return Err(ParseVersionError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| ParseVersionError)?;
        Ok(Version(number.to_be_bytes()))
    }
}

/// What is hashed. The first byte of each hash, so that no content of one domain can pass for another's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Domain {
    /// The bytes of a leaf of [`Parts`](super::Parts).
    Leaf = 0,
    /// The lengths and versions of the children of an inner node of [`Parts`](super::Parts).
    Inner = 1,
    /// The names and versions of a set of resources.
    Set = 2,
    /// The versions of the sets of a snapshot.
    Snapshot = 3,
    /// A key of [`Chunks`](super::Chunks), for boundaries only.
    Boundary = 4,
    /// The version of a resource's message and the other names it goes by.
    Aliases = 5,
}

/// A running hash that ends in a [`Version`].
pub(crate) struct VersionHasher(blake3::Hasher);

impl VersionHasher {
    pub(crate) fn new(domain: Domain) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[domain as u8]);
        Self(hasher)
    }

    /// Adds bytes as they are: for content of fixed length, and for the last of a hash.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds a number, independently of this machine's word size and byte order.
    pub(crate) fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    /// Adds bytes of any length so that they cannot run into what follows.
    pub(crate) fn sized(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn version(&mut self, version: Version) {
        self.raw(&version.0);
    }

    pub(crate) fn finish(&self) -> Version {
        let mut out = [0; Version::LEN];
        self.0.finalize_xof().fill(&mut out);
        Version(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(domain: Domain, bytes: &[u8]) -> Version {
        let mut hasher = VersionHasher::new(domain);
        hasher.raw(bytes);
        hasher.finish()
    }

    #[test]
    fn is_the_start_of_blake3_over_domain_and_content() {
        let whole = blake3::hash(b"\x00content");
        assert_eq!(of(Domain::Leaf, b"content").as_bytes()[..], whole.as_bytes()[..16]);
        assert_ne!(of(Domain::Leaf, b"content"), of(Domain::Inner, b"content"));
    }

    #[test]
    fn text_goes_round() {
        let version = of(Domain::Leaf, b"x");
        let text = version.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(version));
    }

    #[test]
    fn other_texts_are_refused() {
        let version = of(Domain::Leaf, b"x").to_string();
        for text in ["", "1", &version[1..], &format!("{version}0"), &format!("+{}", &version[1..]), &"A".repeat(32)] {
            assert_eq!(text.parse::<Version>(), Err(ParseVersionError), "{text:?}");
        }
    }
}
