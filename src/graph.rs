//! The incremental collection graph: collections derived from collections by pure functions.
//!
//! It exists so that the work of one change is proportional to what the change affects, and so that "is
//! everything there?" has an exact answer. Rows enter through inputs; [`Graph::epoch`] applies a batch and runs
//! every affected node once, in topological order.
//!
//! Invariant: after each epoch every collection equals what a computation from scratch over the rows let in
//! would give, whatever the order in which they came. No key is ever taken for absent that is only unknown.
//!
//! This module knows no Kubernetes, no Envoy and no tokio. It keeps no last value, and no clock decides anything.
//!
//! ```
//! use std::sync::Arc;
//! use syncgate::graph::{GraphBuilder, Index, Lens, Out, Stop};
//!
//! /// The services that select a pod by its label, as (service, pod) → address.
//! fn members(
//!     pod: &u32,
//!     labelled: &Arc<(u8, &'static str)>,
//!     services: Lens<'_, Index<u8, u32, u8>>,
//!     out: &mut Out<(u32, u32), &'static str>,
//! ) -> Result<(), Stop> {
//!     for (service, _) in services.of(&labelled.0)? {
//!         out.put((service, *pod), labelled.1);
//!     }
//!     Ok(())
//! }
//!
//! let mut builder = GraphBuilder::new();
//! let pods = builder.input("pods");
//! let services = builder.input("services");
//! let selected = builder.index("services by selector", services, |_, selector, out| out.push(*selector));
//! let members = builder.derive("members", pods).reading(selected).rows(members);
//! let mut graph = builder.build();
//!
//! let epoch = graph.epoch(|batch| {
//!     batch.put(pods, 1, Arc::new((7, "10.0.0.1")));
//!     batch.put(services, 20, Arc::new(7));
//!     batch.complete(services);
//! });
//! assert_eq!(epoch.changes(members), [((20, 1), Some(Arc::new("10.0.0.1")))]);
//! println!("{}", graph.explain(members, &(20, 1)).expect("the row is there"));
//! ```
//!
//! # What cannot be written
//! A cycle has no spelling, because a handle exists only after its node:
//! ```compile_fail,E0425
//! # use syncgate::graph::GraphBuilder;
//! # let mut builder = GraphBuilder::new();
//! let first = builder.derive::<u8, u8>("first", second).rows::<u8, u8>(|_, _, _| Ok(()));
//! let second = builder.derive::<u8, u8>("second", first).rows::<u8, u8>(|_, _, _| Ok(()));
//! ```
//! A handle has no read method, so what a transform did not declare it cannot read:
//! ```compile_fail,E0599
//! # use syncgate::graph::{GraphBuilder, Input};
//! # let mut builder = GraphBuilder::new();
//! let services: Input<u8, u8> = builder.input("services");
//! services.rows().get(&1);
//! ```
//! nor is there a lens for it:
//! ```compile_fail,E0593
//! # use syncgate::graph::{GraphBuilder, Input, Lens, Rows};
//! # let mut builder = GraphBuilder::new();
//! # let (pods, services): (Input<u8, u8>, Input<u8, u8>) = (builder.input("pods"), builder.input("services"));
//! builder.derive("members", pods).rows::<u8, u8>(|_, _, services: Lens<'_, Rows<u8, u8>>, _| Ok(()));
//! ```
//! A transform is a plain `fn`; state cannot be captured:
//! ```compile_fail,E0308
//! # use syncgate::graph::{GraphBuilder, Input};
//! # let mut builder = GraphBuilder::new();
//! # let pods: Input<u8, u8> = builder.input("pods");
//! let seen = std::cell::Cell::new(0);
//! builder.derive("members", pods).rows::<u8, u8>(|_, _, _| Ok(seen.set(seen.get() + 1)));
//! ```
//! Nor can a transform keep a lens for later, since it lives for one run only:
//! ```compile_fail,E0521
//! # use std::cell::Cell;
//! # use syncgate::graph::{GraphBuilder, Input, Lens, Rows};
//! # let mut builder = GraphBuilder::new();
//! # let (pods, services): (Input<u8, u8>, Input<u8, u8>) = (builder.input("pods"), builder.input("services"));
//! thread_local!(static KEPT: Cell<Option<Lens<'static, Rows<u8, u8>>>> = const { Cell::new(None) });
//! builder.derive("members", pods).reading(services).rows::<u8, u8>(|_, _, services, _| Ok(KEPT.set(Some(services))));
//! ```

mod batch;
mod builder;
mod candidates;
mod collection;
mod dependents;
mod derive;
mod epoch;
mod explain;
mod fold;
mod handle;
mod index;
mod input;
mod interner;
mod lens;
mod mutant;
mod node;
mod parallel;
mod puts;
mod reads;
mod slots;
mod stats;
mod stop;
mod table;
mod view;
mod watch;

use std::fmt::Debug;
use std::hash::Hash;

pub use batch::Batch;
pub use builder::{Derive, FoldBuilder, GraphBuilder};
pub use epoch::{Epoch, Graph};
pub use explain::{Answer, Explanation, Role};
pub use fold::{Fold, Member};
pub use handle::{Index, Input, Present, Rows};
pub use lens::{Lens, Out};
pub use reads::{ReadSet, RoomFor};
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
