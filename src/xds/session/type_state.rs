//! What is known of one client and one type.
//!
//! Invariant: apart from the names in `todo` and in the response in flight, the client holds of what it wants
//! exactly `target`. So a client that is up to date costs a pointer, whatever the size of the set.

mod answers;
mod blame;
mod holdings;
mod sending;
mod todo;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;

use super::Progress;
use super::mutant::{self, Mutant};
use super::subscription::{Subscription, Update, Weight};
use crate::resource::{Resource, ResourceType};
use crate::snapshot::ResourceSet;
use crate::xds::message::Variant;

pub use self::holdings::{Holding, State};
pub(super) use self::sending::goes_first;
use self::todo::TodoList;

/// A refused response (NACK), as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The type.
    pub kind: ResourceType,
    /// The response that was refused.
    pub nonce: String,
    /// The client's words; a long text ends early.
    pub message: String,
    /// The names in that response.
    pub names: Vec<ArcStr>,
    /// The resources that the client means: those that its words name, otherwise the first of the response.
    pub blamed: Vec<Arc<Resource>>,
    /// When the NACK came.
    pub at: Instant,
}

/// What the client has under a name that is to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// What it last accepted, if it accepted something on this stream.
    last: Option<Arc<Resource>>,
    /// Whether it has just that: nothing was sent or refused since, and it came with nothing from an earlier stream.
    known: bool,
}

impl Held {
    /// Just this.
    pub(super) fn known(last: Option<Arc<Resource>>) -> Held {
        Held { last, known: true }
    }

    /// This of an earlier stream, or nothing.
    pub(super) fn maybe(last: Arc<Resource>) -> Held {
        Held { last: Some(last), known: false }
    }

    /// Something of an earlier stream, or nothing.
    fn is_unheard_of(&self) -> bool {
        !self.known && self.last.is_none()
    }

    fn is(&self, resource: Option<&Arc<Resource>>) -> bool {
        let version = |resource: &Arc<Resource>| resource.version;
        self.known && self.last.as_ref().map(version) == resource.map(version)
    }
}

/// Why a name is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The client asked for it and waits: answered at once, whether it exists or not.
    Asked,
    /// It changed, or may differ from what the client has: sent when its turn comes (rule 27).
    Changed,
    /// The client waits for it again, although it has it: a load assignment behind its cluster (rule 29). If it is gone
    /// meanwhile, what it was last is sent, since a cluster that is not warm yet has to become so before it can go.
    Again,
    /// The client refused it: waits until something of this type changes (rules 9 and 25).
    Refused,
}

impl Why {
    const COUNT: usize = 4;
}

#[derive(Debug, Clone)]
pub(super) struct Todo {
    pub(super) why: Why,
    pub(super) held: Held,
}

impl Todo {
    pub(super) fn unknown(why: Why) -> Todo {
        Todo { why, held: Held::default() }
    }
}

/// The one response that is not answered yet (rule 33).
#[derive(Debug)]
pub(super) struct InFlight {
    /// Sorted by name.
    pub(super) sent: Vec<Sent>,
    pub(super) has_upserts: bool,
    /// The generation that the client has reached with this response's ACK, if it leaves nothing out.
    completes: Option<u64>,
    /// Changes were left out of it, since something else had to come first.
    withholds: bool,
    /// It removes something, and not all that is to be removed.
    lingers: bool,
    /// It does not hold all that could be sent: that would have been too large.
    is_cut: bool,
    /// [`TypeState::changes`] and [`TypeState::releases`] when it was sent.
    changes: u64,
    releases: u64,
    pub(super) at: Instant,
}

/// One name in a response.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) name: ArcStr,
    /// None for a removal.
    now: Option<Arc<Resource>>,
    /// What the client last accepted before.
    before: Option<Arc<Resource>>,
    /// Whether the client may have had something of an earlier stream.
    was_unheard_of: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct TypeState {
    pub(super) kind: ResourceType,
    pub(super) variant: Variant,
    pub(super) subscription: Subscription,
    /// What the names count for that the client said it holds, that are gone, and that it has to be told of.
    pub(super) vanished: Weight,
    /// The first request told of an earlier stream.
    pub(super) resumes: bool,
    pub(super) target: ResourceSet,
    pub(super) todo: TodoList,
    /// Boxed, since there is none most of the time.
    pub(super) in_flight: Option<Box<InFlight>>,
    /// The to-do list of which it is known that all of it can be said, with what is in flight.
    sayable: Option<u64>,
    /// Of the last response; empty before the first.
    nonce: String,
    /// A request waits for a response even if there is nothing to say (rule 21).
    pub(super) answer_due: bool,
    /// How often something that this client wants changed.
    changes: u64,
    /// How often removals were released.
    releases: u64,
    /// A response was given up: what is still to be removed may be why it was not answered, so that goes first.
    removals_first: bool,
    /// The response that was given up was not the newest, or not all: what makes way for a removal is not only to be
    /// repeated.
    newer_waits: bool,
    /// The last name that was upserted, and the last that was removed, in a response that was cut: the next one goes on
    /// behind it. So each has its turn, even if one before it is never answered.
    cut_after: [Option<ArcStr>; 2],
    /// How many responses that were cut were given up since the client last answered.
    cuts_given_up: u32,
    /// The newest generation of the snapshot that the client has wholly acknowledged.
    settled: u64,
    /// The last NACK, until everything is acknowledged again.
    pub(super) refusal: Option<Arc<Refusal>>,
}

impl TypeState {
    /// Of a client that wants nothing yet.
    pub(super) fn new(kind: ResourceType, variant: Variant, target: ResourceSet) -> TypeState {
        TypeState {
            kind,
            variant,
            subscription: Subscription::default(),
            vanished: Weight::default(),
            resumes: false,
            target,
            // Routes wait for clusters that are to be sent.
            todo: if kind == ResourceType::Cluster { TodoList::following() } else { TodoList::default() },
            in_flight: None,
            sayable: None,
            nonce: String::new(),
            answer_due: false,
            changes: 0,
            releases: 0,
            removals_first: false,
            newer_waits: false,
            cut_after: [None, None],
            cuts_given_up: 0,
            settled: 0,
            refusal: None,
        }
    }

    /// Whether the name is wanted, or the resource of this name by another one that it goes by.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.subscription.wants(name) || self.target.get(name).is_some_and(|resource| self.wants_by_alias(resource))
    }

    /// Names and aliases both match (rule 24).
    fn wants_resource(&self, resource: &Resource) -> bool {
        self.subscription.wants(&resource.name) || self.wants_by_alias(resource)
    }

    fn wants_by_alias(&self, resource: &Resource) -> bool {
        resource.aliases.iter().any(|alias| self.subscription.wants(alias))
    }

    /// The name under which an answer is due for what the client calls `name`.
    pub(super) fn resolved(&self, name: &ArcStr) -> ArcStr {
        self.target.resolve(name).map_or_else(|| name.clone(), |resource| resource.name.clone())
    }

    /// Whether the client is known to hold what the target says under `name`, or knows that there is nothing.
    pub(super) fn has_settled(&self, name: &str) -> bool {
        self.wants(name) && self.todo.get(name).is_none() && !self.is_in_flight(name)
    }

    /// Whether the client is known to hold something under `name`, if only an older version than the target's. What is
    /// in flight or sent behind something else is not known.
    pub(super) fn has_older(&self, name: &str) -> bool {
        let is_held = |todo: &Todo| todo.why == Why::Changed && todo.held.known && todo.held.last.is_some();
        self.wants(name) && self.todo.get(name).is_some_and(is_held) && !self.is_in_flight(name)
    }

    /// Whether changes wait behind a response that is not answered yet (rule 33).
    pub(super) fn has_unsent_changes(&self) -> bool {
        self.in_flight.is_some() && !self.todo.is_empty()
    }

    /// Whether a change of this name does.
    pub(super) fn is_unsent_change(&self, name: &str) -> bool {
        let is_change = |todo: &Todo| todo.why == Why::Changed;
        self.has_unsent_changes() && self.target.contains(name) && self.todo.get(name).is_some_and(is_change)
    }

    /// Whether everything of `generation` is acknowledged.
    pub(super) fn has_reached(&self, generation: u64) -> bool {
        self.settled >= generation
    }

    /// Whether something is refused and waits for a change.
    pub(super) fn is_refused(&self) -> bool {
        self.todo.has(Why::Refused)
    }

    /// Whether this name is refused and waits for a change.
    pub(super) fn is_refused_name(&self, name: &str) -> bool {
        self.todo.get(name).is_some_and(|todo| todo.why == Why::Refused)
    }

    /// Whether an upsert waits to be sent or to be acknowledged.
    pub(super) fn has_open_upserts(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|sent| sent.has_upserts) || self.has_unsent_upserts()
    }

    /// Whether an upsert waits to be sent.
    pub(super) fn has_unsent_upserts(&self) -> bool {
        self.todo.count(Why::Asked, true) + self.todo.count(Why::Changed, true) > 0
    }

    /// Whether an upsert or a removal waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.todo.has(Why::Asked) || self.todo.has(Why::Changed)
    }

    /// Whether a change waits to be sent, and not only a removal that is a step of its own.
    pub(super) fn has_changes_in_turn(&self) -> bool {
        self.todo.count(Why::Changed, true) > 0 || (goes_first(self.kind) && self.todo.has(Why::Changed))
    }

    /// Whether a name is gone from the target and still to be removed, or its removal is not acknowledged.
    pub(super) fn is_leaving(&self, name: &str) -> bool {
        let stale = self.todo.get(name).is_some_and(|todo| todo.why == Why::Changed);
        (stale || self.is_in_flight(name)) && self.can_remove() && !self.target.contains(name)
    }

    /// Whether this variant can say that a resource is gone. State of the world cannot of load assignments, route
    /// configurations and secrets (rule 13); what is gone stays noted, in case that it comes back.
    fn can_remove(&self) -> bool {
        self.variant == Variant::Delta || self.sends_full_sets()
    }

    /// Whether the client may still hold something that is gone from the target.
    pub(super) fn has_gone(&self) -> bool {
        !self.todo.gone().is_empty()
    }

    /// Names that are gone from the target and are still held by the client.
    pub(super) fn stale(&self) -> impl Iterator<Item = &ArcStr> {
        self.can_remove().then(|| self.todo.gone()).into_iter().flatten()
    }

    fn is_in_flight(&self, name: &str) -> bool {
        let sent = self.in_flight.as_ref();
        sent.is_some_and(|sent| sent.sent.binary_search_by(|other| other.name.as_str().cmp(name)).is_ok())
    }

    /// Whether every response holds the whole set (rule 13).
    pub(super) fn sends_full_sets(&self) -> bool {
        self.variant == Variant::StateOfTheWorld && matches!(self.kind, ResourceType::Cluster | ResourceType::Listener)
    }

    // ---- what is wanted and what there is

    /// Takes a new target over and notes what of it this client wants. Returns what is new or different of that.
    pub(super) fn retarget(&mut self, target: &ResourceSet) -> Vec<Arc<Resource>> {
        if self.target.ptr_eq(target) {
            self.target = target.clone();
            return Vec::new();
        }
        let difference = target.difference(&self.target);
        // By what it is now, and by what it was: a client that knew it by an alias learns that this is none any more.
        let wanted = |resource: &&Arc<Resource>| self.wants_resource(resource) || self.wants(&resource.name);
        let upserts: Vec<_> = difference.upserts.iter().filter(wanted).cloned().collect();
        let removed: Vec<_> = difference.removed.iter().filter(|name| self.wants(name)).collect();
        for resource in &upserts {
            self.note_change(&resource.name, Some(resource));
            self.answer_by(resource);
        }
        for name in removed.iter().copied() {
            self.note_change(name, None);
            self.ask_by_alias(name, target);
        }
        for resource in &difference.upserts {
            // Also what is not wanted any more may be to be removed.
            self.todo.exists(&resource.name, true);
            if self.is_in_flight(&resource.name) {
                self.todo.touch(resource.name.clone());
            }
        }
        difference.removed.iter().for_each(|name| self.todo.exists(name, false));
        self.target = target.clone();
        if !(upserts.is_empty() && removed.is_empty()) {
            self.changes += 1;
            self.retry_refused();
        }
        upserts
    }

    fn note_change(&mut self, name: &ArcStr, now: Option<&Arc<Resource>>) {
        match self.todo.get(name) {
            Some(todo) if todo.why == Why::Changed && todo.held.is(now) => {
                self.todo.remove(name);
            }
            Some(_) => self.todo.exists(name, now.is_some()),
            None if self.in_flight.is_some() && mutant::is(Mutant::CoalescedIsLost) => {}
            None => {
                // Of what is in flight it is known with the ACK.
                let held = match self.is_in_flight(name) {
                    true => Held::default(),
                    false => Held::known(self.target.get(name).cloned()),
                };
                self.todo.insert(name.clone(), Todo { why: Why::Changed, held }, now.is_some());
            }
        }
    }

    /// What was asked for by an alias, and was not there, is answered by this resource.
    fn answer_by(&mut self, resource: &Resource) {
        for alias in resource.aliases.iter().filter(|alias| !self.target.contains(alias)) {
            if self.todo.get(alias).is_some_and(|todo| todo.why == Why::Asked) {
                self.todo.remove(alias);
            }
        }
    }

    /// What goes before it was the answer to an alias is no answer any more.
    fn ask_by_alias(&mut self, name: &ArcStr, now: &ResourceSet) {
        let Some(gone) = self.target.get(name).filter(|_| !self.subscription.wants(name)) else { return };
        if self.todo.get(name).is_some_and(|todo| todo.why == Why::Asked) {
            self.todo.change(name, |todo| todo.why = Why::Changed);
            for alias in gone.aliases.iter().filter(|alias| self.subscription.wants(alias)) {
                self.todo.insert(alias.clone(), Todo::unknown(Why::Asked), now.contains(alias));
            }
        }
    }

    /// Content changed: what was refused has its chance again, and whatever it now is, it is sent (rule 25).
    fn retry_refused(&mut self) {
        self.todo.turn(Why::Refused, Why::Changed, |_| true);
    }

    /// Removals can be sent. A full set held what goes, which may be why it was refused: without that it is another set.
    pub(super) fn release(&mut self) {
        self.releases += 1;
        if self.sends_full_sets() {
            self.retry_refused();
        }
    }

    /// Follows a change of the subscription after the first request.
    pub(super) fn resubscribe(&mut self, update: Update) {
        if update.all_dropped {
            self.forget_unwanted();
        }
        for name in &update.dropped {
            let name = self.resolved(name);
            if !self.wants(&name) {
                self.todo.remove(&name);
            }
        }
        if update.all_asked {
            let asked: Vec<ArcStr> = self.target.iter().map(|resource| resource.name.clone()).collect();
            asked.into_iter().for_each(|name| self.ask(name));
            self.answer_due = true;
        }
        update.asked.into_iter().for_each(|name| self.ask(name));
    }

    fn ask(&mut self, name: ArcStr) {
        let name = self.resolved(&name);
        let held = self.todo.remove(&name).map(|todo| todo.held.last);
        let last = held.unwrap_or_else(|| self.target.get(&name).cloned());
        self.put(name, Todo { why: Why::Asked, held: Held { last, known: false } });
    }

    /// Has a name sent.
    pub(super) fn put(&mut self, name: ArcStr, todo: Todo) {
        let exists = self.target.contains(&name);
        self.todo.insert(name, todo, exists);
    }

    fn forget_unwanted(&mut self) {
        let mut todo = std::mem::take(&mut self.todo);
        todo.retain(|name, _| self.wants(name));
        self.todo = todo;
    }

    // ---- views

    /// Names of which it is not known what the client has: to be told to the client's next stream.
    pub(super) fn unknown_names(&self) -> BTreeSet<ArcStr> {
        let unknown = self.todo.iter().filter(|(_, todo)| !todo.held.known).map(|(name, _)| name);
        let sent = self.in_flight.iter().flat_map(|sent| &sent.sent).map(|sent| &sent.name);
        unknown.chain(sent).cloned().collect()
    }

    /// For views.
    pub(super) fn progress(&self) -> Progress {
        let unsayable = if self.can_remove() { 0 } else { self.todo.gone().len() };
        let open = self.todo.len() - unsayable + self.in_flight.as_ref().map_or(0, |sent| sent.sent.len());
        Progress {
            kind: self.kind,
            wildcard: self.subscription.is_wildcard(),
            names: self.subscription.names().len(),
            open,
            settled: (open == 0 && self.in_flight.is_none()).then(|| self.target.clone()),
            refusal: self.refusal.clone(),
        }
    }
}
