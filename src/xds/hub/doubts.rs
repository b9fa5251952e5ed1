//! What earlier streams of clients left unknown, for their next ones (rules 16 and 25).
//!
//! Invariant: bounded in bytes and in time. Beyond that a client is forgotten, and is believed what it says it holds: first
//! one of the Gateway that takes the most, the one that left longest ago, so that no tenant's clients drive out another's
//! (`one_harms_one`). What costs the number of names is done outside of the hub's lock: the book moves sets and frees none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use crate::xds::client::ClientName;
use crate::xds::session::Doubts;

/// The most that all of it may take, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// How long a client may be away: an Envoy that lost its stream comes back within seconds.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What a name takes beside its letters, and a client beside its names. Names that are shared with a snapshot count
/// too: what a client makes up is shared with nobody.
const NAME: usize = 32;
const CLIENT: usize = 512;

/// What a stream left, and what that takes.
#[derive(Debug)]
pub(super) struct Left {
    doubts: Doubts,
    bytes: usize,
}

impl Left {
    /// Costs the number of names, so it is made before the book is locked.
    pub(super) fn of(client: &ClientName, doubts: Doubts) -> Left {
        let names = doubts.values().flatten().map(|name| name.len() + NAME).sum::<usize>();
        Left { doubts, bytes: CLIENT + client.node_id.len() + client.gateway.len() + names }
    }
}

/// All that streams of a client left.
pub(super) fn merged(left: Vec<Doubts>) -> Doubts {
    let mut left = left.into_iter();
    let mut all = left.next().unwrap_or_default();
    for (kind, names) in left.flatten() {
        all.entry(kind).or_default().extend(names);
    }
    all
}

/// See the module.
#[derive(Debug)]
pub(super) struct DoubtBook {
    max_bytes: usize,
    clients: BTreeMap<ClientName, Entry>,
    /// Clients in the order in which they left.
    order: BTreeMap<u64, ClientName>,
    gateways: BTreeMap<ArcStr, OfGateway>,
    /// The Gateways by what they take.
    sizes: BTreeSet<(usize, ArcStr)>,
    /// Counts entries.
    number: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    number: u64,
    left: Option<Instant>,
    bytes: usize,
    /// Of each of its streams.
    doubts: Vec<Doubts>,
}

#[derive(Debug, Default)]
struct OfGateway {
    bytes: usize,
    /// Its clients in the order in which they left.
    numbers: BTreeSet<u64>,
}

impl Default for DoubtBook {
    fn default() -> Self {
        Self::bounded(MAX_BYTES)
    }
}

impl DoubtBook {
    fn bounded(max_bytes: usize) -> Self {
        let (clients, order, gateways, sizes) = Default::default();
        Self { max_bytes, clients, order, gateways, sizes, number: 0, bytes: 0 }
    }

    /// Adds what a stream left. Returns what is forgotten for it: freeing that takes its time.
    #[must_use]
    pub(super) fn put(&mut self, client: ClientName, left: Left, now: Instant) -> Vec<Doubts> {
        let mut forgotten = self.expire(now);
        let Entry { mut doubts, mut bytes, .. } = self.remove(&client).unwrap_or_default();
        doubts.push(left.doubts);
        bytes += left.bytes;
        self.number += 1;
        let number = self.number;
        self.charge(&client.gateway, |of| {
            of.bytes += bytes;
            of.numbers.insert(number);
        });
        self.bytes += bytes;
        self.order.insert(number, client.clone());
        self.clients.insert(client, Entry { number, left: Some(now), bytes, doubts });
        while self.bytes > self.max_bytes
            && let Some(entry) = self.evict()
        {
            forgotten.extend(entry.doubts);
        }
        forgotten
    }

    /// Takes out what is known of a client: what each of its streams left.
    pub(super) fn take(&mut self, client: &ClientName) -> Vec<Doubts> {
        self.remove(client).map(|entry| entry.doubts).unwrap_or_default()
    }

    /// Forgets those who left too long ago, and returns what they left.
    #[must_use]
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Doubts> {
        let mut forgotten = Vec::new();
        while let Some((_, client)) = self.order.first_key_value() {
            let client = client.clone();
            let left = self.clients.get(&client).and_then(|entry| entry.left);
            if left.is_some_and(|left| now.saturating_duration_since(left) < MAX_AGE) {
                break;
            }
            let Some(entry) = self.remove(&client) else { break };
            forgotten.extend(entry.doubts);
        }
        forgotten
    }

    /// Takes out the oldest client of the Gateway that takes the most.
    fn evict(&mut self) -> Option<Entry> {
        let largest = self.sizes.last().and_then(|(_, gateway)| self.gateways.get(gateway));
        let oldest = largest.and_then(|of| of.numbers.first()).and_then(|number| self.order.get(number)).cloned();
        oldest.and_then(|client| self.remove(&client))
    }

    fn remove(&mut self, client: &ClientName) -> Option<Entry> {
        let entry = self.clients.remove(client)?;
        let (number, bytes) = (entry.number, entry.bytes);
        self.order.remove(&number);
        self.bytes -= bytes;
        self.charge(&client.gateway, |of| {
            of.bytes -= bytes;
            of.numbers.remove(&number);
        });
        Some(entry)
    }

    /// Changes what a Gateway takes.
    fn charge(&mut self, gateway: &ArcStr, change: impl FnOnce(&mut OfGateway)) {
        let of = self.gateways.entry(gateway.clone()).or_default();
        let before = of.bytes;
        change(of);
        let after = of.bytes;
        if of.numbers.is_empty() {
            self.gateways.remove(gateway);
        }
        self.sizes.remove(&(before, gateway.clone()));
        if after > 0 {
            self.sizes.insert((after, gateway.clone()));
        }
    }

    /// Whether nothing is in doubt.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let nobody = self.clients.is_empty() && self.order.is_empty();
        nobody && self.gateways.is_empty() && self.sizes.is_empty() && self.bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ResourceType;

    const MAX: usize = 1 << 20;

    fn client(gateway: &str, n: usize) -> ClientName {
        ClientName { gateway: gateway.into(), node_id: format!("{n}").into() }
    }

    fn doubts(names: usize, len: usize) -> Doubts {
        Doubts::from([(
            ResourceType::Cluster,
            (0..names).map(|n| format!("{n:04}{}", "x".repeat(len - 4)).into()).collect(),
        )])
    }

    impl DoubtBook {
        fn leave(&mut self, client: ClientName, doubts: Doubts, now: Instant) {
            let left = Left::of(&client, doubts);
            drop(self.put(client, left, now));
        }

        fn come_back(&mut self, client: &ClientName, now: Instant) -> Doubts {
            drop(self.expire(now));
            merged(self.take(client))
        }
    }

    #[test]
    fn bounded_in_bytes_whatever_they_are_the_bytes_of() {
        let start = Instant::now();
        let mut book = DoubtBook::bounded(MAX);
        // Many clients, many names, long names.
        for (count, names, len) in [(MAX / CLIENT, 1, 4), (20, 4_000, 4), (20, 10, 20_000)] {
            let left = doubts(names, len);
            for n in 0..count {
                book.leave(client("ns/gw", n), left.clone(), start);
                assert!(book.bytes <= MAX, "{} bytes", book.bytes);
            }
            assert!(book.bytes > MAX / 2, "{} bytes", book.bytes);
            let kept = book.clients.len();
            assert!(!book.clients.contains_key(&client("ns/gw", 0)), "the oldest went");
            assert!(book.clients.contains_key(&client("ns/gw", count - 1)), "the newest stays");
            (0..count).for_each(|n| drop(book.come_back(&client("ns/gw", n), start)));
            assert!(book.is_empty() && kept < count);
        }
    }

    #[test]
    fn one_harms_one_the_gateway_that_takes_the_most_is_forgotten_first() {
        let start = Instant::now();
        let mut book = DoubtBook::bounded(MAX);
        book.leave(client("ns/modest", 0), doubts(100, 10), start);
        for n in 0..100 {
            book.leave(client("ns/greedy", n), doubts(20, 1_000), start);
            // Under node ids of its own it is no other Gateway.
            book.leave(client("ns/greedy", 0), doubts(1, 10), start);
        }
        assert!(book.clients.len() < 100, "some were forgotten");
        assert_eq!(book.come_back(&client("ns/modest", 0), start), doubts(100, 10));
    }

    #[test]
    fn bounded_in_time() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut book = DoubtBook::bounded(MAX);
        book.leave(client("ns/gw", 0), doubts(1, 4), start);
        book.leave(client("ns/gw", 1), doubts(1, 4), after(300));
        book.leave(client("ns/gw", 2), doubts(1, 4), after(300));
        assert_eq!(book.come_back(&client("ns/gw", 1), after(599)), doubts(1, 4));
        assert_eq!(book.come_back(&client("ns/gw", 0), after(600)), Doubts::new());
        assert_eq!(book.clients.len(), 1);
        // Whoever leaves again is as new.
        book.leave(client("ns/gw", 2), doubts(2, 4), after(800));
        assert_eq!(book.come_back(&client("ns/gw", 2), after(1_399)), doubts(2, 4));
        book.leave(client("ns/gw", 3), doubts(1, 4), after(1_400));
        drop(book.expire(after(2_000)));
        assert!(book.is_empty());
    }

    /// Nothing is gone through, merged or freed under the hub's lock.
    #[test]
    fn one_harms_one_sets_are_moved_and_forgotten_ones_are_handed_out() {
        let start = Instant::now();
        let mut book = DoubtBook::bounded(MAX);
        let large = |n| {
            let client = client("ns/gw", n);
            let left = Left::of(&client, doubts(10_000, 40));
            (client, left)
        };
        let handed_out = |n, book: &mut DoubtBook| {
            let (client, left) = large(n);
            book.put(client, left, start)
        };
        assert_eq!(handed_out(0, &mut book), []);
        assert_eq!(handed_out(1, &mut book), [doubts(10_000, 40)], "the older one");
        book.leave(client("ns/gw", 1), doubts(1, 4), start);
        assert_eq!(book.take(&client("ns/gw", 1)).len(), 2, "of each stream, as it left them");
        book.leave(client("ns/gw", 2), doubts(1, 4), start);
        assert_eq!(book.expire(start + MAX_AGE), [doubts(1, 4)]);
        assert!(book.is_empty());
    }
}
