//! Indexes: the rows of a collection filed under keys that a function reads out of them.

use std::sync::Arc;

use super::collection::Collection;
use super::{Key, Rows, Stop, Value};

/// The state of an index.
#[derive(Debug)]
pub struct IndexNode<I, K, V> {
    pub(crate) over: Rows<K, V>,
    keys: fn(&K, &V, &mut Vec<I>),
}

impl<I: Key, K: Key, V: Value> IndexNode<I, K, V> {
    pub(crate) fn members(&self, _rows: &Collection<K, V>, _index: &I) -> Vec<(K, Arc<V>)> {
        Vec::new()
    }
    pub(crate) fn has(&self, _index: &I) -> bool {
        false
    }
    pub(crate) fn pending(&self, _index: &I) -> Stop {
        Stop::Fault(super::Fault::new(""))
    }
}
