//! Folds: the one way to bring rows of several producers under one key.

use std::sync::Arc;

use super::Value;

/// The accumulator of one group. `F::default()` is a group without members.
///
/// A group's row must be a function of the *set* of its members: the order in which they came is not part of
/// the world. A fold that prefers one member to another keeps them all, in an order of its own, so that a loser
/// comes back when the winner goes.
pub trait Fold<G>: Default + Send + 'static {
    /// What a group becomes.
    type Row: Value;
    /// The group's row, or none. Called once in an epoch for each group whose members changed.
    fn row(&mut self, group: &G) -> Option<Self::Row>;
}

/// How rows of one producer enter and leave a group.
pub trait Member<K, V> {
    /// The row came or changed; if it was a member of this group before, `del` is not called in between.
    fn put(&mut self, key: &K, value: &Arc<V>);
    /// The row went, or moved to another group; `value` is what was put last.
    fn del(&mut self, key: &K, value: &Arc<V>);
}
