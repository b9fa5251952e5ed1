//! Why a row is what it is: the tree of the rows and look-ups that made it.

use std::fmt::{self, Debug};

use arcstr::ArcStr;

/// How a row or a look-up was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// There is such a row.
    Found,
    /// It is known not to exist.
    Absent,
    /// It is not known.
    Pending,
}

/// How a part of an explanation belongs to what stands above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is what was asked for.
    Row,
    /// The row above was derived from it.
    Primary,
    /// It was looked up on the way.
    LookUp,
    /// It is a member of the group above, or was found by the look-up above.
    Member,
    /// It makes a row of the same key and lost against a smaller source key.
    Loser,
}

/// A row or a look-up, and what it was made of, as of the last epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The node's name.
    pub node: ArcStr,
    /// The key as its `Debug` form; `*` for a scan.
    pub key: String,
    /// What it is to the explanation above.
    pub role: Role,
    /// What came of it.
    pub answer: Answer,
    /// What made it: the primary row first, then the look-ups, then those that lost; of a fold its members.
    pub from: Vec<Explanation>,
    /// How many parts were left out to keep the whole printable.
    pub left_out: usize,
}

/// How much may still be told: an index look-up of a popular key finds thousands of rows.
pub struct Teller {
    left: usize,
}

impl Default for Teller {
    fn default() -> Self {
        Self { left: 500 }
    }
}

impl Explanation {
    pub(crate) fn new(node: &ArcStr, key: &dyn Debug, answer: Answer) -> Self {
        Self { node: node.clone(), key: format!("{key:?}"), role: Role::Row, answer, from: Vec::new(), left_out: 0 }
    }

    pub(crate) fn in_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Adds what `tell` says of each part, as long as there is room.
    pub(crate) fn tell<T>(
        mut self,
        parts: impl IntoIterator<Item = T>,
        teller: &mut Teller,
        mut tell: impl FnMut(T, &mut Teller) -> Option<Explanation>,
    ) -> Self {
        for part in parts {
            if teller.left == 0 {
                self.left_out += 1;
                continue;
            }
            teller.left -= 1;
            self.from.extend(tell(part, teller));
        }
        self
    }

    /// [`tell`](Self::tell) for keys of rows that are members of this.
    pub(crate) fn with<'k, K: 'k>(
        self,
        keys: impl IntoIterator<Item = &'k K>,
        teller: &mut Teller,
        mut tell: impl FnMut(&'k K, &mut Teller) -> Option<Explanation>,
    ) -> Self {
        self.tell(keys, teller, |key, teller| Some(tell(key, teller)?.in_role(Role::Member)))
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let role = match self.role {
            Role::Row => "",
            Role::Primary => "from ",
            Role::LookUp => "looked up ",
            Role::Member => "with ",
            Role::Loser => "hides a row from ",
        };
        let answer = match self.answer {
            Answer::Found => "",
            Answer::Absent => ": absent",
            Answer::Pending => ": pending",
        };
        writeln!(f, "{:indent$}{role}{} {}{answer}", "", self.node, self.key, indent = depth * 2)?;
        for part in &self.from {
            part.print(f, depth + 1)?;
        }
        if self.left_out > 0 {
            writeln!(f, "{:indent$}… and {} more", "", self.left_out, indent = depth * 2 + 2)?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, 0)
    }
}
