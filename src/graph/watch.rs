//! Dependencies: for each key that was looked up, found or not, who looked it up.
//!
//! They stand with the reader, so that a node that runs asks what it reads for the changed keys and finds its
//! own dirty rows; nothing has to be told across nodes.

use hashbrown::HashSet;

use super::interner::{Interner, Slot};
use super::lens::Log;
use super::mutant::{self, Mutant};
use super::slots::Slots;
use super::view::View;

/// A dependency: the lens in the upper three bits, the slot of the key below, or [`SCAN`].
pub(crate) type Dep = u32;

const LENS_SHIFT: u32 = 29;
const LOCAL: u32 = (1 << LENS_SHIFT) - 1;
/// Everything was looked at. No key has this slot: so many would not fit into memory beside their rows.
const SCAN: u32 = LOCAL;

/// The number of the lens that a dependency belongs to.
pub(crate) fn lens_of(dep: Dep) -> usize {
    (dep >> LENS_SHIFT) as usize
}

/// Lists beyond this length are hash sets, so that leaving a large crowd costs no search. Tests set it
/// so low that they meet it.
const LONG: usize = if cfg!(test) { 4 } else { 32 };

/// A set of slots that costs little while it is small.
#[derive(Debug, Default)]
pub(crate) enum Crowd {
    #[default]
    None,
    One(Slot),
    Few(Vec<Slot>),
    Many(Box<HashSet<Slot>>),
}

impl Crowd {
    pub(crate) fn add(&mut self, row: Slot) {
        match self {
            Self::None => *self = Self::One(row),
            Self::One(other) => *self = Self::Few(vec![*other, row]),
            Self::Few(rows) if rows.len() < LONG => rows.push(row),
            Self::Few(rows) => *self = Self::Many(Box::new(rows.drain(..).chain([row]).collect())),
            Self::Many(rows) => _ = rows.insert(row),
        }
    }

    pub(crate) fn remove(&mut self, row: Slot) {
        match self {
            Self::None => {}
            Self::One(other) if *other != row => {}
            Self::One(_) => *self = Self::None,
            Self::Few(rows) => {
                rows.retain(|other| *other != row);
                if let [last] = rows[..] {
                    *self = Self::One(last);
                }
            }
            Self::Many(rows) => {
                rows.remove(&row);
                if rows.len() <= LONG / 2 {
                    *self = Self::Few(rows.iter().copied().collect());
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn collect(&self, dirty: &mut Vec<Slot>) {
        match self {
            Self::None => {}
            Self::One(row) => dirty.push(*row),
            Self::Few(rows) => dirty.extend(rows),
            Self::Many(rows) => dirty.extend(rows.iter()),
        }
    }
}

/// The dependencies of a derive through one of its lenses.
#[derive(Debug)]
pub struct Watch<H: View> {
    keys: Interner<H::Key>,
    askers: Slots<Crowd>,
    scanners: Crowd,
}

impl<H: View> Default for Watch<H> {
    fn default() -> Self {
        Self { keys: Interner::default(), askers: Slots::default(), scanners: Crowd::None }
    }
}

/// A [`Watch`] without its types.
pub trait Wiring {
    /// A set of dependencies with this one in it came.
    fn attach(&mut self, dep: u32, set: u32);
    /// The set is gone.
    fn detach(&mut self, dep: u32, set: u32);
    /// How many distinct keys are watched; a scan counts as one.
    fn len(&self) -> usize;
}

impl<H: View> Wiring for Watch<H> {
    fn attach(&mut self, dep: Dep, set: Slot) {
        match dep & LOCAL {
            SCAN => self.scanners.add(set),
            slot => self.askers[slot].add(set),
        }
    }

    fn detach(&mut self, dep: Dep, set: Slot) {
        let slot = dep & LOCAL;
        if slot == SCAN {
            return self.scanners.remove(set);
        }
        if mutant::is(Mutant::LeaksDependencies) {
            return;
        }
        self.askers[slot].remove(set);
        if self.askers[slot].is_empty() {
            self.keys.release(slot);
            if self.keys.is_empty() {
                self.askers = Slots::default();
            }
        }
    }

    fn len(&self) -> usize {
        self.keys.len() + usize::from(!self.scanners.is_empty())
    }
}

impl<H: View> Watch<H> {
    /// Adds the sets with something in them that changed behind this lens in this epoch.
    pub(crate) fn dirty(&self, source: H::Source<'_>, dirty: &mut Vec<Slot>) {
        if H::is_quiet(source) {
            return;
        }
        if !mutant::is(Mutant::ScanUnheard) {
            self.scanners.collect(dirty);
        }
        if self.keys.is_empty() {
            return;
        }
        H::changed(source, &mut |key| {
            if let Some(slot) = self.keys.find(key) {
                self.askers[slot].collect(dirty);
            }
        });
        if H::flipped(source) && !mutant::is(Mutant::CompletionUnheard) {
            for (slot, _) in self.keys.iter().filter(|(_, key)| !H::is_found(source, key)) {
                self.askers[slot].collect(dirty);
            }
        }
    }

    /// Adds the dependencies that one run of the transform made through this lens. Whether it scanned.
    pub(crate) fn record(
        &mut self,
        lens: usize,
        source: H::Source<'_>,
        (log, run): (&mut Log<H::Key>, usize),
        deps: &mut Vec<Dep>,
    ) -> bool {
        let tag = u32::try_from(lens).expect("a derive has at most six lenses") << LENS_SHIFT;
        let scanned = log.with_run(run, |key| {
            if mutant::is(Mutant::ForgetsNegativeLookUps) && !H::is_found(source, key) {
                return;
            }
            let slot = self.keys.claim(key);
            self.askers.beside(slot);
            deps.push(tag | slot);
        });
        if scanned {
            deps.push(tag | SCAN);
        }
        scanned
    }

    /// The key of a dependency; `None` for a scan.
    pub(crate) fn key(&self, dep: Dep) -> Option<&H::Key> {
        match dep & LOCAL {
            SCAN => None,
            slot => Some(self.keys.key(slot)),
        }
    }
}
