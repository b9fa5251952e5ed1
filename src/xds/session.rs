//! One stream's side of the protocol, without IO: requests, snapshots and the passing of time go in, responses come
//! out.
//!
//! For each type the session knows what the client wants and which names of it are still to be sent; the order of
//! sending is make-before-break (rule 27):
//!
//! 1. clusters, and behind them their load assignments again, even unchanged (rule 29);
//! 2. listeners whose routes name no cluster that is still being [made](making);
//! 3. route configurations likewise, after the listeners;
//! 4. what is gone, when [nothing names it any more](retirement).
//!
//! Invariants: one response in flight for each type, and what comes meanwhile is coalesced (rule 33). What a
//! request newly asks for is answered at once. Every other wait has a clock. What was refused is unknown (rule 25).
//!
//! Architecture invariant: no clock, no task, no socket; `now` is an argument.

mod making;
mod mutant;
mod resume;
mod retirement;
mod subscription;
mod type_state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use self::making::Making;
use self::mutant::Mutant;
use self::retirement::{Retirement, Routing};
pub use self::type_state::{Holding, Refusal, State};
use self::type_state::{Todo, TypeState, Why};
use crate::resource::{Resource, ResourceType};
use crate::snapshot::{ResourceSet, Snapshot};
use crate::xds::message::{Request, Response, Variant};

/// Bounds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait for a client's acknowledgement before the next step is taken without it.
    pub hold: Duration,
    /// How long what was replaced stays after the routes moved on: requests that are under way end in it.
    pub linger: Duration,
    /// The most names that a client may subscribe to, over all types; one of more than 256 bytes counts as several.
    pub names: usize,
    /// The size at which a delta response is cut, in bytes; one resource that is larger goes alone.
    pub response: usize,
}

impl Limits {
    /// The most names in one request: a reconnect says each name that is wanted, and what is held under it.
    pub(super) fn names_in_request(&self) -> usize {
        self.names.saturating_mul(2)
    }
}

impl Default for Limits {
    fn default() -> Self {
        // Envoy acknowledges within milliseconds; five seconds are a client in trouble. A name costs about 100 bytes. gRPC
        // clients accept 4 MiB unless they are told otherwise.
        let (hold, linger) = (Duration::from_secs(5), Duration::from_secs(1));
        Limits { hold, linger, names: 100_000, response: 3_500_000 }
    }
}

/// Names of which an earlier stream of the same client left unknown what the client has: what was refused or not
/// answered. Such names are not resumed but sent (rules 16 and 25).
pub type Doubts = BTreeMap<ResourceType, BTreeSet<ArcStr>>;

/// What a client said of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It accepted a response of this type, this long after it was made.
    Accepted(ResourceType, Duration),
    /// It refused one.
    Refused(Arc<Refusal>),
}

/// What is known of one type, for views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The type.
    pub kind: ResourceType,
    /// Whether all names are wanted.
    pub wildcard: bool,
    /// How many names are wanted by name.
    pub names: usize,
    /// How many names are to be sent or are sent and not acknowledged.
    pub open: usize,
    /// Everything there is, if the client has acknowledged all it wants of it. Its version costs work the first time.
    pub settled: Option<ResourceSet>,
    /// The last NACK, until everything is acknowledged again.
    pub refusal: Option<Arc<Refusal>>,
}

/// The client broke a bound; the stream is to be closed with RESOURCE_EXHAUSTED.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooManyNames {
    /// It wants too many.
    #[error("subscribed to {names} names, of {limit} allowed; subscribe to * instead, or raise the limit")]
    Wanted {
        /// So many, over all types.
        names: usize,
        /// Of so many.
        limit: usize,
    },
    /// One request names too many, whether it wants them or not.
    #[error("a request with {names} names, of {limit} allowed; subscribe to * instead, or raise the limit")]
    InRequest {
        /// So many.
        names: usize,
        /// Of so many.
        limit: usize,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    variant: Variant,
    limits: Limits,
    nonce_prefix: String,
    nonces: u64,
    /// Counts snapshots.
    generation: u64,
    types: [TypeState; ResourceType::COUNT],
    /// Counts names in requests.
    said: u64,
    making: Making,
    retirement: Retirement,
    /// Since when route configurations wait for listeners.
    routes_wait: Option<Instant>,
    /// Until when routes of a client that resumes them wait for its first request for clusters.
    clusters_wait: Option<Instant>,
    responses: VecDeque<Response>,
    answers: Vec<Answer>,
}

impl Session {
    /// A session of a client that has not asked for anything yet. `nonce_prefix` is unique for each stream, so that
    /// no two responses ever have the same nonce (rule 4).
    #[must_use]
    pub fn new(
        variant: Variant,
        nonce_prefix: impl Into<String>,
        snapshot: &Snapshot,
        limits: Limits,
        mut doubts: Doubts,
    ) -> Session {
        let types = ResourceType::ALL.map(|kind| {
            TypeState::new(kind, variant, snapshot.set(kind).clone(), doubts.remove(&kind).unwrap_or_default())
        });
        Session {
            variant,
            limits,
            nonce_prefix: nonce_prefix.into(),
            nonces: 0,
            generation: 1,
            types,
            said: 0,
            making: Making::default(),
            retirement: Retirement::default(),
            routes_wait: None,
            clusters_wait: None,
            responses: VecDeque::new(),
            answers: Vec::new(),
        }
    }

    /// The variant that this session speaks.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// A request came. A request of the other variant is no request of this stream and is ignored.
    ///
    /// # Errors
    /// [`TooManyNames`] ends the stream.
    pub fn on_request(&mut self, request: Request, now: Instant) -> Result<(), TooManyNames> {
        // Before there is any work.
        let (names, limit) = (request.ask.len(), self.limits.names_in_request());
        if names > limit {
            return Err(TooManyNames::InRequest { names, limit });
        }
        self.said += names as u64;
        let state = &mut self.types[request.kind.index()];
        if state.subscription.is_none() {
            // Initial, whatever nonce it carries (rule 4).
            state.open(request.ask);
            // Of a client that held nothing and has no routes yet, no route can name a cluster too early.
            let has_routes = !state.is_fresh() || self.has_routing();
            if request.kind == ResourceType::Cluster && has_routes {
                self.announce_clusters(now);
            }
            self.update_clusters_wait(request.kind, now);
        } else {
            let is_current = state.is_current(&request.nonce) || mutant::is(Mutant::AnyNonceAnswers);
            if is_current && state.in_flight.is_some() {
                self.on_answer(request.kind, request.error, now);
            }
            self.types[request.kind.index()].follow(request.ask, is_current);
            if request.kind == ResourceType::Cluster {
                self.announce_clusters(now);
            }
        }
        self.advance(now);
        self.check_names()
    }

    /// The Gateway's configuration changed.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot, now: Instant) {
        self.generation += 1;
        for kind in ResourceType::ALL {
            let upserts = self.types[kind.index()].retarget(snapshot.set(kind));
            if kind == ResourceType::Cluster {
                // Also one that only comes back: its load assignment may not be there any more.
                upserts.iter().for_each(|cluster| self.making.announce(cluster.name.clone(), now));
                self.announce_clusters(now);
            }
        }
        if self.state(ResourceType::RouteConfiguration).has_gone() {
            self.retirement.follow(self.generation);
        }
        self.advance(now);
    }

    /// Time passed. To be called at [`next_deadline`](Self::next_deadline); harmless at any time.
    pub fn on_tick(&mut self, now: Instant) {
        self.advance(now);
    }

    /// The responses to be written, in order.
    pub fn poll_responses(&mut self) -> Vec<Response> {
        self.responses.drain(..).collect()
    }

    /// What the client said of earlier responses since the last call.
    pub fn poll_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// When a wait ends by its clock, if there is a wait.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let hold = self.limits.hold;
        // Over, but not yet used: an unanswered response is in the way, which has a clock of its own.
        let routes = self.routes_wait.map(|since| since + hold).filter(|end| *end > now);
        let answers = self.types.iter().filter_map(|state| state.patience_ends(hold)).min();
        let removals = self.retirement.deadline(hold, now, self.routing());
        let clusters = self.clusters_wait.filter(|end| *end > now);
        [self.making.deadline(hold), routes, clusters, answers, removals].into_iter().flatten().min()
    }

    /// Whether the client has answered everything that it was sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.types.iter().all(|state| state.in_flight.is_none())
    }

    /// What this stream leaves unknown; to be passed to the client's next session.
    #[must_use]
    pub fn doubts(&self) -> Doubts {
        let all = self.types.iter().map(|state| (state.kind, state.unknown_names()));
        all.filter(|(_, names)| !names.is_empty()).collect()
    }

    /// What is known of each type that the client asked for.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.types.iter().filter_map(TypeState::progress).collect()
    }

    /// What the client has under each name that it wants or has; costs the number of names.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        self.types.iter().flat_map(TypeState::holdings).collect()
    }

    /// How many names were said, noted and gone through so far: what a request costs is how much this grows by it.
    #[must_use]
    pub fn work(&self) -> u64 {
        let of_types = self.types.iter().map(|state| state.todo.revision() + state.todo.visited());
        self.said + of_types.sum::<u64>() + self.making.visited()
    }

    fn state(&self, kind: ResourceType) -> &TypeState {
        &self.types[kind.index()]
    }

    fn check_names(&self) -> Result<(), TooManyNames> {
        let subscriptions = self.types.iter().filter_map(|state| state.subscription.as_ref());
        let names = subscriptions.map(|subscription| subscription.weight()).sum();
        if names > self.limits.names {
            return Err(TooManyNames::Wanted { names, limit: self.limits.names });
        }
        Ok(())
    }

    // ---- answers

    fn on_answer(&mut self, kind: ResourceType, error: Option<String>, now: Instant) {
        let state = &mut self.types[kind.index()];
        match error {
            None => {
                let sent = state.accept();
                self.answers.extend(sent.map(|at| Answer::Accepted(kind, now.saturating_duration_since(at))));
            }
            Some(message) => {
                state.refuse(message, now);
                self.answers.extend(state.refusal.clone().map(Answer::Refused));
            }
        }
    }

    // ---- the order of sending

    fn advance(&mut self, now: Instant) {
        self.update_retirement(now);
        loop {
            for state in &mut self.types {
                if state.patience_ends(self.limits.hold).is_some_and(|end| now >= end) && state.give_up() {
                    self.retirement.begin_again();
                }
                state.drop_unsayable();
            }
            self.update_making(now);
            self.update_routes_wait(now);
            for kind in ResourceType::ALL {
                self.push(kind, now);
            }
            // What was sent may be the last that a round waited for. A round releases once, so this ends.
            if !self.update_retirement(now) {
                break;
            }
        }
        self.update_routes_wait(now);
        let clusters = &mut self.types[ResourceType::Cluster.index()];
        if !clusters.has_unsent_upserts() {
            // What a new client was sent at once was not announced, and is not any more.
            clusters.todo.take_upserts();
        }
    }

    fn push(&mut self, kind: ResourceType, now: Instant) {
        let state = self.state(kind);
        if state.subscription.is_none() || state.in_flight.is_some() {
            return;
        }
        let may_remove = |name: &ArcStr| match kind {
            ResourceType::Listener => true,
            _ if mutant::is(Mutant::RemovesAtOnce) => true,
            _ => self.retirement.has_released(kind, name),
        };
        let may_send = |resource: &Resource| self.may_send(resource, now);
        let may_answer = |asked: Option<&Resource>| match asked {
            Some(resource) => kind != ResourceType::RouteConfiguration || self.clusters_are_made(resource, now),
            None => self.absence_is_known(kind),
        };
        let mut selection = state.select(may_send, may_remove, may_answer);
        let number = self.nonces + 1;
        let nonce = || format!("{}-{number}", self.nonce_prefix);
        let (generation, limit) = (self.generation, self.limits.response);
        let state = &mut self.types[kind.index()];
        let Some(response) = state.respond(&mut selection, limit, nonce, (generation, now)) else {
            state.settle(&selection, self.generation);
            return;
        };
        self.nonces = number;
        if mutant::is(Mutant::AcksAtSend) {
            state.accept();
        }
        let state = &self.types[kind.index()];
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
        kind != ResourceType::Secret || !self.state(ResourceType::Listener).has_unsent()
    }

    /// Whether everything that a change needs is in place at the client (rule 27).
    fn may_send(&self, resource: &Resource, now: Instant) -> bool {
        match resource.kind {
            ResourceType::Listener => self.listener_is_routable(resource, now),
            ResourceType::RouteConfiguration if mutant::is(Mutant::RoutesFirst) => true,
            ResourceType::RouteConfiguration => {
                self.clusters_are_made(resource, now)
                    && self.endpoints_are_under_way(resource)
                    && !self.listeners_come_first(now)
            }
            _ => true,
        }
    }

    fn clusters_are_made(&self, routes: &Resource, now: Instant) -> bool {
        if self.clusters_wait.is_some_and(|end| now < end) {
            return routes.refs_of(ResourceType::Cluster).next().is_none();
        }
        self.making.is_empty() || !routes.refs_of(ResourceType::Cluster).any(|name| self.making.contains(name))
    }

    /// Whether no change of the endpoints that these routes lead to waits behind an unanswered response: routes that
    /// overtook it could lead to endpoints of before. Once sent it arrives first, so no ACK is waited for, and endpoints
    /// that change all the time hold nothing up.
    fn endpoints_are_under_way(&self, routes: &Resource) -> bool {
        let clusters = &self.state(ResourceType::Cluster).target;
        let assignments = self.state(ResourceType::ClusterLoadAssignment);
        !assignments.has_unsent_changes()
            || routes
                .refs_of(ResourceType::Cluster)
                .filter_map(|name| clusters.get(name))
                .flat_map(|cluster| cluster.refs_of(ResourceType::ClusterLoadAssignment))
                .all(|name| !assignments.is_unsent_change(name))
    }

    fn listener_is_routable(&self, listener: &Resource, now: Instant) -> bool {
        let routes = &self.state(ResourceType::RouteConfiguration).target;
        (self.making.is_empty() && self.clusters_wait.is_none())
            || listener
                .refs_of(ResourceType::RouteConfiguration)
                .filter_map(|name| routes.get(name))
                .all(|routes| self.clusters_are_made(routes, now))
    }

    fn listeners_come_first(&self, now: Instant) -> bool {
        let waited_enough = self.routes_wait.is_some_and(|since| now >= since + self.limits.hold);
        !waited_enough && self.state(ResourceType::Listener).has_open_upserts()
    }

    /// Starts the clock when a change of routes has to wait for listeners, and stops it when none has to.
    fn update_routes_wait(&mut self, now: Instant) {
        let routes_changed = self.state(ResourceType::RouteConfiguration).has_unsent_changes_of_content();
        let waits = self.state(ResourceType::Listener).has_open_upserts() && routes_changed;
        self.routes_wait = if waits { self.routes_wait.or(Some(now)) } else { None };
    }

    /// The load assignments of clusters that are sent follow them, even unchanged (rule 29). They do not wait for the
    /// clusters' ACK: Envoy gives it when the clusters are warm, and they are not before they have endpoints.
    fn resend_assignments_of(&mut self, clusters: &[Arc<Resource>]) {
        let assignments = &mut self.types[ResourceType::ClusterLoadAssignment.index()];
        let again = if mutant::is(Mutant::AssignmentsNotAgain) { &[] } else { clusters };
        for name in again.iter().flat_map(|cluster| cluster.refs_of(ResourceType::ClusterLoadAssignment)) {
            assignments.resend(name);
        }
    }

    // ---- clusters that are being made

    fn has_routing(&self) -> bool {
        [ResourceType::Listener, ResourceType::RouteConfiguration]
            .iter()
            .any(|kind| self.state(*kind).subscription.is_some())
    }

    /// A client that resumes its routes asks for its clusters too, but later if one of them is warming: Envoy says nothing
    /// of CDS meanwhile. Until it does, it is not known which clusters the routes can lead to.
    fn update_clusters_wait(&mut self, kind: ResourceType, now: Instant) {
        if self.state(ResourceType::Cluster).subscription.is_some() {
            self.clusters_wait = None;
        } else if matches!(kind, ResourceType::Listener | ResourceType::RouteConfiguration)
            && !self.state(kind).is_fresh()
        {
            self.clusters_wait.get_or_insert(now + self.limits.hold);
        }
    }

    /// Routes wait for the clusters that are to be sent.
    fn announce_clusters(&mut self, now: Instant) {
        let clusters = &mut self.types[ResourceType::Cluster.index()];
        for name in clusters.todo.take_upserts() {
            let is_due = |todo: &Todo| matches!(todo.why, Why::Asked | Why::Changed);
            if clusters.todo.get(&name).is_some_and(is_due) && clusters.target.contains(&name) {
                self.making.announce(name, now);
            }
        }
    }

    fn update_making(&mut self, now: Instant) {
        let types = &self.types;
        let clusters = &types[ResourceType::Cluster.index()];
        let has_part = |kind: ResourceType, name: &str| {
            let state = &types[kind.index()];
            // A step that the client did not subscribe to, or that has nothing to give, is skipped. Endpoints that
            // change faster than they are acknowledged would hold the routes up for as long as they do.
            let is_skipped = state.subscription.is_none() || !state.target.contains(name);
            is_skipped || state.has_settled(name) || state.has_older(name)
        };
        self.making.update(now, self.limits.hold, |name| match clusters.target.get(name) {
            // After a NACK the others go on.
            Some(_) if clusters.is_refused_name(name) || !clusters.wants(name) => true,
            Some(cluster) => clusters.has_settled(name) && cluster.refs.iter().all(|to| has_part(to.kind, &to.name)),
            None => true,
        });
    }

    // ---- removals

    fn routing(&self) -> Routing {
        let listeners = self.state(ResourceType::Listener);
        let routes = self.state(ResourceType::RouteConfiguration);
        let generation = self.retirement.generation().unwrap_or(self.generation);
        let is_held_back = listeners.has_unsent_upserts() || routes.has_unsent_upserts();
        Routing {
            // A listener that is acknowledged may wait for routes that it asked for: the old one is in use.
            has_reached: !is_held_back && listeners.has_reached(generation) && routes.has_reached(generation),
            is_held_back,
            is_refused: listeners.is_refused() || routes.is_refused(),
        }
    }

    /// Says whether removals were released just now.
    fn update_retirement(&mut self, now: Instant) -> bool {
        let routing = self.routing();
        let times = (self.limits.hold, self.limits.linger);
        for at in 0..ResourceType::COUNT {
            let (kind, touched) = (self.types[at].kind, self.types[at].todo.take_touched());
            let over = touched.into_iter().filter(|name| !self.types[at].is_leaving(name));
            self.retirement.strike_off(kind, over);
        }
        let released = self.retirement.update(now, times, routing);
        if released {
            let retirement = &self.retirement;
            let concerned = self.types.iter_mut().filter(|state| retirement.concerns(state.kind));
            concerned.for_each(|state| state.releases += 1);
        }
        let retired = self.types.iter().filter(|state| state.kind != ResourceType::Listener);
        let stale = retired.flat_map(|state| state.stale().map(|name| (state.kind, name.clone())));
        self.retirement.start(self.generation, now, stale);
        released
    }
}

#[cfg(test)]
mod tests;
