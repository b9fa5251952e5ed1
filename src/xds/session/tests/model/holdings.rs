//! What the client holds: clusters and listeners with those that are warming beside them, and what these wait for.
//!
//! - A cluster waits for its load assignment and then for its secrets, a listener for its routes and secrets. The old
//!   one serves meanwhile.
//! - What comes equal to what is there is no change, so nothing warms (Envoy compares hashes).
//! - A wait also ends without what was waited for: when a response of that type is refused, when a load assignment or a
//!   secret is said to be gone, and at the fetch time-out. Then a thing is in use that cannot serve.
//! - Load assignments belong to each instance of a cluster, routes and secrets to all who name them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use super::world::Nature;
use crate::resource::ResourceType::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret};
use crate::resource::{Ref, Resource, ResourceType};

/// A cluster or a listener.
#[derive(Debug)]
struct Instance {
    config: Arc<Resource>,
    /// Of a cluster.
    endpoints: Option<Arc<Resource>>,
    /// Whether it waits for no load assignment any more.
    answered: bool,
    since: Instant,
}

/// The instance in use and the one that will be.
#[derive(Debug, Default)]
struct Pair {
    active: Option<Instance>,
    warming: Option<Instance>,
}

/// A route configuration or a secret that something names.
#[derive(Debug)]
struct Provider {
    resource: Option<Arc<Resource>>,
    /// Whether nothing waits for it any more.
    ready: bool,
    since: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pairs: BTreeMap<Ref, Pair>,
    providers: BTreeMap<Ref, Provider>,
    /// Whether the first clusters are whole: until then nothing warms, since nothing serves.
    pub(super) booted: bool,
    /// What was refused, or given up waiting for, and what a lost stream took away: it harms what names it.
    pub(super) harmed: BTreeSet<Ref>,
    /// What the client said wrong of when it reconnected, and the server could not know better.
    pub(super) lied: BTreeSet<Ref>,
    /// A load assignment is wanted once more, by a cluster that changed.
    pub(super) wanted_again: bool,
}

/// What a request needs, and what is wrong with it.
type Lack = (Ref, &'static str);

fn key(resource: &Resource) -> Ref {
    Ref::new(resource.kind, resource.name.clone())
}

impl Holdings {
    /// A cluster or listener came.
    pub(super) fn put(&mut self, resource: &Arc<Resource>, now: Instant) {
        self.forgive(&key(resource));
        let pair = self.pairs.entry(key(resource)).or_default();
        let is_same = |instance: &Option<Instance>| {
            instance.as_ref().is_some_and(|instance| instance.config.version == resource.version)
        };
        let is_listener = resource.kind == Listener;
        if is_listener && is_same(&pair.active) {
            pair.warming = None;
            return;
        }
        if is_same(if pair.warming.is_some() { &pair.warming } else { &pair.active }) {
            return;
        }
        let instance = Instance { config: resource.clone(), endpoints: None, answered: is_listener, since: now };
        self.wanted_again |= !is_listener;
        if self.booted || is_listener {
            pair.warming = Some(instance);
        } else {
            pair.active = Some(instance);
        }
    }

    fn forgive(&mut self, key: &Ref) {
        self.harmed.remove(key);
        self.lied.remove(key);
    }

    /// A cluster or listener goes.
    pub(super) fn remove(&mut self, key: &Ref) {
        self.lied.remove(key);
        self.pairs.remove(key);
    }

    /// The clusters or listeners that are there.
    pub(super) fn names(&self, kind: ResourceType) -> Vec<ArcStr> {
        self.pairs.keys().filter(|key| key.kind == kind).map(|key| key.name.clone()).collect()
    }

    /// A load assignment, route configuration or secret came.
    pub(super) fn give(&mut self, resource: &Arc<Resource>) {
        let key = key(resource);
        self.forgive(&key);
        if Nature::of(resource) == Nature::Gone {
            // Which of those that are gone was waited for is not known: one in use is harmed too.
            self.harmed.insert(key.clone());
        }
        if let Some(provider) = self.providers.get_mut(&key) {
            provider.resource = Some(resource.clone());
            provider.ready = true;
        }
        for instance in self.instances_mut().filter(|instance| instance.config.refs.contains(&key)) {
            if key.kind == ClusterLoadAssignment {
                instance.endpoints = Some(resource.clone());
                instance.answered = true;
            }
        }
    }

    /// Nothing waits for this any more. What is there stays.
    pub(super) fn give_nothing(&mut self, key: &Ref) {
        for instance in self.instances_mut().filter(|instance| instance.config.refs.contains(key)) {
            instance.answered |= key.kind == ClusterLoadAssignment;
        }
        if let Some(provider) = self.providers.get_mut(key) {
            provider.ready = true;
        }
    }

    /// A response of this type was refused: whoever waits for anything of it waits no longer.
    pub(super) fn fail(&mut self, kind: ResourceType) {
        for key in self.awaited().into_iter().filter(|(key, _)| key.kind == kind).map(|(key, _)| key) {
            self.give_nothing(&key);
            self.harmed.insert(key);
        }
    }

    /// The load assignments that are waited for.
    pub(super) fn awaited_assignments(&self) -> impl Iterator<Item = Ref> {
        self.awaited().into_iter().map(|(key, _)| key).filter(|key| key.kind == ClusterLoadAssignment)
    }

    /// What is waited for, and since when.
    fn awaited(&self) -> Vec<(Ref, Instant)> {
        let mut awaited = Vec::new();
        for instance in self.instances().filter(|instance| !instance.answered) {
            let names = instance.config.refs_of(ClusterLoadAssignment).cloned();
            awaited.extend(names.map(|name| (Ref::new(ClusterLoadAssignment, name), instance.since)));
        }
        let open = self.providers.iter().filter(|(_, provider)| !provider.ready);
        awaited.extend(open.map(|(key, provider)| (key.clone(), provider.since)));
        awaited
    }

    /// When the first wait is over that is waited for no longer than `timeout`.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.awaited().into_iter().map(|(_, since)| since + timeout).min()
    }

    /// Ends the waits that took too long.
    pub(super) fn time_out(&mut self, timeout: Duration, now: Instant) {
        for (key, _) in self.awaited().into_iter().filter(|(_, since)| *since + timeout <= now) {
            self.give_nothing(&key);
            self.harmed.insert(key);
        }
    }

    /// What has all that it waits for comes into use.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            self.follow_names(now);
            let next = self.pairs.iter().filter_map(|(key, pair)| Some((key, pair.warming.as_ref()?)));
            let ready: Vec<Ref> = next.filter(|(_, next)| self.is_ready(next)).map(|(key, _)| key.clone()).collect();
            if ready.is_empty() {
                return;
            }
            for key in ready {
                let pair = self.pairs.get_mut(&key).expect("just seen");
                pair.active = pair.warming.take();
            }
        }
    }

    /// Route configurations and secrets are there as long as something names them.
    fn follow_names(&mut self, now: Instant) {
        let wanted: BTreeSet<Ref> = [RouteConfiguration, Secret]
            .into_iter()
            .flat_map(|kind| self.wanted(kind).into_iter().map(move |name| Ref::new(kind, name)))
            .collect();
        self.providers.retain(|key, _| wanted.contains(key));
        for key in wanted {
            self.providers.entry(key).or_insert(Provider { resource: None, ready: false, since: now });
        }
    }

    /// The names of a type that something here needs. A cluster's secrets are asked for after its load assignment.
    pub(super) fn wanted(&self, kind: ResourceType) -> BTreeSet<ArcStr> {
        let asks = |instance: &&Instance| kind != Secret || instance.answered;
        self.instances().filter(asks).flat_map(|instance| instance.config.refs_of(kind)).cloned().collect()
    }

    fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.pairs.values().flat_map(|pair| pair.active.iter().chain(&pair.warming))
    }

    fn instances_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.pairs.values_mut().flat_map(|pair| pair.active.iter_mut().chain(&mut pair.warming))
    }

    /// What is not in use yet.
    pub(super) fn warming(&self) -> impl Iterator<Item = &Ref> {
        self.pairs.iter().filter(|(_, pair)| pair.warming.is_some()).map(|(key, _)| key)
    }

    /// Whether a cluster is warming that never becomes warm, or waits for a secret: state of the world says of no secret
    /// that it is gone.
    pub(super) fn never_warms(&self) -> bool {
        let mut next =
            self.pairs.iter().filter(|(key, _)| key.kind == Cluster).filter_map(|(_, pair)| pair.warming.as_ref());
        let is_missing = |to: &Ref| self.providers.get(to).is_some_and(|provider| !provider.ready);
        let waits = |config: &Resource| Nature::of(config) == Nature::Stuck || config.refs.iter().any(is_missing);
        next.any(|instance| waits(&instance.config))
    }

    /// Whether a cluster is warming: CDS is not answered meanwhile.
    pub(super) fn has_warming_clusters(&self) -> bool {
        self.warming().any(|key| key.kind == Cluster)
    }

    /// Whether every cluster of the first response has what it waits for.
    pub(super) fn first_clusters_are_ready(&self) -> bool {
        self.instances().all(|instance| self.is_ready(instance))
    }

    fn is_ready(&self, instance: &Instance) -> bool {
        let is_there = |to: &Ref| to.kind == ClusterLoadAssignment || self.providers.get(to).is_some_and(|p| p.ready);
        instance.answered && instance.config.refs.iter().all(is_there) && Nature::of(&instance.config) != Nature::Stuck
    }

    // ---- questions

    /// Whether a request to this listener is answered. If not, what it met, and what is wrong with it.
    pub(super) fn serves(&self, listener: &Ref) -> Result<(), Lack> {
        let active = self.active(listener)?;
        self.has_secrets(active)?;
        for name in active.config.refs_of(RouteConfiguration) {
            let routes = self.provided(&Ref::new(RouteConfiguration, name.clone()))?;
            let mut clusters = routes.refs_of(Cluster).map(|name| Ref::new(Cluster, name.clone()));
            clusters.try_for_each(|cluster| self.cluster_serves(&cluster))?;
        }
        Ok(())
    }

    fn cluster_serves(&self, cluster: &Ref) -> Result<(), Lack> {
        let active = self.active(cluster)?;
        match &active.endpoints {
            None => Err((cluster.clone(), "has no load assignment")),
            Some(endpoints) if matches!(Nature::of(endpoints), Nature::Empty | Nature::Gone) => {
                Err((cluster.clone(), "has no endpoints"))
            }
            Some(_) => self.has_secrets(active),
        }
    }

    fn active(&self, key: &Ref) -> Result<&Instance, Lack> {
        let active = self.pairs.get(key).and_then(|pair| pair.active.as_ref());
        active.ok_or_else(|| (key.clone(), "is not there"))
    }

    fn has_secrets(&self, instance: &Instance) -> Result<(), Lack> {
        let mut secrets = instance.config.refs.iter().filter(|to| to.kind == Secret);
        secrets.try_for_each(|secret| self.provided(secret).map(drop))
    }

    fn provided(&self, key: &Ref) -> Result<&Arc<Resource>, Lack> {
        let there = self.providers.get(key).and_then(|provider| provider.resource.as_ref());
        there.ok_or_else(|| (key.clone(), "is not there"))
    }

    /// The newest clusters or listeners, and what is there of route configurations and secrets. Of load assignments
    /// nothing: they are sent on every reconnect, whatever the client says.
    pub(super) fn held(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        let pairs = self.pairs.values().filter_map(|pair| pair.warming.as_ref().or(pair.active.as_ref()));
        let provided = self.providers.values().filter_map(|provider| provider.resource.clone());
        let all = pairs.map(|instance| instance.config.clone()).chain(provided);
        all.filter(|resource| resource.kind == kind).collect()
    }

    /// How the newest that is held under a name differs from this, if it does. Of a load assignment, a route
    /// configuration or a secret that nothing here names nothing is held, and nothing differs.
    pub(super) fn differs(&self, target: &Arc<Resource>) -> Option<String> {
        let key = key(target);
        let held: Vec<Option<&Arc<Resource>>> = match target.kind {
            Cluster | Listener => {
                let pair = self.pairs.get(&key);
                let newest = pair.and_then(|pair| pair.warming.as_ref().or(pair.active.as_ref()));
                vec![newest.map(|instance| &instance.config)]
            }
            ClusterLoadAssignment => {
                let naming = self.instances().filter(|instance| instance.config.refs.contains(&key));
                naming.map(|instance| instance.endpoints.as_ref()).collect()
            }
            _ => self.providers.get(&key).map(|provider| provider.resource.as_ref()).into_iter().collect(),
        };
        let text = |resource: &Resource| String::from_utf8_lossy(&resource.body.to_bytes()).into_owned();
        let other = held.into_iter().find(|held| held.map(|held| held.version) != Some(target.version))?;
        Some(format!("{key} is {} instead of {}", other.map_or("nothing".into(), |held| text(held)), text(target)))
    }
}
