//! What each primary row of a derive put: none or one row mostly, which is kept in four bytes.

use hashbrown::HashMap;

use super::interner::{Slot, beside};

/// By slot of a primary row: the slots of the rows it put, sorted.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    /// The one row, or [`NONE`], or [`MANY`].
    one: Vec<One>,
    many: HashMap<Slot, Box<[Slot]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct One(Slot);

const NONE: One = One(Slot::MAX);
const MANY: One = One(Slot::MAX - 1);

impl Default for One {
    fn default() -> Self {
        NONE
    }
}

impl Puts {
    /// Replaces what a primary row put; what it had put before.
    pub(crate) fn replace(&mut self, source: Slot, slots: Vec<Slot>) -> Vec<Slot> {
        let one = beside(&mut self.one, source);
        let old = match *one {
            NONE => Vec::new(),
            MANY => self.many.remove(&source).unwrap_or_default().into(),
            One(slot) => vec![slot],
        };
        *one = match slots[..] {
            [] => NONE,
            [slot] => One(slot),
            _ => MANY,
        };
        if slots.len() > 1 {
            self.many.insert(source, slots.into());
        }
        old
    }

    /// Nothing is put any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
