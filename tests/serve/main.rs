//! `syncgate serve` as its users meet it: the built program on free ports, its probes, streams, metrics, logs and end.
//!
//! Nothing here waits for a time to pass: conditions are polled, with a bound.

mod ads;
mod ending;
mod gated;
mod inside;
mod limits;
mod manifests;
mod metrics;
mod process;
mod starting;
