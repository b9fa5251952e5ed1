//! How many streams, or connections, each identity has, and the room that its larger requests share.
//!
//! Invariant (`bounded`): one identity cannot take the places of all others. Loopback has no bound of its own: whoever is
//! on this machine has other ways to disturb it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use arcstr::ArcStr;

use super::lock;
use crate::lobby::origin;
use crate::xds::access::Identity;
use crate::xds::room::Room;

/// The streams, or the connections, of each identity that has any.
#[derive(Debug, Default)]
pub(in crate::xds) struct Census {
    accounts: Mutex<HashMap<ArcStr, Account>>,
    /// Room for the larger requests of each identity, in bytes; none where nobody asks for it.
    room: usize,
}

#[derive(Debug)]
struct Account {
    count: usize,
    room: Room,
}

/// Who has as many as it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} has {count} of them, as many as it may: raise --xds-max-streams-per-identity if that is right")]
pub(in crate::xds) struct Full {
    name: ArcStr,
    count: usize,
}

/// One that counts, as long as this is held.
#[derive(Debug)]
pub(in crate::xds) struct Counted {
    census: Arc<Census>,
    name: ArcStr,
    room: Room,
}

impl Census {
    /// One whose identities have so much room each.
    pub(in crate::xds) fn with_room(bytes: usize) -> Census {
        Census { room: bytes, ..Census::default() }
    }

    /// Counts one more of this peer.
    ///
    /// # Errors
    /// If its identity has `limit` of them.
    pub(in crate::xds) fn enter(
        self: &Arc<Census>,
        identity: &Identity,
        address: IpAddr,
        limit: usize,
    ) -> Result<Counted, Full> {
        let limit = if *identity == Identity::Loopback { usize::MAX } else { limit };
        let name = name(identity, address);
        let mut accounts = lock(&self.accounts);
        let account = accounts.entry(name.clone());
        let account = account.or_insert_with(|| Account { count: 0, room: Room::new(self.room) });
        if account.count >= limit {
            return Err(Full { name, count: account.count });
        }
        account.count += 1;
        let room = account.room.clone();
        Ok(Counted { census: self.clone(), name, room })
    }
}

/// What an identity counts by: a ServiceAccount is the same by certificate and by token.
fn name(identity: &Identity, address: IpAddr) -> ArcStr {
    match identity {
        Identity::Loopback => arcstr::format!("{identity}"),
        known => known.account().unwrap_or_else(|| {
            // Whoever shows nothing is told apart by the address.
            arcstr::format!("{} at {}", Identity::Unknown, origin(address))
        }),
    }
}

impl Counted {
    /// Room for the larger requests of its identity.
    pub(in crate::xds) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Counts among those of another identity instead.
    ///
    /// # Errors
    /// If that one has `limit` of them; then nothing changes.
    pub(in crate::xds) fn becomes(&mut self, identity: &Identity, address: IpAddr, limit: usize) -> Result<(), Full> {
        *self = self.census.enter(identity, address, limit)?;
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut accounts = lock(&self.census.accounts);
        if let Some(account) = accounts.get_mut(&self.name) {
            account.count -= 1;
            if account.count == 0 {
                accounts.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::access::Name;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn bounded_an_identity_has_so_many_streams_and_leaves_the_others_theirs() {
        let census = Arc::new(Census::default());
        let unknown = |at| census.enter(&Identity::Unknown, at, 2);
        let (one, two) = (unknown(HERE).expect("free"), unknown(HERE).expect("free"));
        let refused = unknown(HERE).expect_err("two are open");
        assert!(refused.to_string().starts_with("a peer without identity at 192.0.2.1 has 2 of them"), "{refused}");
        let other = unknown(THERE).expect("another one");
        let local: Vec<_> = (0..10).map(|_| census.enter(&Identity::Loopback, HERE, 2).expect("no bound")).collect();
        drop(one);
        drop(unknown(HERE).expect("one has gone"));
        drop((two, other, local));
        assert!(lock(&census.accounts).is_empty(), "gone is gone");
    }

    #[test]
    fn bounded_an_account_is_the_same_by_certificate_and_by_token() {
        let census = Arc::new(Census::default());
        let token = Identity::of_token("shop/envoy".into());
        let names = [Name::ServiceAccount("shop/envoy".into()), Name::Other("https://mesh".into())];
        let certificate = Identity::Certificate(Arc::new(names));
        let nameless = Identity::Certificate(Arc::new([]));
        let _one = census.enter(&certificate, HERE, 1).expect("free");
        let refused = census.enter(&token, THERE, 1).expect_err("one is there");
        assert!(refused.to_string().starts_with("ServiceAccount shop/envoy has 1 of them"), "{refused}");
        let mut unknown = census.enter(&nameless, HERE, 1).expect("free");
        assert!(census.enter(&Identity::Unknown, HERE, 1).is_err(), "a certificate that names nobody is nobody's");
        unknown.becomes(&token, HERE, 1).expect_err("still full");
        unknown.becomes(&token, HERE, 2).expect("free");
        assert!(census.enter(&Identity::Unknown, HERE, 1).is_ok(), "its former place is free");
    }
}
