//! One copy of each string, of each label set and of each list of ports, however many objects have it.
//!
//! A cluster's pods repeat a few thousand strings. Every source takes them from one pool, under one lock for a batch of
//! objects, and a string that is known costs no allocation.
//!
//! Invariant (`bounded`, `gone_is_gone`): what nobody else holds is dropped by sweeps. Each shard sweeps itself after
//! as many uses as its last sweep left entries, so a sweep costs each use a constant, stops nobody for long, and no
//! more is there of what is gone than of what is held. [`Pool::sweep`] drops all of it.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arcstr::ArcStr;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::model::decode;
use crate::model::{Labels, PodPort, PodPorts};

/// Small enough that the sweep of one shard of a pool of a million strings takes well under a millisecond.
const SHARDS: usize = 64;
/// A shard is not swept again before this many uses.
const SPARE: usize = 64;

/// Interned strings and label sets, shared by all sources (in an `Arc`).
pub struct Pool {
    tables: Mutex<Tables>,
}

/// What a pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Strings, including some that nobody uses any more.
    pub strings: usize,
    /// Label sets, likewise.
    pub label_sets: usize,
    /// Lists of named ports, likewise.
    pub port_lists: usize,
}

impl Default for Pool {
    fn default() -> Self {
        let shards = std::iter::repeat_with(Shard::default).take(SHARDS).collect();
        Self { tables: Mutex::new(Tables { hasher: DefaultHashBuilder::default(), shards }) }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.held()).finish()
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much it holds.
    #[must_use]
    pub fn held(&self) -> Held {
        let tables = self.tables();
        let sum = |len: fn(&Shard) -> usize| tables.shards.iter().map(len).sum();
        Held {
            strings: sum(|shard| shard.strings.len()),
            label_sets: sum(|shard| shard.labels.len()),
            port_lists: sum(|shard| shard.ports.len()),
        }
    }

    /// Drops everything that nobody else holds, as after the end of a scope.
    pub fn sweep(&self) {
        let mut tables = self.tables();
        let Tables { hasher, shards } = &mut *tables;
        // Label sets and lists of ports hold strings of any shard.
        shards.iter_mut().for_each(|shard| shard.sweep_sets(hasher));
        shards.iter_mut().for_each(|shard| shard.sweep_strings(hasher));
    }

    /// The pool for one batch of objects; others wait meanwhile.
    pub(super) fn strings(&self) -> Strings<'_> {
        Strings(RefCell::new(self.tables()))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Whatever panicked, the tables hold nothing but what is right by itself.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tables {
    /// Seeded for each process, because tenants choose names and labels.
    hasher: DefaultHashBuilder,
    shards: Box<[Shard]>,
}

#[derive(Default)]
struct Shard {
    strings: HashTable<ArcStr>,
    labels: HashTable<Labels>,
    ports: HashTable<PodPorts>,
    /// How many more uses before it is swept: as many as the last sweep left entries, and a few.
    uses_left: usize,
}

impl Tables {
    /// The shard of a hash, after one more use; by bits that the shard's own tables do not look at first.
    fn shard(&mut self, hash: u64) -> &mut Shard {
        let shard = &mut self.shards[(hash >> 40) as usize % SHARDS];
        match shard.uses_left.checked_sub(1) {
            Some(left) => shard.uses_left = left,
            None => {
                shard.sweep_sets(&self.hasher);
                shard.sweep_strings(&self.hasher);
                shard.uses_left = SPARE + shard.strings.len() + shard.labels.len() + shard.ports.len();
            }
        }
        shard
    }

    fn string(&mut self, text: &str) -> ArcStr {
        if text.is_empty() {
            return ArcStr::new();
        }
        let hash = self.hasher.hash_one(text);
        let hasher = self.hasher.clone();
        let shard = self.shard(hash);
        if let Some(found) = shard.strings.find(hash, |other| other == text) {
            return found.clone();
        }
        let new = ArcStr::from(text);
        shard.strings.insert_unique(hash, new.clone(), |other| hasher.hash_one(other.as_str()));
        new
    }

    /// The set of these pairs, if it is there.
    fn find_labels(&mut self, pairs: &[(&str, &str)]) -> Option<Labels> {
        let hash = hash_pairs(&self.hasher, pairs.iter().copied());
        let same = |other: &Labels| texts(other).eq(pairs.iter().copied());
        self.shard(hash).labels.find(hash, same).cloned()
    }

    fn ports(&mut self, ports: Vec<PodPort>) -> PodPorts {
        let hasher = self.hasher.clone();
        let hash = hasher.hash_one(&ports);
        let shard = self.shard(hash);
        if let Some(found) = shard.ports.find(hash, |other| **other == ports[..]) {
            return found.clone();
        }
        let new: PodPorts = ports.into_iter().collect();
        shard.ports.insert_unique(hash, new.clone(), |other| hasher.hash_one(&**other));
        new
    }

    fn insert_labels(&mut self, labels: &Labels) {
        let hasher = self.hasher.clone();
        let hash = hash_labels(&hasher, labels);
        self.shard(hash).labels.insert_unique(hash, labels.clone(), |other| hash_labels(&hasher, other));
    }
}

impl Shard {
    fn sweep_sets(&mut self, hasher: &DefaultHashBuilder) {
        self.ports.retain(|ports| ports.is_shared());
        if self.ports.capacity() > 4 * self.ports.len() {
            self.ports.shrink_to_fit(|ports| hasher.hash_one(&**ports));
        }
        self.labels.retain(|labels| labels.is_shared());
        if self.labels.capacity() > 4 * self.labels.len() {
            self.labels.shrink_to_fit(|labels| hash_labels(hasher, labels));
        }
    }

    fn sweep_strings(&mut self, hasher: &DefaultHashBuilder) {
        self.strings.retain(|text| ArcStr::strong_count(text) != Some(1));
        if self.strings.capacity() > 4 * self.strings.len() {
            self.strings.shrink_to_fit(|text| hasher.hash_one(text.as_str()));
        }
    }
}

fn hash_labels(hasher: &DefaultHashBuilder, labels: &Labels) -> u64 {
    hash_pairs(hasher, texts(labels))
}

fn texts(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

fn hash_pairs<'p>(hasher: &DefaultHashBuilder, pairs: impl Iterator<Item = (&'p str, &'p str)>) -> u64 {
    let mut hash = hasher.build_hasher();
    for text in pairs.flat_map(|(key, value)| [key, value]) {
        hash.write(text.as_bytes());
        // No text has this byte, so that the ends of texts count.
        hash.write_u8(0xff);
    }
    hash.finish()
}

/// A pool that is locked for a batch.
pub(super) struct Strings<'p>(RefCell<MutexGuard<'p, Tables>>);

impl Strings<'_> {
    /// The shared string.
    pub(super) fn share(&self, text: &str) -> ArcStr {
        self.0.borrow_mut().string(text)
    }

    /// The shared label set of pairs that are sorted by key, each key once.
    pub(super) fn share_labels(&self, pairs: &[(&str, &str)]) -> Labels {
        if pairs.is_empty() {
            return Labels::default();
        }
        let mut tables = self.0.borrow_mut();
        if let Some(found) = tables.find_labels(pairs) {
            return found;
        }
        let labels: Labels = pairs.iter().map(|(key, value)| (tables.string(key), tables.string(value))).collect();
        tables.insert_labels(&labels);
        labels
    }
}

impl Strings<'_> {
    /// The shared list of these ports.
    pub(super) fn share_ports(&self, ports: Vec<PodPort>) -> PodPorts {
        if ports.is_empty() {
            return PodPorts::default();
        }
        self.0.borrow_mut().ports(ports)
    }
}

impl decode::Strings for Strings<'_> {
    fn string(&self, text: &str) -> ArcStr {
        self.share(text)
    }

    fn labels(&self, labels: Labels) -> Labels {
        if labels.is_empty() {
            return Labels::default();
        }
        let mut tables = self.0.borrow_mut();
        let pairs: Vec<_> = texts(&labels).collect();
        tables.find_labels(&pairs).unwrap_or_else(|| {
            tables.insert_labels(&labels);
            labels
        })
    }

    fn ports(&self, ports: Vec<PodPort>) -> PodPorts {
        self.share_ports(ports)
    }
}
