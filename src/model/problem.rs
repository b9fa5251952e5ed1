//! What is wrong with an object, as a value: it travels to status, `check`, `explain` and metrics, and stops nothing.

use std::fmt;

use arcstr::ArcStr;

use super::ObjectRef;

/// A problem of one field of an object whose name is known from context.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldProblem {
    /// The field's path as `kubectl explain` spells it, with list positions: `spec.rules[2].filters[0].type`.
    /// Empty for the object as a whole.
    pub field: ArcStr,
    /// What is wrong and how to mend it: a lower-case fragment without a full stop.
    pub message: ArcStr,
}

impl FieldProblem {
    /// A problem of `field`.
    pub fn new(field: impl Into<ArcStr>, message: impl Into<ArcStr>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A problem with its object: kind, namespace, name, field and message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The object that has to be mended.
    pub object: ObjectRef,
    /// The field and what is wrong with it.
    pub at: FieldProblem,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.field.is_empty() {
            write!(f, "{}: {}", self.object, self.at.message)
        } else {
            write!(f, "{}: {}: {}", self.object, self.at.field, self.at.message)
        }
    }
}
