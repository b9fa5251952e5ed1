//! Collections the naive way: plain maps, computed from scratch by plain loops. Shares nothing with the engine
//! but the types of rows and stops.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use crate::graph::{Key, Out, Scope, Stop, Value};

/// What was looked up in one run: (lens, key).
pub(super) type Asked = RefCell<BTreeSet<(usize, String)>>;

/// Rows and what is known of the others.
#[derive(Debug, Clone)]
pub(super) struct Naive<K, V> {
    pub(super) name: &'static str,
    pub(super) rows: BTreeMap<K, Arc<V>>,
    pub(super) pending: BTreeSet<K>,
    pub(super) absent: BTreeSet<K>,
    pub(super) complete: bool,
}

impl<K: Key, V: Value> Naive<K, V> {
    pub(super) fn new(name: &'static str, rows: BTreeMap<K, Arc<V>>, complete: bool) -> Self {
        Self { name, rows, pending: BTreeSet::new(), absent: BTreeSet::new(), complete }
    }

    pub(super) fn put(&mut self, key: K, value: Arc<V>) {
        self.delete(&key);
        self.rows.insert(key, value);
    }

    pub(super) fn delete(&mut self, key: &K) {
        self.rows.remove(key);
        self.pending.remove(key);
        self.absent.remove(key);
    }

    pub(super) fn pending(&mut self, key: K) {
        if !self.rows.contains_key(&key) {
            self.absent.remove(&key);
            self.pending.insert(key);
        }
    }

    pub(super) fn absent(&mut self, key: &K) {
        self.delete(key);
        if !self.complete {
            self.absent.insert(key.clone());
        }
    }

    pub(super) fn complete(&mut self) {
        self.complete = true;
        self.absent.clear();
    }

    pub(super) fn retract(&mut self, owned: impl Fn(&K) -> bool) {
        self.rows.retain(|key, _| !owned(key));
        self.pending.retain(|key| !owned(key));
        self.absent.retain(|key| !owned(key));
    }
}

/// A naive lens; what the engine's `Lens` is to its collections.
pub(super) struct Eye<'a, K, V> {
    pub(super) of: &'a Naive<K, V>,
    pub(super) lens: usize,
    pub(super) asked: &'a Asked,
}

fn pending<T>(node: &'static str, key: &dyn Debug) -> Result<T, Stop> {
    Err(Stop::Pending(Scope { node: node.into(), key: format!("{key:?}") }))
}

impl<K: Key, V: Value> Eye<'_, K, V> {
    pub(super) fn get(&self, key: &K) -> Result<Option<Arc<V>>, Stop> {
        self.asked.borrow_mut().insert((self.lens, format!("{key:?}")));
        if let Some(value) = self.of.rows.get(key) {
            return Ok(Some(value.clone()));
        }
        let unknown = self.of.pending.contains(key) || !(self.of.complete || self.of.absent.contains(key));
        if unknown { pending(self.of.name, key) } else { Ok(None) }
    }

    pub(super) fn scan(&self) -> Result<Vec<(K, Arc<V>)>, Stop> {
        self.asked.borrow_mut().insert((self.lens, "*".to_owned()));
        if !self.of.complete {
            return pending(self.of.name, &format_args!("*"));
        }
        Ok(self.of.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// A naive lens on an index: looks at all rows each time.
pub(super) struct IndexEye<'a, I, K, V> {
    pub(super) name: &'static str,
    pub(super) of: &'a Naive<K, V>,
    pub(super) keys: fn(&K, &V, &mut Vec<I>),
    pub(super) lens: usize,
    pub(super) asked: &'a Asked,
}

impl<I: Key, K: Key, V: Value> IndexEye<'_, I, K, V> {
    fn found(&self, index: &I) -> Vec<(K, Arc<V>)> {
        self.asked.borrow_mut().insert((self.lens, format!("{index:?}")));
        let mut found = Vec::new();
        for (key, value) in &self.of.rows {
            let mut keys = Vec::new();
            (self.keys)(key, value, &mut keys);
            if keys.contains(index) {
                found.push((key.clone(), value.clone()));
            }
        }
        found
    }

    pub(super) fn of(&self, index: &I) -> Result<Vec<(K, Arc<V>)>, Stop> {
        let found = self.found(index);
        if self.of.complete { Ok(found) } else { pending(self.name, index) }
    }

    pub(super) fn any(&self, index: &I) -> Result<bool, Stop> {
        let any = !self.found(index).is_empty();
        if any || self.of.complete { Ok(any) } else { pending(self.name, index) }
    }
}

/// What a derive should come to.
#[derive(Debug)]
pub(super) struct Derived<K, V> {
    pub(super) rows: Naive<K, V>,
    pub(super) stops: Vec<(String, Stop)>,
    pub(super) collisions: usize,
    /// The sum of the look-ups of all primary rows.
    pub(super) entries: usize,
    /// Distinct look-ups.
    pub(super) dependencies: usize,
}

/// Derives from scratch.
pub(super) fn derive<K: Key, V: Value, K2: Key, V2: Value>(
    name: &'static str,
    primary: &Naive<K, V>,
    complete: bool,
    transform: impl Fn(&K, &Arc<V>, &Asked, &mut Out<K2, V2>) -> Result<(), Stop>,
) -> Derived<K2, V2> {
    let mut rows: BTreeMap<K2, Arc<V2>> = BTreeMap::new();
    let (mut stops, mut collisions, mut entries) = (Vec::new(), 0, 0);
    let mut all = BTreeSet::new();
    for (key, value) in &primary.rows {
        let (asked, mut out) = (Asked::default(), Out::default());
        let result = transform(key, value, &asked, &mut out);
        entries += asked.borrow().len();
        all.extend(asked.into_inner());
        if let Err(stop) = result {
            stops.push((format!("{key:?}"), stop));
            continue;
        }
        for (key, value) in out.rows.into_iter().collect::<BTreeMap<_, _>>() {
            // Primary rows come in the order of their keys: who is first is the smallest.
            if let std::collections::btree_map::Entry::Vacant(place) = rows.entry(key) {
                place.insert(value);
            } else {
                collisions += 1;
            }
        }
    }
    Derived { rows: Naive::new(name, rows, complete), stops, collisions, entries, dependencies: all.len() }
}
