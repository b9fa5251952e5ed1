//! The incremental collection graph: collections derived from collections by pure functions.
//!
//! It exists so that the work of one change is proportional to what the change affects, and so that "is
//! everything there?" has an exact answer. Rows enter through inputs; [`Graph::epoch`] applies a batch and runs
//! every affected node once, in topological order.
//!
//! Invariant: after each epoch every collection equals what a computation from scratch over the rows let in
//! would give, whatever the order in which they came. No row is ever taken for absent that is only unknown.
//!
//! This module knows no Kubernetes, no Envoy and no tokio; it holds no clock and no last value.

mod builder;
mod collection;
mod epoch;
mod explain;
mod fold;
mod handle;
mod index;
mod lens;
mod node;
mod reads;
mod stats;
mod stop;
mod table;
mod view;

use std::fmt::Debug;
use std::hash::Hash;

pub use builder::{Derive, FoldBuilder, GraphBuilder};
pub use epoch::{Batch, Epoch, Graph};
pub use explain::{Answer, Explanation};
pub use fold::{Fold, Member};
pub use handle::{Index, Input, Rows};
pub use lens::{Lens, Out};
pub use reads::{Extend, ReadSet};
pub use stats::{NodeKind, NodeStats, Work};
pub use stop::{Fault, Scope, Stop};
pub use view::{Address, Readable, View};

/// What a row is filed under. Implemented for every type that fits; never by hand.
pub trait Key: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static {}
impl<T: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static> Key for T {}

/// What a row says. Equality decides whether a change goes on, so it is derived, never hand-written.
pub trait Value: Eq + Debug + Send + Sync + 'static {}
impl<T: Eq + Debug + Send + Sync + 'static> Value for T {}

#[cfg(test)]
mod tests;
