//! Rows of several producers in one collection, each under the key that it has already.

use std::sync::Arc;

use crate::graph::{Fold, Member, Value};

/// The one row of a key. No two producers may have a key in common.
#[derive(Debug)]
pub(crate) struct Only<V>(Option<Arc<V>>);

impl<V> Default for Only<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K, V: Value + Clone> Fold<K> for Only<V> {
    type Row = V;

    fn row(&mut self, _: &K) -> Option<V> {
        self.0.as_deref().cloned()
    }
}

impl<K, V> Member<K, V> for Only<V> {
    fn put(&mut self, _: &K, value: &Arc<V>) {
        self.0 = Some(value.clone());
    }

    fn del(&mut self, _: &K, _: &Arc<V>) {
        self.0 = None;
    }
}
