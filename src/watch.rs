//! Kubernetes as a source.
//!
//! [`wire`] reads what its API server answers.

pub mod wire;
