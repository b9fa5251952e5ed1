//! What the proxy has seen and done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::call::{Call, Verb};

/// Paths without a resource are made up by clients; past this many keys of requests, new ones are counted as `(others)`.
const MOST_SUBJECTS: usize = 1000;

/// A moment's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests by verb and resource (or path, where none is named), whatever became of them.
    pub requests: BTreeMap<(Verb, String), u64>,
    /// Faults that have acted, by what they did.
    pub faults: BTreeMap<String, u64>,
    /// Watches that are open now.
    pub open_watches: usize,
    /// Connections that are open now.
    pub open_connections: usize,
    /// Connections accepted since the start.
    pub accepted: u64,
}

impl Counts {
    /// Requests with that verb for that resource (`pods`, `httproutes.gateway.networking.k8s.io`).
    #[must_use]
    pub fn requests(&self, verb: Verb, resource: &str) -> u64 {
        self.requests.get(&(verb, resource.to_owned())).copied().unwrap_or_default()
    }

    /// Faults played, all together.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.faults.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} connections open, {} accepted, {} watches open",
            self.open_connections, self.accepted, self.open_watches
        )?;
        for ((verb, subject), count) in &self.requests {
            writeln!(f, "  {} {subject}: {count}", verb.as_str())?;
        }
        self.faults.iter().try_for_each(|(fault, count)| writeln!(f, "  fault {fault}: {count}"))
    }
}

/// Where they are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Counts {
        self.counts().clone()
    }

    pub(super) fn request(&self, call: &Call) {
        let mut counts = self.counts();
        let mut key = (call.verb, call.subject());
        if counts.requests.len() >= MOST_SUBJECTS && !counts.requests.contains_key(&key) {
            key.1 = "(others)".to_owned();
        }
        *counts.requests.entry(key).or_default() += 1;
    }

    pub(super) fn fault(&self, label: String) {
        *self.counts().faults.entry(label).or_default() += 1;
    }

    pub(super) fn connection(&self) -> Open {
        self.counts().accepted += 1;
        Open::new(self, |counts| &mut counts.open_connections)
    }

    pub(super) fn watch(&self) -> Open {
        Open::new(self, |counts| &mut counts.open_watches)
    }
}

/// Something that counts as open until dropped.
#[derive(Debug)]
pub(super) struct Open {
    tally: Tally,
    which: fn(&mut Counts) -> &mut usize,
}

impl Open {
    fn new(tally: &Tally, which: fn(&mut Counts) -> &mut usize) -> Self {
        *which(&mut tally.counts()) += 1;
        Self { tally: tally.clone(), which }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        *(self.which)(&mut self.tally.counts()) -= 1;
    }
}
