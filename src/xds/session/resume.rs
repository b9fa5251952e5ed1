//! Requests: the first one of a type, which may resume an earlier stream, and later ones.
//!
//! Invariant: what the client may not have is sent. A version is believed only if it says that the client holds
//! exactly this, and if no earlier NACK casts doubt on it (rules 16, 18, 20 and 25).

use std::collections::BTreeMap;

use arcstr::ArcStr;

use super::mutant::{self, Mutant};
use super::subscription::Subscription;
use super::type_state::{Held, Todo, TypeState, Why};
use crate::resource::ResourceType;
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

impl TypeState {
    /// The type's first request.
    pub(super) fn open(&mut self, ask: Ask) {
        let mut subscription = Subscription::default();
        let resume = match ask {
            Ask::StateOfTheWorld { version, names } => {
                subscription.replace(self.kind, names, &self.target, true);
                self.answer_due = self.sends_full_sets();
                self.state_of_the_world_resume(&version, &subscription)
            }
            Ask::Delta { subscribe, unsubscribe, held } => {
                subscription.change(self.kind, subscribe, unsubscribe, &self.target, true);
                self.answer_due = subscription.is_wildcard();
                if held.is_empty() { Resume::Fresh } else { Resume::Holds(held.into_iter().collect()) }
            }
        };
        if matches!(resume, Resume::Current) {
            self.answer_due = false;
        }
        let mut wanted: Vec<ArcStr> = subscription.names().iter().cloned().collect();
        if subscription.is_wildcard() {
            wanted.extend(self.target.iter().map(|resource| resource.name.clone()));
            if let Resume::Holds(held) = &resume
                && !mutant::is(Mutant::LeaksVanished)
            {
                let vanished = held.keys().filter(|name| !self.target.contains(name));
                wanted.extend(vanished.map(|name| ArcStr::from(name.as_str())));
            }
            if self.variant == Variant::Delta {
                // Of a response that it refused the client may hold what it does not say.
                wanted.extend(self.doubts.iter().filter(|name| !self.target.contains(name)).cloned());
            }
        }
        for name in wanted {
            if let Some(todo) = self.resumed(&name, &resume, &subscription) {
                self.put(name, todo);
            }
        }
        self.doubts.clear();
        self.subscription = Some(subscription);
    }

    /// A later request: what the client wants may have changed. State of the world takes that from current requests
    /// only, since the next ACK repeats it (rule 10); delta says it once, so it always counts (rule 17).
    pub(super) fn follow(&mut self, ask: Ask, is_current: bool) {
        let Some(subscription) = &mut self.subscription else { return };
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

    /// Whether the client held nothing before this stream and waits for its first answer.
    pub(super) fn is_fresh(&self) -> bool {
        self.todo.len() == self.todo.count(Why::Asked, false) + self.todo.count(Why::Asked, true)
    }

    fn state_of_the_world_resume(&self, version: &str, subscription: &Subscription) -> Resume {
        // Only of a pure wildcard does one version say everything (rule 16).
        let says_all = self.sends_full_sets() && subscription.is_pure_wildcard() && self.doubts.is_empty();
        if version.is_empty() {
            Resume::Fresh
        } else if says_all && self.target.version().to_string() == version {
            Resume::Current
        } else {
            Resume::Other
        }
    }

    /// What is to be sent of a name that is wanted, if anything.
    fn resumed(&self, name: &ArcStr, resume: &Resume, subscription: &Subscription) -> Option<Todo> {
        match resume {
            Resume::Fresh => Some(Todo::unknown(Why::Asked)),
            Resume::Current => None,
            Resume::Other => Some(Todo::unknown(Why::Changed)),
            Resume::Holds(held) => match held.get(name.as_str()) {
                // New to the client, by itself or by its own wish.
                None if subscription.names().contains(name) => Some(Todo::unknown(Why::Asked)),
                None if self.doubts.contains(name) => Some(Todo::unknown(Why::Changed)),
                None => Some(Todo { why: Why::Changed, held: Held::known(None) }),
                // Some releases wait for the load assignments of clusters they already have (rule 18).
                Some(_) if self.is_always_sent() => Some(Todo::unknown(Why::Asked)),
                Some(version) if self.is_believed(name, version) => None,
                Some(_) => Some(Todo::unknown(Why::Changed)),
            },
        }
    }

    fn is_always_sent(&self) -> bool {
        self.kind == ResourceType::ClusterLoadAssignment && !mutant::is(Mutant::HeldAssignmentsBelieved)
    }

    fn is_believed(&self, name: &ArcStr, version: &str) -> bool {
        let current = self.target.get(name);
        !self.doubts.contains(name) && current.is_some_and(|resource| resource.version.to_string() == version)
    }
}
