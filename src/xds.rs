//! The ADS server: what connected Envoys are told, and when.
//!
//! ```text
//!                      hub: the published world, one channel for each Gateway
//!                       │ snapshots
//!  Envoy ◄─ connection ─► service ─► stream ─► session: the protocol's rules, without IO, with a clock that is passed in
//!            (tls)     (access, token) (reader, request, grpc, wire)
//! ```
//!
//! Numbered rules are those of the xDS protocol that the tests `rule_NN_…` show. Invariants kept here: `gated` (no
//! answer before the world is whole), `make_before_break`, `nack_is_unknown`, `doubt_keeps` and `own_only`.
//!
//! This module knows no Kubernetes and no graph: it serves [snapshots](crate::snapshot) of encoded resources.

mod acceptor;
mod access;
mod bounds;
mod client;
mod connection;
mod csds;
mod grpc;
mod hub;
mod message;
mod node;
mod reader;
mod request;
mod serve;
mod service;
mod session;
mod stream;
mod tls;
mod token;
mod wire;
mod words;

pub use access::Access;
pub use client::ClientName;
pub use connection::Bounds;
pub use csds::client_status;
pub use hub::{ClientView, Hub, Marks, TraceBack, Which};
pub use message::{Ask, Body, Request, Response, Variant};
pub use node::NodeInfo;
pub use request::decode;
pub use serve::{Guard, serve};
pub use session::{Answer, Doubts, Holding, Limits, Past, Progress, Refusal, Session, State, TooManyNames};
pub use stream::Settings;
pub use tls::{Tls, TlsError, TlsFiles};
pub use token::{Asked, Authority, IssuerKeys, Review, TokenSettings, Tokens};
pub use wire::encode;
