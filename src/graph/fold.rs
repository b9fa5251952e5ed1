//! Folds: the one way to bring rows of several producers under one key.

use std::any::Any;
use std::sync::Arc;

use super::collection::Collection;
use super::explain::{Answer, Explanation, Role, Teller};
use super::interner::{Interner, Slot};
use super::mutant::{self, Mutant};
use super::node::{Node, Nodes, Ran};
use super::slots::Slots;
use super::stats::{NodeStats, Work};
use super::{Key, Rows, Value, parallel};

/// The accumulator of one group. `F::default()` is a group without members.
///
/// A group's row must be a function of the *set* of its members: the order in which they came is not part of
/// the world. A fold that prefers one member to another keeps them all, in an order of its own, so that a loser
/// comes back when the winner goes. Producers of the same types either have different keys or are told apart by
/// their values.
pub trait Fold<G>: Default + Send + 'static {
    /// What a group becomes.
    type Row: Value;
    /// The group's row, or none. Called once in an epoch for each group whose members changed.
    fn row(&mut self, group: &G) -> Option<Self::Row>;
}

/// How rows of one producer enter and leave a group. In an epoch all that leave do so before any enters.
pub trait Member<K, V> {
    /// The row came or changed; if it was a member of this group before, `del` is not called in between.
    fn put(&mut self, key: &K, value: &Arc<V>);
    /// The row went, or moved to another group; `value` is what was put last.
    fn del(&mut self, key: &K, value: &Arc<V>);
}

#[derive(Default)]
struct Group<F> {
    fold: F,
    members: usize,
}

/// All groups of a fold.
pub(crate) struct Groups<F, G> {
    keys: Interner<G>,
    groups: Slots<Group<F>>,
    /// Groups whose members changed in this epoch, with repetitions.
    dirty: Vec<Slot>,
    members: usize,
}

impl<F: Default, G: Key> Groups<F, G> {
    fn touch(&mut self, group: &G) -> &mut Group<F> {
        let slot = self.keys.claim(group);
        self.dirty.push(slot);
        self.groups.beside(slot)
    }

    fn enter(&mut self, group: &G, put: impl FnOnce(&mut F)) {
        self.members += 1;
        let group = self.touch(group);
        group.members += 1;
        put(&mut group.fold);
    }

    fn stay(&mut self, group: &G, put: impl FnOnce(&mut F)) {
        put(&mut self.touch(group).fold);
    }

    fn leave(&mut self, group: &G, del: impl FnOnce(&mut F)) {
        self.members -= 1;
        let group = self.touch(group);
        group.members -= 1;
        match group.members {
            0 => group.fold = F::default(),
            _ if mutant::is(Mutant::FoldForgetsDelete) => {}
            _ => del(&mut group.fold),
        }
    }
}

/// A collection whose rows are members of groups.
pub(crate) trait Producer<F, G>: Send {
    /// Takes the rows that went or moved out of their groups.
    fn leave(&self, before: Nodes<'_>, groups: &mut Groups<F, G>);
    /// Puts the rows that came, changed or moved into their groups.
    fn enter(&self, before: Nodes<'_>, groups: &mut Groups<F, G>);
    /// The members of one group. Looks at every row.
    fn members(&self, nodes: Nodes<'_>, group: &G, teller: &mut Teller, told: Explanation) -> Explanation;
}

/// A producer: its rows, and the group of each.
pub(crate) struct Grouped<K, V, G> {
    pub(crate) rows: Rows<K, V>,
    pub(crate) group: fn(&K, &V) -> G,
}

impl<K: Key, V: Value, G: Key, F: Default + Member<K, V>> Producer<F, G> for Grouped<K, V, G> {
    fn leave(&self, before: Nodes<'_>, groups: &mut Groups<F, G>) {
        let Collection { table, .. } = before.collection(self.rows);
        for change in before.collection(self.rows).changes() {
            let (key, Some(old)) = (table.key(change.slot), &change.old) else { continue };
            let from = (self.group)(key, old);
            let to = table.value(change.slot).map(|new| (self.group)(key, new));
            if to.as_ref() == Some(&from) || (to.is_some() && mutant::is(Mutant::FoldForgetsMove)) {
                continue;
            }
            groups.leave(&from, |fold| fold.del(key, old));
        }
    }

    fn enter(&self, before: Nodes<'_>, groups: &mut Groups<F, G>) {
        let Collection { table, .. } = before.collection(self.rows);
        for change in before.collection(self.rows).changes() {
            let (key, Some(new)) = (table.key(change.slot), table.value(change.slot)) else { continue };
            let to = (self.group)(key, new);
            let from = change.old.as_ref().map(|old| (self.group)(key, old));
            if from.as_ref() == Some(&to) {
                groups.stay(&to, |fold| fold.put(key, new));
            } else {
                groups.enter(&to, |fold| fold.put(key, new));
            }
        }
    }

    fn members(&self, nodes: Nodes<'_>, group: &G, teller: &mut Teller, told: Explanation) -> Explanation {
        let sorted = nodes.collection(self.rows).table.sorted().into_iter();
        let members = sorted.filter(|(key, value)| (self.group)(key, value) == *group).map(|(key, _)| key);
        let node = nodes.get(self.rows.0.node);
        told.tell(members, teller, |key, teller| Some(node.explain(nodes, key, teller)?.in_role(Role::Member)))
    }
}

/// A fold's node.
pub(crate) struct FoldNode<F: Fold<G>, G: Key> {
    producers: Vec<Box<dyn Producer<F, G>>>,
    groups: Groups<F, G>,
    rows: Collection<G, F::Row>,
}

/// One group whose row is to be made.
struct Job<'a, F: Fold<G>, G> {
    slot: Slot,
    key: &'a G,
    fold: &'a mut F,
    row: Option<F::Row>,
}

impl<F: Fold<G>, G: Key> FoldNode<F, G> {
    pub(crate) fn new(name: &str, producers: Vec<Box<dyn Producer<F, G>>>) -> Self {
        let groups = Groups { keys: Interner::default(), groups: Slots::default(), dirty: Vec::new(), members: 0 };
        Self { producers, groups, rows: Collection::new(name) }
    }

    /// Makes the rows of these groups (their slots sorted), in parallel if they are many.
    fn make(&mut self, dirty: &[Slot]) -> Vec<(Slot, Option<F::Row>)> {
        let Groups { keys, groups, .. } = &mut self.groups;
        let job = |(slot, group): (&Slot, _)| {
            let Group { fold, .. }: &mut Group<F> = group;
            Job { slot: *slot, key: keys.key(*slot), fold, row: None::<F::Row> }
        };
        let mut jobs: Vec<_> = dirty.iter().zip(groups.each_mut(dirty)).map(job).collect();
        let part = jobs.len().div_ceil(parallel::parts(jobs.len())).max(1);
        parallel::each(jobs.chunks_mut(part).collect(), |jobs| {
            for job in jobs {
                job.row = job.fold.row(job.key);
            }
        });
        jobs.into_iter().map(|job| (job.slot, job.row)).collect()
    }
}

impl<F: Fold<G>, G: Key> Node for FoldNode<F, G> {
    fn state(&self) -> &dyn Any {
        &self.rows
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.rows
    }

    fn run(&mut self, before: Nodes<'_>) -> Ran {
        for producer in &self.producers {
            producer.leave(before, &mut self.groups);
        }
        for producer in &self.producers {
            producer.enter(before, &mut self.groups);
        }
        let mut dirty = std::mem::take(&mut self.groups.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let mut work = Work { dirty: dirty.len() as u64, ..Work::default() };
        let (empty, filled): (Vec<Slot>, Vec<Slot>) =
            dirty.into_iter().partition(|slot| self.groups.groups[*slot].members == 0);
        work.recomputed = filled.len() as u64;
        let made = self.make(&filled);
        let gone = empty.iter().map(|slot| (*slot, None));
        for (group, row) in made.into_iter().chain(gone) {
            let key = self.groups.keys.key(group);
            let slot = match row {
                Some(_) => Some(self.rows.table.claim(key)),
                None => self.rows.table.find(key),
            };
            let changed = slot.is_some_and(|slot| self.rows.write(slot, row.map(Arc::new)));
            work.no_ops += u64::from(!changed);
        }
        for slot in empty {
            self.groups.keys.release(slot);
        }
        if self.groups.keys.is_empty() {
            self.groups.groups = Slots::default();
        }
        Ran { published: self.rows.publish(), work }
    }

    fn is_quiet(&self) -> bool {
        self.rows.is_quiet()
    }

    fn set_complete(&mut self, complete: bool) {
        self.rows.set_complete(complete);
    }

    fn settle(&mut self) {
        self.rows.settle();
    }

    fn measure(&self, stats: &mut NodeStats) {
        stats.rows = self.rows.table.len();
        stats.entries = self.groups.members;
    }

    fn explain(&self, nodes: Nodes<'_>, key: &dyn Any, teller: &mut Teller) -> Option<Explanation> {
        let key: &G = key.downcast_ref()?;
        self.rows.table.find(key)?;
        let told = Explanation::new(&self.rows.name, key, Answer::Found);
        Some(self.producers.iter().fold(told, |told, producer| producer.members(nodes, key, teller, told)))
    }
}
