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
    /// Those that wait: by what they hold, and by age.
    waiting: BTreeMap<(usize, u64), Wish>,
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
                tenant.waiting.insert((self.bytes, self.age), Wish { bytes, granted });
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
        tenant.waiting.remove(&(held, age));
        tenant.held -= held;
        self.held -= held;
        if tenant.claims.is_empty() {
            self.tenants.remove(&key);
        }
    }

    /// Grants what can be granted.
    fn serve(&mut self) {
        while let Some((key, at)) = self.next() {
            let Some(tenant) = self.tenants.get_mut(&key) else { return };
            let Some(wish) = tenant.waiting.remove(&at) else { return };
            tenant.held += wish.bytes;
            *tenant.claims.entry(at.1).or_default() += wish.bytes;
            self.held += wish.bytes;
            // Whoever does not hear of it is about to drop its claim.
            let _ = wish.granted.send(());
        }
    }

    /// Whose turn it is, if what it wishes is to be had.
    fn next(&self) -> Option<(Key, (usize, u64))> {
        self.oldest().or_else(|| {
            let candidates = self
                .tenants
                .iter()
                .filter_map(|(key, tenant)| tenant.candidate().map(|at| (tenant.held, at.1, key, at)));
            let (held, _, key, at) = candidates.min()?;
            let wish = self.tenants.get(key)?.waiting.get(&at)?.bytes;
            // Nobody passes the one whose turn it is: otherwise many small ones would keep a larger one waiting.
            let fits = self.held.saturating_add(wish) <= self.total || (held == 0 && wish <= STEP);
            fits.then_some((*key, at))
        })
    }

    /// The oldest of all, if it waits: it has whatever it wishes.
    fn oldest(&self) -> Option<(Key, (usize, u64))> {
        let (age, key) = self.claims.first_key_value()?;
        let tenant = self.tenants.get(key)?;
        let at = (*tenant.claims.get(age)?, *age);
        tenant.waiting.contains_key(&at).then_some((*key, at))
    }
}

impl Tenant {
    /// Whose turn it is among its own, as far as its share goes.
    fn candidate(&self) -> Option<(usize, u64)> {
        let (next, wish) = self.waiting.first_key_value()?;
        if self.held.saturating_add(wish.bytes) <= self.share {
            return Some(*next);
        }
        let (age, held) = self.claims.first_key_value()?;
        let oldest = (*held, *age);
        self.waiting.contains_key(&oldest).then_some(oldest)
    }
}
