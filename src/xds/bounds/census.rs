//! How many streams, or connections, each identity has, and what those of one tenant share: room for larger requests,
//! and a pace.
//!
//! A *tenant* is a namespace: whoever owns one has as many ServiceAccounts as it likes. What a bound on identities cannot
//! bound is therefore shared by tenants.
//!
//! Invariant (`bounded`): one identity cannot take the places of all others, and one tenant not the room. Loopback has no bound
//! of its own: whoever is on this machine has other ways to disturb it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use arcstr::ArcStr;

use super::names::Names;
use super::room::Share;
use super::toll::{Payer, Toll};
use crate::lobby::origin;
use crate::xds::access::Identity;
use crate::xds::hub::lock;

/// The streams, or the connections, of each identity that has any.
#[derive(Debug, Default)]
pub(in crate::xds) struct Census {
    books: Mutex<Books>,
    /// Room for the larger requests of each tenant, in bytes; none where nobody asks for it.
    room: usize,
}

#[derive(Debug, Default)]
struct Books {
    /// How many each identity has.
    accounts: HashMap<ArcStr, usize>,
    tenants: HashMap<ArcStr, Tenant>,
    /// Tenants that had none any more, and whose pace was not rested: whoever leaves and comes back owes what it owed.
    tired: VecDeque<ArcStr>,
}

#[derive(Debug)]
struct Tenant {
    count: usize,
    room: Share,
    toll: Arc<Toll>,
    /// What the names of its streams take, in bytes.
    names: Arc<AtomicUsize>,
    /// Whether it is among the tired.
    is_tired: bool,
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
    tenant: ArcStr,
    room: Share,
    toll: Arc<Toll>,
    names: Arc<AtomicUsize>,
}

impl Census {
    /// One whose tenants have so much room each.
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
        let (name, tenant) = (name(identity, address), tenant(identity, address));
        let mut books = lock(&self.books);
        let count = books.accounts.get(&name).copied().unwrap_or_default();
        if count >= limit {
            return Err(Full { name, count });
        }
        books.accounts.insert(name.clone(), count + 1);
        books.forget_the_rested();
        let shared = books.tenants.entry(tenant.clone());
        let shared = shared.or_insert_with(|| Tenant {
            count: 0,
            room: Share::new(self.room),
            toll: Arc::default(),
            names: Arc::default(),
            is_tired: false,
        });
        shared.count += 1;
        let (room, toll, names) = (shared.room.clone(), shared.toll.clone(), shared.names.clone());
        Ok(Counted { census: self.clone(), name, tenant, room, toll, names })
    }
}

impl Books {
    /// Looks at two of the tired whenever somebody comes: so they become fewer, and nobody has to look at all of them.
    fn forget_the_rested(&mut self) {
        for _ in 0..2 {
            let Some(name) = self.tired.pop_front() else { return };
            let Some(tenant) = self.tenants.get_mut(&name) else { continue };
            if tenant.count > 0 {
                tenant.is_tired = false;
            } else if tenant.toll.is_rested() {
                self.tenants.remove(&name);
            } else {
                self.tired.push_back(name);
            }
        }
    }

    fn leave(&mut self, tenant: &ArcStr) {
        let Some(left) = self.tenants.get_mut(tenant) else { return };
        left.count -= 1;
        if left.count > 0 || left.is_tired {
            return;
        }
        if left.toll.is_rested() {
            self.tenants.remove(tenant);
        } else {
            left.is_tired = true;
            self.tired.push_back(tenant.clone());
        }
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

/// Whose it is.
pub(in crate::xds) fn tenant(identity: &Identity, address: IpAddr) -> ArcStr {
    // No namespace is called like a peer that is in none: these have spaces.
    identity.namespace().map_or_else(|| name(identity, address), ArcStr::from)
}

impl Counted {
    /// Room for the larger requests of its tenant.
    pub(in crate::xds) fn room(&self) -> Share {
        self.room.clone()
    }

    /// What the names of one of its streams take, of which all together may take so many bytes.
    pub(in crate::xds) fn names(&self, limit: usize) -> Names {
        Names::new(self.names.clone(), limit)
    }

    /// A stream that pays for what it asks, at this pace of its own.
    pub(in crate::xds) fn pays(&self, per_second: u32) -> Payer {
        self.toll.stream(per_second)
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
        let mut books = lock(&self.census.books);
        if let Some(count) = books.accounts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                books.accounts.remove(&self.name);
            }
        }
        books.leave(&self.tenant);
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
        let books = lock(&census.books);
        assert!(books.accounts.is_empty() && books.tenants.is_empty(), "gone is gone");
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

    #[tokio::test(start_paused = true)]
    async fn bounded_a_tenant_that_comes_back_owes_what_it_owed() {
        let census = Arc::new(Census::default());
        let open = |account: &str| {
            let counted = census.enter(&Identity::of_token(account.into()), HERE, 10).expect("free");
            let payer = counted.pays(1);
            (payer, counted)
        };
        let (payer, counted) = open("shop/a");
        payer.charge(30_000);
        drop((payer, counted));
        let start = tokio::time::Instant::now();
        let again = open("shop/b");
        again.0.pay_for_opening().await;
        assert!(start.elapsed().as_secs() > 10, "{:?}", start.elapsed());
        drop(again);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        drop(open("other/a"));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let _last = census.enter(&Identity::Loopback, HERE, 10);
        let books = lock(&census.books);
        assert_eq!((books.tenants.len(), books.tired.len()), (1, 0), "the rested are forgotten");
    }

    #[test]
    fn bounded_the_accounts_of_a_namespace_share_its_room() {
        let of = |uri: &str| Identity::of_token(uri.into());
        let gateway = Identity::Certificate(Arc::new([Name::Gateway("shop/web".into())]));
        assert_eq!(tenant(&of("shop/a"), HERE), "shop");
        assert_eq!(tenant(&of("shop/b"), THERE), "shop");
        assert_eq!(tenant(&gateway, HERE), "shop");
        assert_ne!(tenant(&of("shopping/a"), HERE), "shop");
        assert_ne!(tenant(&Identity::Unknown, HERE), tenant(&Identity::Unknown, THERE));
    }
}
