//! The edges of the API: handles of another graph, what explanations look like, what threads may have.

use std::sync::Arc;

use super::world::{Pod, Service, World};
use crate::graph::{Answer, Graph, GraphBuilder, Index, Input, Lens, Out, Role, Rows, Stop};

fn sendable<T: Send>(_: &T) {}

#[test]
fn a_graph_can_move_to_its_owner_thread() {
    let graph = GraphBuilder::new().build();
    sendable(&graph);
    let graph: Graph = std::thread::spawn(|| graph).join().expect("the thread does not panic");
    assert_eq!(format!("{graph:?}"), "[]");
}

#[test]
fn a_handle_of_another_graph_finds_nothing_and_harms_nothing() {
    let (mut one, mut two) = (World::new(), World::new());
    one.graph.epoch(|batch| batch.put(one.secrets, 1, Arc::new(1)));
    let epoch = one.graph.epoch(|batch| {
        batch.put(two.secrets, 1, Arc::new(2));
        batch.delete(two.secrets, &1);
        batch.complete(two.secrets);
        batch.retract(two.secrets, |_| true);
    });
    assert_eq!((epoch.misaddressed(), epoch.is_empty()), (4, true));
    assert_eq!(one.graph.get(one.secrets, &1).as_deref(), Some(&1));
    assert_eq!(one.graph.get(two.secrets, &1), None);
    assert_eq!(one.graph.iter(two.secrets).count(), 0);
    assert_eq!(one.graph.len(two.secrets), 0);
    assert!(!one.graph.is_complete(two.secrets));
    assert_eq!(one.graph.explain(two.secrets, &1), None);
    assert_eq!(one.graph.stops(two.members), []);
    let epoch = two.graph.epoch(|batch| batch.put(two.secrets, 1, Arc::new(1)));
    assert_eq!(epoch.changes(one.secrets), []);
    assert_eq!(epoch.changes(two.secrets).len(), 1);
}

#[test]
fn a_graph_drawn_with_a_foreign_handle_never_completes_and_says_so() {
    fn reads(
        key: &u8,
        _: &Arc<u8>,
        foreign: Lens<'_, Rows<u8, u8>>,
        index: Lens<'_, Index<u8, u8, u8>>,
        out: &mut Out<u8, bool>,
    ) -> Result<(), Stop> {
        out.put(*key, foreign.get(key)?.is_some() || index.any(key)?);
        Ok(())
    }
    let mut other = GraphBuilder::new();
    let foreign: Input<u8, u8> = other.input("foreign");
    let index = other.index("foreign index", foreign, |key, _, out| out.push(*key));
    let mut builder = GraphBuilder::new();
    let own: Input<u8, u8> = builder.input("own");
    let rows = builder.derive("rows", own).reading(foreign).reading(index).rows(reads);
    let mut graph = builder.build();
    graph.epoch(|batch| {
        batch.put(own, 1, Arc::new(1));
        batch.complete(own);
    });
    assert!(!graph.complete());
    assert_eq!(graph.stops(rows).len(), 1);
    let stats = graph.stats().pop().expect("rows is the last node");
    assert_eq!(stats.waits_for, ["a handle of another graph", "a handle of another graph"]);
}

#[test]
fn explain_tells_what_made_a_row_and_what_was_looked_for() {
    let mut world = World::new();
    let (pods, services, secrets) = (world.pods, world.services, world.secrets);
    world.graph.epoch(|batch| {
        batch.put(pods, 4, Arc::new(Pod { pairs: vec![2], group: 2, secret: 1, version: 4 }));
        batch.put(services, 9, Arc::new(Service { pair: 2, weight: 4 }));
        batch.complete(pods);
        batch.complete(services);
        batch.complete(secrets);
    });
    let told = world.graph.explain(world.joined, &9).expect("the row is there");
    let expected = "\
joined 9
  from services 9
  looked up members (9, 4)
    from pods 4
    looked up selected 2
      with services 9
  looked up checked 2
    from pods 4
    looked up secrets 1: absent
    looked up secrets 2: absent
  looked up secrets 2: absent
";
    assert_eq!(told.to_string(), expected);
    assert_eq!((told.role, told.from[0].role, told.from[3].answer), (Role::Row, Role::Primary, Answer::Absent));
    assert_eq!(world.graph.explain(world.joined, &7), None);
}

#[test]
fn an_explanation_stays_printable() {
    let mut builder = GraphBuilder::new();
    let numbers: Input<u32, u32> = builder.input("numbers");
    let all = builder.index("all", numbers, |_, _, out| out.push(()));
    fn count(
        key: &u32,
        _: &Arc<u32>,
        all: Lens<'_, Index<(), u32, u32>>,
        out: &mut Out<u32, usize>,
    ) -> Result<(), Stop> {
        if *key == 0 {
            out.put(0, all.of(&())?.len());
        }
        Ok(())
    }
    let counts = builder.derive("counts", numbers).reading(all).rows(count);
    let mut graph = builder.build();
    graph.epoch(|batch| {
        (0..2000).for_each(|key| batch.put(numbers, key, Arc::new(key)));
        batch.complete(numbers);
    });
    let told = graph.explain(counts, &0).expect("the row is there");
    assert_eq!(told.from[1].left_out + told.from[1].from.len(), 2000);
    assert!(told.to_string().lines().count() < 600);
    assert!(told.to_string().ends_with("more\n"), "{told}");
}
