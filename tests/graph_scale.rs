//! Invariants 10 and 11 for the graph alone: the work of one change does not depend on the size of the state, and
//! what is many is done in parallel with the same result.

use std::sync::Arc;

use syncgate::graph::{Batch, Fold, Graph, GraphBuilder, Index, Input, Lens, Member, NodeStats, Out, Rows, Stop};

/// Pods with labels, services that select one label, the members of each service, and their number.
struct World {
    graph: Graph,
    pods: Input<u32, Vec<u32>>,
    services: Input<u32, u32>,
    members: Rows<(u32, u32), u32>,
    counts: Rows<u32, Vec<u32>>,
}

fn members(
    pod: &u32,
    labels: &Arc<Vec<u32>>,
    services: Lens<'_, Index<u32, u32, u32>>,
    out: &mut Out<(u32, u32), u32>,
) -> Result<(), Stop> {
    for label in labels.iter() {
        for (service, _) in services.of(label)? {
            out.put((service, *pod), *label);
        }
    }
    Ok(())
}

/// The pods of one service; the row is their sum and number, so that making it costs no more for many.
#[derive(Default)]
struct Count(u32, u32);

impl Fold<u32> for Count {
    type Row = Vec<u32>;
    fn row(&mut self, _: &u32) -> Option<Vec<u32>> {
        Some(vec![self.0, self.1])
    }
}

impl Member<(u32, u32), u32> for Count {
    fn put(&mut self, key: &(u32, u32), _: &Arc<u32>) {
        self.0 += 1;
        self.1 = self.1.wrapping_add(key.1);
    }
    fn del(&mut self, key: &(u32, u32), _: &Arc<u32>) {
        self.0 -= 1;
        self.1 = self.1.wrapping_sub(key.1);
    }
}

const LABELS: u32 = 4;

impl World {
    fn new() -> Self {
        let mut builder = GraphBuilder::new();
        let pods = builder.input("pods");
        let services = builder.input("services");
        let selected = builder.index("selected", services, |_, label, out| out.push(*label));
        let members = builder.derive("members", pods).reading(selected).rows(members);
        let counts = builder.fold::<Count, u32>("counts").from(members, |key, _| key.0).rows();
        Self { graph: builder.build(), pods, services, members, counts }
    }

    /// Each service selects one label; each pod has the label of its service and three of its own, plus one that all have.
    fn fill(&self, batch: &mut Batch<'_>, pods: impl Iterator<Item = u32>, services: u32) {
        for service in 0..services {
            batch.put(self.services, service, Arc::new(service));
        }
        for pod in pods {
            batch.put(self.pods, pod, Arc::new(labels(pod, pod % services)));
        }
        batch.complete(self.pods);
        batch.complete(self.services);
    }

    fn filled(pods: u32, services: u32) -> Self {
        let mut world = Self::new();
        world.epoch(|world, batch| world.fill(batch, 0..pods, services));
        world
    }

    fn epoch(&mut self, change: impl FnOnce(&Self, &mut Batch<'_>)) {
        let mut graph = std::mem::replace(&mut self.graph, GraphBuilder::new().build());
        graph.epoch(|batch| change(self, batch));
        self.graph = graph;
    }

    fn stats(&self, name: &str) -> NodeStats {
        self.graph.stats().into_iter().find(|stats| stats.name == name).expect("a node of this name was drawn")
    }
}

fn labels(pod: u32, service: u32) -> Vec<u32> {
    let own = 1_000_000 + pod * LABELS;
    vec![service, 999_999, own, own + 1, own + 2]
}

/// Invariant 10, `cost_of_change`, in counts: they are exact on every machine.
#[test]
fn cost_of_change() {
    let mut counts = Vec::new();
    for (pods, services) in [(100, 10), (10_000, 10), (10_000, 1_000)] {
        let mut world = World::filled(pods, services);
        world.epoch(|world, batch| batch.put(world.pods, 5, Arc::new(labels(5, 3))));
        let work = |name| {
            let last = world.stats(name).last;
            (last.dirty, last.recomputed, last.no_ops)
        };
        counts.push([work("pods"), work("members"), work("counts")]);
    }
    assert_eq!(counts[0], [(1, 0, 0), (1, 1, 0), (2, 2, 0)], "the pod left one service and came to another");
    assert_eq!(counts[1], counts[0]);
    assert_eq!(counts[2], counts[0]);
}

#[test]
fn a_service_that_comes_touches_its_pods_only() {
    let mut world = World::filled(10_000, 1_000);
    world.epoch(|world, batch| batch.put(world.services, 5_000, Arc::new(7)));
    assert_eq!(world.stats("members").last.recomputed, 10);
    assert_eq!(world.graph.get(world.counts, &5_000).map(|count| count[0]), Some(10));
}

/// 20,000 dirty keys take the parallel path in several blocks; the same rows one by one do not.
#[test]
fn parallel_and_one_by_one_come_to_the_same() {
    let many = World::filled(20_000, 50);
    let mut one_by_one = World::new();
    one_by_one.epoch(|world, batch| world.fill(batch, std::iter::empty(), 50));
    for pod in (0..20_000).rev() {
        one_by_one.epoch(|world, batch| batch.put(world.pods, pod, Arc::new(labels(pod, pod % 50))));
    }
    assert_eq!(many.graph.len(many.members), 20_000);
    let (a, b): (Vec<_>, Vec<_>) =
        (many.graph.iter(many.members).collect(), one_by_one.graph.iter(one_by_one.members).collect());
    assert!(a == b, "the members are the same");
    let (a, b): (Vec<_>, Vec<_>) =
        (many.graph.iter(many.counts).collect(), one_by_one.graph.iter(one_by_one.counts).collect());
    assert_eq!(a, b);
}

/// Invariant 11: also what all pods look at together, and what only one does, goes with them.
#[test]
fn gone_is_gone() {
    let mut world = World::filled(5_000, 50);
    assert_eq!(world.stats("members").entries, 25_000);
    assert_eq!(world.stats("members").dependencies, 50 + 1 + 15_000);
    world.epoch(|world, batch| batch.retract(world.pods, |pod| *pod >= 10));
    assert_eq!(world.stats("members").entries, 50);
    assert_eq!(world.stats("members").dependencies, 10 + 1 + 30);
    world.epoch(|world, batch| batch.retract(world.pods, |_| true));
    for name in ["pods", "members", "counts"] {
        let stats = world.stats(name);
        assert_eq!((stats.rows, stats.entries, stats.dependencies), (0, 0, 0), "{name}");
    }
}
