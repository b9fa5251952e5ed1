//! From domain rows to Envoy resources: the graph's nodes, drawn with pure transforms.
//!
//! Architecture invariant: nothing here waits, logs, reads a clock or keeps state of its own; what a transform
//! yields depends on the rows it read and on nothing else.

pub mod clusters;
pub mod endpoints;
pub mod keys;
