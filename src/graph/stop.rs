//! Why a transform made no rows. Unknown and wrong are different things, and neither is "absent".

use std::fmt;

use arcstr::ArcStr;

/// A transform stopped; it contributes no rows until it is run again, when something it looked at changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A look-up has no answer yet. Comes from lenses; hand it on with `?`.
    Pending(Scope),
    /// The rows contradict each other or themselves. A value, so that it can reach a status.
    Fault(Fault),
}

/// What a [`Stop::Pending`] waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The name of the node that was read.
    pub node: ArcStr,
    /// The key that was looked up, as its `Debug` form; `*` for a scan.
    pub key: String,
}

/// What is wrong, in words for whoever wrote the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What, where, and how to put it right.
    pub message: ArcStr,
}

impl Fault {
    /// A fault with this message.
    pub fn new(message: impl Into<ArcStr>) -> Self {
        Self { message: message.into() }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(scope) => write!(f, "waits for {} in {}", scope.key, scope.node),
            Self::Fault(fault) => f.write_str(&fault.message),
        }
    }
}
