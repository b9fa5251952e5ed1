//! The mailbox and the door, with a clock that the tests move.

mod backing;
mod bounded;
mod cases;
mod config_maps;
mod demands;
mod demands_model;
mod firm;
mod mailbox;
mod no_dangling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use crate::model::delta::{Delta, Event};
use crate::model::*;

use super::*;

fn key(name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    ObjectKey::new(namespace, name)
}

fn object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, key(name))
}

/// A Service with these ports.
fn service(name: &str, ports: &[u16]) -> Event {
    let port = |port: &u16| ServicePort {
        name: ArcStr::new(),
        port: *port,
        target: TargetPort::Number(*port),
        protocol: Protocol::Tcp,
        app_protocol: None,
    };
    let service = Service { ports: ports.iter().map(port).collect(), ..Service::default() };
    Event::Put(object(Kind::Service, name), Object::Service(Arc::new(service)))
}

/// A route without parents whose one rule has these backends.
fn route(name: &str, backends: &[(&str, u16)]) -> Event {
    let backend = |(target, port): &(&str, u16)| BackendRef {
        group: ArcStr::new(),
        kind: "Service".into(),
        target: key(target),
        port: Some(*port),
        weight: 1,
        filters: Vec::new(),
    };
    let rule = RouteRule { backends: backends.iter().map(backend).collect(), ..RouteRule::default() };
    let route = HttpRoute { rules: vec![rule], ..HttpRoute::default() };
    Event::Put(object(Kind::HttpRoute, name), Object::HttpRoute(Arc::new(route)))
}

/// A Gateway with one HTTPS listener and these certificates, of a class that is always there.
fn gateway(name: &str, secrets: &[&str]) -> Event {
    let certificate =
        |target: &&str| CertificateRef { group: ArcStr::new(), kind: "Secret".into(), target: key(target) };
    let listener = Listener {
        name: "https".into(),
        hostname: None,
        port: 443,
        protocol: ListenerProtocol::Https,
        tls: Some(ListenerTls { passthrough: false, certificates: secrets.iter().map(certificate).collect() }),
        allowed: AllowedRoutes::default(),
        problems: Vec::new(),
    };
    let gateway = Gateway { class: "syncgate".into(), listeners: vec![listener], ..Gateway::default() };
    Event::Put(object(Kind::Gateway, name), Object::Gateway(Arc::new(gateway)))
}

fn class() -> Event {
    let name = ObjectRef::new(Kind::GatewayClass, ObjectKey::cluster("syncgate"));
    let class = GatewayClass { controller: CONTROLLER.into(), ..GatewayClass::default() };
    Event::Put(name, Object::GatewayClass(Arc::new(class)))
}

fn secret(name: &str) -> Event {
    Event::Put(object(Kind::Secret, name), Object::Secret(Arc::default()))
}

fn pod(name: &str) -> Event {
    Event::Put(object(Kind::Pod, name), Object::Pod(Arc::default()))
}

/// Routes of one namespace may refer to Services of the grant's own.
fn grant(name: &str, from: &str) -> Event {
    grant_of(name, (Kind::HttpRoute, from), Kind::Service)
}

/// Objects of a kind and namespace may refer to objects of a kind in the grant's own namespace.
fn grant_of(name: &str, (kind, namespace): (Kind, &str), target: Kind) -> Event {
    let from = GrantFrom { group: kind.group().into(), kind: kind.as_str().into(), namespace: namespace.into() };
    let to = GrantTo { group: target.group().into(), kind: target.as_str().into(), name: None };
    let grant = ReferenceGrant { from: vec![from], to: vec![to], unavailable: None };
    Event::Put(object(Kind::ReferenceGrant, name), Object::ReferenceGrant(Arc::new(grant)))
}

fn delete(kind: Kind, name: &str) -> Event {
    Event::Delete(object(kind, name))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A door, its clock, and how things look from the graph's side.
struct Rig {
    door: Door,
    graph: Graph,
    /// Every Service has endpoints as soon as it is let in.
    backs: bool,
    start: Instant,
    now: Instant,
}

impl Rig {
    /// A door whose lists are whole, with these objects behind it.
    fn with(events: Vec<Event>) -> Self {
        Self::around(Door::new(), events)
    }

    fn around(door: Door, events: Vec<Event>) -> Self {
        let start = Instant::now();
        let mut rig = Self { door, graph: Graph::default(), backs: true, start, now: start };
        rig.offer(events);
        rig.offer(Kind::ALL.map(Event::Listed).to_vec());
        let expected = rig.door.held_count();
        assert_eq!(expected, 0, "nothing is held while the lists are incomplete");
        rig
    }

    /// A door behind which these objects are, whose sources read Secrets and ConfigMaps on demand, and these namespaces if they are named.
    /// Whatever was wanted so far is answered.
    fn covering(namespaces: Option<&[&str]>, events: Vec<Event>) -> Self {
        let start = Instant::now();
        let mut rig = Self { door: Door::new(), graph: Graph::default(), backs: true, start, now: start };
        rig.offer(vec![covers(&Kind::BY_OBJECT, namespaces)]);
        rig.offer(events);
        let listed = Kind::ALL.into_iter().filter(|kind| !kind.is_by_object());
        rig.offer(listed.map(Event::Listed).collect());
        let open: Vec<_> = rig.door.wants().keys().cloned().collect();
        rig.offer(open.iter().map(known).collect());
        assert_eq!(rig.door.held_count(), 0, "{:?}", rig.door.held());
        rig
    }

    fn wants(&self) -> Vec<String> {
        self.door.wants().keys().map(ToString::to_string).collect()
    }

    /// Offers what passes at once, at the present time, and gives what is let in.
    fn firmly(&mut self, events: Vec<Event>) -> Vec<Event> {
        self.door.offer(Arrival::of(Delta::firm(self.now, events)), self.now);
        self.ready()
    }

    /// Offers at the present time and gives what is let in.
    fn offer(&mut self, events: Vec<Event>) -> Vec<Event> {
        self.door.offer(Arrival::of(Delta::new(self.now, events)), self.now);
        self.ready()
    }

    /// One batch, and what the graph finds endpoints for then, as the graph's thread goes on.
    fn ready(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let awaited = self.graph.await_ports(self.door.newly_awaited());
            self.door.back(awaited.into_iter().filter(|_| self.backs));
            let events = self.door.ready(self.now).events;
            let backings = self.graph.apply(&events);
            all.extend(events);
            if !self.door.back(backings.into_iter().filter(|_| self.backs)) {
                return all;
            }
        }
    }

    /// A port of a Service has endpoints now, or has lost them. Gives what is let in for it.
    fn back(&mut self, name: &str, port: u16, has_endpoints: bool) -> Vec<Event> {
        match self.door.back([Backing { service: key(name), port, has_endpoints }]) {
            true => self.ready(),
            false => Vec::new(),
        }
    }

    /// Moves the clock to so long after the start, and gives what is let in then.
    fn at(&mut self, after: Duration) -> Vec<Event> {
        self.now = self.start + after;
        self.ready()
    }

    fn why(&self) -> Vec<String> {
        self.door.held().into_iter().map(|held| format!("{}: {}", held.object, held.why)).collect()
    }
}

/// What the graph knows of endpoints, as if every Service always had pods: they are derived only where something leads.
#[derive(Default)]
struct Graph {
    services: BTreeMap<ObjectKey, Vec<u16>>,
    /// Where each route that was let in leads.
    routes: BTreeMap<ObjectRef, Vec<PortRef>>,
    awaited: BTreeSet<PortRef>,
    backed: BTreeSet<PortRef>,
}

impl Graph {
    /// Where waiting changes lead; the graph's word on it.
    fn await_ports(&mut self, awaited: Vec<(PortRef, bool)>) -> Vec<Backing> {
        for (port, waits) in awaited {
            let news = if waits { self.awaited.insert(port.clone()) } else { self.awaited.remove(&port) };
            assert!(news, "said twice: {port:?} {waits}");
        }
        self.news()
    }

    /// One epoch; its word on the Service ports that have endpoints now or have none any more.
    fn apply(&mut self, events: &[Event]) -> Vec<Backing> {
        for event in events {
            match event {
                Event::Put(object, Object::Service(service)) => {
                    let ports = service.ports.iter().map(|port| port.port).collect();
                    self.services.insert(object.key.clone(), ports);
                }
                Event::Put(object, value @ Object::HttpRoute(_)) => {
                    let leads = super::table::Facts::of(object, value).references.into_iter();
                    let leads = leads.filter_map(|to| Some(PortRef { service: to.target.key, port: to.port? }));
                    self.routes.insert(object.clone(), leads.collect());
                }
                Event::Delete(object) => {
                    self.routes.remove(object);
                    if object.kind == Kind::Service {
                        self.services.remove(&object.key);
                    }
                }
                _ => {}
            }
        }
        self.news()
    }

    fn news(&mut self) -> Vec<Backing> {
        let led = self.routes.values().flatten().chain(&self.awaited);
        let has = |port: &PortRef| self.services.get(&port.service).is_some_and(|ports| ports.contains(&port.port));
        let now: BTreeSet<PortRef> = led.filter(|port| has(port)).cloned().collect();
        let changed = self.backed.symmetric_difference(&now);
        let backing = |PortRef { service, port }: &PortRef, has_endpoints| Backing {
            service: service.clone(),
            port: *port,
            has_endpoints,
        };
        let mut backings: Vec<_> = changed.map(|port| backing(port, now.contains(port))).collect();
        backings.sort_by_key(|backing| backing.has_endpoints);
        self.backed = now;
        backings
    }
}

/// These kinds are read object by object, and these namespaces as a whole.
fn covers(on_demand: &[Kind], namespaces: Option<&[&str]>) -> Event {
    let namespaces = namespaces.map(|names| Arc::new(names.iter().map(|name| ArcStr::from(*name)).collect()));
    Event::Covers(Coverage { on_demand: on_demand.to_vec(), namespaces })
}

fn wants_secret(name: &str) -> Want {
    Want::Object(object(Kind::Secret, name))
}

fn wants_backend(name: &str) -> Want {
    Want::Backend(key(name))
}

fn wants_grants(namespace: &str) -> Want {
    Want::Grants(namespace.into())
}

fn known(want: &Want) -> Event {
    Event::Answered(want.clone(), Answer::Known)
}

fn unavailable(want: &Want, reason: &str) -> Event {
    Event::Answered(want.clone(), Answer::Unavailable(reason.into()))
}

/// What stands in for a Secret that could not be read.
fn no_secret(name: &str, reason: &str) -> Event {
    let secret = Secret { unavailable: Some(reason.into()), ..Secret::default() };
    Event::Put(object(Kind::Secret, name), Object::Secret(Arc::new(secret)))
}

/// What stands in for a Service that could not be read.
fn no_service(name: &str, reason: &str) -> Event {
    let service = Service { unavailable: Some(reason.into()), ..Service::default() };
    Event::Put(object(Kind::Service, name), Object::Service(Arc::new(service)))
}

/// What stands in for the grants of a namespace that could not be read.
fn no_grants(namespace: &str, reason: &str) -> Event {
    let name = ObjectRef::new(Kind::ReferenceGrant, ObjectKey::new(namespace, ""));
    let grant = ReferenceGrant { unavailable: Some(reason.into()), ..ReferenceGrant::default() };
    Event::Put(name, Object::ReferenceGrant(Arc::new(grant)))
}

/// The same events in the order of their objects: within a batch order means nothing.
fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| match event {
        Event::Put(object, _) | Event::Delete(object) => Some(object.clone()),
        Event::Listed(_) | Event::Answered(..) | Event::Covers(_) => None,
    });
    events
}
