//! Invariant 11, `gone_is_gone`: a source that ends takes everything of it along.

use std::sync::Arc;

use super::world::{Pod, Service, World};
use crate::graph::Batch;

fn fill(batch: &mut Batch<'_>, world: (&World, u16)) {
    let (World { pods, services, secrets, .. }, turn) = world;
    for key in 0..30 {
        let n = (u16::from(key) + turn) as u8;
        let pod = Pod { pairs: vec![n % 5, n % 7], group: n % 8, secret: n % 5, version: n % 5 };
        batch.put(*pods, u16::from(key) + 100 * (turn % 3), Arc::new(pod));
        batch.put(*services, u16::from(key % 9), Arc::new(Service { pair: n % 6, weight: n % 8 }));
        batch.put(*secrets, key % 7, Arc::new(n % 6));
        batch.pending(*secrets, 200 + key);
    }
}

#[test]
fn a_thousand_namespaces_leave_nothing_behind() {
    let mut world = World::new();
    let (pods, services, secrets) = (world.pods, world.services, world.secrets);
    world.graph.epoch(|batch| {
        batch.complete(pods);
        batch.complete(services);
        batch.complete(secrets);
    });
    for turn in 0..1000 {
        let mut graph = std::mem::replace(&mut world.graph, crate::graph::GraphBuilder::new().build());
        graph.epoch(|batch| fill(batch, (&world, turn)));
        world.graph = graph;
        let held = world.graph.stats().iter().map(|stats| stats.entries).sum::<usize>();
        assert!(held > 50, "turn {turn} holds {held} entries");
        let epoch = world.graph.epoch(|batch| {
            batch.retract(pods, |_| true);
            batch.retract(services, |_| true);
            batch.retract(secrets, |_| true);
        });
        assert_eq!(epoch.changes(pods).len(), 30);
        for stats in world.graph.stats() {
            let left = (stats.rows, stats.entries, stats.dependencies, stats.collisions, stats.pending, stats.faults);
            assert_eq!(left, (0, 0, 0, 0, 0, 0), "turn {turn}: {stats:?}");
        }
    }
}

/// What is retracted has no reader left that could be asked, and comes back as if it were new.
#[test]
fn a_source_that_comes_back_is_as_new() {
    let mut world = World::new();
    let (pods, other) = (world.pods, World::new());
    let mut fresh = other;
    for world in [&mut world, &mut fresh] {
        let handles = (world.pods, world.services, world.secrets);
        world.graph.epoch(|batch| {
            batch.complete(handles.0);
            batch.complete(handles.1);
            batch.complete(handles.2);
            for key in 0..20 {
                let pod = Pod { pairs: vec![1], group: key as u8 % 3, secret: 1, version: 2 };
                batch.put(handles.0, key, Arc::new(pod));
                batch.put(handles.1, key % 4, Arc::new(Service { pair: 1, weight: 3 }));
            }
        });
    }
    let members = world.graph.stats();
    world.graph.epoch(|batch| batch.retract(pods, |key| key % 2 == 0));
    world.graph.epoch(|batch| {
        for key in (0..20).step_by(2) {
            let pod = Pod { pairs: vec![1], group: key as u8 % 3, secret: 1, version: 2 };
            batch.put(pods, key, Arc::new(pod));
        }
    });
    for (before, after) in members.iter().zip(world.graph.stats()) {
        let counts =
            |stats: &crate::graph::NodeStats| (stats.rows, stats.entries, stats.dependencies, stats.collisions);
        assert_eq!(counts(before), counts(&after), "{}", after.name);
    }
    let rows: Vec<_> = world.graph.iter(world.last).collect();
    assert!(!rows.is_empty());
    assert_eq!(rows, fresh.graph.iter(fresh.last).collect::<Vec<_>>());
}
