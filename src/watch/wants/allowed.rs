//! What may be read on demand: which namespaces, and how much.

use std::collections::BTreeSet;
use std::time::Instant;

use arcstr::ArcStr;
use tracing::info;

use super::{Demands, MOST, MOST_IN_NAMESPACE, TICK};
use crate::model::Want;

impl Demands {
    /// Why something is not read at all.
    pub(super) fn refusal(&self, want: &Want) -> Option<ArcStr> {
        let namespace = want.namespace();
        if let Some(selection) = &self.selection
            && self.is_foreign(want)
            && !selection.borrow().allows_foreign(namespace)
        {
            return Some(arcstr::format!(
                "namespace {namespace} is neither watched nor among the foreign namespaces that may be read; add it to \
                 --foreign-namespaces"
            ));
        }
        let in_namespace = self.in_namespace.get(namespace).copied().unwrap_or_default();
        if in_namespace >= MOST_IN_NAMESPACE {
            return Some(arcstr::format!(
                "references into namespace {namespace} name more than {MOST_IN_NAMESPACE} different objects"
            ));
        }
        (self.readings.len() >= MOST)
            .then(|| arcstr::format!("references name more than {MOST} different objects that are read on demand"))
    }

    /// Whether it lies outside the watched namespaces.
    fn is_foreign(&self, want: &Want) -> bool {
        match want {
            Want::Grants(_) | Want::Backend(_) => true,
            Want::Object(_) => !self.cx.board.is_watched(want.namespace()),
        }
    }

    /// What may not be read any more is not: then it is refused as if it had never been.
    pub(super) fn end_disallowed(&mut self) {
        let Some(selection) = &self.selection else { return };
        if self.allowed.elapsed() < TICK {
            return;
        }
        self.allowed = Instant::now();
        let selection = selection.borrow().clone();
        // A namespace that comes to be watched is wanted no more by and by, and what was read of it stays until then.
        let is_allowed = |name: &ArcStr| {
            selection.allows_foreign(name) || selection.names.contains(name) || self.cx.board.is_watched(name)
        };
        let is_disallowed = |want: &Want| self.is_foreign(want) && !is_allowed(want.namespace());
        let disallowed: BTreeSet<_> = self.readings.keys().filter(|want| is_disallowed(want)).cloned().collect();
        // Once more before it is believed: those that are selected by label are known a moment later.
        for want in std::mem::replace(&mut self.disallowed, disallowed) {
            if self.disallowed.remove(&want) {
                info!(%want, "may not be read any more: its namespace is no longer among --foreign-namespaces");
                self.end(&want);
            }
        }
    }
}
