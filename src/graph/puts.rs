//! What each primary row of a derive put: none, one or two rows mostly, which takes four or twelve bytes.

use super::interner::Slot;
use super::slots::Slots;

/// By slot of a primary row: the slots of the rows it put, sorted.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    of: Slots<Put>,
    pairs: Shelf<[Slot; 2]>,
    more: Shelf<Box<[Slot]>>,
}

/// One row by its slot, or where several stand: in the upper two bits. No slot reaches them, since so many rows would not
/// fit into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Put(u32);

const NONE: Put = Put(u32::MAX);
const PAIR: u32 = 1 << 31;
const MORE: u32 = 1 << 30;
const PLACE: u32 = MORE - 1;

impl Default for Put {
    fn default() -> Self {
        NONE
    }
}

impl Puts {
    /// Replaces what a primary row put; what it had put before.
    pub(crate) fn replace(&mut self, source: Slot, slots: Vec<Slot>) -> Vec<Slot> {
        let Self { of, pairs, more } = self;
        let put = of.beside(source);
        let old = match *put {
            NONE => Vec::new(),
            Put(at) if at & PAIR != 0 => pairs.take(at & PLACE).into(),
            Put(at) if at & MORE != 0 => more.take(at & PLACE).into(),
            Put(slot) => vec![slot],
        };
        *put = match slots[..] {
            [] => NONE,
            [slot] => Put(slot),
            [one, two] => Put(PAIR | pairs.add([one, two])),
            _ => Put(MORE | more.add(slots.into())),
        };
        old
    }

    /// Nothing is put any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Values by their place, and the places that are free.
#[derive(Debug, Default)]
struct Shelf<T> {
    values: Slots<T>,
    free: Vec<u32>,
}

impl<T: Default> Shelf<T> {
    fn add(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.values[place] = value;
            return place;
        }
        let place = u32::try_from(self.values.len()).expect("fewer than 2^30 rows fit into memory");
        *self.values.beside(place) = value;
        place
    }

    fn take(&mut self, place: u32) -> T {
        self.free.push(place);
        std::mem::take(&mut self.values[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_given_back_and_places_are_used_again() {
        let mut puts = Puts::default();
        let rounds: [&[Slot]; 6] = [&[], &[7], &[1, 2], &[3, 4, 5], &[6, 8], &[]];
        for row in 0..3 {
            for pair in rounds.windows(2) {
                assert_eq!(puts.replace(row, pair[1].to_vec()), pair[0]);
            }
        }
        assert_eq!((puts.pairs.values.len(), puts.more.values.len()), (1, 1));
    }
}
