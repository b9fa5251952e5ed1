//! Who else has said the same rows: a namespace that is read because something refers to it may come to be watched, or the other way
//! round, and for a while both have its objects. Whoever ends first must not take away what the other still has.
//!
//! Nothing is kept for a row: the scopes of a namespace take turns, and whoever takes a row back looks whether another has it. In
//! cluster scope no two scopes have the same rows, and there are no owners at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arcstr::ArcStr;

use super::Inner;
use crate::model::ObjectRef;
use crate::watch::target::Target;

/// The places of all namespaces that something is read of.
#[derive(Default)]
pub(in crate::watch) struct Owners {
    places: Mutex<BTreeMap<ArcStr, Weak<Place>>>,
}

/// The scopes of one namespace. Its lock is whose turn it is: taken before a scope's own.
pub(super) struct Place {
    namespace: ArcStr,
    owners: Weak<Owners>,
    scopes: Mutex<Sharers>,
}

/// By what they read.
pub(super) type Sharers = BTreeMap<Target, Vec<Weak<Mutex<Inner>>>>;

impl Owners {
    /// The place of the namespace that these targets are in; `None` for what never has two owners.
    pub(super) fn place(self: &Arc<Self>, targets: &[Target]) -> Option<Arc<Place>> {
        let first = targets.first().filter(|target| !target.kind.is_by_object())?;
        let namespace = first.namespace.clone()?;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(&namespace).and_then(Weak::upgrade) {
            return Some(place);
        }
        let owners = Arc::downgrade(self);
        let place = Arc::new(Place { namespace: namespace.clone(), owners, scopes: Mutex::default() });
        places.insert(namespace, Arc::downgrade(&place));
        Some(place)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.lock().unwrap().len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(owners) = self.owners.upgrade() else { return };
        let mut places = owners.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have taken its name meanwhile.
        if places.get(&self.namespace).is_some_and(|place| place.strong_count() == 0) {
            places.remove(&self.namespace);
        }
    }
}

impl Place {
    /// Whose turn it is.
    pub(super) fn lock(&self) -> MutexGuard<'_, Sharers> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, targets: &[Target], rows: &Arc<Mutex<Inner>>) {
        let mut scopes = self.lock();
        for target in targets {
            scopes.entry(target.clone()).or_default().push(Arc::downgrade(rows));
        }
    }

    /// These rows are nobody's any more.
    pub(super) fn leave(&self, rows: &Arc<Mutex<Inner>>) {
        let left = |other: &Weak<Mutex<Inner>>| std::ptr::eq(other.as_ptr(), Arc::as_ptr(rows));
        let targets: Vec<_> = rows.lock().unwrap_or_else(PoisonError::into_inner).books.keys().cloned().collect();
        let mut scopes = self.lock();
        for target in targets {
            if let Some(sharers) = scopes.get_mut(&target) {
                sharers.retain(|other| !left(other));
                if sharers.is_empty() {
                    scopes.remove(&target);
                }
            }
        }
    }
}

/// Whether another than `own` has said this row and not taken it back. Whoever asks has the turn.
pub(super) fn others_have(sharers: &Sharers, own: *const Mutex<Inner>, object: &ObjectRef) -> bool {
    let whole = Target::all(object.kind, Some(object.key.namespace.clone()));
    let (one, demanded) = (Target::object(object).on_demand(), whole.clone().on_demand());
    [whole, demanded, one].into_iter().any(|target| {
        let others = sharers.get(&target).into_iter().flatten().filter(|other| !std::ptr::eq(other.as_ptr(), own));
        others.filter_map(Weak::upgrade).any(|other| {
            let inner = other.lock().unwrap_or_else(PoisonError::into_inner);
            inner.has_said(&target, &object.key)
        })
    })
}
