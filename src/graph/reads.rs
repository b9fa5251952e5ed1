//! The set of lenses that a derive declares: tuples of up to six handles.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

use super::builder::GraphBuilder;
use super::explain::{Explanation, Teller};
use super::interner::Slot;
use super::lens::Log;
use super::node::Nodes;
use super::view::{Address, View};
use super::watch::{Dep, Watch, Wiring, lens_of};
use super::{Key, Lens, Out, Stop, Value};

/// The handles a derive reads, in the order of declaration. Not to be implemented outside the graph.
pub trait ReadSet: Copy + Send + 'static {
    /// The transform's type: a plain `fn` that gets one lens for each handle.
    type Transform<K: Key, V: Value, K2: Key, V2: Value>: Copy + Send + Sync + 'static;
    /// The states of the nodes that are read.
    #[doc(hidden)]
    type Sources<'a>: Copy + Send + Sync;
    /// What was looked up in some runs.
    #[doc(hidden)]
    type Logs: Default + Send;
    /// Who depends on what.
    #[doc(hidden)]
    type Watches: Default + Send;

    #[doc(hidden)]
    fn addresses(self) -> Vec<Address>;
    #[doc(hidden)]
    fn open<'a>(self, nodes: Nodes<'a>) -> Self::Sources<'a>;
    /// Runs the transform for one row.
    #[doc(hidden)]
    fn call<'a, K: Key, V: Value, K2: Key, V2: Value>(
        transform: Self::Transform<K, V, K2, V2>,
        row: (&K, &Arc<V>),
        sources: Self::Sources<'a>,
        logs: &'a Self::Logs,
        out: &mut Out<K2, V2>,
    ) -> Result<(), Stop>;
    /// Adds the sets of dependencies that this epoch's changes make dirty, with repetitions.
    #[doc(hidden)]
    fn dirty(watches: &Self::Watches, sources: Self::Sources<'_>, dirty: &mut Vec<u32>);
    /// The dependencies made by one logged run, sorted, and the number of scans in it.
    #[doc(hidden)]
    fn record(
        watches: &mut Self::Watches,
        sources: Self::Sources<'_>,
        logs: &mut Self::Logs,
        run: usize,
    ) -> (Vec<u32>, u64);
    /// The watch of the lens that this dependency belongs to.
    #[doc(hidden)]
    fn wiring(watches: &mut Self::Watches, dep: u32) -> Option<&mut dyn Wiring>;
    /// How many distinct (lens, key) pairs are depended on.
    #[doc(hidden)]
    fn watched(watches: &Self::Watches) -> usize;
    /// The order in which look-ups are told: by lens, then by key.
    #[doc(hidden)]
    fn compare(watches: &Self::Watches, a: u32, b: u32) -> Ordering;
    /// The answer of a look-up, and what made it.
    #[doc(hidden)]
    fn explain(self, watches: &Self::Watches, dep: u32, nodes: Nodes<'_>, teller: &mut Teller) -> Option<Explanation>;
}

/// A set of handles that has room for one more.
pub trait RoomFor<H: View>: ReadSet {
    /// The set with `H` at its end.
    type Extended: ReadSet;
    /// Adds the handle.
    #[doc(hidden)]
    fn with(self, view: H, builder: &mut GraphBuilder) -> Self::Extended;
}

macro_rules! read_set {
    ($($h:ident $n:tt),*) => {
        impl<$($h: View),*> ReadSet for ($($h,)*) {
            type Transform<K: Key, V: Value, K2: Key, V2: Value> =
                fn(&K, &Arc<V>, $(Lens<'_, $h>,)* &mut Out<K2, V2>) -> Result<(), Stop>;
            /// The last part keeps the tuple of nothing from being `()`.
            type Sources<'a> = ($($h::Source<'a>,)* PhantomData<&'a ()>,);
            type Logs = ($(Log<$h::Key>,)*);
            type Watches = ($(Watch<$h>,)*);

            fn addresses(self) -> Vec<Address> {
                vec![$(self.$n.address()),*]
            }

            fn open<'a>(self, _nodes: Nodes<'a>) -> Self::Sources<'a> {
                ($(self.$n.open(_nodes),)* PhantomData,)
            }

            fn call<'a, K: Key, V: Value, K2: Key, V2: Value>(
                transform: Self::Transform<K, V, K2, V2>,
                (key, value): (&K, &Arc<V>),
                _sources: Self::Sources<'a>,
                _logs: &'a Self::Logs,
                out: &mut Out<K2, V2>,
            ) -> Result<(), Stop> {
                let result = transform(key, value, $(Lens::<$h>::new(_sources.$n, &_logs.$n),)* out);
                $(_logs.$n.end_run();)*
                result
            }

            fn dirty(_watches: &Self::Watches, _sources: Self::Sources<'_>, _dirty: &mut Vec<Slot>) {
                $(_watches.$n.dirty(_sources.$n, _dirty);)*
            }

            fn record(
                _watches: &mut Self::Watches,
                _sources: Self::Sources<'_>,
                _logs: &mut Self::Logs,
                _run: usize,
            ) -> (Vec<Dep>, u64) {
                let (mut deps, scans) = (Vec::new(), 0);
                $(let scans = scans + u64::from(_watches.$n.record($n, _sources.$n, (&mut _logs.$n, _run), &mut deps));)*
                deps.sort_unstable();
                deps.dedup();
                (deps, scans)
            }

            fn wiring(_watches: &mut Self::Watches, dep: Dep) -> Option<&mut dyn Wiring> {
                match lens_of(dep) {
                    $($n => Some(&mut _watches.$n),)*
                    _ => None,
                }
            }

            fn watched(_watches: &Self::Watches) -> usize {
                0 $(+ _watches.$n.len())*
            }

            fn compare(_watches: &Self::Watches, a: Dep, b: Dep) -> Ordering {
                let keys = || match lens_of(a) {
                    $($n => _watches.$n.key(a).cmp(&_watches.$n.key(b)),)*
                    _ => Ordering::Equal,
                };
                lens_of(a).cmp(&lens_of(b)).then_with(keys)
            }

            fn explain(self, _watches: &Self::Watches, dep: Dep, _nodes: Nodes<'_>, _teller: &mut Teller) -> Option<Explanation> {
                match lens_of(dep) {
                    $($n => Some(self.$n.explain(_nodes, _watches.$n.key(dep), _teller)),)*
                    _ => None,
                }
            }
        }
    };
}

macro_rules! extend {
    ($($h:ident $n:tt),*) => {
        impl<$($h: View,)* Next: View> RoomFor<Next> for ($($h,)*) {
            type Extended = ($($h,)* Next,);

            fn with(self, view: Next, builder: &mut GraphBuilder) -> Self::Extended {
                ($(self.$n,)* view.adopted(builder),)
            }
        }
    };
}

read_set!();
read_set!(A 0);
read_set!(A 0, B 1);
read_set!(A 0, B 1, C 2);
read_set!(A 0, B 1, C 2, D 3);
read_set!(A 0, B 1, C 2, D 3, E 4);
read_set!(A 0, B 1, C 2, D 3, E 4, F 5);

extend!();
extend!(A 0);
extend!(A 0, B 1);
extend!(A 0, B 1, C 2);
extend!(A 0, B 1, C 2, D 3);
extend!(A 0, B 1, C 2, D 3, E 4);
