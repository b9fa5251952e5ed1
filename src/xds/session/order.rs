//! What is sent when (rule 27): the questions that a change has to pass before it is sent.
//!
//! Invariant: what a request newly asks for passes, unless it leads to what is not there yet; all else waits its turn, and
//! every wait has a clock.

use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;

use super::Session;
use super::mutant::{self, Mutant};
use super::retirement::Routing;
use super::type_state::{Todo, TypeState, Why, goes_first};
use crate::resource::{Resource, ResourceType};
use crate::xds::message::Variant;

/// What leads to clusters, by itself or by what it names: these are in use as long as one of those may be.
const LEADING: [ResourceType; 5] = [
    ResourceType::Listener,
    ResourceType::ScopedRouteConfiguration,
    ResourceType::RouteConfiguration,
    ResourceType::VirtualHost,
    ResourceType::TypedExtensionConfig,
];

/// The types whose changes are waited for before changes of this one.
fn before(kind: ResourceType) -> &'static [ResourceType] {
    match kind {
        ResourceType::RouteConfiguration => &[ResourceType::Listener, ResourceType::ScopedRouteConfiguration],
        ResourceType::VirtualHost => {
            &[ResourceType::Listener, ResourceType::ScopedRouteConfiguration, ResourceType::RouteConfiguration]
        }
        _ => &[],
    }
}

impl Session {
    pub(super) fn advance(&mut self, now: Instant) {
        self.update_retirement(now);
        self.recall_departed();
        loop {
            for state in self.types.values_mut() {
                if state.patience_ends(self.limits.hold).is_some_and(|end| now >= end) && state.give_up() {
                    self.retirement.begin_again();
                }
                state.drop_unsayable();
            }
            self.release_stranded(now);
            self.update_making(now);
            self.update_turns(now);
            for kind in ResourceType::ALL {
                self.push(kind, now);
            }
            // What was sent may be the last that a round waited for. A round releases once, so this ends.
            if !self.update_retirement(now) {
                break;
            }
        }
        self.update_turns(now);
        if let Some(clusters) = self.types.get_mut(ResourceType::Cluster)
            && !clusters.has_unsent_upserts()
        {
            // What a new client was sent at once was not announced, and is not any more.
            clusters.todo.take_upserts();
        }
    }

    fn push(&mut self, kind: ResourceType, now: Instant) {
        let Some(state) = self.types.get(kind).filter(|state| state.in_flight.is_none()) else { return };
        let may_send = |resource: &Resource| self.may_send(resource, now);
        let may_remove = |name: &ArcStr| self.may_remove(kind, name, now);
        let may_answer = |asked: Option<&Resource>| match asked {
            Some(resource) => self.clusters_are_made(resource, now),
            None => self.absence_is_known(kind),
        };
        let mut selection = state.select(may_send, may_remove, may_answer);
        let number = self.nonces + 1;
        let nonce = || format!("{}-{number}", self.nonce_prefix);
        let (generation, limit) = (self.generation, self.limits.response);
        let Some(state) = self.types.get_mut(kind) else { return };
        let Some(response) = state.respond(&mut selection, limit, nonce, (generation, now)) else {
            state.settle(&selection, generation);
            return;
        };
        self.nonces = number;
        if mutant::is(Mutant::AcksAtSend) {
            state.accept();
        }
        if kind == ResourceType::Cluster {
            selection.upserts.iter().for_each(|cluster| self.making.sent(&cluster.name, now));
            let changed = state.taken_for_changed(&response, &selection);
            let goes_on = state.is_cut();
            self.resend_assignments_of(&changed);
            if goes_on {
                // Even of a new client: with the first clusters it asks for listeners.
                self.announce_clusters(now);
            }
        }
        self.responses.push_back(response);
    }

    /// Whether a name of this type that the client asks for and that does not exist can be said to be gone. Of a secret
    /// that ends the warming of the listener that names it (rule 19). If that is an older one than the one in the
    /// target, the newer goes first.
    fn absence_is_known(&self, kind: ResourceType) -> bool {
        kind != ResourceType::Secret || !self.is(ResourceType::Listener, TypeState::has_unsent)
    }

    /// Whether everything that a change needs is in place at the client.
    fn may_send(&self, resource: &Resource, now: Instant) -> bool {
        match resource.kind {
            ResourceType::Listener | ResourceType::ScopedRouteConfiguration => self.is_routable(resource, now),
            ResourceType::RouteConfiguration if mutant::is(Mutant::RoutesFirst) => true,
            kind => {
                self.clusters_are_made(resource, now)
                    && self.endpoints_are_under_way(resource)
                    && self.is_its_turn(kind, now)
            }
        }
    }

    /// Whether what is gone can be removed. A virtual host may have moved into a route configuration.
    fn may_remove(&self, kind: ResourceType, name: &ArcStr, now: Instant) -> bool {
        match goes_first(kind) {
            true => self.is_its_turn(kind, now),
            false => mutant::is(Mutant::RemovesAtOnce) || self.retirement.has_released(kind, name),
        }
    }

    fn clusters_are_made(&self, resource: &Resource, now: Instant) -> bool {
        let mut clusters = resource.refs_of(ResourceType::Cluster);
        if self.clusters_wait.is_some_and(|end| now < end) {
            return clusters.next().is_none();
        }
        self.making.is_empty() || !clusters.any(|name| self.making.contains(name))
    }

    /// Whether no change of the endpoints that these routes lead to waits behind an unanswered response: routes that
    /// overtook it could lead to endpoints of before. Once sent it arrives first, so no ACK is waited for, and endpoints
    /// that change all the time hold nothing up.
    fn endpoints_are_under_way(&self, routes: &Resource) -> bool {
        let clusters = self.snapshot.set(ResourceType::Cluster);
        let Some(assignments) = self.types.get(ResourceType::ClusterLoadAssignment) else { return true };
        !assignments.has_unsent_changes()
            || routes
                .refs_of(ResourceType::Cluster)
                .filter_map(|name| clusters.get(name))
                .flat_map(|cluster| cluster.refs_of(ResourceType::ClusterLoadAssignment))
                .all(|name| !assignments.is_unsent_change(name))
    }

    /// Of a listener or a scope: whether the routes that it brings into use can be sent.
    fn is_routable(&self, resource: &Resource, now: Instant) -> bool {
        let routes = self.snapshot.set(ResourceType::RouteConfiguration);
        (self.making.is_empty() && self.clusters_wait.is_none())
            || resource
                .refs_of(ResourceType::RouteConfiguration)
                .filter_map(|name| routes.get(name))
                .all(|routes| self.clusters_are_made(routes, now))
    }

    /// Whether no change of the types that come first is open, or that was waited for long enough.
    fn is_its_turn(&self, kind: ResourceType, now: Instant) -> bool {
        let waited_enough = self.turns.get(&kind).is_some_and(|since| now >= *since + self.limits.hold);
        waited_enough || !self.is_preceded(kind)
    }

    fn is_preceded(&self, kind: ResourceType) -> bool {
        before(kind).iter().any(|first| self.is(*first, TypeState::has_open_upserts))
    }

    /// Starts the clock when a change has to wait for types that come first, and stops it when none has to.
    fn update_turns(&mut self, now: Instant) {
        for kind in [ResourceType::RouteConfiguration, ResourceType::VirtualHost] {
            if self.is_preceded(kind) && self.is(kind, TypeState::has_changes_in_turn) {
                self.turns.entry(kind).or_insert(now);
            } else {
                self.turns.remove(&kind);
            }
        }
    }

    /// The load assignments of clusters that are sent follow them, even unchanged (rule 29). They do not wait for the
    /// clusters' ACK: Envoy gives it when the clusters are warm, and they are not before they have endpoints.
    fn resend_assignments_of(&mut self, clusters: &[Arc<Resource>]) {
        let Some(assignments) = self.types.get_mut(ResourceType::ClusterLoadAssignment) else { return };
        let again = if mutant::is(Mutant::AssignmentsNotAgain) { &[] } else { clusters };
        for name in again.iter().flat_map(|cluster| cluster.refs_of(ResourceType::ClusterLoadAssignment)) {
            assignments.resend(name, self.departed.get(name));
        }
    }

    /// What is asked for and gone is answered with what it was, as long as the client has the cluster it belongs to.
    fn recall_departed(&mut self) {
        if let Some(clusters) = self.types.get(ResourceType::Cluster) {
            self.departed.prune(clusters, &self.snapshot);
        }
        if let Some(assignments) = self.types.get_mut(ResourceType::ClusterLoadAssignment)
            && !self.departed.is_empty()
        {
            assignments.recall(self.departed.iter());
        }
    }

    /// A client that still asks for no clusters is warming one. If that waits for a load assignment that is gone, delta has
    /// said so, and state of the world cannot (rule 13): that there are no endpoints ends the wait too.
    fn release_stranded(&mut self, now: Instant) {
        let is_over = self.clusters_wait.is_some_and(|end| now >= end);
        if is_over
            && self.variant == Variant::StateOfTheWorld
            && let Some(assignments) = self.types.get_mut(ResourceType::ClusterLoadAssignment)
        {
            assignments.substitute(Resource::without_endpoints);
        }
    }

    // ---- clusters that are being made

    pub(super) fn has_routing(&self) -> bool {
        LEADING.iter().any(|kind| self.is(*kind, |_| true))
    }

    /// A client that resumes anything asks for its clusters too, but later if one of them is warming: Envoy says nothing of
    /// CDS meanwhile. Until it does, it is not known which clusters the routes can lead to.
    pub(super) fn update_clusters_wait(&mut self, resumes: bool, now: Instant) {
        if self.is(ResourceType::Cluster, |_| true) {
            self.clusters_wait = None;
        } else if resumes {
            self.clusters_wait.get_or_insert(now + self.limits.hold);
        }
    }

    /// Routes wait for the clusters that are to be sent.
    pub(super) fn announce_clusters(&mut self, now: Instant) {
        let Some(clusters) = self.types.get_mut(ResourceType::Cluster) else { return };
        for name in clusters.todo.take_upserts() {
            let is_due = |todo: &Todo| matches!(todo.why, Why::Asked | Why::Changed);
            if clusters.todo.get(&name).is_some_and(is_due) && clusters.target.contains(&name) {
                self.making.announce(name, now);
            }
        }
    }

    fn update_making(&mut self, now: Instant) {
        let types = &self.types;
        let Some(clusters) = types.get(ResourceType::Cluster) else { return };
        // A step that the client did not subscribe to, or that has nothing to give, is skipped. Endpoints that change
        // faster than they are acknowledged would hold the routes up for as long as they do.
        let has_part = |kind: ResourceType, name: &str| {
            let has = |state: &TypeState| state.has_settled(name) || state.has_older(name);
            types.get(kind).filter(|state| state.target.contains(name)).is_none_or(has)
        };
        self.making.update(now, self.limits.hold, |name| match clusters.target.get(name) {
            // After a NACK the others go on.
            Some(_) if clusters.is_refused_name(name) || !clusters.wants(name) => true,
            Some(cluster) => clusters.has_settled(name) && cluster.refs.iter().all(|to| has_part(to.kind, &to.name)),
            None => true,
        });
    }

    // ---- removals

    pub(super) fn routing(&self) -> Routing {
        let generation = self.retirement.generation().unwrap_or(self.generation);
        let leading = || LEADING.iter().filter_map(|kind| self.types.get(*kind));
        // A client that resumes has routes that it has not told of yet.
        let is_told = self.has_routing() || !self.is(ResourceType::Cluster, |state| state.resumes);
        Routing {
            has_reached: is_told && leading().all(|state| state.has_reached(generation)),
            // A listener that is acknowledged may wait for routes that it asked for: the old one is in use.
            is_held_back: leading().any(TypeState::has_unsent_upserts),
            is_refused: leading().any(TypeState::is_refused),
        }
    }

    /// Says whether removals were released just now.
    fn update_retirement(&mut self, now: Instant) -> bool {
        let routing = self.routing();
        let times = (self.limits.hold, self.limits.linger);
        for state in self.types.values_mut() {
            let touched = state.todo.take_touched();
            let over = touched.into_iter().filter(|name| !state.is_leaving(name));
            self.retirement.strike_off(state.kind, over);
        }
        let released = self.retirement.update(now, times, routing);
        if released {
            let retirement = &self.retirement;
            let concerned = self.types.values_mut().filter(|state| retirement.concerns(state.kind));
            concerned.for_each(TypeState::release);
        }
        let retired = self.types.values().filter(|state| !goes_first(state.kind));
        let stale = retired.flat_map(|state| state.stale().map(|name| (state.kind, name.clone())));
        self.retirement.start(self.generation, now, stale);
        released
    }
}
