//! Namespaces, for `allowedRoutes` by selector, and for the life of what is watched in them.

use arcstr::ArcStr;

use super::Labels;

/// A Namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.labels`. `kubernetes.io/metadata.name` is always there, as the API server would set it.
    pub labels: Labels,
    /// `metadata.uid`: another one means that it was deleted and created again; empty when absent (files).
    pub uid: ArcStr,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Why nothing of it is known but its name: a lower-case fragment with the remedy.
    pub unavailable: Option<ArcStr>,
}
