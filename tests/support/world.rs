//! Services, Pods and EndpointSlices made up at random from few names, so that they meet, and Service ports that something
//! leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arcstr::ArcStr;
use syncgate::model::{
    EndpointSlice, IpFamilies, Labels, ObjectKey, Pod, PodPort, PortRef, Protocol, Service, ServicePort, ServiceType,
    SliceEndpoint, SlicePort, TargetPort,
};

/// SplitMix64: reproducible from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("below n")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn name(&mut self, from: &[&str]) -> ArcStr {
        self.pick(from).into()
    }
}

/// Ports that Services have.
const PORTS: [u16; 3] = [80, 81, 82];

/// What there is.
#[derive(Default, Clone)]
pub(crate) struct World {
    pub(crate) services: BTreeMap<ObjectKey, Arc<Service>>,
    pub(crate) pods: BTreeMap<ObjectKey, Arc<Pod>>,
    pub(crate) slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    pub(crate) led: BTreeSet<PortRef>,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Service(ObjectKey, Option<Arc<Service>>),
    Pod(ObjectKey, Option<Arc<Pod>>),
    Slice(ObjectKey, Option<Arc<EndpointSlice>>),
    Led(PortRef, bool),
}

impl World {
    pub(crate) fn apply(&mut self, change: &Change) {
        fn set<V>(rows: &mut BTreeMap<ObjectKey, Arc<V>>, key: &ObjectKey, value: &Option<Arc<V>>) {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        match change {
            Change::Service(key, value) => set(&mut self.services, key, value),
            Change::Pod(key, value) => set(&mut self.pods, key, value),
            Change::Slice(key, value) => set(&mut self.slices, key, value),
            Change::Led(port, true) => drop(self.led.insert(port.clone())),
            Change::Led(port, false) => drop(self.led.remove(port)),
        }
    }

    /// Every object as a change that brings it.
    pub(crate) fn all(&self) -> Vec<Change> {
        let services = self.services.iter().map(|(k, v)| Change::Service(k.clone(), Some(v.clone())));
        let pods = self.pods.iter().map(|(k, v)| Change::Pod(k.clone(), Some(v.clone())));
        let slices = self.slices.iter().map(|(k, v)| Change::Slice(k.clone(), Some(v.clone())));
        let led = self.led.iter().map(|port| Change::Led(port.clone(), true));
        services.chain(pods).chain(slices).chain(led).collect()
    }
}

/// Every port that a Service can have.
pub(crate) fn every_port() -> Vec<PortRef> {
    let service = |at: usize| ObjectKey::new(["a", "b"][at / 3], ["s1", "s2", "s3"][at % 3]);
    (0..6).flat_map(|at| PORTS.map(|port| PortRef { service: service(at), port })).collect()
}

/// A change of something that is there, or something new, or the end of something.
pub(crate) fn change(random: &mut Random) -> Change {
    let namespace = random.name(&["a", "b"]);
    let gone = random.one_in(8);
    match random.below(7) {
        0 => {
            let key = ObjectKey::new(namespace, random.name(&["s1", "s2", "s3"]));
            Change::Service(key, (!gone).then(|| service(random).into()))
        }
        1 => {
            let key = ObjectKey::new(namespace, random.name(&["x1", "x2", "x3"]));
            Change::Slice(key, (!gone).then(|| slice(random).into()))
        }
        2 => {
            let service = ObjectKey::new(namespace, random.name(&["s1", "s2", "s3"]));
            Change::Led(PortRef { service, port: random.pick(&PORTS) }, !gone)
        }
        _ => {
            let key = ObjectKey::new(namespace, random.name(&["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"]));
            Change::Pod(key, (!gone).then(|| pod(random).into()))
        }
    }
}

fn labels(random: &mut Random, most: usize) -> Labels {
    let pair = |r: &mut Random| (r.name(&["app", "tier", "zone"]), r.name(&["one", "two"]));
    (0..=random.below(most)).map(|_| pair(random)).collect()
}

fn zone(random: &mut Random) -> Option<ArcStr> {
    let zone = random.name(&["", "east", "west"]);
    (!zone.is_empty()).then_some(zone)
}

fn protocol(random: &mut Random) -> Protocol {
    if random.one_in(6) { Protocol::Udp } else { Protocol::Tcp }
}

fn address(random: &mut Random) -> IpAddr {
    let n = u16::try_from(random.below(9)).expect("small");
    if random.one_in(3) {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).into()
    } else {
        Ipv4Addr::new(10, 0, 0, n.to_be_bytes()[1]).into()
    }
}

fn service(random: &mut Random) -> Service {
    let port = |r: &mut Random| ServicePort {
        name: r.name(&["", "http", "grpc"]),
        port: r.pick(&PORTS),
        target: if r.one_in(2) { TargetPort::Number(8080) } else { TargetPort::Name(r.name(&["web", "rpc"])) },
        protocol: protocol(r),
        app_protocol: r.one_in(4).then(|| "kubernetes.io/h2c".into()),
    };
    Service {
        kind: if random.one_in(8) { ServiceType::ExternalName("example.com".into()) } else { ServiceType::Cluster },
        selector: (!random.one_in(5)).then(|| labels(random, 1)),
        ports: (0..=random.below(3)).map(|_| port(random)).collect(),
        publish_not_ready: random.one_in(5),
        families: if random.one_in(8) { random.pick(&[IpFamilies::V4, IpFamilies::V6]) } else { IpFamilies::Any },
        headless: random.one_in(4),
        unavailable: None,
    }
}

fn pod(random: &mut Random) -> Pod {
    let port = |r: &mut Random| PodPort {
        name: r.name(&["web", "rpc", "other"]),
        port: r.pick(&[8080, 8081]),
        protocol: protocol(r),
    };
    let own = labels(random, 3);
    let zone = zone(random).map(|zone| ("topology.kubernetes.io/zone".into(), zone));
    Pod {
        labels: own.iter().cloned().chain(zone).collect(),
        ips: (0..random.pick(&[0, 1, 1, 1, 2, 2, 3])).map(|_| address(random)).collect(),
        named_ports: (0..random.below(4)).map(|_| port(random)).collect(),
        ready: !random.one_in(4),
        terminating: random.one_in(8),
        finished: random.one_in(8),
    }
}

fn slice(random: &mut Random) -> EndpointSlice {
    let port = |r: &mut Random| SlicePort {
        name: r.name(&["", "http", "grpc"]),
        port: (!r.one_in(5)).then(|| r.pick(&[8080, 8081])),
        protocol: protocol(r),
    };
    let endpoint = |r: &mut Random| SliceEndpoint {
        addresses: (0..r.below(3)).map(|_| address(r)).collect(),
        ready: !r.one_in(4),
        terminating: r.one_in(6),
        zone: zone(r),
    };
    EndpointSlice {
        service: (!random.one_in(6)).then(|| random.name(&["s1", "s2", "s3"])),
        ports: (0..random.below(3)).map(|_| port(random)).collect(),
        endpoints: (0..random.below(4)).map(|_| endpoint(random)).collect(),
    }
}
