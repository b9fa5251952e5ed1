//! Why a part of a route has no effect, as a value with the reason that its status gives.

use arcstr::ArcStr;

use crate::model::FieldProblem;

/// A rule that cannot be served as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The reason of `Accepted: False` when no rule is left: `UnsupportedValue` or `IncompatibleFilters`.
    pub(crate) reason: &'static str,
    /// The field and what is wrong with it.
    pub(crate) problem: FieldProblem,
}

impl Refusal {
    /// A value that is not served, or that Envoy would refuse.
    pub(crate) fn unsupported(field: impl Into<ArcStr>, message: impl Into<ArcStr>) -> Self {
        FieldProblem::new(field, message).into()
    }

    /// Filters that do not go together.
    pub(crate) fn incompatible(field: impl Into<ArcStr>, message: impl Into<ArcStr>) -> Self {
        Self { reason: "IncompatibleFilters", problem: FieldProblem::new(field, message) }
    }
}

impl From<FieldProblem> for Refusal {
    fn from(problem: FieldProblem) -> Self {
        Self { reason: "UnsupportedValue", problem }
    }
}

/// A reference that leads nowhere. What it stands for answers 500; the rest of the rule stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// The reason of `ResolvedRefs: False`: `BackendNotFound`, `InvalidKind`, `RefNotPermitted` or
    /// `UnsupportedProtocol`; of certificates and authorities those of their [`Sort`](super::proof::Sort).
    pub(crate) reason: &'static str,
    /// The field and what is wrong with it.
    pub(crate) problem: FieldProblem,
}
