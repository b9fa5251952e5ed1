//! Requests: the first one of a type, which may resume an earlier stream, and later ones.
//!
//! Invariant: what the client may not have is sent. A version is believed only if it says that the client holds
//! exactly this, and if no earlier NACK casts doubt on it (rules 16, 18, 20 and 25).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;

use super::mutant::{self, Mutant};
use super::past::{Gone, Past};
use super::subscription::Weight;
use super::type_state::{Held, Todo, TypeState, Why};
use super::{Before, Session};
use crate::resource::{Resource, ResourceType};
use crate::snapshot::ResourceSet;
use crate::xds::message::{Ask, Variant};

/// What the first request of a type says of earlier streams.
enum Resume {
    /// There was none: everything is answered at once.
    Fresh,
    /// State of the world: the client holds this very set.
    Current,
    /// State of the world: the client holds something. It is not new to what it asks for, so the order of sending
    /// applies to it.
    Other,
    /// Delta: the client holds these names in these versions.
    Holds(BTreeMap<String, String>),
}

impl Session {
    /// Of a client that asks for no clusters for so long.
    pub(super) fn forget_the_past(&mut self, now: Instant) {
        self.past.take_if(|before| now >= *before.until.get_or_insert(now + Past::MAX_AGE));
    }

    /// Clusters that a client may hold that asks for clusters now and does not say which it has, and that are gone.
    pub(super) fn gone_meanwhile(
        &mut self,
        kind: ResourceType,
        ask: &Ask,
        doubts: &BTreeSet<ArcStr>,
        now: Instant,
    ) -> Vec<Gone> {
        let (Some(Before { past, joined, .. }), Ask::StateOfTheWorld { version, .. }) =
            (self.past.take_if(|_| kind == ResourceType::Cluster), ask)
        else {
            return Vec::new();
        };
        let clusters = self.snapshot.set(kind);
        let holds_nothing = version.is_empty();
        if doubts.is_empty() && (holds_nothing || clusters.version().to_string() == *version) {
            return Vec::new();
        }
        let mut past = Arc::unwrap_or_clone(past);
        past.note(&joined, &self.snapshot, now);
        // Of a response that it refused, the client may hold what its version does not say.
        let version = if doubts.is_empty() { version } else { "" };
        past.gone_since(version, clusters).into_values().collect()
    }
}

impl TypeState {
    /// A type with its first request. `doubts` are names that earlier streams of this client left unknown.
    pub(super) fn open(
        kind: ResourceType,
        variant: Variant,
        target: ResourceSet,
        doubts: &BTreeSet<ArcStr>,
        ask: Ask,
    ) -> TypeState {
        let mut state = TypeState::new(kind, variant, target);
        let resume = match ask {
            Ask::StateOfTheWorld { version, names } => {
                state.subscription.replace(kind, names, &state.target, true);
                state.answer_due = state.sends_full_sets();
                state.state_of_the_world_resume(&version, doubts)
            }
            Ask::Delta { subscribe, unsubscribe, held } => {
                state.subscription.change(kind, subscribe, unsubscribe, &state.target, true);
                state.answer_due = state.subscription.is_wildcard();
                if held.is_empty() { Resume::Fresh } else { Resume::Holds(held.into_iter().collect()) }
            }
        };
        state.resumes = !matches!(resume, Resume::Fresh);
        if let Resume::Holds(held) = &resume {
            state.vanished = state.vanished(held).map(|name| Weight::of(name, true)).sum();
        }
        state.answer_due &= !matches!(resume, Resume::Current);
        for name in state.concerned(&resume, doubts) {
            if let Some(todo) = state.resumed(&name, &resume, doubts) {
                state.put(name, todo);
            }
        }
        state
    }

    /// The names of which something may be to be said: all that are wanted, and what the client may hold of what is gone.
    fn concerned(&self, resume: &Resume, doubts: &BTreeSet<ArcStr>) -> Vec<ArcStr> {
        let mut wanted: Vec<ArcStr> = self.subscription.names().iter().map(|name| self.resolved(name)).collect();
        if let Resume::Holds(held) = resume
            && !mutant::is(Mutant::LeaksVanished)
        {
            wanted.extend(self.vanished(held).map(ArcStr::from));
        }
        if self.subscription.is_wildcard() {
            wanted.extend(self.target.iter().map(|resource| resource.name.clone()));
            if self.variant == Variant::Delta {
                // Of a response that it refused the client may hold what it does not say.
                wanted.extend(doubts.iter().filter(|name| !self.target.contains(name)).cloned());
            }
        }
        wanted
    }

    /// What the client holds and has to be told is gone.
    fn vanished<'h>(&self, held: &'h BTreeMap<String, String>) -> impl Iterator<Item = &'h str> {
        // A virtual host is held under its name and wanted by its aliases, which are not known of what is gone.
        let is_told = self.subscription.is_wildcard() || self.kind == ResourceType::VirtualHost;
        held.keys().map(String::as_str).filter(move |name| is_told && !self.target.contains(name))
    }

    /// A later request: what the client wants may have changed. State of the world takes that from current requests
    /// only, since the next ACK repeats it (rule 10); delta says it once, so it always counts (rule 17).
    pub(super) fn follow(&mut self, ask: Ask, is_current: bool) {
        let subscription = &mut self.subscription;
        let update = match ask {
            Ask::StateOfTheWorld { .. } if !is_current => return,
            Ask::Delta { .. } if !is_current && mutant::is(Mutant::StaleNamesIgnored) => return,
            Ask::StateOfTheWorld { names, .. } => subscription.replace(self.kind, names, &self.target, false),
            Ask::Delta { subscribe, unsubscribe, .. } => {
                subscription.change(self.kind, subscribe, unsubscribe, &self.target, false)
            }
        };
        self.resubscribe(update);
    }

    fn state_of_the_world_resume(&self, version: &str, doubts: &BTreeSet<ArcStr>) -> Resume {
        // Only of a pure wildcard does one version say everything (rule 16).
        let says_all = self.sends_full_sets() && self.subscription.is_pure_wildcard() && doubts.is_empty();
        if version.is_empty() {
            Resume::Fresh
        } else if says_all && self.target.version().to_string() == version {
            Resume::Current
        } else {
            Resume::Other
        }
    }

    /// What is to be sent of a name that is wanted, if anything.
    fn resumed(&self, name: &ArcStr, resume: &Resume, doubts: &BTreeSet<ArcStr>) -> Option<Todo> {
        match resume {
            Resume::Fresh => Some(Todo::unknown(Why::Asked)),
            Resume::Current => None,
            Resume::Other => Some(Todo::unknown(Why::Changed)),
            Resume::Holds(held) => match held.get(name.as_str()) {
                // New to the client, by itself or by its own wish.
                None if self.is_named(name) => Some(Todo::unknown(Why::Asked)),
                None if doubts.contains(name) => Some(Todo::unknown(Why::Changed)),
                None => Some(Todo { why: Why::Changed, held: Held::known(None) }),
                // Some releases wait for the load assignments of clusters they already have (rule 18).
                Some(_) if self.is_always_sent() => Some(Todo::unknown(Why::Asked)),
                Some(version) if !doubts.contains(name) && self.is_current_version(name, version) => None,
                Some(_) => Some(Todo::unknown(Why::Changed)),
            },
        }
    }

    /// The client may have this, which is gone: it stays, until it is removed in its turn.
    pub(super) fn may_hold(&mut self, gone: &Arc<Resource>) {
        self.put(gone.name.clone(), Todo { why: Why::Changed, held: Held::maybe(gone.clone()) });
    }

    fn is_always_sent(&self) -> bool {
        self.kind == ResourceType::ClusterLoadAssignment && !mutant::is(Mutant::HeldAssignmentsBelieved)
    }

    /// Whether a name is wanted as such, or by an alias, and not only with all others.
    fn is_named(&self, name: &ArcStr) -> bool {
        let names = self.subscription.names();
        let aliases = self.target.get(name).map(|resource| resource.aliases.iter());
        names.contains(name) || aliases.into_iter().flatten().any(|alias| names.contains(alias))
    }

    fn is_current_version(&self, name: &ArcStr, version: &str) -> bool {
        self.target.get(name).is_some_and(|resource| resource.version.to_string() == version)
    }
}
