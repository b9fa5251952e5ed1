//! Dependencies: for each key that was looked up, found or not, the primary rows that looked it up.
//!
//! They stand with the reader, so that a node that runs asks what it reads for the changed keys and finds its
//! own dirty rows; nothing has to be told across nodes.

use hashbrown::HashSet;

use super::interner::{Interner, Slot, beside};
use super::lens::Log;
use super::mutant::{self, Mutant};
use super::view::View;

/// A dependency of a primary row: the lens in the upper three bits, the slot of the key below, or [`SCAN`].
pub(crate) type Dep = u32;

const LENS_SHIFT: u32 = 29;
const LOCAL: u32 = (1 << LENS_SHIFT) - 1;
/// The row looked at everything.
const SCAN: u32 = LOCAL;

/// The number of the lens that a dependency belongs to.
pub(crate) fn lens_of(dep: Dep) -> usize {
    (dep >> LENS_SHIFT) as usize
}

/// Lists of watching rows beyond this length are sets, so that leaving a popular key costs no search.
const LONG: usize = 32;

/// The primary rows that look at one key.
#[derive(Debug, Default)]
enum Watchers {
    #[default]
    None,
    One(Slot),
    Few(Vec<Slot>),
    Many(Box<HashSet<Slot>>),
}

impl Watchers {
    fn add(&mut self, row: Slot) {
        match self {
            Self::None => *self = Self::One(row),
            Self::One(other) => *self = Self::Few(vec![*other, row]),
            Self::Few(rows) if rows.len() < LONG => rows.push(row),
            Self::Few(rows) => *self = Self::Many(Box::new(rows.drain(..).chain([row]).collect())),
            Self::Many(rows) => _ = rows.insert(row),
        }
    }

    fn remove(&mut self, row: Slot) {
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

    fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    fn collect(&self, dirty: &mut Vec<Slot>) {
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
    watchers: Vec<Watchers>,
    scanners: Watchers,
}

impl<H: View> Default for Watch<H> {
    fn default() -> Self {
        Self { keys: Interner::default(), watchers: Vec::new(), scanners: Watchers::None }
    }
}

/// A [`Watch`] without its types.
pub trait Wiring {
    /// The row depends on this.
    fn attach(&mut self, dep: u32, row: u32);
    /// The row does not any more.
    fn detach(&mut self, dep: u32, row: u32);
    /// How many distinct keys are watched; a scan counts as one.
    fn len(&self) -> usize;
}

impl<H: View> Wiring for Watch<H> {
    fn attach(&mut self, dep: Dep, row: Slot) {
        match dep & LOCAL {
            SCAN => self.scanners.add(row),
            slot => self.watchers[slot as usize].add(row),
        }
    }

    fn detach(&mut self, dep: Dep, row: Slot) {
        let slot = dep & LOCAL;
        if slot == SCAN {
            return self.scanners.remove(row);
        }
        if mutant::is(Mutant::LeaksDependencies) {
            return;
        }
        self.watchers[slot as usize].remove(row);
        if self.watchers[slot as usize].is_empty() {
            self.keys.release(slot);
            if self.keys.is_empty() {
                self.watchers = Vec::new();
            }
        }
    }

    fn len(&self) -> usize {
        self.keys.len() + usize::from(!self.scanners.is_empty())
    }
}

impl<H: View> Watch<H> {
    /// Adds the rows that have to run again for what changed behind this lens in this epoch.
    pub(crate) fn dirty(&self, source: H::Source<'_>, dirty: &mut Vec<Slot>) {
        if H::is_quiet(source) {
            return;
        }
        self.scanners.collect(dirty);
        if self.keys.is_empty() {
            return;
        }
        H::changed(source, &mut |key| {
            if let Some(slot) = self.keys.find(key) {
                self.watchers[slot as usize].collect(dirty);
            }
        });
        if H::flipped(source) && !mutant::is(Mutant::CompletionUnheard) {
            for (slot, _) in self.keys.iter().filter(|(_, key)| !H::is_found(source, key)) {
                self.watchers[slot as usize].collect(dirty);
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
            beside(&mut self.watchers, slot);
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
