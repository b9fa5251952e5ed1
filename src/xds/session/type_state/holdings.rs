//! What a client has, name by name, for those who ask: the session itself keeps exceptions only.

use std::collections::BTreeSet;
use std::sync::Arc;

use arcstr::ArcStr;

use super::{Refusal, Sent, TypeState, Why};
use crate::resource::{Resource, ResourceType};

/// One name that a client wants or has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The type.
    pub kind: ResourceType,
    /// The name.
    pub name: ArcStr,
    /// How far it is.
    pub state: State,
    /// What the state speaks of.
    pub resource: Option<Arc<Resource>>,
    /// Why it was refused, if it was.
    pub refusal: Option<Arc<Refusal>>,
}

/// How far one name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The client accepted what there is.
    Held,
    /// It was sent, and not answered yet.
    Sent,
    /// The client has accepted a version that is not the newest, or is to be sent again or removed.
    Behind,
    /// The client wants it, and it was not sent on this stream.
    NotSent,
    /// The client wants it, and there is none.
    Missing,
    /// The response with it was refused.
    Refused,
}

impl TypeState {
    /// Every name that the client wants or has, sorted.
    pub(in crate::xds::session) fn holdings(&self) -> Vec<Holding> {
        let wanted = self.subscription.names().iter();
        let wanted = wanted.map(|name| self.target.resolve(name).map_or(name, |resource| &resource.name));
        let mut names: BTreeSet<&ArcStr> = wanted.chain(self.todo.iter().map(|(name, _)| name)).collect();
        names.extend(self.in_flight.iter().flat_map(|sent| &sent.sent).map(|sent| &sent.name));
        if self.subscription.is_wildcard() {
            names.extend(self.target.iter().map(|resource| &resource.name));
        }
        names.into_iter().map(|name| self.holding(name)).collect()
    }

    fn holding(&self, name: &ArcStr) -> Holding {
        let target = self.target.get(name);
        let (state, resource) = match (self.sent(name), self.todo.get(name)) {
            // A removal on its way speaks of what is removed.
            (Some(sent), _) => match sent.now.as_ref().or(sent.before.as_ref()) {
                Some(resource) => (State::Sent, Some(resource)),
                None => (State::Missing, None),
            },
            (None, Some(todo)) if todo.why == Why::Refused => (State::Refused, target),
            (None, Some(todo)) => match (&todo.held.last, target) {
                (Some(last), _) => (State::Behind, Some(last)),
                (None, Some(_)) => (State::NotSent, target),
                (None, None) => (State::Missing, None),
            },
            (None, None) if target.is_some() => (State::Held, target),
            (None, None) => (State::Missing, None),
        };
        let refusal = self.refusal.as_ref().filter(|_| state == State::Refused).cloned();
        Holding { kind: self.kind, name: name.clone(), state, resource: resource.cloned(), refusal }
    }

    fn sent(&self, name: &str) -> Option<&Sent> {
        let sent = &self.in_flight.as_ref()?.sent;
        sent.binary_search_by(|other| other.name.as_str().cmp(name)).ok().map(|at| &sent[at])
    }
}
