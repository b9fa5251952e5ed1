//! The decisions of the graph, each on the smallest graph that shows it.

use std::sync::Arc;

use crate::graph::{
    Batch, Fault, Fold, Graph, GraphBuilder, Index, Input, Lens, Member, NodeStats, Out, Present, Rows, Scope, Stop,
};

type Numbers = Input<u8, i32>;

fn stats(graph: &Graph, name: &str) -> NodeStats {
    graph.stats().into_iter().find(|stats| stats.name == name).expect("a node of this name was drawn")
}

fn rows<K: crate::graph::Key, V: crate::graph::Value + Clone>(graph: &Graph, rows: Rows<K, V>) -> Vec<(K, V)> {
    graph.iter(rows).map(|(key, value)| (key.clone(), (**value).clone())).collect()
}

fn put(batch: &mut Batch<'_>, input: Numbers, key: u8, value: i32) {
    batch.put(input, key, Arc::new(value));
}

fn pending(node: &str, key: &str) -> Stop {
    Stop::Pending(Scope { node: node.into(), key: key.to_owned() })
}

/// `left`'s rows, each with the row of `right` that has its value as key.
fn paired(key: &u8, left: &Arc<i32>, right: Lens<'_, Rows<u8, i32>>, out: &mut Out<u8, i32>) -> Result<(), Stop> {
    if **left < 0 {
        return Err(Fault::new("negative").into());
    }
    match right.get(&(**left as u8))? {
        Some(right) if *right < 0 => Err(Fault::new(format!("{left} is negative")).into()),
        Some(right) => {
            out.put(*key, **left * 100 + *right);
            Ok(())
        }
        None => {
            out.put(*key, -1);
            Ok(())
        }
    }
}

struct Pair {
    graph: Graph,
    left: Numbers,
    right: Numbers,
    pairs: Rows<u8, i32>,
}

impl Pair {
    fn new() -> Self {
        let mut builder = GraphBuilder::new();
        let left = builder.input("left");
        let right = builder.input("right");
        let pairs = builder.derive("pairs", left).reading(right).rows(paired);
        Self { graph: builder.build(), left, right, pairs }
    }

    fn complete() -> Self {
        let mut pair = Self::new();
        pair.graph.epoch(|batch| {
            batch.complete(pair.left);
            batch.complete(pair.right);
        });
        pair
    }
}

#[test]
fn an_absent_key_is_pending_until_its_input_is_complete() {
    let mut t = Pair::new();
    t.graph.epoch(|batch| put(batch, t.left, 1, 7));
    assert_eq!(t.graph.stops(t.pairs), [("1".to_owned(), pending("right", "7"))]);
    assert_eq!(rows(&t.graph, t.pairs), []);
    let epoch = t.graph.epoch(|batch| batch.complete(t.right));
    assert_eq!(epoch.changes(t.pairs), [(1, Some(Arc::new(-1)))]);
    assert_eq!(t.graph.stops(t.pairs), []);
    t.graph.epoch(|batch| batch.incomplete(t.right));
    assert_eq!(t.graph.stops(t.pairs), [("1".to_owned(), pending("right", "7"))], "it is unknown again");
    t.graph.epoch(|batch| put(batch, t.right, 7, 3));
    assert_eq!(rows(&t.graph, t.pairs), [(1, 703)], "what is found is known also while others are not");
}

#[test]
fn what_is_present_is_known_before_its_input_is_complete() {
    fn found(key: &u8, _: &Arc<i32>, right: Lens<'_, Present<u8, i32>>, out: &mut Out<u8, bool>) -> Result<(), Stop> {
        out.put(*key, right.has(key));
        Ok(())
    }
    let mut builder = GraphBuilder::new();
    let (left, right) = (builder.input::<u8, i32>("left"), builder.input::<u8, i32>("right"));
    let answers = builder.derive("found", left).reading(right.rows().present()).rows(found);
    let mut graph = builder.build();
    graph.epoch(|batch| put(batch, left, 1, 0));
    assert_eq!(rows(&graph, answers), [(1, false)], "not there, which is no reason to wait");
    let runs = |graph: &Graph| stats(graph, "found").total.recomputed;
    let before = runs(&graph);
    graph.epoch(|batch| {
        batch.complete(left);
        batch.complete(right);
    });
    assert_eq!(runs(&graph), before, "no answer depends on completeness");
    assert!(graph.is_complete(answers));
    graph.epoch(|batch| put(batch, right, 1, 5));
    assert_eq!(rows(&graph, answers), [(1, true)]);
    graph.epoch(|batch| batch.delete(right, &1));
    assert_eq!(rows(&graph, answers), [(1, false)]);
    graph.epoch(|batch| batch.delete(left, &1));
    assert_eq!(stats(&graph, "found").dependencies, 0);
}

#[test]
fn a_key_marked_pending_is_unknown_until_somebody_says() {
    let mut t = Pair::complete();
    t.graph.epoch(|batch| put(batch, t.left, 1, 7));
    assert_eq!(rows(&t.graph, t.pairs), [(1, -1)]);
    let epoch = t.graph.epoch(|batch| batch.pending(t.right, 7));
    assert_eq!(epoch.changes(t.pairs), [(1, None)]);
    assert_eq!(epoch.changes(t.right), [], "a mark is no row");
    t.graph.epoch(|batch| batch.absent(t.right, &7));
    assert_eq!(rows(&t.graph, t.pairs), [(1, -1)]);
    t.graph.epoch(|batch| batch.pending(t.right, 7));
    t.graph.epoch(|batch| put(batch, t.right, 7, 1));
    assert_eq!(rows(&t.graph, t.pairs), [(1, 701)]);
    t.graph.epoch(|batch| batch.pending(t.right, 7));
    assert_eq!(rows(&t.graph, t.pairs), [(1, 701)], "doubt takes nothing away");
}

#[test]
fn absent_is_known_also_in_an_incomplete_input() {
    let mut t = Pair::new();
    t.graph.epoch(|batch| {
        put(batch, t.left, 1, 7);
        put(batch, t.left, 2, 8);
        batch.absent(t.right, &7);
    });
    assert_eq!(rows(&t.graph, t.pairs), [(1, -1)]);
    assert_eq!(t.graph.stops(t.pairs), [("2".to_owned(), pending("right", "8"))]);
}

#[test]
fn look_ups_of_a_faulted_run_are_remembered() {
    let mut t = Pair::complete();
    t.graph.epoch(|batch| {
        put(batch, t.left, 1, 7);
        put(batch, t.right, 7, -5);
    });
    assert_eq!(t.graph.stops(t.pairs), [("1".to_owned(), Fault::new("7 is negative").into())]);
    assert_eq!(stats(&t.graph, "pairs").faults, 1);
    t.graph.epoch(|batch| put(batch, t.right, 7, 5));
    assert_eq!(rows(&t.graph, t.pairs), [(1, 705)]);
    assert_eq!(stats(&t.graph, "pairs").faults, 0);
}

#[test]
fn look_ups_that_found_nothing_are_remembered_and_old_ones_forgotten() {
    let mut t = Pair::complete();
    t.graph.epoch(|batch| put(batch, t.left, 1, 7));
    assert_eq!(stats(&t.graph, "pairs").dependencies, 1);
    t.graph.epoch(|batch| put(batch, t.left, 1, 8));
    assert_eq!(stats(&t.graph, "pairs").dependencies, 1);
    let recomputed = stats(&t.graph, "pairs").total.recomputed;
    t.graph.epoch(|batch| put(batch, t.right, 7, 1));
    assert_eq!(stats(&t.graph, "pairs").total.recomputed, recomputed, "nobody asks for 7 any more");
    t.graph.epoch(|batch| put(batch, t.right, 8, 1));
    assert_eq!(rows(&t.graph, t.pairs), [(1, 801)]);
}

#[test]
fn equal_rows_stop_propagation() {
    let mut builder = GraphBuilder::new();
    let numbers: Numbers = builder.input("numbers");
    let signs = builder.derive("signs", numbers).rows(|key, value, out| {
        out.put(*key, value.signum());
        Ok(())
    });
    let last = builder.derive("last", signs).rows(|key, value, out: &mut Out<u8, i32>| {
        out.put_arc(*key, value.clone());
        Ok(())
    });
    let mut graph = builder.build();
    graph.epoch(|batch| put(batch, numbers, 1, 5));
    let epoch = graph.epoch(|batch| put(batch, numbers, 1, 6));
    assert_eq!(epoch.changes(numbers), [(1, Some(Arc::new(6)))]);
    assert_eq!(epoch.changes(signs), []);
    assert_eq!(epoch.nodes_run(), 2);
    assert_eq!(stats(&graph, "signs").last.no_ops, 1);
    assert_eq!(stats(&graph, "last").total.runs, 1);
    let epoch = graph.epoch(|batch| put(batch, numbers, 1, 6));
    assert!(epoch.is_empty(), "{epoch:?}");
    assert_eq!(rows(&graph, last), [(1, 1)]);
}

#[test]
fn what_a_batch_takes_back_never_happened() {
    let mut t = Pair::complete();
    t.graph.epoch(|batch| put(batch, t.left, 1, 7));
    let epoch = t.graph.epoch(|batch| {
        put(batch, t.left, 1, 8);
        put(batch, t.left, 2, 8);
        batch.delete(t.left, &2);
        batch.delete(t.left, &1);
        put(batch, t.left, 1, 7);
    });
    assert!(epoch.is_empty(), "{epoch:?}");
    assert_eq!(stats(&t.graph, "left").rows, 1);
}

/// A diamond: `sum` sees both sides of one epoch, never one of before.
#[test]
fn no_glitch_in_a_diamond() {
    fn sum(key: &u8, left: &Arc<i32>, right: Lens<'_, Rows<u8, i32>>, out: &mut Out<u8, i32>) -> Result<(), Stop> {
        let right = right.get(key)?.ok_or(Stop::Fault(Fault::new("one side only")))?;
        if **left + *right != 0 {
            return Err(Fault::new(format!("a glitch: {left} and {right}")).into());
        }
        out.put(*key, **left);
        Ok(())
    }
    let mut builder = GraphBuilder::new();
    let top: Numbers = builder.input("top");
    let right = builder.derive("right", top).rows(|key, value, out| {
        out.put(*key, -**value);
        Ok(())
    });
    let left = builder.derive("left", top).rows(|key, value, out| {
        out.put_arc(*key, value.clone());
        Ok(())
    });
    let sums = builder.derive("sums", left).reading(right).rows(sum);
    let mut graph = builder.build();
    for value in 1..50 {
        graph.epoch(|batch| {
            batch.complete(top);
            put(batch, top, 1, value);
        });
        assert_eq!(graph.stops(sums), []);
        assert_eq!(rows(&graph, sums), [(1, value)]);
        let last = stats(&graph, "sums").last;
        assert_eq!((last.runs, last.dirty, last.recomputed), (1, 1, 1), "once, though both sides changed");
    }
}

#[test]
fn the_smallest_source_wins_and_a_loser_comes_back() {
    let mut builder = GraphBuilder::new();
    let numbers: Numbers = builder.input("numbers");
    let halves = builder.derive("halves", numbers).rows(|key, value, out: &mut Out<u8, i32>| {
        out.put_arc(key / 10, value.clone());
        Ok(())
    });
    let mut graph = builder.build();
    graph.epoch(|batch| put(batch, numbers, 12, 12));
    graph.epoch(|batch| put(batch, numbers, 11, 11));
    graph.epoch(|batch| put(batch, numbers, 13, 13));
    assert_eq!(rows(&graph, halves), [(1, 11)]);
    assert_eq!(stats(&graph, "halves").collisions, 2);
    let told = graph.explain(halves, &1).expect("the row is there").to_string();
    assert_eq!(told, "halves 1\n  from numbers 11\n  hides a row from numbers 12\n  hides a row from numbers 13\n");
    let epoch = graph.epoch(|batch| batch.delete(numbers, &11));
    assert_eq!(epoch.changes(halves), [(1, Some(Arc::new(12)))]);
    graph.epoch(|batch| put(batch, numbers, 13, 14));
    assert_eq!(rows(&graph, halves), [(1, 12)], "a loser that changes changes nothing");
    graph.epoch(|batch| batch.delete(numbers, &12));
    assert_eq!(rows(&graph, halves), [(1, 14)]);
    graph.epoch(|batch| batch.delete(numbers, &13));
    assert_eq!((rows(&graph, halves), stats(&graph, "halves").collisions), (vec![], 0));
}

/// The members of a group, in the order of their keys.
#[derive(Default)]
struct Members(std::collections::BTreeMap<u8, i32>, usize);

impl Fold<u8> for Members {
    type Row = (Vec<i32>, usize);
    fn row(&mut self, group: &u8) -> Option<(Vec<i32>, usize)> {
        self.1 += 1;
        (*group < 100).then(|| (self.0.values().copied().collect(), self.1))
    }
}

impl Member<u8, i32> for Members {
    fn put(&mut self, key: &u8, value: &Arc<i32>) {
        self.0.insert(*key, **value);
    }
    fn del(&mut self, key: &u8, value: &Arc<i32>) {
        assert_eq!(self.0.remove(key), Some(**value));
    }
}

#[test]
fn producers_meet_in_a_fold_and_only_touched_groups_are_made_anew() {
    let mut builder = GraphBuilder::new();
    let (small, big): (Numbers, Numbers) = (builder.input("small"), builder.input("big"));
    let group = |_: &u8, value: &i32| (*value / 10) as u8;
    let groups = builder.fold::<Members, _>("groups").from(small, group).from(big, group).rows();
    let mut graph = builder.build();
    graph.epoch(|batch| {
        put(batch, small, 1, 11);
        put(batch, small, 2, 22);
        put(batch, big, 101, 15);
    });
    assert_eq!(rows(&graph, groups), [(1, (vec![11, 15], 1)), (2, (vec![22], 1))]);
    let epoch = graph.epoch(|batch| put(batch, big, 101, 16));
    assert_eq!(epoch.changes(groups), [(1, Some(Arc::new((vec![11, 16], 2))))]);
    let epoch = graph.epoch(|batch| put(batch, small, 1, 29));
    assert_eq!(rows(&graph, groups), [(1, (vec![16], 3)), (2, (vec![29, 22], 2))]);
    assert_eq!(epoch.changes(groups).len(), 2);
    let epoch = graph.epoch(|batch| batch.delete(big, &101));
    assert_eq!(epoch.changes(groups), [(1, None)], "an empty group is gone");
    assert_eq!(stats(&graph, "groups").entries, 2);
    let told = graph.explain(groups, &2).expect("the row is there").to_string();
    assert_eq!(told, "groups 2\n  with small 1\n  with small 2\n");
}

fn selected(
    key: &u8,
    value: &Arc<i32>,
    by_sign: Lens<'_, Index<i32, u8, i32>>,
    out: &mut Out<u8, Vec<(u8, i32)>>,
) -> Result<(), Stop> {
    let found = by_sign.of(value)?;
    out.put(*key, found.into_iter().map(|(key, value)| (key, *value)).collect());
    Ok(())
}

fn exists(key: &u8, v: &Arc<i32>, by_sign: Lens<'_, Index<i32, u8, i32>>, out: &mut Out<u8, bool>) -> Result<(), Stop> {
    out.put(*key, by_sign.any(v)?);
    Ok(())
}

#[test]
fn an_index_follows_its_rows_and_says_pending_while_they_are_incomplete() {
    let mut builder = GraphBuilder::new();
    let (asks, numbers): (Numbers, Numbers) = (builder.input("asks"), builder.input("numbers"));
    let by_sign = builder.index("by sign", numbers, |_, value: &i32, out| out.push(value.signum()));
    let found = builder.derive("found", asks).reading(by_sign).rows(selected);
    let any = builder.derive("any", asks).reading(by_sign).rows(exists);
    let mut graph = builder.build();
    graph.epoch(|batch| {
        put(batch, asks, 1, 1);
        put(batch, asks, 2, -1);
        put(batch, numbers, 9, 90);
        put(batch, numbers, 3, 30);
    });
    assert_eq!(graph.stops(found).len(), 2, "these and perhaps others is not an answer");
    assert_eq!(rows(&graph, any), [(1, true)], "but there is one");
    assert_eq!(graph.stops(any), [("2".to_owned(), pending("by sign", "-1"))]);
    graph.epoch(|batch| batch.complete(numbers));
    assert_eq!(rows(&graph, found), [(1, vec![(3, 30), (9, 90)]), (2, vec![])]);
    assert_eq!(rows(&graph, any), [(1, true), (2, false)]);
    graph.epoch(|batch| put(batch, numbers, 3, 31));
    assert_eq!(rows(&graph, found)[0], (1, vec![(3, 31), (9, 90)]));
    graph.epoch(|batch| put(batch, numbers, 3, -30));
    assert_eq!(rows(&graph, found), [(1, vec![(9, 90)]), (2, vec![(3, -30)])]);
    let told = graph.explain(found, &2).expect("the row is there").to_string();
    assert_eq!(told, "found 2\n  from asks 2\n  looked up by sign -1\n    with numbers 3\n");
}

#[test]
fn a_scan_is_counted_and_follows_every_row() {
    fn sum(key: &u8, _: &Arc<i32>, all: Lens<'_, Rows<u8, i32>>, out: &mut Out<u8, i32>) -> Result<(), Stop> {
        out.put(*key, all.scan()?.iter().map(|(_, value)| **value).sum());
        Ok(())
    }
    let mut builder = GraphBuilder::new();
    let (asks, numbers): (Numbers, Numbers) = (builder.input("asks"), builder.input("numbers"));
    let sums = builder.derive("sums", asks).reading(numbers).rows(sum);
    let mut graph = builder.build();
    graph.epoch(|batch| {
        put(batch, asks, 0, 0);
        put(batch, numbers, 1, 1);
    });
    assert_eq!(graph.stops(sums), [("0".to_owned(), pending("numbers", "*"))]);
    graph.epoch(|batch| batch.complete(numbers));
    graph.epoch(|batch| put(batch, numbers, 2, 2));
    assert_eq!(rows(&graph, sums), [(0, 3)]);
    assert_eq!(stats(&graph, "sums").total.scans, 3);
}

/// Decision 3: nothing is vacuously complete, and a node is complete exactly when all it reads is.
#[test]
fn completeness_is_the_and_of_all_inputs_below() {
    let mut t = Pair::new();
    assert!(!t.graph.complete() && !t.graph.is_complete(t.pairs));
    t.graph.epoch(|batch| batch.complete(t.left));
    assert!(t.graph.is_complete(t.left) && !t.graph.is_complete(t.pairs) && !t.graph.complete());
    assert_eq!(stats(&t.graph, "pairs").waits_for, ["right"]);
    t.graph.epoch(|batch| batch.complete(t.right));
    assert!(t.graph.complete() && t.graph.is_complete(t.pairs));
    assert!(stats(&t.graph, "pairs").waits_for.is_empty());
    assert!(!GraphBuilder::new().build().complete(), "a graph of nothing knows nothing");
    let mut builder = GraphBuilder::new();
    let nothing = builder.fold::<Members, u8>("nothing").rows();
    let mut graph = builder.build();
    graph.epoch(|_| {});
    assert!(!graph.is_complete(nothing), "nor does a fold of nothing");
}

#[test]
fn a_derived_collection_is_unknown_while_its_inputs_are() {
    let mut builder = GraphBuilder::new();
    let (asks, numbers): (Numbers, Numbers) = (builder.input("asks"), builder.input("numbers"));
    let doubled = builder.derive("doubled", numbers).rows(|key, value, out| {
        out.put(*key, **value * 2);
        Ok(())
    });
    let pairs = builder.derive("pairs", asks).reading(doubled).rows(paired);
    let mut graph = builder.build();
    graph.epoch(|batch| put(batch, asks, 1, 7));
    assert_eq!(graph.stops(pairs), [("1".to_owned(), pending("doubled", "7"))]);
    graph.epoch(|batch| batch.complete(numbers));
    assert_eq!(rows(&graph, pairs), [(1, -1)]);
}

#[test]
fn a_run_that_stops_leaves_nothing_and_harms_no_other() {
    let mut t = Pair::complete();
    t.graph.epoch(|batch| {
        put(batch, t.left, 1, 7);
        put(batch, t.left, 2, 7);
        put(batch, t.right, 7, 1);
    });
    let epoch = t.graph.epoch(|batch| put(batch, t.left, 2, -1));
    assert_eq!(epoch.changes(t.pairs), [(2, None)]);
    assert_eq!(rows(&t.graph, t.pairs), [(1, 701)]);
}
