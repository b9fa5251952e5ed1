//! The graph's decisions one by one, and the engine against a naive model.

mod api;
mod decisions;
mod leaks;
mod model;
mod naive;
mod world;
