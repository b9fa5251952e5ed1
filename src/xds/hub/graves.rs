//! Gateways that were deleted: what they had last, until their tombstone ends, and afterwards that they were.
//!
//! Invariant: bounded, and nothing of a Gateway's configuration outlives its tombstone (`gone_is_gone`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;

use crate::snapshot::Snapshot;

/// Deleted Gateways that are remembered; of more, some are forgotten and count as never seen: those whose tombstones have
/// ended, then those whose end comes first.
const MAX_GRAVES: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Graves {
    /// None: the tombstone has ended.
    graves: BTreeMap<ArcStr, Option<Tombstone>>,
    /// Tombstones by their ends.
    ends: BTreeSet<(Instant, ArcStr)>,
}

/// What a deleted Gateway's clients keep.
#[derive(Debug, Clone)]
pub(super) struct Tombstone {
    pub(super) last: Arc<Snapshot>,
    pub(super) ends: Instant,
}

impl Graves {
    /// The Gateway is deleted.
    pub(super) fn bury(&mut self, gateway: ArcStr, tombstone: Tombstone) {
        self.remove(&gateway);
        self.ends.insert((tombstone.ends, gateway.clone()));
        self.graves.insert(gateway, Some(tombstone));
        if self.graves.len() > MAX_GRAVES {
            let ended = self.graves.iter().find(|(_, tombstone)| tombstone.is_none()).map(|(gateway, _)| gateway);
            let forgotten = ended.or_else(|| self.ends.first().map(|(_, gateway)| gateway)).cloned();
            forgotten.iter().for_each(|gateway| self.remove(gateway));
        }
    }

    /// The Gateway is there again.
    pub(super) fn remove(&mut self, gateway: &ArcStr) {
        if let Some(Some(tombstone)) = self.graves.remove(gateway) {
            self.ends.remove(&(tombstone.ends, gateway.clone()));
        }
    }

    /// The grave of a Gateway, if it was deleted: its tombstone, if that has not [ended](Self::expire).
    pub(super) fn get(&self, gateway: &ArcStr) -> Option<Option<&Tombstone>> {
        self.graves.get(gateway).map(Option::as_ref)
    }

    /// What a deleted Gateway's clients still have.
    pub(super) fn last(&self, gateway: &ArcStr) -> Option<Arc<Snapshot>> {
        self.get(gateway).flatten().map(|tombstone| tombstone.last.clone())
    }

    /// Ends a tombstone whose time has come, if there is one, and says whose.
    pub(super) fn expire(&mut self, now: Instant) -> Option<ArcStr> {
        if self.ends.first().is_none_or(|(ends, _)| *ends > now) {
            return None;
        }
        let (_, gateway) = self.ends.pop_first()?;
        if let Some(grave) = self.graves.get_mut(&gateway) {
            *grave = None;
        }
        Some(gateway)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bounded() {
        let (mut graves, now) = (Graves::default(), Instant::now());
        let ends = now + Duration::from_secs(1);
        let tombstone = |gateway: &ArcStr| Tombstone { last: Arc::new(Snapshot::empty(gateway.clone())), ends };
        let names: Vec<ArcStr> = (0..MAX_GRAVES + 10).map(|n| format!("ns/{n:04}").into()).collect();
        names.iter().for_each(|name| graves.bury(name.clone(), tombstone(name)));
        names.iter().for_each(|name| graves.bury(name.clone(), tombstone(name)));
        assert_eq!((graves.graves.len(), graves.ends.len()), (MAX_GRAVES, MAX_GRAVES));
        assert_eq!(graves.expire(now), None);
        assert_eq!(std::iter::from_fn(|| graves.expire(ends)).count(), MAX_GRAVES);
        assert!(graves.graves.values().all(Option::is_none) && graves.ends.is_empty());
        let last = names.last().expect("many");
        graves.remove(last);
        assert!(graves.get(last).is_none());
    }

    #[test]
    fn doubt_keeps_those_whose_tombstones_stand_before_those_whose_ended() {
        let (mut graves, now) = (Graves::default(), Instant::now());
        let bury = |graves: &mut Graves, name: String, seconds| {
            let (name, ends) = (ArcStr::from(name), now + Duration::from_secs(seconds));
            graves.bury(name.clone(), Tombstone { last: Arc::new(Snapshot::empty(name)), ends });
        };
        bury(&mut graves, "ns/z".to_owned(), 0);
        assert_eq!(graves.expire(now).as_deref(), Some("ns/z"));
        (1..MAX_GRAVES as u64).for_each(|n| bury(&mut graves, format!("ns/{n:04}"), 10_000 - n));
        bury(&mut graves, "ns/a".to_owned(), 60);
        assert!(graves.get(&"ns/z".into()).is_none() && graves.get(&"ns/0001".into()).is_some());
        bury(&mut graves, "ns/b".to_owned(), 60);
        assert!(graves.get(&"ns/a".into()).is_none(), "its end came first");
        assert!(graves.get(&"ns/0001".into()).is_some());
    }
}
