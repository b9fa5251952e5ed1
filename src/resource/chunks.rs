//! An ordered set of encoded rows whose bytes are shared between its versions.
//!
//! A load assignment of 100,000 endpoints is 100,000 repeated fields one after the other. One of them changes:
//! the leaf that holds it is encoded again, the group of that leaf and the root are hashed again, and the rest is
//! shared with what was there before.
//!
//! Invariant: the tree is a function of the rows, not of their history. So its boundaries are defined by content:
//! a row starts a new leaf when the hash of its key says so, and a new group of leaves when more bits of it do.
//! A row's value never moves a boundary.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use bytes::{Bytes, BytesMut};

use super::parts::Parts;
use super::version::{Domain, VersionHasher};

/// One row in this many starts a leaf.
const ROWS_PER_LEAF: u64 = 64;
/// One leaf in this many starts a group.
const LEAVES_PER_GROUP: u64 = 32;

/// Encoded rows in the order of their keys.
///
/// Keys decide where leaves begin through their `Hash`, fed to BLAKE3 in a fixed byte order: `Hash` must depend on
/// the content alone (derived ones of strings, numbers and addresses do), and never on an address or a seed.
#[derive(Debug, Clone)]
pub struct Chunks<K> {
    rows: BTreeMap<K, Bytes>,
    leaves: Level<K>,
    groups: Level<K>,
    root: Option<Parts>,
}

/// The nodes of one level by their first key. The first node has no such key: it holds what comes before the
/// first boundary, and always exists. A node without parts is to be made again.
type Level<K> = BTreeMap<Option<K>, Option<Parts>>;

/// What starts at a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Nothing,
    Leaf,
    LeafAndGroup,
}

impl<K: Ord + Hash + Clone> Chunks<K> {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        let head = || Level::from([(None, None)]);
        Self { rows: BTreeMap::new(), leaves: head(), groups: head(), root: None }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sets the row of `key`; `encoded` is the whole field, header included. Says whether anything changed.
    pub fn put(&mut self, key: K, encoded: impl Into<Bytes>) -> bool {
        let encoded = encoded.into();
        match self.rows.entry(key) {
            Entry::Occupied(row) if *row.get() == encoded => return false,
            Entry::Occupied(mut row) => {
                row.insert(encoded);
                let key = Some(row.key().clone());
                self.touch(&key);
            }
            Entry::Vacant(row) => {
                let key = Some(row.key().clone());
                row.insert(encoded);
                self.touch(&key);
                self.split(key);
            }
        }
        true
    }

    /// Takes the row of `key` away. Says whether there was one.
    pub fn del(&mut self, key: &K) -> bool {
        let Some((key, _)) = self.rows.remove_entry(key) else { return false };
        let boundary = Boundary::at(&key);
        let key = Some(key);
        if boundary != Boundary::Nothing {
            self.leaves.remove(&key);
        }
        if boundary == Boundary::LeafAndGroup {
            self.groups.remove(&key);
        }
        // After the removals, so that the neighbours that inherit the rows are the ones made again.
        self.touch(&key);
        true
    }

    /// The rows one after the other. Encodes and hashes only what changed since the last call.
    pub fn parts(&mut self) -> Parts {
        if let Some(root) = &self.root {
            return root.clone();
        }
        let stale: Vec<Option<K>> = stale_keys(self.groups.iter());
        for group in stale {
            let parts = self.encode_group(&group);
            self.groups.insert(group, Some(parts));
        }
        let root = Parts::concat(self.groups.values().flatten().cloned());
        self.root.insert(root).clone()
    }

    /// Marks the leaf and the group that hold `key` to be made again.
    fn touch(&mut self, key: &Option<K>) {
        for level in [&mut self.leaves, &mut self.groups] {
            if let Some((_, node)) = level.range_mut(..=key).next_back() {
                *node = None;
            }
        }
        self.root = None;
    }

    /// Starts at the new row `key` what is to start there.
    fn split(&mut self, key: Option<K>) {
        let Some(row) = &key else { return };
        let boundary = Boundary::at(row);
        if boundary == Boundary::LeafAndGroup {
            self.groups.insert(key.clone(), None);
        }
        if boundary != Boundary::Nothing {
            self.leaves.insert(key, None);
        }
    }

    fn encode_group(&mut self, start: &Option<K>) -> Parts {
        let range = (Bound::Included(start.clone()), end_of(&self.groups, start));
        let stale = stale_keys(self.leaves.range(range.clone()));
        for leaf in stale {
            let parts = self.encode_leaf(&leaf);
            self.leaves.insert(leaf, Some(parts));
        }
        Parts::concat(self.leaves.range(range).filter_map(|(_, leaf)| leaf.clone()))
    }

    fn encode_leaf(&mut self, start: &Option<K>) -> Parts {
        let from = start.clone().map_or(Bound::Unbounded, Bound::Included);
        let to = match end_of(&self.leaves, start) {
            Bound::Excluded(Some(next)) => Bound::Excluded(next),
            _ => Bound::Unbounded,
        };
        let range = (from, to);
        let mut out = BytesMut::with_capacity(self.rows.range(range.clone()).map(|(_, row)| row.len()).sum());
        for (_, row) in self.rows.range(range.clone()) {
            out.extend_from_slice(row);
        }
        let encoded = out.freeze();
        // The rows become views of the leaf: each byte is held once, not twice.
        let mut at = 0;
        for (_, row) in self.rows.range_mut(range) {
            let end = at + row.len();
            *row = encoded.slice(at..end);
            at = end;
        }
        Parts::leaf(encoded)
    }
}

impl<K: Ord + Hash + Clone> Default for Chunks<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// The nodes that are to be made again.
fn stale_keys<'a, K: Clone + 'a>(nodes: impl Iterator<Item = (&'a Option<K>, &'a Option<Parts>)>) -> Vec<Option<K>> {
    nodes.filter(|(_, parts)| parts.is_none()).map(|(key, _)| key.clone()).collect()
}

/// Where the node that begins at `start` ends: where the next one begins.
fn end_of<K: Ord + Clone>(level: &Level<K>, start: &Option<K>) -> Bound<Option<K>> {
    let after = (Bound::Excluded(start), Bound::Unbounded);
    level.range(after).next().map_or(Bound::Unbounded, |(next, _)| Bound::Excluded(next.clone()))
}

impl Boundary {
    fn at<K: Hash>(key: &K) -> Boundary {
        let mut hasher = StableHasher(VersionHasher::new(Domain::Boundary));
        key.hash(&mut hasher);
        let hash = hasher.finish();
        if !hash.is_multiple_of(ROWS_PER_LEAF) {
            Boundary::Nothing
        } else if !(hash / ROWS_PER_LEAF).is_multiple_of(LEAVES_PER_GROUP) {
            Boundary::Leaf
        } else {
            Boundary::LeafAndGroup
        }
    }
}

/// Hashes keys equally on every machine: std's `Hash` hands numbers over in the machine's own size and byte order.
struct StableHasher(VersionHasher);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.raw(bytes);
    }

    fn write_u8(&mut self, n: u8) {
        self.0.raw(&[n]);
    }

    fn write_u16(&mut self, n: u16) {
        self.0.raw(&n.to_le_bytes());
    }

    fn write_u32(&mut self, n: u32) {
        self.0.raw(&n.to_le_bytes());
    }

    fn write_u64(&mut self, n: u64) {
        self.0.number(n);
    }

    fn write_u128(&mut self, n: u128) {
        self.0.raw(&n.to_le_bytes());
    }

    fn write_usize(&mut self, n: usize) {
        self.0.number(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.0.raw(&(n as i64).to_le_bytes());
    }

    fn finish(&self) -> u64 {
        let version = self.0.finish();
        let mut low = [0; 8];
        low.copy_from_slice(&version.as_bytes()[..8]);
        u64::from_le_bytes(low)
    }
}

#[cfg(test)]
mod tests;
