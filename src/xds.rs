//! The ADS server: what connected Envoys are told, and when.
//!
//! ```text
//!                    ┌───────────── hub: the published world, one channel for each Gateway
//!  Envoy ◄─► stream ─┤
//!   (service, wire)  └─ session: the protocol's rules, without IO and with a clock that is passed in
//! ```
//!
//! Numbered rules are those of the xDS protocol that the tests `rule_NN_…` show. Invariants kept here: `gated` (no
//! answer before the world is whole), `make_before_break`, `nack_is_unknown` and `own_only`.
//!
//! This module knows no Kubernetes and no graph: it serves [snapshots](crate::snapshot) of encoded resources.

mod client;
mod grpc;
pub mod message;
pub mod session;
mod wire;

pub use client::ClientName;
