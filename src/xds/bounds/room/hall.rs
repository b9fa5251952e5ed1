//! Who has how much of the process' room, and who is next. See [room](super).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::STEP;

/// The room of the process. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::xds) struct Hall(Arc<Mutex<Ledger>>);

/// What one tenant may have of it. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::xds) struct Share(Arc<usize>);

/// A request that has room, or waits for some.
#[derive(Debug)]
pub(super) struct Claim {
    hall: Hall,
    share: Share,
    age: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Ledger {
    total: usize,
    held: usize,
    /// Claims that were ever made: the younger one has the larger number.
    made: u64,
    /// Every claim by its age, with its tenant.
    claims: BTreeMap<u64, Key>,
    /// Tenants that have claims.
    tenants: HashMap<Key, Tenant>,
}

/// A share as long as there is one: its address.
type Key = usize;

#[derive(Debug, Default)]
struct Tenant {
    share: usize,
    held: usize,
    /// What each claim holds, by its age.
    claims: BTreeMap<u64, usize>,
    /// Those that wait, by age.
    waiting: BTreeMap<u64, Wish>,
}

/// So many bytes more.
#[derive(Debug)]
struct Wish {
    bytes: usize,
    granted: oneshot::Sender<()>,
}

impl Share {
    /// So many bytes.
    pub(in crate::xds) fn new(bytes: usize) -> Share {
        Share(Arc::new(bytes))
    }

    fn key(&self) -> Key {
        Arc::as_ptr(&self.0).addr()
    }
}

impl Hall {
    /// Room for so many bytes.
    pub(in crate::xds) fn new(bytes: usize) -> Hall {
        let (claims, tenants) = (BTreeMap::new(), HashMap::new());
        Hall(Arc::new(Mutex::new(Ledger { total: bytes, held: 0, made: 0, claims, tenants })))
    }

    /// A claim that has nothing yet.
    pub(super) fn claim(&self, share: &Share) -> Claim {
        let mut ledger = self.ledger();
        ledger.made += 1;
        let (age, key) = (ledger.made, share.key());
        ledger.claims.insert(age, key);
        let tenant = ledger.tenants.entry(key).or_default();
        tenant.share = *share.0;
        tenant.claims.insert(age, 0);
        Claim { hall: self.clone(), share: share.clone(), age, bytes: 0 }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing under the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so much more, once that is right. If this is given up, so is the claim.
    pub(super) async fn grow(&mut self, bytes: usize) {
        let (granted, is_granted) = oneshot::channel();
        {
            let mut ledger = self.hall.ledger();
            if let Some(tenant) = ledger.tenants.get_mut(&self.share.key()) {
                tenant.waiting.insert(self.age, Wish { bytes, granted });
            }
            ledger.serve();
        }
        // The wish is there until it is granted or the claim is gone.
        let _ = is_granted.await;
        self.bytes += bytes;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut ledger = self.hall.ledger();
        ledger.remove(self.share.key(), self.age);
        ledger.serve();
    }
}

impl Ledger {
    fn remove(&mut self, key: Key, age: u64) {
        self.claims.remove(&age);
        let Some(tenant) = self.tenants.get_mut(&key) else { return };
        let held = tenant.claims.remove(&age).unwrap_or_default();
        tenant.waiting.remove(&age);
        tenant.held -= held;
        self.held -= held;
        if tenant.claims.is_empty() {
            self.tenants.remove(&key);
        }
    }

    /// Grants what can be granted.
    fn serve(&mut self) {
        while let Some((key, age)) = self.next() {
            let Some(tenant) = self.tenants.get_mut(&key) else { return };
            let Some(wish) = tenant.waiting.remove(&age) else { return };
            tenant.held += wish.bytes;
            *tenant.claims.entry(age).or_default() += wish.bytes;
            self.held += wish.bytes;
            // Whoever does not hear of it is about to drop its claim.
            let _ = wish.granted.send(());
        }
    }

    /// Whose turn it is, if what it wishes is to be had.
    fn next(&self) -> Option<(Key, u64)> {
        self.oldest().or_else(|| {
            let candidates =
                self.tenants.iter().filter_map(|(key, tenant)| tenant.candidate().map(|age| (tenant.held, age, key)));
            let (held, age, key) = candidates.min()?;
            let wish = self.tenants.get(key)?.waiting.get(&age)?.bytes;
            // Nobody passes the one whose turn it is: otherwise many small ones would keep a larger one waiting.
            let fits = self.held.saturating_add(wish) <= self.total || (held == 0 && wish <= STEP);
            fits.then_some((*key, age))
        })
    }

    /// The oldest of all, if it waits: it has whatever it wishes.
    fn oldest(&self) -> Option<(Key, u64)> {
        let (age, key) = self.claims.first_key_value()?;
        self.tenants.get(key)?.waiting.contains_key(age).then_some((*key, *age))
    }
}

impl Tenant {
    /// Whose turn it is among its own, as far as its share goes.
    fn candidate(&self) -> Option<u64> {
        // Those that began first are the first to be whole: if newer ones had their turn, all would hold some and none would end.
        let (next, wish) = self.waiting.first_key_value()?;
        let fits = self.held.saturating_add(wish.bytes) <= self.share;
        let is_oldest = self.claims.first_key_value().is_some_and(|(oldest, _)| oldest == next);
        (fits || is_oldest).then_some(*next)
    }
}
