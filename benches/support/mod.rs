//! What the benchmarks share.

pub mod world;
