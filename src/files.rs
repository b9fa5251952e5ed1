//! A folder of Kubernetes manifests as a source: the embedded default, so that everything runs without a cluster.
//!
//! [`load`] reads a folder once, for `check`. [`run`] keeps reading it: changes are noticed by the operating system's
//! notifications, a burst of them becomes one [`Delta`](crate::model::Delta), and only real differences travel.
//!
//! Invariants: a broken file keeps what it last said and never harms another file; every problem names its file, line
//! and column; nothing is removed on a single look (`doubt_keeps`). This module knows no graph and no Envoy.

mod folder;
mod load;
mod manifest;
mod notice;
mod report;
mod run;
mod walk;
mod yaml;

pub use load::{Loaded, LoadedObject, load};
pub use report::{FileProblem, FilesError, Origin, Place, Severity};
pub use run::{FilesConfig, Findings, OnBrokenFile, SOURCE, run};
