//! `cost_of_change`, for routes: the work of one change does not grow with the number of routes. Counted in calls of
//! transforms and in bytes encoded, which do not depend on the machine; wall time is the benchmark's.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use syncgate::graph::{Graph, GraphBuilder};
use syncgate::model::{BackendRef, HttpRoute, Kind, Object, ObjectKey, PathMatch, RouteMatch, RouteRule};
use syncgate::resource::{Resource, ResourceType};
use syncgate::translate::{self, Inputs, Outputs};

use crate::hostile::{self, Random};

struct Drawn {
    graph: Graph,
    inputs: Inputs,
    outputs: Outputs,
}

/// A route of one rule; without a host of its own it shares the listener's with all others.
fn route(at: usize, path: &str, own_host: bool) -> (ObjectKey, Object) {
    let backend = BackendRef {
        group: "".into(),
        kind: "Service".into(),
        target: ObjectKey::new("ns", "s1"),
        port: Some(80),
        weight: 1,
        filters: Vec::new(),
    };
    let matched = RouteMatch {
        path: PathMatch::Prefix(arcstr::format!("{path}/{at}")),
        headers: Vec::new(),
        query: Vec::new(),
        method: None,
    };
    let route = HttpRoute {
        parents: vec![hostile::parent(Some("first"))],
        hostnames: if own_host { vec![arcstr::format!("h{at}.org")] } else { Vec::new() },
        rules: vec![RouteRule { matches: vec![matched], backends: vec![backend], ..RouteRule::default() }],
        ..HttpRoute::default()
    };
    (ObjectKey::new("ns", arcstr::format!("route-{at}")), Object::HttpRoute(Arc::new(route)))
}

impl Drawn {
    fn of(routes: usize, own_hosts: bool) -> Self {
        let mut builder = GraphBuilder::new();
        let (inputs, outputs) = translate::build(&mut builder);
        let mut drawn = Self { graph: builder.build(), inputs, outputs };
        let mut objects = hostile::frame(&mut Random::new(1));
        objects.extend((0..routes).map(|at| route(at, "/a", own_hosts)));
        drawn.graph.epoch(|batch| {
            objects.iter().for_each(|(key, object)| drawn.inputs.put(batch, key, object));
            Kind::ALL.into_iter().for_each(|kind| drawn.inputs.complete(batch, kind));
        });
        drawn
    }

    fn put(&mut self, (key, object): &(ObjectKey, Object)) {
        self.graph.epoch(|batch| self.inputs.put(batch, key, object));
    }

    fn recomputed(&self) -> BTreeMap<String, u64> {
        self.graph.stats().into_iter().map(|node| (node.name.to_string(), node.total.recomputed)).collect()
    }

    fn table(&self) -> Arc<Resource> {
        let tables = self.graph.iter(self.outputs.resources);
        let largest = tables.filter(|(key, _)| key.kind == ResourceType::RouteConfiguration);
        largest.map(|(_, table)| table.clone()).max_by_key(|table| table.body.len()).expect("a route configuration")
    }
}

/// Bytes of `new` that do not lie in the same memory as bytes of `old`.
fn fresh(old: &Resource, new: &Resource) -> usize {
    let place = |frame: &Bytes| (frame.as_ptr() as usize, frame.len());
    let known: HashSet<(usize, usize)> = old.body.frames().map(|frame| place(&frame)).collect();
    new.body.frames().filter(|frame| !known.contains(&place(frame))).map(|frame| frame.len()).sum()
}

/// Calls of transforms and bytes encoded anew when one route changes, and when one is added, among this many.
fn work(routes: usize, own_hosts: bool) -> (BTreeMap<String, u64>, usize) {
    let mut drawn = Drawn::of(routes, own_hosts);
    let (before, table) = (drawn.recomputed(), drawn.table());
    drawn.put(&route(routes / 2, "/b", own_hosts));
    let changed = drawn.table();
    drawn.put(&route(routes, "/a", own_hosts));
    let added = drawn.table();
    assert!(table.version != changed.version && changed.version != added.version, "both changes show");
    let after = drawn.recomputed();
    let calls = after.into_iter().map(|(name, count)| (name.clone(), count - before[&name])).collect();
    (calls, fresh(&table, &changed) + fresh(&changed, &added))
}

#[test]
fn cost_of_change() {
    for own_hosts in [true, false] {
        let (few, few_bytes) = work(50, own_hosts);
        let (many, many_bytes) = work(5_000, own_hosts);
        assert_eq!(few, many, "calls of transforms for two changes among 50 and among 5,000 routes");
        assert!(few.values().sum::<u64>() > 0 && few.values().all(|calls| *calls <= 4), "{few:?}");
        // Two leaves of 64 rows on average each, with what is above them; sizes of leaves vary.
        assert!(many_bytes < 64 * 1024, "{few_bytes} and {many_bytes} fresh bytes, own hosts: {own_hosts}");
        println!("own hosts: {own_hosts}: {few_bytes} and {many_bytes} fresh bytes; calls: {few:?}");
    }
}
