//! What must hold all the way, and when things are quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::envoy::Envoy;
use super::world::World;
use crate::resource::ResourceType::{Cluster, Listener};
use crate::resource::{Ref, Resource, ResourceType};
use crate::snapshot::Snapshot;
use crate::xds::message::{Ask, Body, Request, Response};
use crate::xds::session::{Limits, Session};

/// How many responses an event may bring on average: a change of everything needs one for each type and some for what is
/// sent in two steps or again.
const RESPONSES_PER_CHANGE: i64 = 20;

/// A request that names something new brings one answer, and what is sent again for it.
const RESPONSES_PER_ASKING: i64 = 4;

/// A response that is cut comes in so many parts at most: there are no more names of a type.
pub(super) fn parts(limits: Limits) -> u32 {
    if limits.response < Limits::default().response { 5 } else { 1 }
}

/// A world and what the session sees of it.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) world: World,
    pub(super) snapshot: Arc<Snapshot>,
}

#[derive(Debug)]
pub(super) struct Watch {
    hold: Duration,
    /// How many responses may take the place of one.
    parts: i64,
    /// Listeners that are good in every world since things were quiet, whichever of these worlds' routes they have,
    /// with all that they need in any of them.
    steady: BTreeMap<Ref, BTreeSet<Ref>>,
    /// Of these: those that served since.
    live: BTreeSet<Ref>,
    /// For each type: the response that is not answered.
    outstanding: [Option<(String, Instant)>; ResourceType::COUNT],
    nonces: BTreeSet<String>,
    credit: i64,
    names: [BTreeSet<String>; ResourceType::COUNT],
}

impl Watch {
    pub(super) fn new(first: &Published, limits: Limits) -> Watch {
        let parts = i64::from(parts(limits));
        Watch {
            hold: limits.hold,
            parts,
            steady: steady(&first.world),
            live: BTreeSet::new(),
            outstanding: Default::default(),
            nonces: BTreeSet::new(),
            credit: parts * RESPONSES_PER_CHANGE,
            names: Default::default(),
        }
    }

    pub(super) fn published(&mut self, next: &Published) {
        self.credit += self.parts * RESPONSES_PER_CHANGE;
        self.steady.retain(|listener, needs| {
            let still_good = |needed: &Ref| !next.world.contains(needed) || next.world.is_good(needed);
            let is_steady = next.world.is_good(listener) && needs.iter().all(still_good);
            needs.append(&mut next.world.needs(listener));
            is_steady
        });
        self.live.retain(|listener| self.steady.contains_key(listener));
    }

    pub(super) fn connected(&mut self) {
        self.credit += self.parts * RESPONSES_PER_CHANGE;
        self.outstanding = Default::default();
        self.names = Default::default();
    }

    pub(super) fn on_request(&mut self, request: &Request) {
        let outstanding = &mut self.outstanding[request.kind.index()];
        if outstanding.as_ref().is_some_and(|(nonce, _)| *nonce == request.nonce) {
            *outstanding = None;
        }
        let names = &mut self.names[request.kind.index()];
        let before = names.len();
        match &request.ask {
            Ask::StateOfTheWorld { names: now, .. } => names.extend(now.iter().cloned()),
            Ask::Delta { subscribe, unsubscribe, .. } => {
                names.retain(|name| !unsubscribe.contains(name));
                names.extend(subscribe.iter().cloned());
            }
        }
        if names.len() > before {
            self.credit += self.parts * RESPONSES_PER_ASKING;
        }
    }

    pub(super) fn on_response(&mut self, response: &Response, now: Instant) -> Result<(), String> {
        let kind = response.kind;
        if !self.nonces.insert(response.nonce.clone()) {
            return Err(format!("the nonce {} is used twice", response.nonce));
        }
        let before = self.outstanding[kind.index()].replace((response.nonce.clone(), now));
        if before.is_some_and(|(_, at)| now < at + self.hold) {
            return Err(format!("two responses of {kind} are in flight"));
        }
        self.credit -= 1;
        if self.credit < 0 {
            return Err("more responses than there was cause for".to_owned());
        }
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut is_twice = |name| !names.insert(name);
        if response.resources().iter().any(|resource| is_twice(resource.name.as_str())) {
            return Err(format!("{kind} has a name twice"));
        }
        match &response.body {
            Body::Delta { resources, removed } if !resources.is_empty() && !removed.is_empty() => {
                Err(format!("a removal shares a response of {kind} with upserts"))
            }
            Body::Delta { removed, .. } if removed.iter().any(|name| is_twice(name.as_str())) => {
                Err(format!("{kind} removes a name twice"))
            }
            _ => Ok(()),
        }
    }

    /// Holds at every moment. `prompt` says that the client answers in time, so that no request may fail.
    pub(super) fn always(&mut self, envoy: &Envoy, session: Option<&Session>, prompt: bool) -> Result<(), String> {
        let harmed = &envoy.holdings.harmed;
        for (listener, needs) in &self.steady {
            match envoy.holdings.serves(listener) {
                Ok(()) => {
                    self.live.insert(listener.clone());
                }
                Err((lacks, why)) if prompt && self.live.contains(listener) => {
                    if harmed.is_disjoint(needs) && !harmed.contains(&lacks) {
                        return Err(format!("a request to {listener} fails: {lacks} {why}"));
                    }
                    self.live.remove(listener);
                }
                Err(_) => {
                    self.live.remove(listener);
                }
            }
        }
        session.map_or(Ok(()), |session| is_honest(envoy, session))
    }

    /// Holds when nothing is to be said any more.
    pub(super) fn quiet(&mut self, envoy: &mut Envoy, last: &Published) -> Result<(), String> {
        self.steady = steady(&last.world);
        let is_harmed = |needed: &Ref| envoy.holdings.harmed.contains(needed);
        for (listener, _) in self.steady.iter().filter(|(_, needs)| !needs.iter().any(is_harmed)) {
            let lack = |(lacks, why)| format!("when all is quiet a request to {listener} fails: {lacks} {why}");
            envoy.holdings.serves(listener).map_err(lack)?;
        }
        let mut resources = ResourceType::ALL.into_iter().flat_map(|kind| last.snapshot.set(kind).iter());
        if let Some(difference) = resources.find_map(|resource| differs(envoy, resource)) {
            return Err(format!("when all is quiet {difference}"));
        }
        if let Some(name) = [Cluster, Listener].into_iter().find_map(|kind| left_over(envoy, &last.snapshot, kind)) {
            return Err(format!("when all is quiet {name} is still there"));
        }
        envoy.holdings.harmed = envoy.holdings.lied.clone();
        Ok(())
    }
}

fn steady(world: &World) -> BTreeMap<Ref, BTreeSet<Ref>> {
    let good = world.listeners().filter(|listener| world.is_good(listener));
    good.map(|listener| (listener.clone(), world.needs(listener))).collect()
}

fn differs(envoy: &Envoy, target: &Arc<Resource>) -> Option<String> {
    let is_doubtful = envoy.holdings.lied.contains(&Ref::new(target.kind, target.name.clone()));
    if is_doubtful { None } else { envoy.holdings.differs(target) }
}

fn left_over(envoy: &Envoy, snapshot: &Snapshot, kind: ResourceType) -> Option<Ref> {
    let held = envoy.holdings.names(kind).into_iter().map(|name| Ref::new(kind, name));
    held.into_iter().find(|key| !snapshot.set(kind).contains(&key.name) && !envoy.holdings.lied.contains(key))
}

/// What the session shows as acknowledged is what the client has.
fn is_honest(envoy: &Envoy, session: &Session) -> Result<(), String> {
    for progress in session.progress() {
        let Some(settled) = progress.settled else { continue };
        let kind = progress.kind;
        let asked = |name: &str| envoy.mux(kind).is_wildcard() || envoy.mux(kind).wanted.contains(name);
        let known = settled
            .iter()
            .filter(|resource| session.is(kind, |state| state.wants(&resource.name)) && asked(&resource.name));
        if let Some(difference) = known.into_iter().find_map(|resource| differs(envoy, resource)) {
            return Err(format!("{kind} counts as acknowledged, but {difference}"));
        }
    }
    Ok(())
}
