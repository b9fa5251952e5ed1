//! One type of the client's half of the stream: what it asks for, and what it says of responses.
//!
//! As Envoy's muxes do it: state of the world repeats the names and the last version that was wholly accepted in
//! every request; delta says what is different, and acknowledges each response with a message of its own.

use std::collections::{BTreeMap, BTreeSet};

use arcstr::ArcStr;

use crate::resource::ResourceType;
use crate::xds::message::{Ask, Body, Request, Response, Variant};

#[derive(Debug)]
pub(super) struct Mux {
    kind: ResourceType,
    variant: Variant,
    /// Whether anything of this type was ever wanted.
    on: bool,
    /// Whether the first request of this stream was sent.
    opened: bool,
    /// Names that are wanted; none for wildcards.
    pub(super) wanted: BTreeSet<ArcStr>,
    /// Names that the server was told of on this stream.
    told: BTreeSet<ArcStr>,
    /// State of the world: of the last response that was wholly accepted, on any stream.
    version: String,
    /// State of the world: of the last response of this stream.
    nonce: String,
    error: Option<String>,
    /// State of the world: a request is due.
    due: bool,
    /// Delta: answers that are due, oldest first.
    answers: Vec<(String, Option<String>)>,
    /// Delta: versions of what was wholly accepted, on any stream.
    held: BTreeMap<ArcStr, String>,
}

impl Mux {
    pub(super) fn new(kind: ResourceType, variant: Variant) -> Mux {
        Mux {
            kind,
            variant,
            on: false,
            opened: false,
            wanted: BTreeSet::new(),
            told: BTreeSet::new(),
            version: String::new(),
            nonce: String::new(),
            error: None,
            due: false,
            answers: Vec::new(),
            held: BTreeMap::new(),
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        matches!(self.kind, ResourceType::Cluster | ResourceType::Listener)
    }

    /// Starts to want everything.
    pub(super) fn want_all(&mut self) {
        self.on = true;
    }

    /// Wants just these names. `again` says that one of them is wanted once more by somebody else: state of the world
    /// sends its list anew, delta says nothing.
    pub(super) fn want(&mut self, names: BTreeSet<ArcStr>, again: bool) {
        if names != self.wanted || again {
            self.due |= self.variant == Variant::StateOfTheWorld && (self.on || !names.is_empty());
            self.on |= !names.is_empty();
        }
        self.held.retain(|name, _| names.contains(name));
        self.wanted = names;
    }

    /// The stream is lost, and with it all that was only said there.
    pub(super) fn lose(&mut self) {
        self.opened = false;
        self.told.clear();
        self.nonce.clear();
        self.error = None;
        self.due = false;
        self.answers.clear();
    }

    /// Notes that a response was accepted as a whole: only then its versions count.
    pub(super) fn accept(&mut self, response: &Response) {
        match &response.body {
            Body::StateOfTheWorld { version, .. } => self.version = version.to_string(),
            Body::Delta { resources, removed } => {
                for resource in resources {
                    if self.is_wildcard() || self.wanted.contains(&resource.name) {
                        self.held.insert(resource.name.clone(), resource.version.to_string());
                    }
                }
                removed.iter().for_each(|name| drop(self.held.remove(name)));
            }
        }
    }

    /// The answer to a response is due.
    pub(super) fn answer(&mut self, nonce: &str, error: Option<String>) {
        match self.variant {
            Variant::StateOfTheWorld => {
                nonce.clone_into(&mut self.nonce);
                self.error = error;
                self.due = true;
            }
            Variant::Delta => self.answers.push((nonce.to_owned(), error)),
        }
    }

    /// Whether the first request of this stream was sent.
    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    /// Whether something is due.
    pub(super) fn is_due(&self) -> bool {
        self.due || !self.answers.is_empty()
    }

    /// The version that this client says it holds of a resource, if it reconnects now; None if it says nothing.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.held.get(name).map(String::as_str)
    }

    /// State of the world: the version that this client says it holds.
    pub(super) fn said_of_all(&self) -> &str {
        &self.version
    }

    /// The requests that are due.
    pub(super) fn requests(&mut self) -> Vec<Request> {
        match self.variant {
            _ if !self.on => Vec::new(),
            Variant::StateOfTheWorld if self.opened && !self.due => Vec::new(),
            Variant::StateOfTheWorld => {
                (self.opened, self.due) = (true, false);
                let names = self.wanted.iter().map(ToString::to_string).collect();
                let ask = Ask::StateOfTheWorld { version: self.version.clone(), names };
                let nonce = self.nonce.clone();
                vec![Request { kind: self.kind, nonce, error: self.error.take(), ask }]
            }
            Variant::Delta => {
                let answers = std::mem::take(&mut self.answers);
                let mut requests: Vec<Request> =
                    answers.into_iter().map(|(nonce, error)| self.delta(nonce, error)).collect();
                let first = !self.opened && (self.is_wildcard() || !self.wanted.is_empty());
                if first || self.told != self.wanted {
                    requests.push(self.delta(String::new(), None));
                }
                requests
            }
        }
    }

    /// A message of delta. Whatever it is for, names ride on it.
    fn delta(&mut self, nonce: String, error: Option<String>) -> Request {
        let text = |name: &ArcStr| name.to_string();
        let subscribe = self.wanted.difference(&self.told).map(text).collect();
        let unsubscribe = self.told.difference(&self.wanted).map(text).collect();
        let held = match std::mem::replace(&mut self.opened, true) {
            true => Vec::new(),
            false => self.held.iter().map(|(name, version)| (name.to_string(), version.clone())).collect(),
        };
        self.told = self.wanted.clone();
        Request { kind: self.kind, nonce, error, ask: Ask::Delta { subscribe, unsubscribe, held } }
    }
}
