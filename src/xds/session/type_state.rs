//! What is known of one client and one type.
//!
//! Invariant: apart from the names in `todo` and in the response in flight, the client holds of what it wants
//! exactly `target`. So a client that is up to date costs a pointer, whatever the size of the set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use super::Progress;
use super::subscription::{Subscription, Update};
use crate::resource::{Resource, ResourceType};
use crate::snapshot::{Difference, ResourceSet};
use crate::xds::message::{Body, Response, Variant};

/// A refused response (NACK), as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The type.
    pub kind: ResourceType,
    /// The response that was refused.
    pub nonce: String,
    /// The client's words.
    pub message: String,
    /// The names in that response.
    pub names: Vec<ArcStr>,
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
    /// The client refused it: waits until something of this type changes (rules 9 and 25).
    Refused,
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
    /// [`TypeState::changes`] when it was sent.
    changes: u64,
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
}

/// What can be sent now.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) upserts: Vec<Arc<Resource>>,
    removals: Vec<ArcStr>,
    /// Upserts that have to wait.
    pub(super) withheld: BTreeSet<ArcStr>,
    /// Whether there are names that are gone and whose removal has to wait.
    lingering: bool,
    /// Whether a name in `removals` is the answer to a request.
    answers: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct TypeState {
    pub(super) kind: ResourceType,
    variant: Variant,
    /// None before the type's first request.
    pub(super) subscription: Option<Subscription>,
    pub(super) target: ResourceSet,
    pub(super) todo: BTreeMap<ArcStr, Todo>,
    pub(super) in_flight: Option<InFlight>,
    /// Of the last response; empty before the first.
    nonce: String,
    /// A request waits for a response even if there is nothing to say (rule 21).
    pub(super) answer_due: bool,
    /// How often something that this client wants changed.
    changes: u64,
    /// The newest generation of the snapshot that the client has wholly acknowledged.
    settled: u64,
    /// The last NACK, until everything is acknowledged again.
    pub(super) refusal: Option<Refusal>,
    /// Names that an earlier stream of this client left unknown; used by the type's first request.
    pub(super) doubts: BTreeSet<ArcStr>,
}

impl TypeState {
    pub(super) fn new(
        kind: ResourceType,
        variant: Variant,
        target: ResourceSet,
        doubts: BTreeSet<ArcStr>,
    ) -> TypeState {
        TypeState {
            kind,
            variant,
            subscription: None,
            target,
            todo: BTreeMap::new(),
            in_flight: None,
            nonce: String::new(),
            answer_due: false,
            changes: 0,
            settled: 0,
            refusal: None,
            doubts,
        }
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.subscription.as_ref().is_some_and(|subscription| subscription.wants(name))
    }

    /// Whether the client is known to hold what the target says under `name`, or knows that there is nothing.
    pub(super) fn has_settled(&self, name: &str) -> bool {
        self.wants(name) && !self.todo.contains_key(name) && !self.is_in_flight(name)
    }

    /// Whether everything of `generation` is acknowledged, or this type is of no interest.
    pub(super) fn has_reached(&self, generation: u64) -> bool {
        self.subscription.is_none() || self.settled >= generation
    }

    /// Whether something is refused and waits for a change.
    pub(super) fn is_refused(&self) -> bool {
        self.todo.values().any(|todo| todo.why == Why::Refused)
    }

    /// Whether this name is refused and waits for a change.
    pub(super) fn is_refused_name(&self, name: &str) -> bool {
        self.todo.get(name).is_some_and(|todo| todo.why == Why::Refused)
    }

    /// Whether an upsert waits to be sent or to be acknowledged.
    pub(super) fn has_open_upserts(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|sent| sent.has_upserts)
            || self
                .todo
                .iter()
                .any(|(name, todo)| matches!(todo.why, Why::Asked | Why::Changed) && self.target.contains(name))
    }

    /// Whether a name is gone from the target and still to be removed, or its removal is not acknowledged.
    pub(super) fn is_leaving(&self, name: &str) -> bool {
        let stale = self.todo.get(name).is_some_and(|todo| todo.why == Why::Changed);
        (stale || self.is_in_flight(name)) && !self.target.contains(name)
    }

    /// Names that are gone from the target and are still held by the client.
    pub(super) fn stale(&self) -> impl Iterator<Item = &ArcStr> {
        let stale = |(name, todo): &(&ArcStr, &Todo)| todo.why == Why::Changed && !self.target.contains(name);
        self.todo.iter().filter(stale).map(|(name, _)| name)
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
        if self.subscription.is_none() || self.target.ptr_eq(target) {
            self.target = target.clone();
            return Vec::new();
        }
        let Difference { mut upserts, mut removed } = target.difference(&self.target);
        upserts.retain(|resource| self.wants(&resource.name));
        removed.retain(|name| self.wants(name));
        for resource in &upserts {
            self.note_change(&resource.name, Some(resource));
        }
        for name in &removed {
            self.note_change(name, None);
        }
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
            Some(_) => {}
            None => {
                // Of what is in flight it is known with the ACK.
                let held = match self.is_in_flight(name) {
                    true => Held::default(),
                    false => Held::known(self.target.get(name).cloned()),
                };
                self.todo.insert(name.clone(), Todo { why: Why::Changed, held });
            }
        }
    }

    /// Content changed: what was refused has its chance again, and whatever it now is, it is sent (rule 25).
    fn retry_refused(&mut self) {
        for todo in self.todo.values_mut().filter(|todo| todo.why == Why::Refused) {
            todo.why = Why::Changed;
        }
    }

    /// Follows a change of the subscription after the first request.
    pub(super) fn resubscribe(&mut self, update: Update) {
        if update.all_dropped {
            self.forget_unwanted();
        }
        for name in &update.dropped {
            if !self.wants(name) {
                self.todo.remove(name);
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
        let held = self.todo.remove(&name).map(|todo| todo.held.last);
        let last = held.unwrap_or_else(|| self.target.get(&name).cloned());
        self.todo.insert(name, Todo { why: Why::Asked, held: Held { last, known: false } });
    }

    fn forget_unwanted(&mut self) {
        let todo = std::mem::take(&mut self.todo);
        self.todo = todo.into_iter().filter(|(name, _)| self.wants(name)).collect();
    }

    // ---- responses

    /// What can be sent now. `may_send` and `may_remove` are asked for changes only, never for what a request asked.
    pub(super) fn select(
        &self,
        may_send: impl Fn(&Resource) -> bool,
        may_remove: impl Fn(&ArcStr) -> bool,
    ) -> Selection {
        let mut selection = Selection::default();
        for (name, todo) in &self.todo {
            match (todo.why, self.target.get(name)) {
                (Why::Refused, _) => {}
                (Why::Asked, Some(resource)) => selection.upserts.push(resource.clone()),
                (Why::Asked, None) => {
                    selection.answers = true;
                    selection.removals.push(name.clone());
                }
                (Why::Changed, Some(resource)) if may_send(resource) => selection.upserts.push(resource.clone()),
                (Why::Changed, Some(_)) => {
                    selection.withheld.insert(name.clone());
                }
                (Why::Changed, None) if may_remove(name) => selection.removals.push(name.clone()),
                (Why::Changed, None) => selection.lingering = true,
            }
        }
        if self.sends_full_sets() {
            self.keep_unknown_whole(&mut selection);
        }
        selection
    }

    /// A full set cannot leave a name as it is if it is not known how it is. So all of it waits, or none.
    fn keep_unknown_whole(&self, selection: &mut Selection) {
        let is_unknown = |name: &ArcStr| self.todo.get(name).is_some_and(|todo| todo.held.is_unheard_of());
        if !selection.withheld.iter().any(is_unknown) {
            return;
        }
        let asked = self.todo.values().any(|todo| todo.why == Why::Asked);
        if asked {
            let withheld = std::mem::take(&mut selection.withheld);
            selection.upserts.extend(withheld.iter().filter_map(|name| self.target.get(name).cloned()));
        } else {
            selection.withheld.extend(selection.upserts.drain(..).map(|resource| resource.name.clone()));
            selection.lingering |= !selection.removals.is_empty();
            selection.removals.clear();
        }
    }

    /// Drops what the variant has no words for: state of the world cannot say that a load assignment, a route
    /// configuration or a secret is gone or missing (rules 13 and 14). When it comes to be, that is a change.
    pub(super) fn drop_unsayable(&mut self) {
        if self.variant == Variant::StateOfTheWorld && !self.sends_full_sets() {
            let target = &self.target;
            self.todo.retain(|name, _| target.contains(name));
        }
    }

    /// Makes the response for a selection, if there is one to make. Upserts go before removals, and never together.
    pub(super) fn respond(
        &mut self,
        selection: &Selection,
        nonce: impl FnOnce() -> String,
        generation: u64,
        now: Instant,
    ) -> Option<Response> {
        let has_upserts = !selection.upserts.is_empty();
        let removals: &[ArcStr] = if self.removals_wait(selection) { &[] } else { &selection.removals };
        let nothing = !has_upserts && removals.is_empty();
        if nothing && (!self.answer_due || !selection.withheld.is_empty()) {
            return None;
        }
        let body = match self.variant {
            Variant::Delta => Body::Delta { resources: selection.upserts.clone(), removed: removals.to_vec() },
            Variant::StateOfTheWorld => self.state_of_the_world(selection, removals),
        };
        let refused = self.is_refused() && !self.sends_full_sets();
        let sent = self.take_sent(selection, removals);
        let is_whole = selection.withheld.is_empty() && !refused && !self.has_open_removals();
        self.answer_due = false;
        self.nonce = nonce();
        self.in_flight = Some(InFlight {
            sent,
            has_upserts,
            completes: is_whole.then_some(generation),
            changes: self.changes,
            at: now,
        });
        Some(Response { kind: self.kind, nonce: self.nonce.clone(), body })
    }

    /// Removals go after upserts, those that have to wait included, unless a request asked for the name. And a full
    /// set cannot leave out what is refused: it waits for the change that ends the refusal (rule 9).
    fn removals_wait(&self, selection: &Selection) -> bool {
        let in_turn = selection.withheld.is_empty() && !(self.sends_full_sets() && self.is_refused());
        !selection.upserts.is_empty() || !(in_turn || selection.answers)
    }

    /// Listeners are removed by this type alone; other removals are steps of their own, later than the routes.
    fn has_open_removals(&self) -> bool {
        self.kind == ResourceType::Listener && self.stale().next().is_some()
    }

    /// Moves what is sent out of the to-do list.
    fn take_sent(&mut self, selection: &Selection, removals: &[ArcStr]) -> Vec<Sent> {
        let mut names: Vec<ArcStr> = selection.upserts.iter().map(|resource| resource.name.clone()).collect();
        names.extend_from_slice(removals);
        if self.sends_full_sets() {
            let refused = self.todo.iter().filter(|(_, todo)| todo.why == Why::Refused);
            names.extend(refused.map(|(name, _)| name.clone()));
        }
        names.sort_unstable();
        let mut sent = |name: ArcStr| {
            let before = self.todo.remove(&name).and_then(|todo| todo.held.last);
            Sent { now: self.target.get(&name).cloned(), before, name }
        };
        names.into_iter().map(&mut sent).collect()
    }

    fn state_of_the_world(&self, selection: &Selection, removals: &[ArcStr]) -> Body {
        if !self.sends_full_sets() {
            let set: ResourceSet = selection.upserts.iter().cloned().collect();
            return Body::StateOfTheWorld { version: set.version(), resources: selection.upserts.clone() };
        }
        if self.todo_is_sent(selection, removals) && self.subscription.as_ref().is_some_and(Subscription::is_wildcard) {
            let resources = self.target.iter().cloned().collect();
            return Body::StateOfTheWorld { version: self.target.version(), resources };
        }
        let set: ResourceSet = self.interim(selection, removals).collect();
        Body::StateOfTheWorld { version: set.version(), resources: set.iter().cloned().collect() }
    }

    fn todo_is_sent(&self, selection: &Selection, removals: &[ArcStr]) -> bool {
        selection.withheld.is_empty() && !selection.lingering && removals.len() == selection.removals.len()
    }

    /// The full set with what has to wait as the client has it: removed names stay, withheld ones are as before
    /// (rule 27).
    fn interim<'a>(
        &'a self,
        selection: &'a Selection,
        removals: &'a [ArcStr],
    ) -> impl Iterator<Item = Arc<Resource>> + 'a {
        let held = |name: &ArcStr| self.todo.get(name).and_then(|todo| todo.held.last.clone());
        let wanted = self.target.iter().filter(|resource| self.wants(&resource.name));
        let wanted = wanted.filter_map(move |resource| match selection.withheld.contains(&resource.name) {
            true => held(&resource.name),
            false => Some(resource.clone()),
        });
        wanted.chain(self.stale().filter(|name| !removals.contains(name)).filter_map(held))
    }

    /// Notes that there is nothing left to say for `generation`, if so. Called when nothing is in flight.
    pub(super) fn settle(&mut self, selection: &Selection, generation: u64) {
        if selection.withheld.is_empty() && !self.is_refused() && !self.has_open_removals() {
            self.settled = generation;
        }
    }

    // ---- answers

    /// Whether a request with this nonce speaks of the last response; a stale one does not (rule 10).
    pub(super) fn is_current(&self, nonce: &str) -> bool {
        self.nonce == nonce
    }

    /// Has the client send again: what it has of this name is not known.
    pub(super) fn resend(&mut self, name: &ArcStr) {
        let asked = self.todo.get(name).is_some_and(|todo| todo.why == Why::Asked);
        if self.wants(name) && !asked {
            self.todo.insert(name.clone(), Todo::unknown(Why::Changed));
        }
    }

    /// When the response in flight is given up, so that newer content does not wait for its answer for ever. Envoy
    /// answers nothing as long as one of the clusters in a response is not warm. Without newer content there is
    /// nothing to send, and the answer is waited for.
    pub(super) fn patience_ends(&self, hold: Duration) -> Option<Instant> {
        self.in_flight.as_ref().filter(|sent| sent.changes != self.changes).map(|sent| sent.at + hold)
    }

    /// Gives the response in flight up: its names are unknown and are sent again with what is new.
    pub(super) fn give_up(&mut self) {
        let Some(sent) = self.in_flight.take() else { return };
        self.mark_unknown(&sent, Why::Changed);
    }

    fn mark_unknown(&mut self, sent: &InFlight, why: Why) {
        for Sent { name, before, .. } in &sent.sent {
            if self.wants(name) {
                let todo = self.todo.entry(name.clone()).or_insert(Todo::unknown(why));
                todo.held = Held { last: before.clone(), known: false };
            }
        }
    }

    /// The response in flight was accepted. Returns when it was made.
    pub(super) fn accept(&mut self) -> Option<Instant> {
        let sent = self.in_flight.take()?;
        for Sent { name, now, .. } in &sent.sent {
            let Some(todo) = self.todo.get_mut(name) else { continue };
            todo.held = Held { last: now.clone(), known: todo.why == Why::Changed };
            if todo.held.is(self.target.get(name)) {
                self.todo.remove(name);
            }
        }
        if let Some(generation) = sent.completes {
            self.settled = self.settled.max(generation);
            self.refusal = None;
        }
        Some(sent.at)
    }

    /// The response in flight was refused: everything in it is unknown, and waits for a change of content, which may
    /// have come already (rules 9 and 25).
    pub(super) fn refuse(&mut self, message: String, now: Instant) {
        let Some(sent) = self.in_flight.take() else { return };
        let why = if self.changes == sent.changes { Why::Refused } else { Why::Changed };
        self.mark_unknown(&sent, why);
        let names = sent.sent.iter().map(|sent| sent.name.clone()).collect();
        self.refusal = Some(Refusal { kind: self.kind, nonce: self.nonce.clone(), message, names, at: now });
    }

    /// Names of which it is not known what the client has: to be told to the client's next stream.
    pub(super) fn unknown_names(&self) -> BTreeSet<ArcStr> {
        let unknown = self.todo.iter().filter(|(_, todo)| !todo.held.known).map(|(name, _)| name);
        let sent = self.in_flight.iter().flat_map(|sent| &sent.sent).map(|sent| &sent.name);
        unknown.chain(sent).chain(&self.doubts).cloned().collect()
    }

    /// For views.
    pub(super) fn progress(&self) -> Option<Progress> {
        let subscription = self.subscription.as_ref()?;
        let open = self.todo.len() + self.in_flight.as_ref().map_or(0, |sent| sent.sent.len());
        Some(Progress {
            kind: self.kind,
            wildcard: subscription.is_wildcard(),
            names: subscription.names().len(),
            open,
            settled: (open == 0 && self.in_flight.is_none()).then(|| self.target.clone()),
            refusal: self.refusal.clone(),
        })
    }
}
