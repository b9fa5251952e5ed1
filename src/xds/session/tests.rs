//! The rules, one test for each, on a client that is played in a short notation.
//!
//! A snapshot is written `c:a=1 e:a=1 l:web=1>web r:web=1>a,b s:cert=1`: a type, a name, a content, and after `>`
//! what it names. A cluster always names a load assignment, of its own name or of that after `@`; what follows `>` are its
//! secrets. The other types are `o` (SRDS), `v` (VHDS, with its aliases after `@`), `x` (ECDS) and `t` (RTDS).
//! Responses are written likewise: `CDS a=1 b=1 | EDS a=1`, `-a` for a name in `removed_resources`, and `?a` for a virtual
//! host that there is none of.

mod holdings;
mod invariants;
mod model;
mod nack;
mod names;
mod order;
mod peers;
mod resume;
mod stream;
mod types;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::resource::{Parts, Ref, Resource};
use crate::snapshot::{Change, World};
use crate::xds::message::{Ask, Body};

const BOTH: [Variant; 2] = [Variant::StateOfTheWorld, Variant::Delta];

/// A small world whose routes go to `a`.
const WORLD: &str = "c:a=1 e:a=1 l:web=1>web r:web=1>a";

fn kind_of(short: &str) -> ResourceType {
    ResourceType::ALL.into_iter().find(|kind| kind.short() == short).expect("CDS, EDS and the like")
}

fn letter_of(kind: ResourceType) -> char {
    match kind {
        ResourceType::Cluster => 'c',
        ResourceType::ClusterLoadAssignment => 'e',
        ResourceType::Listener => 'l',
        ResourceType::ScopedRouteConfiguration => 'o',
        ResourceType::RouteConfiguration => 'r',
        ResourceType::VirtualHost => 'v',
        ResourceType::Secret => 's',
        ResourceType::TypedExtensionConfig => 'x',
        ResourceType::Runtime => 't',
    }
}

fn resource(text: &str) -> Resource {
    use ResourceType as T;
    let (letter, rest) = text.split_once(':').expect("type:name=content");
    let kind = T::ALL.into_iter().find(|kind| letter == letter_of(*kind).to_string()).expect("a letter of a type");
    let (head, names) = rest.split_once('>').unwrap_or((rest, ""));
    let (head, others) = head.split_once('@').unwrap_or((head, ""));
    let (name, content) = head.split_once('=').expect("name=content");
    let split =
        |names: &str| -> Vec<ArcStr> { names.split(',').filter(|name| !name.is_empty()).map(ArcStr::from).collect() };
    let named = |kind| split(names).into_iter().map(move |name| Ref::new(kind, name));
    let refs: Vec<Ref> = match kind {
        T::Cluster => {
            let assignment = if others.is_empty() { name } else { others };
            named(T::Secret).chain([Ref::new(T::ClusterLoadAssignment, assignment)]).collect()
        }
        T::Listener | T::ScopedRouteConfiguration => named(T::RouteConfiguration).collect(),
        T::RouteConfiguration | T::VirtualHost | T::TypedExtensionConfig => named(T::Cluster).collect(),
        T::ClusterLoadAssignment | T::Secret | T::Runtime => vec![],
    };
    let resource = Resource::new(kind, name, Parts::leaf(content.to_owned()), refs);
    match kind {
        T::VirtualHost => resource.with_aliases(split(others)),
        _ => resource,
    }
}

pub(super) fn snapshot(text: &str) -> Arc<Snapshot> {
    let gateway = ArcStr::from("ns/gw");
    let puts = text
        .split_whitespace()
        .map(|text| Change::Put { gateway: gateway.clone(), resource: Arc::new(resource(text)) });
    let mut world = World::new();
    world.apply(puts.chain([Change::Gateway(gateway.clone())]));
    world.get(&gateway).expect("just announced")
}

/// A snapshot whose clusters somebody was sent.
pub(super) fn sent(text: &str) -> Arc<Snapshot> {
    let snapshot = snapshot(text);
    let _ = snapshot.set(ResourceType::Cluster).version();
    snapshot
}

fn written(response: &Response) -> String {
    let mut text = response.kind.short().to_owned();
    for resource in response.resources() {
        if resource.is_unresolved() {
            text.push_str(&format!(" ?{}", resource.name));
            continue;
        }
        let content = String::from_utf8(resource.body.to_bytes().to_vec()).expect("text");
        text.push_str(&format!(" {}={content}", resource.name));
    }
    if let Body::Delta { removed, .. } = &response.body {
        removed.iter().for_each(|name| text.push_str(&format!(" -{name}")));
    }
    text
}

impl Session {
    /// Every to-do list counts what there is.
    fn check_counts(&self) {
        for state in self.types.values() {
            assert!(state.todo.counts_right(|name| state.target.contains(name)), "{}: {:?}", state.kind, state.todo);
        }
    }
}

/// A client of either variant. Every method returns the responses that follow.
struct Client {
    session: Session,
    now: Instant,
    /// For each type: the last nonce, the last accepted version, the version in the last response, the names.
    nonce: [String; ResourceType::COUNT],
    accepted: [String; ResourceType::COUNT],
    offered: [String; ResourceType::COUNT],
    names: [Vec<String>; ResourceType::COUNT],
    received: Vec<Response>,
}

impl Client {
    fn new(variant: Variant, world: &str) -> Client {
        Client::resuming(variant, world, Doubts::new())
    }

    fn resuming(variant: Variant, world: &str, doubts: Doubts) -> Client {
        Client {
            session: Session::new(variant, "s", &snapshot(world), Limits::default(), doubts),
            now: Instant::now(),
            nonce: Default::default(),
            accepted: Default::default(),
            offered: Default::default(),
            names: Default::default(),
            received: vec![],
        }
    }

    /// A state-of-the-world client of a Gateway that had these worlds, one after the other.
    fn after_all(worlds: &[&str]) -> Client {
        let mut client = Client::new(Variant::StateOfTheWorld, worlds[worlds.len() - 1]);
        let mut past = Past::default();
        for pair in worlds.windows(2) {
            past.note(&sent(pair[0]), &sent(pair[1]), client.now);
        }
        // The first of its process was sent what there is.
        let _ = client.session.snapshot.set(ResourceType::Cluster).version();
        client.session = client.session.remembering(Arc::new(past));
        client
    }

    /// A client that has subscribed to everything that `WORLD`-like snapshots hold, and acknowledged it.
    fn settled(variant: Variant, world: &str) -> Client {
        let mut client = Client::new(variant, world);
        let at = snapshot(world);
        for kind in ResourceType::ALL {
            let names: Vec<&str> = at.set(kind).iter().map(|resource| resource.name.as_str()).collect();
            let names = if matches!(kind.short(), "CDS" | "LDS") { String::new() } else { names.join(" ") };
            if !client.subscribe(kind.short(), &names).is_empty() {
                client.ack(kind.short());
            }
        }
        client
    }

    /// Asks for more names; none at the first time means all.
    fn subscribe(&mut self, kind: &str, names: &str) -> String {
        self.change(kind, names, "")
    }

    fn unsubscribe(&mut self, kind: &str, names: &str) -> String {
        self.change(kind, "", names)
    }

    fn change(&mut self, kind: &str, subscribe: &str, unsubscribe: &str) -> String {
        let split = |names: &str| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (kind, gone) = (kind_of(kind), split(unsubscribe));
        let nonce = match self.session.variant() {
            Variant::StateOfTheWorld => self.nonce[kind.index()].clone(),
            Variant::Delta => String::new(),
        };
        let names = &mut self.names[kind.index()];
        names.retain(|name| !gone.contains(name));
        names.extend(split(subscribe));
        let ask = self.ask(kind, split(subscribe), gone);
        self.send(kind, nonce, None, ask)
    }

    fn ask(&self, kind: ResourceType, subscribe: Vec<String>, unsubscribe: Vec<String>) -> Ask {
        match self.session.variant() {
            Variant::StateOfTheWorld => Ask::StateOfTheWorld {
                version: self.accepted[kind.index()].clone(),
                names: self.names[kind.index()].clone(),
            },
            Variant::Delta => Ask::Delta { subscribe, unsubscribe, held: vec![] },
        }
    }

    /// The first message of a reconnect: `held` is `name=content`, as in snapshots.
    fn reconnect(&mut self, kind: &str, names: &str, held: &str) -> String {
        let kind = kind_of(kind);
        let letter = letter_of(kind);
        let held: Vec<Resource> = held.split_whitespace().map(|text| resource(&format!("{letter}:{text}"))).collect();
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        self.names[kind.index()] = names.clone();
        let ask = match self.session.variant() {
            Variant::StateOfTheWorld => {
                let set: ResourceSet = held.into_iter().map(Arc::new).collect();
                Ask::StateOfTheWorld { version: set.version().to_string(), names }
            }
            Variant::Delta => {
                let held = held.iter().map(|r| (r.name.to_string(), r.version.to_string())).collect();
                Ask::Delta { subscribe: names, unsubscribe: vec![], held }
            }
        };
        self.send(kind, String::new(), None, ask)
    }

    fn ack(&mut self, kind: &str) -> String {
        let kind = kind_of(kind);
        self.accepted[kind.index()] = self.offered[kind.index()].clone();
        let ask = self.ask(kind, vec![], vec![]);
        self.send(kind, self.nonce[kind.index()].clone(), None, ask)
    }

    fn nack(&mut self, kind: &str) -> String {
        let kind = kind_of(kind);
        let ask = self.ask(kind, vec![], vec![]);
        self.send(kind, self.nonce[kind.index()].clone(), Some("bad"), ask)
    }

    fn send(&mut self, kind: ResourceType, nonce: String, error: Option<&str>, ask: Ask) -> String {
        let request = Request { kind, nonce, error: error.map(str::to_owned), ask };
        self.session.on_request(request, self.now).expect("within limits");
        self.receive()
    }

    fn snapshot(&mut self, world: &str) -> String {
        self.session.on_snapshot(&snapshot(world), self.now);
        self.receive()
    }

    /// Lets time pass, stopping at every deadline as a stream does.
    fn after(&mut self, millis: u64) -> String {
        let end = self.now + Duration::from_millis(millis);
        let mut texts = vec![];
        while let Some(deadline) = self.session.next_deadline(self.now).filter(|deadline| *deadline <= end) {
            assert!(deadline > self.now, "a deadline that has passed would be waited for again and again");
            self.now = deadline;
            self.session.on_tick(self.now);
            texts.push(self.receive());
        }
        self.now = end;
        texts.retain(|text| !text.is_empty());
        texts.join(" | ")
    }

    /// Acknowledges everything until nothing is sent any more, as an Envoy does that uses all of `WORLD`.
    fn ack_all(&mut self) -> String {
        let mut texts = vec![];
        let mut open: VecDeque<String> = ResourceType::ALL
            .into_iter()
            .filter(|kind| self.session.is(*kind, |state| state.in_flight.is_some()))
            .map(|kind| kind.short().to_owned())
            .collect();
        while let Some(kind) = open.pop_front() {
            let text = self.ack(&kind);
            open.extend(text.split(" | ").filter_map(|text| text.split_whitespace().next()).map(str::to_owned));
            texts.push(text);
        }
        texts.retain(|text| !text.is_empty());
        texts.join(" | ")
    }

    fn receive(&mut self) -> String {
        self.session.check_counts();
        let responses = self.session.poll_responses();
        for response in &responses {
            let at = response.kind.index();
            self.nonce[at] = response.nonce.clone();
            if let Body::StateOfTheWorld { version, .. } = &response.body {
                self.offered[at] = version.to_string();
            }
        }
        let texts: Vec<String> = responses.iter().map(written).collect();
        self.received.extend(responses);
        texts.join(" | ")
    }
}
