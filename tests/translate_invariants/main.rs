//! The invariants of translation, over worlds made up at random: `pure`, `one_harms_one`, `own_only`, `explained`, and
//! that nothing is named that is not there.

#[cfg(test)]
mod cost;
#[cfg(test)]
#[path = "../support/hostile.rs"]
mod hostile;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3 as route;
use hostile::Random;
use prost::Message;
use syncgate::graph::{Graph, GraphBuilder};
use syncgate::model::{
    BackendRef, Gateway, HttpRoute, Kind, Object, ObjectKey, ObjectRef, PathMatch, RouteMatch, RouteRule,
};
use syncgate::resource::{Resource, ResourceType};
use syncgate::translate::{self, Inputs, Outputs, ResourceKey, Status};

const SEEDS: u64 = 30;
const ROUTES: usize = 40;

type Objects = Vec<(ObjectKey, Object)>;

struct Drawn {
    graph: Graph,
    inputs: Inputs,
    outputs: Outputs,
}

impl Drawn {
    fn empty() -> Self {
        let mut builder = GraphBuilder::new();
        let (inputs, outputs) = translate::build(&mut builder);
        Self { graph: builder.build(), inputs, outputs }
    }

    fn of(objects: &Objects) -> Self {
        let mut drawn = Self::empty();
        drawn.graph.epoch(|batch| {
            objects.iter().for_each(|(key, object)| drawn.inputs.put(batch, key, object));
            Kind::ALL.into_iter().for_each(|kind| drawn.inputs.complete(batch, kind));
        });
        drawn
    }

    fn put(&mut self, key: &ObjectKey, object: &Object) {
        self.graph.epoch(|batch| self.inputs.put(batch, key, object));
    }

    fn delete(&mut self, object: &ObjectRef) {
        self.graph.epoch(|batch| self.inputs.delete(batch, object));
    }

    fn resources(&self) -> BTreeMap<ResourceKey, Arc<Resource>> {
        self.graph.iter(self.outputs.resources).map(|(key, resource)| (key.clone(), resource.clone())).collect()
    }

    fn statuses(&self) -> BTreeMap<ObjectRef, Arc<Status>> {
        self.graph.iter(self.outputs.statuses).map(|(key, status)| (key.clone(), status.clone())).collect()
    }

    /// Every route configuration, decoded.
    fn tables(&self) -> BTreeMap<ResourceKey, route::RouteConfiguration> {
        let configs = self.resources().into_iter().filter(|(key, _)| key.kind == ResourceType::RouteConfiguration);
        configs
            .map(|(key, config)| {
                let table = route::RouteConfiguration::decode(config.body.to_bytes()).expect("a route configuration");
                (key, table)
            })
            .collect()
    }
}

/// A world with a second Gateway that has some of the routes and Secrets too.
fn world(random: &mut Random) -> Objects {
    let mut objects = hostile::world(random, ROUTES);
    let mut second = objects.iter().find_map(|(_, object)| match object {
        Object::Gateway(gateway) => Some(Gateway::clone(gateway)),
        _ => None,
    });
    let second = second.as_mut().expect("a Gateway");
    second.listeners.truncate(random.below(second.listeners.len()));
    objects.push((ObjectKey::new("ns", "second"), Object::Gateway(Arc::new(second.clone()))));
    for (_, object) in &mut objects {
        if let Object::HttpRoute(route) = object
            && random.one_in(3)
        {
            let mut parent = hostile::parent(None);
            parent.target = ObjectKey::new("ns", "second");
            Arc::make_mut(route).parents.push(parent);
        }
    }
    objects
}

fn shuffle(random: &mut Random, objects: &mut Objects) {
    for at in (1..objects.len()).rev() {
        objects.swap(at, random.below(at + 1));
    }
}

#[test]
fn pure() {
    for seed in 0..SEEDS {
        let random = &mut Random::new(seed);
        let objects = world(random);
        let at_once = Drawn::of(&objects);

        // One by one, in another order, after a past that left nothing behind.
        let mut one_by_one = Drawn::empty();
        let past = world(random);
        past.iter().for_each(|(key, object)| one_by_one.put(key, object));
        let mut shuffled = objects.clone();
        shuffle(random, &mut shuffled);
        let half = shuffled.len() / 2;
        shuffled[..half].iter().for_each(|(key, object)| one_by_one.put(key, object));
        one_by_one.graph.epoch(|batch| {
            Kind::ALL.into_iter().for_each(|kind| one_by_one.inputs.complete(batch, kind));
        });
        shuffled[half..].iter().for_each(|(key, object)| one_by_one.put(key, object));
        let kept: BTreeSet<ObjectRef> = objects.iter().map(reference).collect();
        for gone in past.iter().map(reference).filter(|object| !kept.contains(object)) {
            one_by_one.delete(&gone);
        }

        let (here, there) = (at_once.resources(), one_by_one.resources());
        assert_eq!(here, there, "seed {seed}");
        for (key, resource) in &here {
            assert_eq!(resource.body.to_bytes(), there[key].body.to_bytes(), "seed {seed}: bytes of {key:?}");
        }
        assert_eq!(at_once.statuses(), one_by_one.statuses(), "seed {seed}");
    }
}

fn reference((key, object): &(ObjectKey, Object)) -> ObjectRef {
    ObjectRef::new(object.kind(), key.clone())
}

/// A route that is in order, with a host of its own.
fn good(at: usize) -> (ObjectKey, Object) {
    let backend = BackendRef {
        group: "".into(),
        kind: "Service".into(),
        target: ObjectKey::new("ns", "s1"),
        port: Some(80),
        weight: 1,
        filters: Vec::new(),
    };
    let matched = |path: &str| RouteMatch {
        path: PathMatch::Prefix(path.into()),
        headers: Vec::new(),
        query: Vec::new(),
        method: None,
    };
    let rule =
        RouteRule { matches: vec![matched("/a"), matched("/")], backends: vec![backend], ..RouteRule::default() };
    let route = HttpRoute {
        parents: vec![hostile::parent(Some("first"))],
        hostnames: vec![arcstr::format!("good-{at}.org")],
        rules: vec![rule],
        ..HttpRoute::default()
    };
    (ObjectKey::new("ns", arcstr::format!("good-{at}")), Object::HttpRoute(Arc::new(route)))
}

#[test]
fn one_harms_one() {
    for seed in 0..SEEDS {
        let random = &mut Random::new(seed);
        let mut objects = hostile::frame(random);
        objects.extend((0..5).map(good));
        let alone = Drawn::of(&objects);
        let neighbours = hostile::world(&mut Random::new(seed + 1000), ROUTES);
        objects.extend(neighbours.into_iter().filter(|(_, object)| object.kind() == Kind::HttpRoute));
        let among = Drawn::of(&objects);

        // What the good routes need is there as before, and so are the hosts that are theirs alone.
        let now = among.resources();
        for (key, resource) in alone.resources() {
            if key.kind != ResourceType::RouteConfiguration {
                assert_eq!(now.get(&key), Some(&resource), "seed {seed}: {key:?}");
            }
        }
        let (before, after) = (alone.tables(), among.tables());
        let mut hosts = 0;
        for (key, table) in &before {
            for host in table.virtual_hosts.iter().filter(|host| host.name.starts_with("good-")) {
                assert!(after[key].virtual_hosts.contains(host), "seed {seed}: {}", host.name);
                hosts += 1;
            }
        }
        assert_eq!(hosts, 5, "seed {seed}: the good routes are there");
        for at in 0..5 {
            let object = ObjectRef::new(Kind::HttpRoute, good(at).0);
            assert_eq!(among.statuses()[&object], alone.statuses()[&object], "seed {seed}: {object}");
        }
    }
}

#[test]
fn own_only() {
    let mut seen = BTreeMap::new();
    for seed in 0..SEEDS {
        let drawn = Drawn::of(&world(&mut Random::new(seed)));
        let resources = drawn.resources();
        for (key, resource) in &resources {
            *seen.entry(key.kind).or_insert(0) += 1;
            let own = format!("{}/", key.gateway);
            let named = |by: ResourceType| {
                let of_gateway = resources.iter().filter(|(other, _)| other.gateway == key.gateway && other.kind == by);
                of_gateway.flat_map(|(_, other)| other.refs_of(key.kind)).any(|name| *name == key.name)
            };
            let justified = match key.kind {
                ResourceType::Listener | ResourceType::RouteConfiguration => key.name.starts_with(&own),
                ResourceType::Secret => named(ResourceType::Listener),
                ResourceType::Cluster => named(ResourceType::RouteConfiguration),
                ResourceType::ClusterLoadAssignment => named(ResourceType::Cluster),
                _ => panic!("nothing is translated into {}", key.kind),
            };
            assert!(justified, "seed {seed}: {key:?}");
            // And nothing is named that its Gateway does not have.
            for to in resource.refs.iter() {
                let target = ResourceKey { gateway: key.gateway.clone(), kind: to.kind, name: to.name.clone() };
                assert!(resources.contains_key(&target), "seed {seed}: {key:?} names {to}");
            }
        }
    }
    assert_eq!(seen.len(), 5, "every type occurs: {seen:?}");
}

#[test]
fn explained() {
    let (mut silent, mut effective) = (0, 0);
    for seed in 0..SEEDS {
        let objects = world(&mut Random::new(seed));
        let drawn = Drawn::of(&objects);
        let statuses = drawn.statuses();
        let mut names = BTreeSet::new();
        for table in drawn.tables().values() {
            let routes = table.virtual_hosts.iter().flat_map(|host| &host.routes);
            names.extend(routes.map(|route| route.name.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")));
        }
        for (key, object) in &objects {
            let kind = object.kind();
            if !matches!(kind, Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute) {
                continue;
            }
            let status = &statuses[&ObjectRef::new(kind, key.clone())];
            let has_effect =
                kind != Kind::HttpRoute || names.contains(&format!("route/{}/{}", key.namespace, key.name));
            if has_effect {
                effective += 1;
            } else {
                silent += 1;
                let told = !status.problems.is_empty() || status.note.is_some();
                assert!(told, "seed {seed}: {kind} {key} has no effect and nothing says why: {object:#?}");
            }
        }
    }
    assert!(silent > 20 && effective > 20, "both happen: {silent} without effect, {effective} with");
}

/// What is still being looked for is an error on who refers to it, and on nobody else.
#[test]
fn pending_harms_one() {
    let pending = ObjectRef::new(Kind::Service, ObjectKey::new("ns", "late"));
    let mut drawn = Drawn::empty();
    let (key, Object::HttpRoute(mut route)) = good(0) else { panic!("a route") };
    let late = BackendRef { target: pending.key.clone(), ..route.rules[0].backends[0].clone() };
    Arc::make_mut(&mut route).rules[0].backends.push(late);
    drawn.graph.epoch(|batch| {
        let neighbours =
            hostile::frame(&mut Random::new(1)).into_iter().chain([good(1), (key, Object::HttpRoute(route))]);
        neighbours.for_each(|(key, object)| drawn.inputs.put(batch, &key, &object));
        drawn.inputs.pending(batch, &pending);
        Kind::ALL.into_iter().for_each(|kind| drawn.inputs.complete(batch, kind));
    });
    let problems = |drawn: &Drawn, at: usize| {
        drawn.statuses()[&ObjectRef::new(Kind::HttpRoute, good(at).0)]
            .problems
            .iter()
            .map(|p| format!("{}: {}", p.field, p.message))
            .collect()
    };
    let waiting: Vec<String> = problems(&drawn, 0);
    assert!(
        waiting.len() == 1 && waiting[0].contains("backendRefs[1]") && waiting[0].contains("waits for"),
        "{waiting:?}"
    );
    assert_eq!(problems(&drawn, 1), Vec::<String>::new());

    drawn.graph.epoch(|batch| drawn.inputs.absent(batch, &pending));
    let absent: Vec<String> = problems(&drawn, 0);
    assert!(absent.len() == 1 && absent[0].contains("does not exist"), "{absent:?}");
}
