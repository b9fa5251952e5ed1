//! The set of lenses that a derive declares: tuples of up to six handles.

use std::sync::Arc;

use super::lens::Log;
use super::node::Nodes;
use super::view::{Address, View};
use super::{Key, Lens, Out, Stop, Value};

/// The handles a derive reads, in the order of declaration. Not to be implemented outside the graph.
pub trait ReadSet: Copy + Send + 'static {
    /// The transform's type: a plain `fn` that gets one lens for each handle.
    type Transform<K: Key, V: Value, K2: Key, V2: Value>: Copy + Send + Sync + 'static;
    /// The states of the nodes that are read.
    #[doc(hidden)]
    type Sources<'a>: Copy + Send + Sync;
    /// What was looked up.
    #[doc(hidden)]
    type Logs: Default + Send;
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
}

/// A set of handles that has room for one more.
pub trait Extend<H: View>: ReadSet {
    /// The set with `H` at its end.
    type Extended: ReadSet;
    /// Adds the handle.
    fn with(self, view: H) -> Self::Extended;
}

macro_rules! read_set {
    ($($h:ident $n:tt),*) => {
        impl<$($h: View),*> ReadSet for ($($h,)*) {
            type Transform<K: Key, V: Value, K2: Key, V2: Value> =
                fn(&K, &Arc<V>, $(Lens<'_, $h>,)* &mut Out<K2, V2>) -> Result<(), Stop>;
            type Sources<'a> = ($($h::Source<'a>,)*);
            type Logs = ($(Log<$h::Key>,)*);

            fn addresses(self) -> Vec<Address> {
                vec![$(self.$n.address()),*]
            }

            fn open<'a>(self, _nodes: Nodes<'a>) -> Self::Sources<'a> {
                ($(self.$n.open(_nodes),)*)
            }

            fn call<'a, K: Key, V: Value, K2: Key, V2: Value>(
                transform: Self::Transform<K, V, K2, V2>,
                (key, value): (&K, &Arc<V>),
                _sources: Self::Sources<'a>,
                _logs: &'a Self::Logs,
                out: &mut Out<K2, V2>,
            ) -> Result<(), Stop> {
                transform(key, value, $(Lens::<$h>::new(_sources.$n, &_logs.$n),)* out)
            }
        }
    };
}

macro_rules! extend {
    ($($h:ident $n:tt),*) => {
        impl<$($h: View,)* Next: View> Extend<Next> for ($($h,)*) {
            type Extended = ($($h,)* Next,);
            fn with(self, view: Next) -> Self::Extended {
                ($(self.$n,)* view,)
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
