//! What the benchmarks share.

pub(crate) mod callgrind;
pub(crate) mod world;
