//! What a transform reads and writes through. Every look-up is noted, found or not.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::collection::Collection;
use super::index::IndexNode;
use super::view::View;
use super::{Index, Key, Present, Rows, Stop, Value};

/// Read access to one declared collection or index for the time of one transform.
///
/// `H` is the handle it was declared with: `Lens<'_, Rows<K, V>>`, `Lens<'_, Present<K, V>>` or `Lens<'_, Index<I, K, V>>`.
pub struct Lens<'a, H: View> {
    source: H::Source<'a>,
    log: &'a Log<H::Key>,
}

impl<H: View> Clone for Lens<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: View> Copy for Lens<'_, H> {}

impl<'a, H: View> Lens<'a, H> {
    pub(crate) fn new(source: H::Source<'a>, log: &'a Log<H::Key>) -> Self {
        Self { source, log }
    }
}

impl<K: Key, V: Value> Lens<'_, Rows<K, V>> {
    /// The row of this key; `None` if it is known not to exist.
    ///
    /// Completeness is that of the inputs. A row that is missing because *its* transform stopped is absent here;
    /// a transform whose readers must tell that apart puts a row that says so instead of stopping.
    ///
    /// # Errors
    /// [`Stop::Pending`] if that is not known: the collection is not complete, or the key is marked pending.
    pub fn get(&self, key: &K) -> Result<Option<Arc<V>>, Stop> {
        self.log.looked_up(key);
        let rows: &Collection<K, V> = self.source;
        rows.look_up(key).map(|found| found.cloned())
    }

    /// All rows, sorted by key. The transform is run again for every change of the collection; each scan is
    /// counted in the node's statistics.
    ///
    /// # Errors
    /// [`Stop::Pending`] if the collection is not complete.
    pub fn scan(&self) -> Result<Vec<(K, Arc<V>)>, Stop> {
        self.log.scanned.set(true);
        let rows: &Collection<K, V> = self.source;
        if !rows.complete {
            return Err(rows.pending(&format_args!("*")));
        }
        Ok(rows.table.sorted().into_iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl<K: Key, V: Value> Lens<'_, Present<K, V>> {
    /// Whether this key has a row at the moment. That it has none says nothing about the world as long as the collection
    /// is incomplete; what is derived from it is provisional until then, like everything.
    #[must_use]
    pub fn has(&self, key: &K) -> bool {
        self.log.looked_up(key);
        let rows: &Collection<K, V> = self.source;
        rows.table.get(key).is_some()
    }
}

impl<I: Key, K: Key, V: Value> Lens<'_, Index<I, K, V>> {
    /// The rows filed under this index key, sorted by their keys.
    ///
    /// # Errors
    /// [`Stop::Pending`] if the indexed collection is not complete.
    pub fn of(&self, index: &I) -> Result<Vec<(K, Arc<V>)>, Stop> {
        self.log.looked_up(index);
        let (node, rows): (&IndexNode<I, K, V>, &Collection<K, V>) = self.source;
        if rows.complete { Ok(node.members(rows, index)) } else { Err(node.pending(index)) }
    }

    /// Whether any row is filed under this index key.
    ///
    /// # Errors
    /// [`Stop::Pending`] if none is yet and the indexed collection is not complete.
    pub fn any(&self, index: &I) -> Result<bool, Stop> {
        self.log.looked_up(index);
        let (node, rows): (&IndexNode<I, K, V>, &Collection<K, V>) = self.source;
        match node.slots(index) {
            [] if !rows.complete => Err(node.pending(index)),
            slots => Ok(!slots.is_empty()),
        }
    }
}

/// What a transform looked up through one lens, run after run.
#[derive(Debug)]
pub struct Log<Q> {
    keys: RefCell<Vec<Q>>,
    scanned: Cell<bool>,
    /// For each run: where its keys end, and whether it scanned.
    runs: RefCell<Vec<(usize, bool)>>,
}

impl<Q> Default for Log<Q> {
    fn default() -> Self {
        Self { keys: RefCell::default(), scanned: Cell::new(false), runs: RefCell::default() }
    }
}

impl<Q: Key> Log<Q> {
    fn looked_up(&self, key: &Q) {
        self.keys.borrow_mut().push(key.clone());
    }

    /// Ends one run.
    pub(crate) fn end_run(&self) {
        self.runs.borrow_mut().push((self.keys.borrow().len(), self.scanned.take()));
    }

    /// What the `run`-th run looked up, and whether it scanned.
    pub(crate) fn with_run(&mut self, run: usize, mut seen: impl FnMut(&Q)) -> bool {
        let (runs, keys) = (self.runs.get_mut(), self.keys.get_mut());
        let from = if run == 0 { 0 } else { runs[run - 1].0 };
        let (to, scanned) = runs[run];
        keys[from..to].iter().for_each(&mut seen);
        scanned
    }
}

/// Where a transform puts its rows: none, one or many.
#[derive(Debug)]
pub struct Out<K, V> {
    pub(crate) rows: Vec<(K, Arc<V>)>,
    /// Small values that were put last.
    recent: [Option<Arc<V>>; RECENT],
    next: usize,
}

/// So many small values are remembered, in case that they are put again: the endpoints of a Service say little, and the
/// same of each zone.
const RECENT: usize = 4;
/// A value of up to this many bytes is small: beside what it takes to keep one apart, it is nothing.
const SMALL: usize = 32;

impl<K, V> Default for Out<K, V> {
    fn default() -> Self {
        Self { rows: Vec::new(), recent: [const { None }; RECENT], next: 0 }
    }
}

impl<K: Key, V: Value> Out<K, V> {
    /// Emits a row. A second row of the same key by the same run replaces the first.
    pub fn put(&mut self, key: K, value: V) {
        let shared = if size_of::<V>() <= SMALL { self.shared(value) } else { Arc::new(value) };
        self.put_arc(key, shared);
    }

    /// The value, once for several rows that say the same.
    fn shared(&mut self, value: V) -> Arc<V> {
        if let Some(known) = self.recent.iter().flatten().find(|known| ***known == value) {
            return known.clone();
        }
        let new = Arc::new(value);
        self.recent[self.next % RECENT] = Some(new.clone());
        self.next += 1;
        new
    }

    /// Emits a row that exists already, shared.
    pub fn put_arc(&mut self, key: K, value: Arc<V>) {
        self.rows.push((key, value));
    }
}
