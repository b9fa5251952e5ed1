//! `cost_of_change`, for endpoints: the work of one change does not grow with the number of pods or Services. Counted in
//! calls of transforms and in bytes encoded, which do not depend on the machine; wall time is the benchmark's.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use syncgate::graph::{Graph, GraphBuilder, Input};
use syncgate::model::{Labels, ObjectKey, Pod, PortRef, Service, ServicePort, TargetPort};
use syncgate::resource::Resource;
use syncgate::translate::endpoints::{self, Endpoints};
use syncgate::translate::keys::{AppProtocol, ClusterKey};
use syncgate::translate::led::{self, Led};

struct Drawn {
    graph: Graph,
    services: Input<ObjectKey, Service>,
    pods: Input<ObjectKey, Pod>,
    endpoints: Endpoints,
}

fn labels_in(app: u32, zone: u32) -> Labels {
    let zone = ("topology.kubernetes.io/zone".into(), arcstr::format!("zone-{zone}"));
    labels(app).iter().cloned().chain([zone]).collect()
}

fn labels(app: u32) -> Labels {
    let pair = |k: &str, v: String| (k.into(), v.into());
    [pair("app", format!("app-{app}")), pair("pod-template-hash", "0123456789".into())].into_iter().collect()
}

fn service(app: u32) -> (ObjectKey, Arc<Service>) {
    let port = ServicePort {
        name: "http".into(),
        port: 80,
        target: TargetPort::Number(8080),
        protocol: Default::default(),
        app_protocol: None,
    };
    let selector = [("app".into(), arcstr::format!("app-{app}"))].into_iter().collect();
    let service = Service { selector: Some(selector), ports: vec![port], ..Service::default() };
    (ObjectKey::new("shop", arcstr::format!("app-{app}")), service.into())
}

fn pod_key(app: u32, n: u32) -> ObjectKey {
    ObjectKey::new("shop", arcstr::format!("app-{app}-{n}"))
}

fn pod(app: u32, n: u32) -> Pod {
    Pod {
        labels: labels_in(app, n % 3),
        ips: [Ipv4Addr::from_bits(0x0a00_0000 + app * 0x1_0000 + n).into()].into_iter().collect(),
        ready: true,
        ..Pod::default()
    }
}

fn drawn(apps: u32, pods_each: u32) -> Drawn {
    let mut builder = GraphBuilder::new();
    let (services, pods, slices) = (builder.input("services"), builder.input("pods"), builder.input("slices"));
    let leads = builder.input("leads");
    let led = builder.derive("led ports", leads).reading(services).rows(led::by_waiting);
    let endpoints = endpoints::build(&mut builder, services, pods, slices, led);
    let mut graph = builder.build();
    graph.epoch(|batch| {
        for app in 0..apps {
            let (key, value) = service(app);
            batch.put(leads, PortRef { service: key.clone(), port: 80 }, Led.into());
            batch.put(services, key, value);
            for n in 0..pods_each {
                batch.put(pods, pod_key(app, n), pod(app, n).into());
            }
        }
        batch.complete(leads);
        batch.complete(services);
        batch.complete(pods);
        batch.complete(slices);
    });
    Drawn { graph, services, pods, endpoints }
}

impl Drawn {
    fn assignment(&self, app: u32) -> Arc<Resource> {
        let key = ClusterKey::new(service(app).0, 80, AppProtocol::Http);
        self.graph.get(self.endpoints.assignments, &key).expect("every Service has one")
    }

    /// The work of one change of one pod of app 0: rows looked at and transforms called, and the bytes encoded.
    fn change_pod(&mut self, value: Pod) -> (u64, usize) {
        let work = |g: &Graph| g.stats().iter().map(|n| n.total.dirty + n.total.recomputed).sum::<u64>();
        let before: HashSet<_> = self.assignment(0).body.frames().map(|f| f.as_ptr()).collect();
        let worked = work(&self.graph);
        let pods = self.pods;
        let epoch = self.graph.epoch(|batch| batch.put(pods, pod_key(0, 5), value.into()));
        assert_eq!(epoch.changes(self.endpoints.assignments).len(), 1);
        assert_eq!(epoch.changes(self.endpoints.clusters).len(), 0);
        let after = self.assignment(0);
        let encoded = after.body.frames().filter(|f| !before.contains(&f.as_ptr())).map(|f| f.len()).sum();
        (work(&self.graph) - worked, encoded)
    }
}

fn not_ready() -> Pod {
    Pod { ready: false, ..pod(0, 5) }
}

#[test]
fn cost_of_change_of_a_pod_does_not_grow_with_the_pods_of_its_service() {
    let mut costs = Vec::new();
    for pods in [10, 1_000, 10_000] {
        let mut drawn = drawn(1, pods);
        let (out, out_bytes) = drawn.change_pod(not_ready());
        let (back, back_bytes) = drawn.change_pod(pod(0, 5));
        costs.push((out, back));
        // One leaf of some 64 endpoints and what stands around it; leaves differ in length.
        assert!(out_bytes.max(back_bytes) < 16 * 1024, "{pods} pods: {out_bytes} and {back_bytes} bytes encoded");
    }
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[test]
fn cost_of_change_of_a_pod_does_not_grow_with_the_services() {
    let costs: Vec<_> = [1, 100, 2_000].into_iter().map(|apps| drawn(apps, 10).change_pod(not_ready())).collect();
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[test]
fn cost_of_change_of_a_service_is_its_own_pods() {
    let mut costs = Vec::new();
    for apps in [2, 1_000] {
        let mut drawn = drawn(apps, 10);
        let work = |g: &Graph| g.stats().iter().map(|n| n.total.dirty + n.total.recomputed).sum::<u64>();
        let before = work(&drawn.graph);
        let (key, value) = service(0);
        let services = drawn.services;
        let changed = Service { publish_not_ready: true, ..(*value).clone() };
        let epoch = drawn.graph.epoch(|batch| batch.put(services, key, changed.into()));
        assert_eq!(epoch.changes(drawn.endpoints.assignments).len(), 0, "every pod is ready");
        costs.push(work(&drawn.graph) - before);
    }
    assert_eq!(costs[0], costs[1]);
}

#[test]
fn a_status_change_that_moves_no_endpoint_changes_nothing() {
    let mut drawn = drawn(1, 10);
    let before = drawn.assignment(0);
    let pods = drawn.pods;
    // Another label, which no Service selects by, and an unready pod that turns terminating.
    let relabelled =
        Pod { labels: labels_in(0, 2).iter().cloned().chain([("x".into(), "y".into())]).collect(), ..pod(0, 5) };
    let unready = Pod { labels: Labels::default(), ready: false, ..pod(0, 11) };
    drawn.graph.epoch(|batch| batch.put(pods, pod_key(0, 11), unready.clone().into()));
    let terminating = Pod { terminating: true, ..unready };
    for (n, value) in [(5, relabelled), (11, terminating)] {
        let epoch = drawn.graph.epoch(|batch| batch.put(pods, pod_key(0, n), value.into()));
        assert_eq!(epoch.changes(drawn.endpoints.assignments).len(), 0);
    }
    assert_eq!(before.version, drawn.assignment(0).version);
}
