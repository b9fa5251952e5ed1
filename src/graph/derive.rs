//! Derives: rows made of one primary row each, by a transform that may look at other collections.

use std::any::Any;
use std::sync::Arc;

use hashbrown::HashMap;

use super::candidates::Candidates;
use super::collection::Collection;
use super::dependents::Dependents;
use super::explain::{Answer, Explanation, Role, Teller};
use super::interner::Slot;
use super::lens::Out;
use super::mutant::{self, Mutant};
use super::node::{Node, Nodes, Ran};
use super::parallel;
use super::puts::Puts;
use super::reads::ReadSet;
use super::stats::{NodeStats, Work};
use super::watch::Dep;
use super::{Key, Rows, Stop, Value};

/// So many primary rows are mapped before their results are applied; bounds what is in flight. Tests
/// set it so low that they meet it.
const BLOCK: usize = if cfg!(test) { 32 } else { 8_192 };

/// A derive's node.
pub(crate) struct DeriveNode<K: Key, V: Value, R: ReadSet, K2: Key, V2: Value> {
    primary: Rows<K, V>,
    reads: R,
    transform: R::Transform<K, V, K2, V2>,
    rows: Candidates<K2, V2>,
    puts: Puts,
    dependents: Dependents<R>,
    /// By slot of a primary row.
    stops: HashMap<Slot, Stop>,
}

/// The runs of the transform for some primary rows, in their order.
struct Runs<R: ReadSet, K2, V2> {
    logs: R::Logs,
    out: Out<K2, V2>,
    /// For each run the number of its rows, or why it stopped.
    results: Vec<Result<usize, Stop>>,
}

impl<R: ReadSet, K2: Key, V2: Value> Runs<R, K2, V2> {
    fn new() -> Self {
        Self { logs: R::Logs::default(), out: Out::default(), results: Vec::new() }
    }

    fn run<'a, K: Key, V: Value>(
        &'a mut self,
        transform: R::Transform<K, V, K2, V2>,
        primary: &Collection<K, V>,
        sources: R::Sources<'a>,
        slots: &[Slot],
    ) {
        let Self { logs, out, results } = self;
        let logs: &'a R::Logs = logs;
        for slot in slots {
            let value = primary.table.value(*slot).expect("rows that went were sorted out before");
            let start = out.rows.len();
            let result = R::call(transform, (primary.table.key(*slot), value), sources, logs, out);
            if result.is_err() && !mutant::is(Mutant::StopKeepsRows) {
                out.rows.truncate(start);
            }
            results.push(result.map(|()| out.rows.len() - start));
        }
    }
}

impl<K: Key, V: Value, R: ReadSet, K2: Key, V2: Value> DeriveNode<K, V, R, K2, V2> {
    pub(crate) fn new(name: &str, primary: Rows<K, V>, reads: R, transform: R::Transform<K, V, K2, V2>) -> Self {
        Self {
            primary,
            reads,
            transform,
            rows: Candidates::new(name),
            puts: Puts::default(),
            dependents: Dependents::default(),
            stops: HashMap::new(),
        }
    }

    /// The primary rows to be looked at: changed themselves, or something changed that they looked at.
    fn dirty(&self, primary: &Collection<K, V>, sources: R::Sources<'_>) -> Vec<Slot> {
        let mut dirty = self.dependents.dirty(sources);
        let looked = dirty.len();
        dirty.extend(primary.changes().iter().map(|change| change.slot));
        if looked > 0 {
            dirty.sort_unstable();
            dirty.dedup();
        }
        dirty
    }

    /// Runs the transform for these primary rows, in parallel if they are many.
    fn map(&self, primary: &Collection<K, V>, before: Nodes<'_>, slots: &[Slot]) -> Vec<Runs<R, K2, V2>> {
        let parts = parallel::split(slots);
        let mut runs: Vec<Runs<R, K2, V2>> = parts.iter().map(|_| Runs::new()).collect();
        let transform = self.transform;
        let sources = self.reads.open(before);
        let jobs = parts.into_iter().zip(&mut runs);
        parallel::each(jobs.collect(), |(part, runs)| runs.run(transform, primary, sources, part));
        runs
    }

    /// Takes in one block of dirty primary rows that are there.
    fn apply(&mut self, before: Nodes<'_>, slots: &[Slot], work: &mut Work) {
        let primary = before.collection(self.primary);
        let blocks = self.map(primary, before, slots);
        let sources = self.reads.open(before);
        let mut slots = slots.iter();
        for Runs { mut logs, out, results } in blocks {
            let mut rows = out.rows.into_iter();
            for (run, (result, slot)) in results.into_iter().zip(&mut slots).enumerate() {
                let (mut deps, scans) = R::record(&mut self.dependents.watches, sources, &mut logs, run);
                work.recomputed += 1;
                work.scans += scans;
                if result.is_err() && mutant::is(Mutant::ForgetsLookUpsOfStops) {
                    deps.clear();
                }
                let count = self.note(*slot, result, work);
                let changed = self.link(primary, *slot, rows.by_ref().take(count), deps);
                work.no_ops += u64::from(!changed);
            }
        }
    }

    /// Keeps or forgets why this row stopped; how many rows it put.
    fn note(&mut self, slot: Slot, result: Result<usize, Stop>, work: &mut Work) -> usize {
        match result {
            Ok(count) => {
                self.stops.remove(&slot);
                count
            }
            Err(stop) => {
                match stop {
                    Stop::Fault(_) => work.faults += 1,
                    Stop::Pending(_) => work.pending += 1,
                }
                self.stops.insert(slot, stop);
                0
            }
        }
    }

    /// Replaces what this primary row put and depends on. Whether a row changed by it.
    fn link(
        &mut self,
        primary: &Collection<K, V>,
        source: Slot,
        rows: impl Iterator<Item = (K2, Arc<V2>)>,
        deps: Vec<Dep>,
    ) -> bool {
        let mut changed = false;
        let mut slots = Vec::new();
        for (key, value) in rows {
            let slot = self.rows.claim(&key);
            changed |= self.rows.offer(primary, slot, source, value);
            slots.push(slot);
        }
        slots.sort_unstable();
        slots.dedup();
        let old = self.puts.replace(source, slots.clone());
        for slot in old.iter().filter(|slot| slots.binary_search(slot).is_err()) {
            changed |= self.rows.withdraw(primary, *slot, source);
        }
        self.dependents.depend(source, deps);
        changed
    }
}

impl<K: Key, V: Value, R: ReadSet, K2: Key, V2: Value> Node for DeriveNode<K, V, R, K2, V2> {
    fn state(&self) -> &dyn Any {
        &self.rows.winners
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.rows.winners
    }

    fn run(&mut self, before: Nodes<'_>) -> Ran {
        let primary = before.collection(self.primary);
        let mut dirty = self.dirty(primary, self.reads.open(before));
        let mut work = Work { dirty: dirty.len() as u64, ..Work::default() };
        dirty.retain(|slot| {
            let there = primary.table.value(*slot).is_some();
            if !there {
                self.stops.remove(slot);
                let changed = self.link(primary, *slot, std::iter::empty(), Vec::new());
                work.no_ops += u64::from(!changed);
            }
            there
        });
        for block in dirty.chunks(BLOCK) {
            self.apply(before, block, &mut work);
        }
        if primary.table.len() == 0 {
            self.puts.clear();
        }
        Ran { published: self.rows.winners.publish(), work }
    }

    fn is_quiet(&self) -> bool {
        self.rows.winners.is_quiet()
    }

    fn set_complete(&mut self, complete: bool) {
        self.rows.winners.set_complete(complete);
    }

    fn settle(&mut self) {
        self.rows.winners.settle();
    }

    fn measure(&self, stats: &mut NodeStats) {
        stats.rows = self.rows.winners.table.len();
        stats.faults = self.stops.values().filter(|stop| matches!(stop, Stop::Fault(_))).count();
        stats.pending = self.stops.len() - stats.faults;
        stats.collisions = self.rows.losers();
        stats.dependencies = R::watched(&self.dependents.watches);
        stats.entries = self.dependents.entries;
    }

    fn explain(&self, nodes: Nodes<'_>, key: &dyn Any, teller: &mut Teller) -> Option<Explanation> {
        let rows = &self.rows.winners;
        let primary = nodes.collection(self.primary);
        let above = nodes.get(self.primary.0.node);
        let key: &K2 = key.downcast_ref()?;
        let slot = rows.table.find(key)?;
        let source = self.rows.owner(slot);
        let watches = &self.dependents.watches;
        let mut deps = self.dependents.of(source).to_vec();
        deps.sort_unstable_by(|a, b| R::compare(watches, *a, *b));
        let mut losers = self.rows.behind(slot);
        losers.sort_unstable_by_key(|loser| primary.table.key(*loser));
        let from = |role| {
            move |slot: Slot, teller: &mut Teller| {
                Some(above.explain(nodes, primary.table.key(slot), teller)?.in_role(role))
            }
        };
        let look = |dep: &Dep, teller: &mut Teller| {
            Some(self.reads.explain(watches, *dep, nodes, teller)?.in_role(Role::LookUp))
        };
        let told = Explanation::new(&rows.name, key, Answer::Found)
            .tell([source], teller, from(Role::Primary))
            .tell(&deps, teller, look)
            .tell(losers, teller, from(Role::Loser));
        Some(told)
    }

    fn stops(&self, nodes: Nodes<'_>) -> Vec<(String, Stop)> {
        let primary = nodes.collection(self.primary);
        let mut stops: Vec<_> = self.stops.iter().map(|(slot, stop)| (primary.table.key(*slot), stop)).collect();
        stops.sort_unstable_by(|a, b| a.0.cmp(b.0));
        stops.into_iter().map(|(key, stop)| (format!("{key:?}"), stop.clone())).collect()
    }
}
