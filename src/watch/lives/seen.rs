//! The Namespaces that are known to exist, as they were told last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arcstr::ArcStr;
use tokio::sync::Notify;

use crate::model::{Delta, Event, Kind, Namespace, Object};
use crate::watch::Selection;

/// What was told of Namespaces. Those that may not be seen are among them, as unavailable.
#[derive(Debug, Default)]
pub(in crate::watch) struct Seen {
    rows: Mutex<BTreeMap<ArcStr, Arc<Namespace>>>,
    changed: Notify,
}

impl Seen {
    /// Takes what is said of Namespaces on its way to the door.
    pub(in crate::watch) fn hear(&self, delta: &Delta) {
        let mut rows = self.lock();
        let mut heard = false;
        for event in &delta.events {
            match event {
                Event::Put(object, Object::Namespace(namespace)) => {
                    rows.insert(object.key.name.clone(), namespace.clone());
                }
                Event::Delete(object) if object.kind == Kind::Namespace => {
                    rows.remove(&object.key.name);
                }
                _ => continue,
            }
            heard = true;
        }
        drop(rows);
        if heard {
            self.changed.notify_one();
        }
    }

    /// Completes when something was heard since the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// One Namespace.
    pub(in crate::watch) fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.lock().get(name).cloned()
    }

    /// All but these.
    pub(in crate::watch) fn but(&self, names: &BTreeSet<ArcStr>) -> Vec<ArcStr> {
        self.lock().keys().filter(|name| !names.contains(*name)).cloned().collect()
    }

    /// Those with the labels that are selected.
    pub(super) fn matching(&self, selection: &Selection) -> BTreeSet<ArcStr> {
        let Some(selector) = &selection.selector else { return BTreeSet::new() };
        let rows = self.lock();
        rows.iter().filter(|(_, namespace)| selector.matches(&namespace.labels)).map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ArcStr, Arc<Namespace>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
