//! syncgate: a control plane for Envoy that never serves a half-synced world.
//!
//! ```text
//!  Kubernetes ─► watch ─┐
//!                       ├─► ingest ─► graph + translate ─► snapshot ─► xds ─► Envoy
//!  YAML folder ─► files ┘  (the door)      (epochs)      (per Gateway)   ▲ ACK, NACK
//!                  ▲ wants ◄──┘
//!                    readiness: every part registers; who never finishes keeps the gate shut
//! ```
//!
//! The modules below stand in the order of the data's flow. Which of them may import which is the table in
//! ARCHITECTURE.md, enforced by `tests/architecture.rs`.

pub mod model;

pub mod files;

pub mod watch;

pub mod ingest;

pub mod graph;

pub mod resource;

pub mod translate;

pub mod snapshot;

pub mod render;

pub mod xds;

pub mod lobby;

pub mod readiness;

pub mod metrics;

pub mod admin;

pub mod proto;

pub mod config;

pub mod app;

pub mod cli;
