//! The engine against the naive model, step by random step: every collection, every stop, every count of what
//! the engine remembers, and the changes it told.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::naive::{Derived, Naive};
use super::world::{Expected, Facts, Listing, Pod, Service, Text, World};
use crate::graph::mutant::{self, Mutant};
use crate::graph::{Batch, Epoch, Graph, Key, Rows, Value};

/// SplitMix64: numbers that depend on the seed alone.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn byte(&mut self, bound: u64) -> u8 {
        self.below(bound) as u8
    }

    fn pod(&mut self) -> Pod {
        let pairs = (0..self.below(4)).map(|_| self.byte(6)).collect();
        Pod { pairs, group: self.byte(8), secret: self.byte(5), version: self.byte(5) }
    }

    fn service(&mut self) -> Service {
        Service { pair: self.byte(6), weight: self.byte(8) }
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

const PODS: u64 = 40;
const SERVICES: u64 = 10;
const SECRETS: u64 = 7;

/// One random operation, done to the engine's inputs and to the facts.
fn operation(random: &mut Random, world: (&mut Batch<'_>, &Handles), facts: &mut Facts) {
    let (batch, (pods, services, secrets)) = world;
    macro_rules! on {
        ($input:expr, $naive:expr, $key:expr, $value:expr) => {
            match random.below(200) {
                0..110 => {
                    let (key, value) = ($key, Arc::new($value));
                    batch.put(*$input, key, value.clone());
                    $naive.put(key, value);
                }
                110..140 => {
                    let key = $key;
                    batch.delete(*$input, &key);
                    $naive.delete(&key);
                }
                140..155 => {
                    let key = $key;
                    batch.pending(*$input, key);
                    $naive.pending(key);
                }
                155..170 => {
                    let key = $key;
                    batch.absent(*$input, &key);
                    $naive.absent(&key);
                }
                170..190 => {
                    batch.complete(*$input);
                    $naive.complete();
                }
                190..195 => {
                    batch.incomplete(*$input);
                    $naive.complete = false;
                }
                _ => {
                    let (rest, of) = ($key % 3, 3);
                    batch.retract(*$input, |key| key % of == rest);
                    $naive.retract(|key| key % of == rest);
                }
            }
        };
    }
    match random.below(4) {
        0 => on!(secrets, facts.secrets, random.byte(SECRETS), random.byte(6)),
        1 => on!(services, facts.services, random.below(SERVICES) as u16, random.service()),
        _ => on!(pods, facts.pods, random.below(PODS) as u16, random.pod()),
    }
}

type Handles =
    (crate::graph::Input<u16, Pod>, crate::graph::Input<u16, Service>, crate::graph::Input<u8, super::world::Secret>);

/// What the changes told so far add up to.
#[derive(Debug)]
struct Told<K, V>(BTreeMap<K, Arc<V>>);

impl<K, V> Default for Told<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Key, V: Value> Told<K, V> {
    /// Replays one epoch's changes; each must be one.
    fn replay(&mut self, epoch: &Epoch, rows: Rows<K, V>) -> Result<(), String> {
        let changes = epoch.changes(rows);
        if !changes.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(format!("changes of {rows:?} are not sorted: {changes:?}"));
        }
        for (key, value) in changes {
            let old = match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
            if old == *value {
                return Err(format!("{key:?} of {rows:?} did not change: {value:?}"));
            }
        }
        Ok(())
    }
}

fn equal<T: PartialEq + Debug>(what: &str, engine: T, naive: T) -> Result<(), String> {
    if engine == naive { Ok(()) } else { Err(format!("{what}\n engine: {engine:?}\n  naive: {naive:?}")) }
}

fn same_rows<K: Key, V: Value>(graph: &Graph, rows: Rows<K, V>, naive: &Naive<K, V>) -> Result<(), String> {
    let engine: BTreeMap<K, Arc<V>> = graph.iter(rows).map(|(key, value)| (key.clone(), value.clone())).collect();
    equal(naive.name, &engine, &naive.rows)?;
    equal(naive.name, graph.is_complete(rows), naive.complete)
}

fn same<K: Key, V: Value>(graph: &Graph, rows: Rows<K, V>, naive: &Derived<K, V>, look: Look) -> Result<(), String> {
    let name = naive.rows.name;
    same_rows(graph, rows, &naive.rows)?;
    equal(&format!("stops of {name}"), &graph.stops(rows), &naive.stops)?;
    if look == Look::Outside {
        return Ok(());
    }
    let stats = graph.stats().into_iter().find(|stats| stats.name == name).ok_or("every node has counts")?;
    equal(&format!("rows of {name}"), stats.rows, naive.rows.rows.len())?;
    equal(&format!("stops of {name}"), stats.faults + stats.pending, naive.stops.len())?;
    equal(&format!("collisions of {name}"), stats.collisions, naive.collisions)?;
    equal(&format!("entries of {name}"), stats.entries, naive.entries)?;
    equal(&format!("dependencies of {name}"), stats.dependencies, naive.dependencies)
}

/// How closely to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// What a user of the graph sees: rows, completeness, stops and changes.
    Outside,
    /// Also what the engine remembers and how often it runs.
    Inside,
}

/// Everything that the engine told, for each collection.
#[derive(Default)]
struct Replay {
    pods: Told<u16, Pod>,
    members: Told<(u16, u16), u8>,
    checked: Told<u8, (u8, u8)>,
    joined: Told<u16, Text>,
    totals: Told<u8, Listing>,
    last: Told<(u8, u8), Text>,
}

impl Replay {
    fn check(&mut self, world: &World, epoch: &Epoch, facts: &Facts, expected: &Expected) -> Result<(), String> {
        self.pods.replay(epoch, world.pods.rows())?;
        self.members.replay(epoch, world.members)?;
        self.checked.replay(epoch, world.checked)?;
        self.joined.replay(epoch, world.joined)?;
        self.totals.replay(epoch, world.totals)?;
        self.last.replay(epoch, world.last)?;
        equal("changes of pods", &self.pods.0, &facts.pods.rows)?;
        equal("changes of members", &self.members.0, &expected.members.rows.rows)?;
        equal("changes of checked", &self.checked.0, &expected.checked.rows.rows)?;
        equal("changes of joined", &self.joined.0, &expected.joined.rows.rows)?;
        equal("changes of totals", &self.totals.0, &expected.totals.rows)?;
        equal("changes of last", &self.last.0, &expected.last.rows.rows)
    }
}

pub(super) fn check_world(world: &World, facts: &Facts, expected: &Expected, look: Look) -> Result<(), String> {
    let graph = &world.graph;
    same_rows(graph, world.pods.rows(), &facts.pods)?;
    same_rows(graph, world.services.rows(), &facts.services)?;
    same_rows(graph, world.secrets.rows(), &facts.secrets)?;
    same(graph, world.members, &expected.members, look)?;
    same(graph, world.checked, &expected.checked, look)?;
    same(graph, world.joined, &expected.joined, look)?;
    same(graph, world.used, &expected.used, look)?;
    same(graph, world.summed, &expected.summed, look)?;
    same_rows(graph, world.totals, &expected.totals)?;
    same(graph, world.last, &expected.last, look)
}

/// Random batches until the engine differs from the model.
pub(super) fn walk(seed: u64, steps: usize, look: Look) -> Result<(World, Facts), String> {
    let mut random = Random(seed);
    let (mut world, mut facts, mut replay) = (World::new(), Facts::new(), Replay::default());
    for step in 0..steps {
        let size = if random.below(12) == 0 { 60 } else { 1 + random.below(5) };
        let runs: Vec<u64> = world.graph.stats().iter().map(|stats| stats.total.runs).collect();
        let handles = (world.pods, world.services, world.secrets);
        let epoch = world.graph.epoch(|batch| {
            for _ in 0..size {
                operation(&mut random, (batch, &handles), &mut facts);
            }
        });
        let expected = Expected::from_scratch(&facts);
        let once = world.graph.stats().iter().zip(runs).all(|(stats, before)| stats.total.runs <= before + 1);
        equal("a node runs at most once in an epoch", once || look == Look::Outside, true)
            .and_then(|()| check_world(&world, &facts, &expected, look))
            .and_then(|()| replay.check(&world, &epoch, &facts, &expected))
            .map_err(|why| format!("seed {seed}, step {step}: {why}"))?;
    }
    Ok((world, facts))
}

const STEPS: usize = 250;

/// `GRAPH_SEED=<n>` walks that seed alone, `GRAPH_SEEDS=<n>` so many.
#[test]
fn engine_equals_naive_model() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("GRAPH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("GRAPH_SEEDS").unwrap_or(24),
    };
    for seed in seeds {
        if let Err(difference) = walk(seed, STEPS, Look::Inside) {
            panic!("{difference}\nwalk it again with GRAPH_SEED={seed}");
        }
    }
}

/// Each must show in what a user sees, except for the one that only wastes memory.
#[test]
fn model_catches_every_mutant() {
    for mutant in Mutant::ALL {
        let look = if mutant == Mutant::LeaksDependencies { Look::Inside } else { Look::Outside };
        let walk =
            |seed| mutant::with(Some(mutant), || catch_unwind(AssertUnwindSafe(|| walk(seed, STEPS, look).map(drop))));
        let caught = (0..8).find_map(|seed| match walk(seed) {
            Ok(Ok(())) => None,
            Ok(Err(difference)) => Some(difference),
            Err(_) => Some(format!("seed {seed}: a transform panicked")),
        });
        let caught = caught.unwrap_or_else(|| panic!("{mutant:?} walked through"));
        println!("{mutant:?}: {}", caught.lines().next().unwrap_or_default());
    }
}

/// Invariant 1, `pure`: what was let in decides, not the order or the batches in which it came.
#[test]
fn pure() {
    for seed in 100..120 {
        let (walked, facts) = walk(seed, 60, Look::Inside).unwrap_or_else(|difference| panic!("{difference}"));
        let other = fed_anew(&facts, &mut Random(seed));
        let expected = Expected::from_scratch(&facts);
        check_world(&other, &facts, &expected, Look::Inside)
            .unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
        for (key, _) in walked.graph.iter(walked.last) {
            assert_eq!(walked.graph.explain(walked.last, key), other.graph.explain(other.last, key), "seed {seed}");
        }
    }
}

/// The same facts in a random order, cut into random batches.
fn fed_anew(facts: &Facts, random: &mut Random) -> World {
    type Feed<'a> = Box<dyn Fn(&mut Batch<'_>) + 'a>;
    let mut world = World::new();
    let (pods, services, secrets) = (world.pods, world.services, world.secrets);
    let mut feeds: Vec<Feed<'_>> = Vec::new();
    macro_rules! feed {
        ($input:expr, $naive:expr) => {
            for (key, value) in &$naive.rows {
                feeds.push(Box::new(|batch| batch.put($input, *key, value.clone())));
            }
            for key in &$naive.pending {
                feeds.push(Box::new(|batch| batch.pending($input, *key)));
            }
            for key in &$naive.absent {
                feeds.push(Box::new(|batch| batch.absent($input, key)));
            }
            if $naive.complete {
                feeds.push(Box::new(|batch| batch.complete($input)));
            }
        };
    }
    feed!(pods, facts.pods);
    feed!(services, facts.services);
    feed!(secrets, facts.secrets);
    random.shuffle(&mut feeds);
    while !feeds.is_empty() {
        let rest = feeds.split_off(feeds.len().min(1 + random.below(20) as usize));
        world.graph.epoch(|batch| feeds.iter().for_each(|feed| feed(batch)));
        feeds = rest;
    }
    world
}
