//! What the client says of a response of one type, or does not say.
//!
//! Invariant: with an ACK it is known what the client has of the names in the response; otherwise it is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use super::super::Answer;
use super::super::mutant::{self, Mutant};
use super::blame;
use super::sending::Selection;
use super::{Held, InFlight, Refusal, Sent, Todo, TypeState, Why};
use crate::resource::Resource;
use crate::xds::message::{Response, Variant};

impl TypeState {
    /// Whether a request with this nonce speaks of the last response; a stale one does not (rule 10).
    pub(in crate::xds::session) fn is_current(&self, nonce: &str) -> bool {
        self.nonce == nonce
    }

    /// Has a name sent again that the client waits for, if it wants it and there is or `was` anything to send.
    pub(in crate::xds::session) fn resend(&mut self, name: &ArcStr, was: Option<&Arc<Resource>>) {
        if !self.wants(name) {
            return;
        }
        match self.todo.get(name) {
            Some(todo) if todo.why == Why::Asked => {}
            Some(_) => self.todo.change(name, |todo| {
                todo.why = Why::Again;
                todo.held.known = false;
            }),
            None => {
                let last = self.target.get(name).or(was).cloned();
                self.put(name.clone(), Todo { why: Why::Again, held: Held { last, known: false } });
            }
        }
    }

    /// Of these, which are gone, those that are asked for are answered with what they were. A client that resumes and cannot
    /// be told that one is gone may be about to warm its cluster.
    pub(in crate::xds::session) fn recall<'a>(&mut self, gone: impl Iterator<Item = &'a Arc<Resource>>) {
        if self.todo.count(Why::Asked, false) == 0 && (self.can_remove() || self.todo.gone().is_empty()) {
            return;
        }
        let can_remove = self.can_remove();
        let waits = |todo: &Todo| match todo.why {
            Why::Asked => true,
            Why::Changed => !can_remove && todo.held.is_unheard_of(),
            Why::Again | Why::Refused => false,
        };
        for last in gone.filter(|last| !self.target.contains(&last.name)) {
            if self.todo.get(&last.name).is_some_and(waits) {
                let held = Held { last: Some(last.clone()), known: false };
                self.todo.change(&last.name, |todo| *todo = Todo { why: Why::Again, held });
            }
        }
    }

    /// Names that are wanted and that nothing is known of are answered with a resource that says so, once.
    pub(in crate::xds::session) fn substitute(&mut self, nothing: impl Fn(ArcStr) -> Resource) {
        let is_known = |name: &ArcStr| self.target.contains(name) || self.todo.get(name).is_some();
        let names = self.subscription.names();
        self.todo.visit(names.len());
        let missing: Vec<ArcStr> =
            names.iter().filter(|name| !is_known(name) && !self.is_in_flight(name)).cloned().collect();
        for name in missing {
            let held = Held { last: Some(Arc::new(nothing(name.clone()))), known: false };
            self.put(name, Todo { why: Why::Again, held });
        }
    }

    /// Of the resources in a response: those that the client may have in another version, and that it therefore
    /// takes for changed.
    pub(in crate::xds::session) fn taken_for_changed(
        &self,
        response: &Response,
        selection: &Selection,
    ) -> Vec<Arc<Resource>> {
        let unknown = |resource: &&Arc<Resource>| self.todo.get(&resource.name).is_some_and(|todo| !todo.held.known);
        selection.upserts.iter().chain(response.resources().iter().filter(unknown)).cloned().collect()
    }

    /// When the response in flight is given up, so that what is newer, or was held back, does not wait for its answer
    /// for ever. Envoy answers nothing as long as one of the clusters in a response is not warm. If nothing else is to
    /// be sent, the answer is waited for; if the rest of what was cut is, longer each time, in case that the client is slow.
    pub(in crate::xds::session) fn patience_ends(&self, hold: Duration) -> Option<Instant> {
        let sent = self.in_flight.as_ref().filter(|_| !mutant::is(Mutant::NeverGivesUp))?;
        let is_newest = sent.changes == self.changes && sent.releases == self.releases;
        if !is_newest || sent.withholds {
            return Some(sent.at + hold);
        }
        sent.is_cut.then(|| sent.at + hold * 2_u32.pow(self.cuts_given_up.min(4)))
    }

    /// Gives the response in flight up: its names are unknown and are sent again with what is new. Says whether it held
    /// removals: then all go together.
    pub(in crate::xds::session) fn give_up(&mut self) -> bool {
        let Some(sent) = self.land() else { return false };
        self.cuts_given_up += u32::from(sent.is_cut);
        self.mark_unknown(&sent, Why::Changed);
        if self.sends_full_sets() {
            self.keep_what_was_sent(&sent);
        }
        // Unless that was just tried.
        self.removals_first = sent.has_upserts;
        self.newer_waits = sent.changes != self.changes || sent.is_cut;
        sent.lingers || (self.variant == Variant::Delta && !sent.has_upserts && !sent.sent.is_empty())
    }

    /// What a client that held something before this stream may have had already is in use, for all that is known: an
    /// interim set holds it.
    fn keep_what_was_sent(&mut self, sent: &InFlight) {
        for Sent { name, now, .. } in sent.sent.iter().filter(|sent| sent.was_unheard_of) {
            self.todo.change(name, |todo| todo.held.last = todo.held.last.take().or_else(|| now.clone()));
        }
    }

    /// Takes the response in flight, which is answered or given up.
    fn land(&mut self) -> Option<InFlight> {
        let landed = *self.in_flight.take()?;
        landed.sent.iter().for_each(|sent| self.todo.touch(sent.name.clone()));
        self.sayable = None;
        Some(landed)
    }

    /// Whether the client still wants what was sent. Of what is gone the aliases are known by what it was.
    fn wants_sent(&self, sent: &Sent) -> bool {
        let by_alias = |resource: &Arc<Resource>| self.wants_by_alias(resource);
        self.subscription.wants(&sent.name) || sent.now.iter().chain(&sent.before).any(by_alias)
    }

    fn mark_unknown(&mut self, sent: &InFlight, why: Why) {
        for sent in &sent.sent {
            if self.wants_sent(sent) {
                let why = self.todo.get(&sent.name).map_or(why, |todo| todo.why);
                self.put(sent.name.clone(), Todo { why, held: Held { last: sent.before.clone(), known: false } });
            }
        }
    }

    /// The response in flight was answered. Returns what that says, for views.
    pub(in crate::xds::session) fn answer(&mut self, error: Option<String>, now: Instant) -> Option<Answer> {
        match error {
            None => {
                let sent = self.accept()?;
                Some(Answer::Accepted(self.kind, now.saturating_duration_since(sent)))
            }
            Some(message) => {
                self.refuse(message, now);
                self.refusal.clone().map(Answer::Refused)
            }
        }
    }

    /// The response in flight was accepted. Returns when it was made.
    pub(in crate::xds::session) fn accept(&mut self) -> Option<Instant> {
        let InFlight { sent, completes, at, .. } = self.land()?;
        self.cuts_given_up = 0;
        for sent in sent {
            if !self.wants_sent(&sent) {
                continue;
            }
            let Sent { name, now, .. } = sent;
            let why = self.todo.get(&name).map_or(Why::Changed, |todo| todo.why);
            let held = Held { last: now, known: why == Why::Changed };
            if held.is(self.target.get(&name)) {
                self.todo.remove(&name);
            } else {
                self.put(name, Todo { why, held });
            }
        }
        if let Some(generation) = completes {
            self.settled = self.settled.max(generation);
            self.refusal = None;
        }
        Some(at)
    }

    /// The response in flight was refused: everything in it is unknown, and waits for a change of content, which may
    /// have come already (rules 9 and 25).
    fn refuse(&mut self, message: String, now: Instant) {
        if mutant::is(Mutant::RefusedIsKnown) {
            self.accept();
        }
        let Some(sent) = self.land() else { return };
        self.cuts_given_up = 0;
        // Also what is gone may have been sent, to a client that had asked for it.
        let is_old = |sent: &Sent| !Held::known(sent.now.clone()).is(self.target.get(&sent.name));
        let is_another_set = self.sends_full_sets() && self.releases != sent.releases;
        let has_changed = is_another_set
            || self.changes != sent.changes
            || sent.sent.iter().any(is_old)
            || mutant::is(Mutant::RefusedIsSentAgain);
        let why = if has_changed { Why::Changed } else { Why::Refused };
        self.mark_unknown(&sent, why);
        let names = sent.sent.iter().map(|sent| sent.name.clone()).collect();
        let message = blame::shortened(message);
        let blamed = blame::blamed(&message, &sent.sent);
        let nonce = self.nonce.clone();
        self.refusal = Some(Arc::new(Refusal { kind: self.kind, nonce, message, names, blamed, at: now }));
    }
}
