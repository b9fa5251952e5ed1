//! A model of Envoy: responses go in, requests come out.
//!
//! What it does as Envoy does it, beside what [holdings](super::holdings) say:
//!
//! - A refused response is applied in part: of clusters and listeners the good ones, of other types those before
//!   the first bad one; or not at all, if it cannot be decoded. Versions count only after a whole success.
//! - While a cluster is warming, nothing is said of CDS, not even a NACK or the first request of a new stream.
//! - Listeners are asked for when the first clusters are whole.
//! - State of the world removes clusters and listeners by their absence. A removal of a load assignment, a route
//!   configuration or a secret changes nothing but that it is not waited for; of routes not even that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::holdings::Holdings;
use super::mux::Mux;
use super::world::Nature;
use crate::resource::ResourceType::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret};
use crate::resource::{Ref, Resource, ResourceType};
use crate::xds::message::{Body, Request, Response, Variant};

/// How this client is set, and in which order it does what Envoy promises no order for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habits {
    /// The longest wait for a load assignment, a route configuration or a secret. Our bootstraps say none.
    pub(super) fetch_timeout: Option<Duration>,
    /// Answers a response before it asks for what the response names.
    pub(super) answers_first: bool,
}

#[derive(Debug)]
pub(super) struct Envoy {
    habits: Habits,
    connected: bool,
    /// Whether a response of CDS ever came.
    heard_of_clusters: bool,
    muxes: [Mux; ResourceType::COUNT],
    pub(super) holdings: Holdings,
}

/// What a response came to.
pub(super) struct Reaction {
    pub(super) refused: bool,
    pub(super) requests: Vec<Request>,
}

impl Envoy {
    pub(super) fn new(variant: Variant, habits: Habits) -> Envoy {
        let mut muxes = ResourceType::ALL.map(|kind| Mux::new(kind, variant));
        muxes[Cluster.index()].want_all();
        Envoy { habits, connected: false, heard_of_clusters: false, muxes, holdings: Holdings::default() }
    }

    pub(super) fn connect(&mut self) -> Vec<Request> {
        self.connected = true;
        self.flush(None)
    }

    pub(super) fn lose(&mut self) {
        self.connected = false;
        self.muxes.iter_mut().for_each(Mux::lose);
    }

    /// A response came. `undecodable` says what becomes of it if there is something bad in it.
    pub(super) fn on_response(&mut self, response: &Response, undecodable: bool, now: Instant) -> Reaction {
        let bad = response.resources().iter().position(|resource| Nature::of(resource) == Nature::Refused);
        self.heard_of_clusters |= response.kind == Cluster;
        if bad.is_none() || !undecodable {
            self.apply(response, bad, now);
        }
        match bad {
            None => self.muxes[response.kind.index()].accept(response),
            Some(first) => {
                self.note_harm(response, undecodable, first);
                self.holdings.fail(response.kind);
            }
        }
        let error = bad.map(|_| "bad".to_owned());
        let mut requests = Vec::new();
        if self.habits.answers_first {
            self.muxes[response.kind.index()].answer(&response.nonce, error);
            self.settle(now);
            requests.extend(self.flush(Some(response.kind)));
        } else {
            self.settle(now);
            requests.extend(self.flush(None));
            self.muxes[response.kind.index()].answer(&response.nonce, error);
            requests.extend(self.flush(None));
        }
        Reaction { refused: bad.is_some(), requests }
    }

    /// When a wait ends by its time-out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.holdings.deadline(self.habits.fetch_timeout?)
    }

    pub(super) fn on_time(&mut self, now: Instant) -> Vec<Request> {
        if let Some(timeout) = self.habits.fetch_timeout {
            self.holdings.time_out(timeout, now);
        }
        self.settle(now);
        self.flush(None)
    }

    /// Whether this stream was not asked for clusters, since one of them is warming.
    pub(super) fn asks_for_no_clusters(&self) -> bool {
        self.connected && !self.mux(Cluster).is_open()
    }

    /// Whether nothing is due and nothing is waited for.
    pub(super) fn is_quiet(&self) -> bool {
        let rests = !self.muxes.iter().any(Mux::is_due) && self.holdings.warming().next().is_none();
        self.connected && self.holdings.booted && rests
    }

    pub(super) fn mux(&self, kind: ResourceType) -> &Mux {
        &self.muxes[kind.index()]
    }

    pub(super) fn holdings_and_mux(&mut self, kind: ResourceType) -> (&mut Holdings, &Mux) {
        (&mut self.holdings, &self.muxes[kind.index()])
    }

    // ---- responses

    fn apply(&mut self, response: &Response, bad: Option<usize>, now: Instant) {
        let resources = response.resources();
        match response.kind {
            Cluster | Listener => {
                let good = |resource: &&Arc<Resource>| Nature::of(resource) != Nature::Refused;
                resources.iter().filter(good).for_each(|resource| self.holdings.put(resource, now));
                // Names of the old set that are not in the new one go, whether the rest is refused or not.
                for name in self.holdings.names(response.kind) {
                    let is_gone = match &response.body {
                        Body::StateOfTheWorld { resources, .. } => resources.iter().all(|there| there.name != name),
                        Body::Delta { removed, .. } => removed.contains(&name),
                    };
                    if is_gone {
                        self.holdings.remove(&Ref::new(response.kind, name));
                    }
                }
            }
            _ => resources[..bad.unwrap_or(resources.len())].iter().for_each(|resource| self.holdings.give(resource)),
        }
        if let (Body::Delta { removed, .. }, ClusterLoadAssignment | Secret) = (&response.body, response.kind) {
            removed.iter().for_each(|name| self.holdings.give_nothing(&Ref::new(response.kind, name.clone())));
        }
    }

    /// What of a refused response was not applied may be missed. The old routes and listeners serve on, and the server
    /// has to keep what they need.
    fn note_harm(&mut self, response: &Response, undecodable: bool, bad: usize) {
        for (at, resource) in response.resources().iter().enumerate() {
            let is_missed = match response.kind {
                Listener | RouteConfiguration => false,
                _ if undecodable => true,
                Cluster => Nature::of(resource) == Nature::Refused,
                _ => at >= bad,
            };
            if is_missed {
                self.holdings.harmed.insert(Ref::new(resource.kind, resource.name.clone()));
            }
        }
    }

    /// Brings into use what is warm, and what is asked for up to date.
    fn settle(&mut self, now: Instant) {
        self.holdings.settle(now);
        if self.heard_of_clusters && self.holdings.first_clusters_are_ready() {
            self.holdings.booted = true;
            self.muxes[Listener.index()].want_all();
        }
        let again = std::mem::take(&mut self.holdings.wanted_again);
        for kind in [ClusterLoadAssignment, RouteConfiguration, Secret] {
            let names = self.holdings.wanted(kind);
            self.muxes[kind.index()].want(names, again && kind == ClusterLoadAssignment);
        }
    }

    /// The requests that can be sent, those of one type before all others.
    fn flush(&mut self, first: Option<ResourceType>) -> Vec<Request> {
        if !self.connected {
            return Vec::new();
        }
        let paused = self.holdings.booted && self.holdings.has_warming_clusters();
        let mut requests = Vec::new();
        for kind in first.into_iter().chain(ResourceType::ALL) {
            if kind != Cluster || !paused {
                requests.extend(self.muxes[kind.index()].requests());
            }
        }
        requests
    }
}
