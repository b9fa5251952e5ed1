//! JSON trees to domain values: tolerant, with the path of every problem.

use super::{FieldProblem, Object, ObjectRef};

/// One object with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Kind, namespace and name.
    pub at: ObjectRef,
    /// The value. What could not be understood is left out or neutral in it.
    pub object: Object,
    /// Every problem of the object, also those that the value itself carries (a rule's, a listener's), in the order
    /// of the fields.
    pub problems: Vec<FieldProblem>,
}
