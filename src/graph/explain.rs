//! Why a row is what it is: the tree of the rows and look-ups that made it.

use std::fmt;

use arcstr::ArcStr;

/// How a look-up or a row was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// There is such a row.
    Found,
    /// It is known not to exist.
    Absent,
    /// It is not known.
    Pending,
}

/// A row or a look-up, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The node's name.
    pub node: ArcStr,
    /// The key as its `Debug` form; `*` for a scan.
    pub key: String,
    /// What came of it.
    pub answer: Answer,
    /// What made it: the primary row first, then the look-ups; of a fold its members.
    pub from: Vec<Explanation>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.node, self.key)
    }
}
