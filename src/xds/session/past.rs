//! Clusters that a Gateway had lately: what a state-of-the-world client that was away may hold, although it cannot say so
//! (rules 13 and 27).
//!
//! Such a client says the version of the set that it holds. If that set is remembered, and a client of this process was sent
//! it, what went since is known; otherwise it may hold whatever went lately. Until its routes have moved on, it is sent these too.
//!
//! Invariant: bounded in steps and in time. Beyond that a client is believed to hold what there is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use crate::resource::{Resource, ResourceType};
use crate::snapshot::{ResourceSet, Snapshot};

/// The most changes that are remembered. Their sets share all that did not change.
const MAX_STEPS: usize = 256;

/// The changes of one Gateway's clusters.
#[derive(Debug, Default, Clone)]
pub struct Past {
    /// The oldest first.
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    at: Instant,
    before: ResourceSet,
    gone: Arc<[Gone]>,
}

/// A cluster that went, with the load assignments that it names.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) cluster: Arc<Resource>,
    pub(super) assignments: Vec<Arc<Resource>>,
}

impl Past {
    /// How long a client may be away: an Envoy that lost its stream comes back within half a minute.
    pub const MAX_AGE: Duration = Duration::from_secs(60);

    /// Notes a change, if it is one of clusters.
    pub fn note(&mut self, before: &Snapshot, now: &Snapshot, at: Instant) {
        let (kind, of) = (ResourceType::Cluster, ResourceType::ClusterLoadAssignment);
        let (old, new) = (before.set(kind), now.set(kind));
        if old.ptr_eq(new) {
            return;
        }
        let gone = |name: &ArcStr| {
            let cluster = old.get(name)?.clone();
            let assignments = cluster.refs_of(of).filter_map(|name| before.set(of).get(name)).cloned().collect();
            Some(Gone { cluster, assignments })
        };
        let gone = new.difference(old).removed.iter().filter_map(gone).collect();
        self.steps.push_back(Step { at, before: old.clone(), gone });
        if self.steps.len() > MAX_STEPS {
            self.steps.pop_front();
        }
    }

    /// Forgets what is too long ago, and returns it: to free it may take its time.
    #[must_use]
    pub fn expire(&mut self, now: Instant) -> Past {
        let is_old = |step: &Step| now.saturating_duration_since(step.at) >= Self::MAX_AGE;
        let rest = self.steps.split_off(self.steps.partition_point(is_old));
        Past { steps: std::mem::replace(&mut self.steps, rest) }
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What a client that says this version may hold and `now` has no more, by the names of the clusters.
    pub(super) fn gone_since(&self, version: &str, now: &ResourceSet) -> BTreeMap<ArcStr, Gone> {
        let mut all: BTreeMap<ArcStr, Gone> = BTreeMap::new();
        for Step { before, gone, .. } in self.steps.iter().rev() {
            for gone in gone.iter().filter(|gone| !now.contains(&gone.cluster.name)) {
                all.entry(gone.cluster.name.clone()).or_insert_with(|| gone.clone());
            }
            // Not computed for this: that would cost every name of every set.
            if before.known_version().is_some_and(|known| known.to_string() == version) {
                all.retain(|name, gone| match before.get(name) {
                    Some(held) => {
                        gone.cluster = held.clone();
                        true
                    }
                    None => false,
                });
                break;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sent, snapshot};
    use super::*;

    /// The names and contents of what is gone, for a client with the clusters of `held`.
    fn gone(past: &Past, held: &str, now: &str) -> String {
        let version = snapshot(held).set(ResourceType::Cluster).version().to_string();
        let gone = past.gone_since(&version, snapshot(now).set(ResourceType::Cluster));
        let text = |resource: &Arc<Resource>| String::from_utf8_lossy(&resource.body.to_bytes()).into_owned();
        let each = gone.values().map(|gone| {
            let endpoints: Vec<String> = gone.assignments.iter().map(text).collect();
            format!("{}={} with {}", gone.cluster.name, text(&gone.cluster), endpoints.join(","))
        });
        each.collect::<Vec<_>>().join(" ")
    }

    fn of(worlds: &[&str]) -> Past {
        let (mut past, now) = (Past::default(), Instant::now());
        for pair in worlds.windows(2) {
            past.note(&sent(pair[0]), &sent(pair[1]), now);
        }
        past
    }

    #[test]
    fn what_went_since_a_version() {
        let worlds = ["c:a=1 e:a=7 c:b=1", "c:b=1 c:d=1 e:d=4", "c:b=2 c:d=2 e:d=5", "c:b=2"];
        let past = of(&worlds);
        assert_eq!(gone(&past, worlds[0], worlds[3]), "a=1 with 7");
        assert_eq!(gone(&past, worlds[1], worlds[3]), "d=1 with 5", "as the client has it, with the last endpoints");
        assert_eq!(gone(&past, worlds[2], worlds[3]), "d=2 with 5");
        assert_eq!(gone(&past, "c:x=1", worlds[3]), "a=1 with 7 d=2 with 5", "whatever it holds may be any of them");
        assert_eq!(gone(&past, worlds[0], "c:a=2 c:b=2"), "", "it is back");
        let mut past = Past::default();
        past.note(&snapshot(worlds[1]), &snapshot(worlds[3]), Instant::now());
        assert_eq!(gone(&past, worlds[0], worlds[3]), "d=1 with 4", "nobody was sent that set here");
    }

    #[test]
    fn bounded_in_steps_and_in_time() {
        let (mut past, start) = (Past::default(), Instant::now());
        let [one, other] = ["c:a=1", "c:b=1"].map(snapshot);
        past.note(&one, &one.clone(), start);
        assert!(past.is_empty(), "nothing changed");
        for _ in 0..MAX_STEPS {
            past.note(&one, &other, start);
            past.note(&other, &one, start);
        }
        assert_eq!(past.steps.len(), MAX_STEPS);
        past.note(&one, &other, start + Past::MAX_AGE);
        assert_eq!(past.expire(start + Past::MAX_AGE).steps.len(), MAX_STEPS - 1);
        assert_eq!(past.steps.len(), 1);
        drop(past.expire(start + Past::MAX_AGE * 2));
        assert!(past.is_empty());
    }
}
