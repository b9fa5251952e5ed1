//! What earlier streams of clients left unknown, for their next ones (rules 16 and 25).
//!
//! Invariant: bounded in clients and in names; beyond that, what was left longest ago is forgotten, and such a client is
//! believed what it says it holds.

use std::collections::BTreeMap;

use crate::xds::client::ClientName;
use crate::xds::session::Doubts;

/// Clients that are remembered.
const MAX_CLIENTS: usize = 10_000;

/// Names that are remembered, over all clients: of about 20 bytes each, since most are shared with the snapshots.
const MAX_NAMES: usize = 1_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct DoubtBook {
    clients: BTreeMap<ClientName, Entry>,
    /// Clients in the order in which they left.
    order: BTreeMap<u64, ClientName>,
    /// Counts entries.
    number: u64,
    names: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    doubts: Doubts,
}

impl DoubtBook {
    /// Adds what a stream left.
    pub(super) fn put(&mut self, client: ClientName, left: Doubts) {
        let mut doubts = self.take(&client);
        for (kind, names) in left {
            doubts.entry(kind).or_default().extend(names);
        }
        if doubts.is_empty() {
            return;
        }
        self.names += count(&doubts);
        self.number += 1;
        self.order.insert(self.number, client.clone());
        self.clients.insert(client, Entry { number: self.number, doubts });
        while self.clients.len() > MAX_CLIENTS || self.names > MAX_NAMES {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.take(&oldest);
        }
    }

    /// Takes out what is known of a client.
    pub(super) fn take(&mut self, client: &ClientName) -> Doubts {
        let Some(Entry { number, doubts }) = self.clients.remove(client) else { return Doubts::new() };
        self.order.remove(&number);
        self.names -= count(&doubts);
        doubts
    }

    /// Whether nothing is in doubt.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.order.is_empty() && self.names == 0
    }
}

fn count(doubts: &Doubts) -> usize {
    doubts.values().map(|names| names.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ResourceType;

    fn client(n: usize) -> ClientName {
        ClientName { gateway: "ns/gw".into(), node_id: format!("{n}").into() }
    }

    fn doubts(names: usize) -> Doubts {
        Doubts::from([(ResourceType::Cluster, (0..names).map(|n| format!("{n}").into()).collect())])
    }

    #[test]
    fn bounded() {
        let mut book = DoubtBook::default();
        (0..MAX_CLIENTS + 10).for_each(|n| book.put(client(n), doubts(1)));
        assert_eq!((book.clients.len(), book.names), (MAX_CLIENTS, MAX_CLIENTS));
        assert_eq!(book.take(&client(9)), Doubts::new(), "the oldest went");
        assert_eq!(book.take(&client(10)), doubts(1));
        for n in 0..11 {
            book.put(client(n), doubts(MAX_NAMES / 10));
        }
        assert!(book.names <= MAX_NAMES);
        assert_eq!((book.take(&client(0)), book.take(&client(10))), (Doubts::new(), doubts(MAX_NAMES / 10)));
        (0..MAX_CLIENTS + 10).for_each(|n| drop(book.take(&client(n))));
        assert!(book.is_empty());
    }
}
