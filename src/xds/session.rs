//! One stream's side of the protocol, without IO: requests, snapshots and the passing of time go in, responses come
//! out.
//!
//! For each type the session knows what the client wants and which names of it are still to be sent; the order of
//! sending is make-before-break (rule 27):
//!
//! 1. clusters, and behind them their load assignments again, even unchanged (rule 29);
//! 2. listeners and scopes whose routes name no cluster that is still being [made](making);
//! 3. route configurations likewise, after these, and virtual hosts after the route configurations;
//! 4. what is gone, when [nothing names it any more](retirement).
//!
//! Invariants: one response in flight for each type, and what comes meanwhile is coalesced (rule 33). What a
//! request newly asks for is answered at once. Every other wait has a clock. What was refused is unknown (rule 25).
//!
//! Architecture invariant: no clock, no task, no socket; `now` is an argument.

mod departed;
mod making;
mod mutant;
mod order;
mod past;
mod resume;
mod retirement;
mod subscription;
mod type_state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use self::departed::Departed;
use self::making::Making;
use self::mutant::Mutant;
pub use self::past::Past;
use self::retirement::Retirement;
use self::type_state::TypeState;
pub use self::type_state::{Holding, Refusal, State};
use crate::resource::{PerType, ResourceType};
use crate::snapshot::{ResourceSet, Snapshot};
use crate::xds::message::{Ask, Request, Response, Variant};

/// Bounds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait for a client's acknowledgement before the next step is taken without it.
    pub hold: Duration,
    /// How long what was replaced stays after the routes moved on: requests that are under way end in it.
    pub linger: Duration,
    /// The most names that a client may subscribe to, over all types; one of more than 256 bytes counts as several. Twice as many may be
    /// among those that it holds and that are gone when its stream begins.
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
    /// It holds too many that are gone.
    #[error("holds {names} names that are gone, of {limit} allowed; start it anew, or raise the limit")]
    Vanished {
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

/// What a client's Gateway had when its session began, and before.
#[derive(Debug)]
struct Before {
    past: Arc<Past>,
    joined: Arc<Snapshot>,
    /// When it is forgotten, if the client still asks for no clusters.
    until: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    variant: Variant,
    limits: Limits,
    nonce_prefix: String,
    nonces: u64,
    snapshot: Arc<Snapshot>,
    /// Counts snapshots.
    generation: u64,
    /// What earlier streams left unknown, of types that the client has not asked for yet.
    doubts: Doubts,
    /// What the Gateway had before, and when this session began, until the client asks for clusters.
    past: Option<Before>,
    /// The types that it has asked for.
    types: PerType<TypeState>,
    /// Counts names in requests.
    said: u64,
    making: Making,
    retirement: Retirement,
    departed: Departed,
    /// Since when changes of these types wait for types that come first.
    turns: BTreeMap<ResourceType, Instant>,
    /// Until when routes of a client that resumes wait for its first request for clusters.
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
        snapshot: &Arc<Snapshot>,
        limits: Limits,
        doubts: Doubts,
    ) -> Session {
        Session {
            variant,
            limits,
            nonce_prefix: nonce_prefix.into(),
            nonces: 0,
            snapshot: snapshot.clone(),
            generation: 1,
            doubts: if mutant::is(Mutant::ForgetsDoubts) { Doubts::new() } else { doubts },
            past: None,
            types: PerType::default(),
            said: 0,
            making: Making::default(),
            retirement: Retirement::default(),
            departed: Departed::default(),
            turns: BTreeMap::new(),
            clusters_wait: None,
            responses: VecDeque::new(),
            answers: Vec::new(),
        }
    }

    /// Tells what the client's Gateway had lately, of which a state-of-the-world client may hold what it does not say.
    #[must_use]
    pub fn remembering(mut self, past: Arc<Past>) -> Session {
        let is_needed = self.variant == Variant::StateOfTheWorld && !mutant::is(Mutant::ForgetsThePast);
        self.past = is_needed.then(|| Before { past, joined: self.snapshot.clone(), until: None });
        self
    }

    /// The variant that this session speaks.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// A request came. A request of the other variant is no request of this stream and is ignored, and so is one for a type
    /// that this variant does not have (rule 24): as with a type that nobody knows, the other types go on.
    ///
    /// # Errors
    /// [`TooManyNames`] ends the stream.
    pub fn on_request(&mut self, request: Request, now: Instant) -> Result<(), TooManyNames> {
        let Request { kind, nonce, error, ask } = request;
        // Before there is any work.
        let (names, limit) = (ask.len(), self.limits.names_in_request());
        if names > limit {
            return Err(TooManyNames::InRequest { names, limit });
        }
        self.said += names as u64;
        self.forget_the_past(now);
        if kind.is_delta_only() && self.variant == Variant::StateOfTheWorld {
            return Ok(());
        }
        match self.types.get_mut(kind) {
            // Initial, whatever nonce it carries (rule 4).
            None => self.open(kind, ask, now),
            Some(state) => {
                let is_current = state.is_current(&nonce) || mutant::is(Mutant::AnyNonceAnswers);
                let is_answer = is_current && state.in_flight.is_some();
                let answer = is_answer.then(|| state.answer(error, now)).flatten();
                state.follow(ask, is_current);
                self.answers.extend(answer);
                if kind == ResourceType::Cluster {
                    self.announce_clusters(now);
                }
            }
        }
        self.advance(now);
        self.check_names()
    }

    fn open(&mut self, kind: ResourceType, ask: Ask, now: Instant) {
        let target = self.snapshot.set(kind).clone();
        let doubts = self.doubts.remove(&kind).unwrap_or_default();
        let gone = self.gone_meanwhile(kind, &ask, &doubts, now);
        let open = || TypeState::open(kind, self.variant, target, &doubts, ask);
        let state = self.types.get_or_insert_with(kind, open);
        let resumes = state.resumes;
        for gone in &gone {
            if state.wants(&gone.cluster.name) {
                state.may_hold(&gone.cluster);
                self.departed.recall(gone);
            }
        }
        // Of a client that held nothing and has no routes yet, no route can name a cluster too early.
        if kind == ResourceType::Cluster && (resumes || self.has_routing()) {
            self.announce_clusters(now);
        }
        self.update_clusters_wait(resumes, now);
    }

    /// The Gateway's configuration changed.
    pub fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        self.generation += 1;
        self.forget_the_past(now);
        let before = std::mem::replace(&mut self.snapshot, snapshot.clone());
        for state in self.types.values_mut() {
            let upserts = state.retarget(snapshot.set(state.kind));
            if state.kind == ResourceType::Cluster {
                // Also one that only comes back: its load assignment may not be there any more.
                upserts.iter().for_each(|cluster| self.making.announce(cluster.name.clone(), now));
            }
        }
        if let Some(clusters) = self.types.get(ResourceType::Cluster) {
            self.departed.note(clusters, &before, snapshot);
        }
        self.announce_clusters(now);
        if self.is(ResourceType::RouteConfiguration, TypeState::has_gone) {
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
        // With its memory: most of the time there is no response.
        std::mem::take(&mut self.responses).into()
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
        let turns = self.turns.values().map(|since| *since + hold).filter(|end| *end > now).min();
        let answers = self.types.values().filter_map(|state| state.patience_ends(hold)).min();
        let removals = self.retirement.deadline(hold, now, self.routing());
        let clusters = self.clusters_wait.filter(|end| *end > now);
        [self.making.deadline(hold), turns, clusters, answers, removals].into_iter().flatten().min()
    }

    /// Whether the client has answered everything that it was sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.types.values().all(|state| state.in_flight.is_none())
    }

    /// Whether nothing waits to be sent, or only what has its own time: the client has been told of every change so far. It may not
    /// have answered yet.
    #[must_use]
    pub fn has_told_all(&self) -> bool {
        self.is_idle() || !self.types.values().any(TypeState::has_unsent)
    }

    /// What this stream leaves unknown; to be passed to the client's next session.
    #[must_use]
    pub fn doubts(&self) -> Doubts {
        let asked = self.types.values().map(|state| (state.kind, state.unknown_names()));
        let all = asked.chain(self.doubts.clone());
        all.filter(|(_, names)| !names.is_empty()).collect()
    }

    /// What is known of each type that the client asked for.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.types.values().map(TypeState::progress).collect()
    }

    /// What the client has under each name that it wants or has; costs the number of names.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        self.types.values().flat_map(TypeState::holdings).collect()
    }

    /// How many names were said, noted and gone through so far: what a request costs is how much this grows by it.
    #[must_use]
    pub fn work(&self) -> u64 {
        let of_types = self.types.values().map(|state| state.todo.revision() + state.todo.visited());
        self.said + of_types.sum::<u64>() + self.making.visited() + self.departed.visited()
    }

    /// What the names that are kept for this client take at most, in bytes.
    #[must_use]
    pub fn bytes_of_names(&self) -> usize {
        let of = |state: &TypeState| [state.subscription.weight().bytes, state.vanished.bytes];
        self.types.values().flat_map(of).sum()
    }

    /// Whether the client asked for a type, and this holds of it.
    fn is(&self, kind: ResourceType, holds: impl FnOnce(&TypeState) -> bool) -> bool {
        self.types.get(kind).is_some_and(holds)
    }

    fn check_names(&self) -> Result<(), TooManyNames> {
        let (names, limit) =
            (self.types.values().map(|state| state.subscription.weight().names).sum(), self.limits.names);
        if names > limit {
            return Err(TooManyNames::Wanted { names, limit });
        }
        // As many as one request may say: a client that comes back after everything was renamed wants as many others besides.
        let (names, limit) =
            (self.types.values().map(|state| state.vanished.names).sum(), self.limits.names_in_request());
        if names > limit {
            return Err(TooManyNames::Vanished { names, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
