//! Namespaces, for `allowedRoutes` by selector.

use super::Labels;

/// A Namespace: its labels are all that translation reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.labels`. `kubernetes.io/metadata.name` is always there, as the API server would set it.
    pub labels: Labels,
}
