//! The books of one scope: which rows its sources have, at which version.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crate::model::{Event, Kind, Object, ObjectKey, ObjectRef};
use crate::watch::target::Target;

/// What one scope has said, and what waits to be.
pub(super) struct Inner {
    pub(super) ended: bool,
    /// Pods may leave while they are listed.
    pub(super) early: bool,
    /// The first lists, until all of them are there.
    pub(super) staged: Option<Staged>,
    pub(super) books: BTreeMap<Target, Book>,
}

/// The first lists, before they are said.
pub(super) struct Staged {
    pub(super) arrived: Instant,
    pub(super) events: Vec<Event>,
    pub(super) lacking: BTreeSet<Target>,
}

/// The rows of one source: each object's version.
#[derive(Default)]
pub(super) struct Book {
    pub(super) rows: HashMap<ObjectKey, u64>,
    /// Of the source whose word counts.
    pub(super) generation: u32,
    /// A list was whole and believed.
    pub(super) listed: bool,
    /// How often its rows were dropped.
    pub(super) drops: u32,
}

/// A list while it is read: swapped in at its end.
#[derive(Debug, Default)]
pub(in crate::watch) struct Gathering {
    pub(super) seen: HashMap<ObjectKey, u64>,
    pub(super) puts: Vec<(ObjectKey, u64, Object)>,
    /// What leaves early is not seen twice: how many have left. `None` where everything waits for the end.
    pub(super) left: Option<usize>,
    pub(super) begun: bool,
    /// How often rows were dropped before it began: what is known already is not gathered, and must be known at the end.
    pub(super) drops: u32,
    /// Objects that could not be read: what was known of them stays.
    pub(super) unread: Vec<ObjectKey>,
}

/// What a list would take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::watch) struct Loss {
    pub(in crate::watch) had: usize,
    pub(in crate::watch) lost: usize,
}

impl Gathering {
    /// Objects read so far.
    pub(in crate::watch) fn len(&self) -> usize {
        self.left.map_or(self.seen.len(), |left| left + self.puts.len())
    }
}

impl Inner {
    /// The book of a source whose word counts.
    pub(super) fn live(&mut self, target: &Target, generation: u32) -> Option<&mut Book> {
        self.books.get_mut(target).filter(|book| !self.ended && book.generation == generation)
    }

    /// Whether this row was said and not taken back.
    pub(super) fn has_said(&self, target: &Target, key: &ObjectKey) -> bool {
        let said = !self.ended && self.staged.is_none();
        said && self.books.get(target).is_some_and(|book| book.rows.contains_key(key))
    }

    /// Whether every source of what leads to pods has delivered.
    pub(super) fn knows_what_leads_to_pods(&self) -> bool {
        let leads = |kind| matches!(kind, Kind::Service | Kind::HttpRoute);
        self.books.iter().filter(|(target, _)| leads(target.kind)).all(|(_, book)| book.listed)
    }

    pub(super) fn retract(&mut self, of: impl Fn(&Target) -> bool) -> Vec<Event> {
        let books = self.books.iter_mut().filter(|(target, _)| of(target));
        let gone = books.flat_map(|(target, book)| {
            book.drops += 1;
            std::mem::take(&mut book.rows).into_keys().map(|key| Event::Delete(ObjectRef::new(target.kind, key)))
        });
        gone.collect()
    }
}

/// Of several events of one object the newest counts.
pub(super) fn newest_of_each(events: &mut Vec<Event>) {
    if events.len() < 2 {
        return;
    }
    let mut seen = std::collections::HashSet::new();
    let newest = |event: &Event| match event {
        Event::Put(object, _) | Event::Delete(object) => seen.insert(object.clone()),
        Event::Listed(_) | Event::Answered(..) | Event::Covers(_) => true,
    };
    events.reverse();
    events.retain(newest);
    events.reverse();
}
