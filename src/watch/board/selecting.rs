//! What is in the way of the selection of namespaces: a part of readiness of its own, and one line for each change.

use std::collections::BTreeMap;

use arcstr::{ArcStr, literal};
use tracing::{info, warn};

use super::Board;
use crate::readiness::Part;

/// What may be in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::watch) enum Matter {
    /// The file cannot be read.
    File,
    /// Namespaces may not be listed, so that none can be selected by label.
    Labels,
    /// The file has come to select nothing.
    EmptyFile,
    /// Nothing is selected, or nothing of it exists.
    Empty,
}

/// How the selection stands.
#[derive(Debug, Default)]
pub(super) struct Selecting {
    part: Option<Part>,
    lacks: BTreeMap<Matter, ArcStr>,
    sealed: bool,
}

impl Selecting {
    pub(super) fn new(part: Option<Part>) -> Self {
        Self { part, ..Self::default() }
    }

    pub(super) fn seal(&mut self) {
        self.sealed = true;
        self.tell();
    }

    fn tell(&self) {
        let Some(part) = &self.part else { return };
        let reason = || ArcStr::from(self.lacks.values().map(ArcStr::as_str).collect::<Vec<_>>().join("; "));
        match (self.lacks.is_empty(), self.sealed) {
            (true, true) => part.ready(),
            (true, false) => part.waiting(literal!("the rights on Namespaces are asked for")),
            (false, true) => part.stale(reason()),
            // A missing right is mended by no waiting.
            (false, false) if self.lacks.contains_key(&Matter::Labels) => part.failed(reason()),
            (false, false) => part.waiting(reason()),
        }
    }
}

impl Board {
    /// What is in the way of the selection, or `None` when that is no longer.
    pub(in crate::watch) fn complain(&self, matter: Matter, reason: Option<ArcStr>) {
        let mut selecting = self.selecting();
        let old = match reason.clone() {
            Some(reason) => selecting.lacks.insert(matter, reason),
            None => selecting.lacks.remove(&matter),
        };
        if old == reason {
            return;
        }
        match &reason {
            Some(reason) => warn!(%reason, "the selection of namespaces"),
            None => info!(was = %old.unwrap_or_default(), "the selection of namespaces is whole again"),
        }
        selecting.tell();
    }

    /// What is in the way of the selection.
    #[cfg(test)]
    pub(in crate::watch) fn complaint(&self, matter: Matter) -> Option<ArcStr> {
        self.selecting().lacks.get(&matter).cloned()
    }
}
