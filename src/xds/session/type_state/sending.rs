//! What is sent of one type: selecting, and making the response.
//!
//! Invariant: what a response holds leaves the to-do list and is in flight until it is answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;

use super::super::mutant::{self, Mutant};
use super::{InFlight, Sent, TypeState, Why};
use crate::resource::{Resource, ResourceType};
use crate::snapshot::ResourceSet;
use crate::xds::message::{Body, Response, Variant};

/// Whether what is gone of a type is removed in its turn, like a change. All else is removed when nothing names it any more.
pub(in crate::xds::session) fn goes_first(kind: ResourceType) -> bool {
    use ResourceType::{Listener, Runtime, ScopedRouteConfiguration, VirtualHost};
    matches!(kind, Listener | ScopedRouteConfiguration | VirtualHost | Runtime)
}

/// The most that a resource or a name takes in a response beside its content and its name: type, version and lengths.
const ENVELOPE: usize = 160;

/// What can be sent now.
#[derive(Debug, Default)]
pub(in crate::xds::session) struct Selection {
    pub(in crate::xds::session) upserts: Vec<Arc<Resource>>,
    removals: Vec<ArcStr>,
    /// Upserts that have to wait.
    pub(in crate::xds::session) withheld: BTreeSet<ArcStr>,
    /// Whether there are names that are gone and whose removal has to wait.
    lingering: bool,
    /// Whether a name in `removals` is the answer to a request.
    answers: bool,
}

impl TypeState {
    /// What can be sent now. `may_send` and `may_remove` are asked for changes, `may_answer` for what a request asked for:
    /// for the resource, or for the answer that there is none.
    pub(in crate::xds::session) fn select(
        &self,
        may_send: impl Fn(&Resource) -> bool,
        may_remove: impl Fn(&ArcStr) -> bool,
        may_answer: impl Fn(Option<&Resource>) -> bool,
    ) -> Selection {
        let mut selection = Selection::default();
        for (name, todo) in self.todo.iter() {
            match (todo.why, self.target.get(name)) {
                (Why::Refused, _) => {}
                (Why::Asked, Some(resource)) if !may_answer(Some(resource)) => {
                    selection.withheld.insert(name.clone());
                }
                (Why::Asked | Why::Again, Some(resource)) => selection.upserts.push(resource.clone()),
                (Why::Again, None) if todo.held.last.is_some() => selection.upserts.extend(todo.held.last.clone()),
                (Why::Asked | Why::Again, None) if !may_answer(None) => {}
                (Why::Asked, None) if self.kind == ResourceType::VirtualHost => {
                    selection.upserts.push(Arc::new(Resource::unresolved(name.clone())));
                }
                (Why::Asked | Why::Again, None) => {
                    selection.answers = true;
                    selection.removals.push(name.clone());
                }
                (Why::Changed, Some(resource)) if may_send(resource) => selection.upserts.push(resource.clone()),
                (Why::Changed, Some(_)) => {
                    selection.withheld.insert(name.clone());
                }
                (Why::Changed, None) if !self.can_remove() => {}
                (Why::Changed, None) if may_remove(name) => selection.removals.push(name.clone()),
                (Why::Changed, None) => selection.lingering = true,
            }
        }
        if self.sends_full_sets() {
            self.keep_unknown_whole(&mut selection);
        } else if self.removals_first && !selection.removals.is_empty() {
            selection.withheld.extend(selection.upserts.drain(..).map(|resource| resource.name.clone()));
        }
        selection
    }

    /// A full set cannot leave a name as it is if it is not known how it is. So all of it waits, or none.
    fn keep_unknown_whole(&self, selection: &mut Selection) {
        let is_unknown = |name: &ArcStr| self.todo.get(name).is_some_and(|todo| todo.held.is_unheard_of());
        if !selection.withheld.iter().any(is_unknown) {
            return;
        }
        if self.todo.has(Why::Asked) {
            let withheld = std::mem::take(&mut selection.withheld);
            selection.upserts.extend(withheld.iter().filter_map(|name| self.target.get(name).cloned()));
        } else {
            selection.withheld.extend(selection.upserts.drain(..).map(|resource| resource.name.clone()));
            selection.lingering |= !selection.removals.is_empty();
            selection.removals.clear();
        }
    }

    /// Drops what was asked for and cannot be answered: that it does not exist (rule 14). When it comes to be, that is
    /// a change. What is in flight may have to be sent again.
    pub(in crate::xds::session) fn drop_unsayable(&mut self) {
        if self.can_remove() || self.sayable == Some(self.todo.revision()) {
            return;
        }
        let mut todo = std::mem::take(&mut self.todo);
        todo.retain(|name, todo| self.target.contains(name) || todo.held.last.is_some() || self.is_in_flight(name));
        todo.turn(Why::Asked, Why::Changed, |name| !self.target.contains(name));
        self.sayable = Some(todo.revision());
        self.todo = todo;
    }

    /// Makes the response for a selection, if there is one to make. Upserts go before removals, and never together. What
    /// does not fit leaves the selection and stays to be sent.
    pub(in crate::xds::session) fn respond(
        &mut self,
        selection: &mut Selection,
        limit: usize,
        nonce: impl FnOnce() -> String,
        (generation, now): (u64, Instant),
    ) -> Option<Response> {
        let has_upserts = !selection.upserts.is_empty();
        let mut removals = if self.removals_wait(selection) { Vec::new() } else { selection.removals.clone() };
        let nothing = !has_upserts && removals.is_empty();
        if nothing && (!self.answer_due || !selection.withheld.is_empty()) {
            return None;
        }
        let is_cut = self.variant == Variant::Delta && self.cut(&mut selection.upserts, &mut removals, limit);
        let body = match self.variant {
            Variant::Delta => Body::Delta { resources: selection.upserts.clone(), removed: removals.clone() },
            Variant::StateOfTheWorld => self.state_of_the_world(selection, &removals),
        };
        let refused = self.is_refused() && !self.sends_full_sets();
        let sent = self.take_sent(selection, &removals);
        let is_whole = selection.withheld.is_empty() && !is_cut && !refused && !self.has_open_removals();
        // What makes way for a removal was sent before, and is only to be repeated.
        let waits = !selection.withheld.is_empty() && (!self.removals_first || self.newer_waits);
        // A cluster that never warms, and is to be removed later, may be why a removal is not answered.
        let lingers = !removals.is_empty() && selection.lingering;
        self.answer_due = false;
        self.removals_first = false;
        self.nonce = nonce();
        self.in_flight = Some(Box::new(InFlight {
            sent,
            has_upserts,
            completes: is_whole.then_some(generation),
            withholds: waits || lingers,
            lingers,
            is_cut,
            changes: self.changes,
            releases: self.releases,
            at: now,
        }));
        Some(Response { kind: self.kind, nonce: self.nonce.clone(), body })
    }

    /// Whether more could be sent than there is in the last response.
    pub(in crate::xds::session) fn is_cut(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|sent| sent.is_cut)
    }

    /// Cuts a delta response at its size. Says whether something is left.
    fn cut(&mut self, upserts: &mut Vec<Arc<Resource>>, removals: &mut Vec<ArcStr>, limit: usize) -> bool {
        let [after_upsert, after_removal] = &mut self.cut_after;
        if upserts.is_empty() {
            *after_removal = cut(removals, after_removal.as_ref(), limit, |name| (name, ENVELOPE));
            after_removal.is_some()
        } else {
            let size = |upsert: &Arc<Resource>| upsert.body.len() + aliases_len(upsert) + ENVELOPE;
            *after_upsert = cut(upserts, after_upsert.as_ref(), limit, |upsert| (&upsert.name, size(upsert)));
            after_upsert.is_some()
        }
    }

    /// Removals go after upserts, those that have to wait included, unless a request asked for the name. In a full
    /// set of clusters they can go along, since nothing names them any more. And a full set cannot leave out what is
    /// refused: it waits for the change that ends the refusal (rule 9).
    fn removals_wait(&self, selection: &Selection) -> bool {
        if self.removals_first && !selection.removals.is_empty() {
            return false;
        }
        if mutant::is(Mutant::RemovesWithUpserts) {
            return false;
        }
        let go_along = self.sends_full_sets() && self.kind == ResourceType::Cluster;
        let in_turn = selection.withheld.is_empty() && !(self.sends_full_sets() && self.is_refused());
        !(selection.upserts.is_empty() || go_along) || !(in_turn || selection.answers)
    }

    /// What leads to others is removed with its type's other changes; other removals are steps of their own, later than
    /// the routes.
    fn has_open_removals(&self) -> bool {
        goes_first(self.kind) && self.stale().next().is_some()
    }

    /// Moves what is sent out of the to-do list.
    fn take_sent(&mut self, selection: &Selection, removals: &[ArcStr]) -> Vec<Sent> {
        let mut names: Vec<ArcStr> = selection.upserts.iter().map(|resource| resource.name.clone()).collect();
        names.extend_from_slice(removals);
        if self.sends_full_sets() && self.is_refused() {
            let refused = self.todo.iter().filter(|(_, todo)| todo.why == Why::Refused);
            names.extend(refused.map(|(name, _)| name.clone()));
        }
        names.sort_unstable();
        let mut sent = |name: ArcStr| {
            let todo = self.todo.remove(&name);
            let was_again = todo.as_ref().is_some_and(|todo| todo.why == Why::Again);
            let was_unheard_of = todo.as_ref().is_some_and(|todo| todo.held.is_unheard_of());
            let before = todo.and_then(|todo| todo.held.last);
            let now = self.target.get(&name).or(before.as_ref().filter(|_| was_again)).cloned();
            Sent { name, now, before, was_unheard_of }
        };
        names.into_iter().map(&mut sent).collect()
    }

    fn state_of_the_world(&self, selection: &Selection, removals: &[ArcStr]) -> Body {
        if !self.sends_full_sets() {
            let set: ResourceSet = selection.upserts.iter().cloned().collect();
            return Body::StateOfTheWorld { version: set.version(), resources: selection.upserts.clone() };
        }
        if self.todo_is_sent(selection, removals) && self.subscription.is_wildcard() {
            self.todo.visit(self.target.len());
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
        let wanted = self.wanted().filter_map(move |resource| match selection.withheld.contains(&resource.name) {
            true => held(&resource.name),
            false => Some(resource.clone()),
        });
        let stale = self.stale().filter(|_| !mutant::is(Mutant::InterimLeavesOut));
        wanted.chain(stale.filter(|name| !removals.contains(name)).filter_map(held))
    }

    /// What there is of what is wanted, in the order of names.
    fn wanted(&self) -> Box<dyn Iterator<Item = &Arc<Resource>> + '_> {
        if self.subscription.is_wildcard() {
            self.todo.visit(self.target.len());
            return Box::new(self.target.iter());
        }
        let names = self.subscription.names();
        self.todo.visit(names.len());
        Box::new(names.iter().filter_map(|name| self.target.get(name)))
    }

    /// Notes that there is nothing left to say for `generation`, if so. Called when nothing is in flight.
    pub(in crate::xds::session) fn settle(&mut self, selection: &Selection, generation: u64) {
        if selection.withheld.is_empty() && !self.is_refused() && !self.has_open_removals() {
            self.settled = generation;
        }
    }
}

/// What the other names of a resource take in a response.
fn aliases_len(resource: &Resource) -> usize {
    // Each with its tag and a length of up to five bytes.
    resource.aliases.iter().map(|alias| alias.len() + 6).sum()
}

/// Takes from a list in the order of names what fits, and one at least, beginning behind `after`. Returns the last name
/// if something is left.
fn cut<T>(
    all: &mut Vec<T>,
    after: Option<&ArcStr>,
    limit: usize,
    name_and_size: impl Fn(&T) -> (&ArcStr, usize),
) -> Option<ArcStr> {
    let len = |of: &T| {
        let (name, size) = name_and_size(of);
        name.len() + size
    };
    if all.iter().map(len).sum::<usize>() <= limit || all.len() < 2 {
        return None;
    }
    if let Some(after) = after {
        let start = all.partition_point(|of| name_and_size(of).0 <= after);
        all.rotate_left(start);
    }
    let mut taken = 0;
    let fits = |of: &&T| {
        taken += len(of);
        taken <= limit
    };
    let fitting = all.iter().take_while(fits).count().max(1);
    let left = fitting < all.len();
    all.truncate(fitting);
    all.last().filter(|_| left).map(|last| name_and_size(last).0.clone())
}
