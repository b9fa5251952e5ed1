//! Endpoints against a naive model: plain loops over everything there is, after every one of thousands of random
//! changes. What the graph derives from a change is what the loops find in the new world.

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{Address, address, socket_address::PortSpecifier};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier};
use prost::Message;
use syncgate::graph::{Batch, Graph, GraphBuilder, Input};
use syncgate::model::{EndpointSlice, IpFamilies, ObjectKey, Pod, PortRef, Protocol, Service, ServiceType, TargetPort};
use syncgate::resource::Resource;
use syncgate::translate::endpoints::{self, Endpoints};
use syncgate::translate::led::{self, Led};
use world::{Change, Random, World, change, every_port};

/// Zone, address, port and additional address, as a load assignment orders them.
type Endpoint = (String, IpAddr, u16, Option<IpAddr>);
/// Cluster name → its endpoints.
type Model = BTreeMap<String, Vec<Endpoint>>;

struct Drawn {
    graph: Graph,
    services: Input<ObjectKey, Service>,
    pods: Input<ObjectKey, Pod>,
    slices: Input<ObjectKey, EndpointSlice>,
    leads: Input<PortRef, Led>,
    endpoints: Endpoints,
}

impl Drawn {
    fn new() -> Self {
        let mut builder = GraphBuilder::new();
        let (services, pods, slices) = (builder.input("services"), builder.input("pods"), builder.input("slices"));
        let leads = builder.input("leads");
        let led = builder.derive("led ports", leads).reading(services).rows(led::by_waiting);
        let endpoints = endpoints::build(&mut builder, services, pods, slices, led);
        Drawn { graph: builder.build(), services, pods, slices, leads, endpoints }
    }

    fn complete(&mut self) {
        let (services, pods, slices, leads) = (self.services, self.pods, self.slices, self.leads);
        self.graph.epoch(|batch| {
            batch.complete(leads);
            batch.complete(services);
            batch.complete(pods);
            batch.complete(slices);
        });
    }

    /// One epoch; the names of the load assignments and clusters that changed in it.
    fn apply(&mut self, changes: &[Change]) -> Vec<String> {
        let (services, pods, slices, leads) = (self.services, self.pods, self.slices, self.leads);
        let epoch = self.graph.epoch(|batch| {
            for change in changes {
                match change {
                    Change::Service(key, value) => put(batch, services, key, value),
                    Change::Pod(key, value) => put(batch, pods, key, value),
                    Change::Slice(key, value) => put(batch, slices, key, value),
                    Change::Led(port, true) => batch.put(leads, port.clone(), Led.into()),
                    Change::Led(port, false) => batch.delete(leads, port),
                }
            }
        });
        let named = |kind: &str, key: &dyn std::fmt::Display| format!("{kind} {key}");
        let clusters = epoch.changes(self.endpoints.clusters).iter().map(|(key, _)| named("cluster", key));
        let assignments = epoch.changes(self.endpoints.assignments).iter().map(|(key, _)| named("assignment", key));
        clusters.chain(assignments).collect()
    }

    fn rows(&self) -> BTreeMap<String, Arc<Resource>> {
        let clusters = self.graph.iter(self.endpoints.clusters).map(|(k, v)| (format!("cluster {k}"), v.clone()));
        let assignments = self.graph.iter(self.endpoints.assignments);
        clusters.chain(assignments.map(|(k, v)| (format!("assignment {k}"), v.clone()))).collect()
    }

    fn model(&self) -> Model {
        self.graph.iter(self.endpoints.assignments).map(|(key, row)| (key.to_string(), decode(row))).collect()
    }
}

fn put<V: Eq + std::fmt::Debug + Send + Sync + 'static>(
    batch: &mut Batch<'_>,
    input: Input<ObjectKey, V>,
    key: &ObjectKey,
    value: &Option<Arc<V>>,
) {
    match value {
        Some(value) => batch.put(input, key.clone(), value.clone()),
        None => batch.delete(input, key),
    }
}

/// What should be there, by the rules as a reader of the Kubernetes documentation would write them down.
fn naive(world: &World) -> Model {
    let mut model = Model::new();
    for (key, service) in &world.services {
        if matches!(service.kind, ServiceType::ExternalName(_)) {
            continue;
        }
        let mut seen = Vec::new();
        for port in &service.ports {
            if port.protocol != Protocol::Tcp || seen.contains(&port.port) {
                continue;
            }
            seen.push(port.port);
            if !world.led.contains(&PortRef { service: key.clone(), port: port.port }) {
                continue;
            }
            let mut found: BTreeMap<(IpAddr, u16), (String, Option<IpAddr>)> = BTreeMap::new();
            for (pod_key, pod) in &world.pods {
                let selected =
                    service.selector.as_ref().is_some_and(|s| s.iter().all(|p| pod.labels.iter().any(|l| l == p)));
                let ready = service.publish_not_ready || (pod.ready && !pod.terminating);
                if pod_key.namespace != key.namespace || !selected || !ready || pod.finished || pod.ips.is_empty() {
                    continue;
                }
                let number = match &port.target {
                    TargetPort::Number(number) => Some(*number),
                    TargetPort::Name(name) => {
                        pod.named_ports.iter().find(|p| p.name == *name && p.protocol == Protocol::Tcp).map(|p| p.port)
                    }
                };
                let Some(number) = number else { continue };
                let mut ips: Vec<IpAddr> = pod.ips.iter().collect();
                ips.retain(|ip| match service.families {
                    IpFamilies::Any => true,
                    IpFamilies::V4 => ip.is_ipv4(),
                    IpFamilies::V6 => ip.is_ipv6(),
                });
                let Some(first) = ips.first().copied() else { continue };
                let other = ips.iter().find(|ip| ip.is_ipv6() != first.is_ipv6()).copied();
                let zone = pod.zone().map_or("", |zone| zone.as_str()).to_owned();
                found.entry((first, number)).or_insert((zone, other));
            }
            for (slice_key, slice) in &world.slices {
                if slice_key.namespace != key.namespace || slice.service.as_ref() != Some(&key.name) {
                    continue;
                }
                let numbers = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == Protocol::Tcp);
                let Some(number) = numbers.filter_map(|p| p.port).next() else { continue };
                // Of one address twice in one slice the last counts.
                for endpoint in slice.endpoints.iter().rev() {
                    let Some(ip) = endpoint.addresses.first() else { continue };
                    if endpoint.ready && !endpoint.terminating {
                        let zone = endpoint.zone.as_deref().unwrap_or("").to_owned();
                        found.entry((*ip, number)).or_insert((zone, None));
                    }
                }
            }
            let protocol = if port.app_protocol.is_some() { "h2c" } else { "http" };
            let name = format!("service/{}/{}/{}/{protocol}", key.namespace, key.name, port.port);
            let mut endpoints: Vec<_> =
                found.into_iter().map(|((ip, n), (zone, other))| (zone, ip, n, other)).collect();
            endpoints.sort();
            model.insert(name, endpoints);
        }
    }
    model
}

fn decode(row: &Resource) -> Vec<Endpoint> {
    let message = ClusterLoadAssignment::decode(row.body.to_bytes()).expect("a load assignment");
    assert_eq!(message.cluster_name, row.name.as_str());
    let zones = message.endpoints.iter().flat_map(|zone| {
        let name = zone.locality.as_ref().map(|l| l.zone.clone()).unwrap_or_default();
        zone.lb_endpoints.iter().map(move |endpoint| (name.clone(), endpoint))
    });
    zones.map(|(zone, endpoint)| decode_endpoint(zone, endpoint)).collect()
}

fn decode_endpoint(zone: String, endpoint: &LbEndpoint) -> Endpoint {
    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else { unreachable!("{endpoint:?}") };
    let (ip, port) = decode_address(endpoint.address.as_ref());
    let additional = endpoint.additional_addresses.first().map(|a| decode_address(a.address.as_ref()));
    if let Some((_, other)) = additional {
        assert_eq!(other, port);
    }
    (zone, ip, port, additional.map(|(ip, _)| ip))
}

fn decode_address(address: Option<&Address>) -> (IpAddr, u16) {
    let Some(address::Address::SocketAddress(socket)) = address.and_then(|a| a.address.as_ref()) else {
        unreachable!("{address:?}")
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { unreachable!("{socket:?}") };
    (socket.address.parse().expect("an IP address"), u16::try_from(port).expect("a port"))
}

#[test]
fn every_change_leads_to_what_the_naive_model_finds() {
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut world = World::default();
        let mut drawn = Drawn::new();
        drawn.complete();
        let mut most = 0;
        let leads: Vec<_> = every_port().into_iter().map(|port| Change::Led(port, true)).collect();
        leads.iter().for_each(|lead| world.apply(lead));
        drawn.apply(&leads);
        for step in 0..600 {
            let before = drawn.rows();
            let changes: Vec<_> = (0..=random.below(4)).map(|_| change(&mut random)).collect();
            changes.iter().for_each(|c| world.apply(c));
            let changed = drawn.apply(&changes);
            assert_eq!(drawn.model(), naive(&world), "seed {seed}, step {step}, {changes:?}");
            // F31: what the epoch says has changed is what has.
            let after = drawn.rows();
            let differs = |name: &&String| before.get(*name) != after.get(*name);
            let mut expected: Vec<_> = before.keys().chain(after.keys()).filter(differs).cloned().collect();
            expected.sort_by_key(|name| (!name.starts_with("cluster"), name.clone()));
            expected.dedup();
            let mut changed_sorted = changed.clone();
            changed_sorted.sort_by_key(|name| (!name.starts_with("cluster"), name.clone()));
            assert_eq!(changed_sorted, expected, "seed {seed}, step {step}, {changes:?}");
            most = most.max(drawn.model().values().map(Vec::len).sum());
        }
        assert!(most > 10, "seed {seed} never had more than {most} endpoints");
    }
}

#[test]
fn pure_endpoints_do_not_depend_on_the_order_of_arrival() {
    let mut random = Random(77);
    let mut world = World::default();
    let mut lived = Drawn::new();
    lived.complete();
    for step in 0..200 {
        let change = change(&mut random);
        world.apply(&change);
        lived.apply(std::slice::from_ref(&change));
        if step % 10 != 0 {
            continue;
        }
        let mut all = world.all();
        // Another order, in other epochs, and complete at the end only.
        for at in (1..all.len()).rev() {
            all.swap(at, random.below(at + 1));
        }
        let mut fresh = Drawn::new();
        all.chunks(3).for_each(|changes| {
            fresh.apply(changes);
        });
        fresh.complete();
        assert_eq!(lived.rows(), fresh.rows(), "step {step}");
        let bytes = |d: &Drawn| d.rows().into_values().map(|r| r.body.to_bytes()).collect::<Vec<_>>();
        assert_eq!(bytes(&lived), bytes(&fresh), "step {step}");
    }
}

#[test]
fn endpoints_are_complete_when_all_that_they_are_made_of_is() {
    let mut drawn = Drawn::new();
    let (services, pods, slices, leads) = (drawn.services, drawn.pods, drawn.slices, drawn.leads);
    let is_complete = |d: &Drawn| d.graph.is_complete(d.endpoints.assignments);
    drawn.graph.epoch(|batch| batch.complete(services));
    assert!(!is_complete(&drawn));
    drawn.graph.epoch(|batch| batch.complete(slices));
    assert!(!is_complete(&drawn));
    drawn.graph.epoch(|batch| batch.complete(pods));
    assert!(!is_complete(&drawn));
    drawn.graph.epoch(|batch| batch.complete(leads));
    assert!(is_complete(&drawn));
}

#[test]
fn gone_is_gone_for_endpoints() {
    let mut drawn = Drawn::new();
    drawn.complete();
    let mut random = Random(5);
    for _ in 0..20 {
        let mut world = World::default();
        for _ in 0..60 {
            let change = change(&mut random);
            world.apply(&change);
            drawn.apply(&[change]);
        }
        let all = world.all().into_iter().map(|change| match change {
            Change::Service(key, _) => Change::Service(key, None),
            Change::Pod(key, _) => Change::Pod(key, None),
            Change::Slice(key, _) => Change::Slice(key, None),
            Change::Led(port, _) => Change::Led(port, false),
        });
        drawn.apply(&all.collect::<Vec<_>>());
        assert_eq!(drawn.rows().len(), 0);
        for node in drawn.graph.stats() {
            let held = (node.rows, node.dependencies, node.entries);
            assert_eq!(held, (0, 0, 0), "{}: rows, dependencies, entries", node.name);
        }
    }
}
