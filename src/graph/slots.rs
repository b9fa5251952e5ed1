//! Lists that run beside an interner: one element for each slot, in pages that never move.
//!
//! A list that grows as one piece is copied into a larger one: for that moment both are in memory, and half of the larger one
//! may stay empty. With a hundred thousand rows that is what a process has at its peak.

use std::ops::{Index, IndexMut};

use super::interner::Slot;

/// Elements in a page.
const PAGE: usize = 512;

/// An element for each slot. Every page is full but the last.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// So many slots have an element.
    pub(crate) fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    /// The element of a slot, if it has one.
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (page, place) = place(slot);
        self.pages.get(page)?.get(place)
    }

    /// The element of a slot, if it has one.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (page, place) = place(slot);
        self.pages.get_mut(page)?.get_mut(place)
    }

    /// All elements, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// The elements of some slots, which are sorted, without duplicates.
    pub(crate) fn each_mut<'a>(&'a mut self, slots: &'a [Slot]) -> impl Iterator<Item = &'a mut T> {
        let mut pages = self.pages.iter_mut();
        // The number of the next page, what is left of the one before it, and where that begins.
        let (mut next, mut rest, mut from): (_, &'a mut [T], _) = (0, &mut [], 0);
        slots.iter().map_while(move |slot| {
            let (page, place) = place(*slot);
            if page >= next {
                (rest, from) = (pages.nth(page - next)?, 0);
                next = page + 1;
            }
            let (element, behind) = std::mem::take(&mut rest).get_mut(place - from..)?.split_first_mut()?;
            (rest, from) = (behind, place + 1);
            Some(element)
        })
    }

    /// Adds an element for the next slot.
    fn push(&mut self, element: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < PAGE => last.push(element),
            // The first page grows as far as it is needed: most lists are short.
            first => {
                let room = if first.is_some() { PAGE } else { 0 };
                let mut page = Vec::with_capacity(room);
                page.push(element);
                self.pages.push(page);
            }
        }
    }
}

impl<T: Default> Slots<T> {
    /// The element of a slot, made now if it has none.
    pub(crate) fn beside(&mut self, slot: Slot) -> &mut T {
        while self.len() <= slot as usize {
            self.push(T::default());
        }
        &mut self[slot]
    }
}

impl<T> Index<Slot> for Slots<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        let (page, place) = place(slot);
        &self.pages[page][place]
    }
}

impl<T> IndexMut<Slot> for Slots<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        let (page, place) = place(slot);
        &mut self.pages[page][place]
    }
}

fn place(slot: Slot) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Slot = 3 * PAGE as Slot + 7;

    fn numbers() -> Slots<u32> {
        let mut list = Slots::default();
        (0..SIZE).for_each(|slot| *list.beside(slot) = slot);
        list
    }

    #[test]
    fn every_slot_keeps_its_element_and_none_moves() {
        let mut list = numbers();
        assert_eq!(list.len(), SIZE as usize);
        assert!(list.iter().copied().eq(0..SIZE));
        assert_eq!((list.get(SIZE), list.get(SIZE - 1)), (None, Some(&(SIZE - 1))));
        let second: *const u32 = &raw const list[600];
        assert_eq!(*list.beside(20 * SIZE), 0, "what lies between is made too");
        assert_eq!(second, &raw const list[600]);
    }

    #[test]
    fn several_are_lent_at_once() {
        let mut list = numbers();
        let wanted = [0, 1, 511, 512, 900, 1537, SIZE - 1];
        list.each_mut(&wanted).for_each(|element| *element += 10_000);
        let changed: Vec<u32> = list.iter().copied().filter(|element| *element >= 10_000).collect();
        assert_eq!(changed, wanted.map(|slot| slot + 10_000));
        assert_eq!(list.each_mut(&[5, SIZE]).count(), 1, "what is not there ends it");
    }
}
