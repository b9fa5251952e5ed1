//! The ADS server: what connected Envoys are told, and when.
//!
//! ```text
//!                      hub: the published world, one channel for each Gateway
//!                       │ snapshots
//!  Envoy ◄─ service ─► stream ─► session: the protocol's rules, without IO, with a clock that is passed in
//!            (grpc, wire)
//! ```
//!
//! Numbered rules are those of the xDS protocol that the tests `rule_NN_…` show. Invariants kept here: `gated` (no
//! answer before the world is whole), `make_before_break`, `nack_is_unknown`, `doubt_keeps` and `own_only`.
//!
//! This module knows no Kubernetes and no graph: it serves [snapshots](crate::snapshot) of encoded resources.

mod client;
mod grpc;
mod hub;
mod message;
mod serve;
mod service;
mod session;
mod stream;
mod wire;

pub use client::ClientName;
pub use hub::{ClientView, Hub};
pub use message::{Ask, Body, Request, Response, Variant};
pub use serve::{ServeError, serve};
pub use service::{AdsService, service};
pub use session::{Answer, Doubts, Limits, Progress, Refusal, Session, TooManyNames};
pub use stream::Settings;
pub use wire::encode;
