//! The removal of what nothing names any more (rule 27): after the routes, and after a linger.
//!
//! One round at a time: what is gone when the round starts is removed when the client has acknowledged the listeners
//! and routes of that moment, and requests that were under way had time to end. What goes meanwhile waits for the
//! next round, and what returns is struck off.
//!
//! Invariant: a round waits for acknowledgements no longer than the hold once the listeners and routes are sent, and no
//! longer than four holds in all, except after a NACK of listeners or routes: then the old ones may still be in use, and
//! what they name is not taken away (`doubt_keeps`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arcstr::ArcStr;

use crate::resource::ResourceType;

/// What a round needs to know about the client's listeners and routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routing {
    /// They are as in the round's generation, apart from what is newer.
    pub(super) has_reached: bool,
    /// Some of them are not sent yet, since the clusters they name are being made.
    pub(super) is_held_back: bool,
    /// One of them is refused.
    pub(super) is_refused: bool,
}

#[derive(Debug, Default)]
pub(super) struct Retirement {
    round: Option<Round>,
}

#[derive(Debug)]
struct Round {
    /// The snapshot's generation when it started.
    generation: u64,
    began: Instant,
    /// Since when nothing is held back.
    since: Instant,
    stage: Stage,
    names: BTreeSet<(ResourceType, ArcStr)>,
}

impl Round {
    /// When acknowledgements are waited for no longer. Three holds are for [clusters that are made](super::making).
    fn end(&self, hold: Duration) -> Instant {
        self.last(hold).min(self.since + hold)
    }

    fn has(&self, kind: ResourceType) -> bool {
        self.names.range((kind, ArcStr::new())..).next().is_some_and(|(first, _)| *first == kind)
    }

    fn last(&self, hold: Duration) -> Instant {
        self.began + 4 * hold
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Routes still may name them.
    InUse,
    /// Requests that were routed there are given time until then.
    Lingering(Instant),
    /// They can go.
    Released,
}

impl Retirement {
    /// The generation of which listeners and routes have to be acknowledged.
    pub(super) fn generation(&self) -> Option<u64> {
        self.round.as_ref().map(|round| round.generation)
    }

    /// Route configurations went before they were sent as the round wants them: that the client has nothing to
    /// acknowledge of them says nothing, before its listeners leave them.
    pub(super) fn follow(&mut self, generation: u64) {
        if let Some(round) = self.round.as_mut().filter(|round| round.stage != Stage::Released) {
            round.generation = generation;
        }
    }

    /// Starts a round for these names, if none is under way.
    pub(super) fn start(
        &mut self,
        generation: u64,
        now: Instant,
        names: impl IntoIterator<Item = (ResourceType, ArcStr)>,
    ) {
        if self.round.is_some() {
            return;
        }
        let names: BTreeSet<_> = names.into_iter().collect();
        if !names.is_empty() {
            self.round = Some(Round { generation, began: now, since: now, stage: Stage::InUse, names });
        }
    }

    /// A removal was sent and never answered: what is gone by now goes together, in a round of its own.
    pub(super) fn begin_again(&mut self) {
        self.round.take_if(|round| round.stage == Stage::Released);
    }

    /// Names that were removed, or came back.
    pub(super) fn strike_off(&mut self, kind: ResourceType, names: impl IntoIterator<Item = ArcStr>) {
        if let Some(round) = &mut self.round {
            for name in names {
                round.names.remove(&(kind, name));
            }
        }
    }

    /// Moves the round on; without names it is over. Says whether names were released just now.
    pub(super) fn update(&mut self, now: Instant, (hold, linger): (Duration, Duration), routing: Routing) -> bool {
        let Some(round) = &mut self.round else { return false };
        if round.names.is_empty() {
            self.round = None;
            return false;
        }
        if routing.is_held_back {
            round.since = now;
        }
        let is_over = now >= round.end(hold);
        let has_reached = routing.has_reached && !routing.is_held_back;
        let may_go = !routing.is_refused && (has_reached || is_over);
        if matches!(round.stage, Stage::Lingering(_)) && !routing.has_reached && !is_over {
            // The client had not told of its listeners or routes when the linger began.
            round.stage = Stage::InUse;
        }
        if round.stage == Stage::InUse && may_go {
            round.stage = Stage::Lingering(now + linger);
        }
        let released = matches!(round.stage, Stage::Lingering(until) if may_go && now >= until);
        if released {
            round.stage = Stage::Released;
        }
        released
    }

    /// Whether the round has names of this type.
    pub(super) fn concerns(&self, kind: ResourceType) -> bool {
        self.round.as_ref().is_some_and(|round| round.has(kind))
    }

    /// Whether this name can be removed now. Load assignments and the rest go after the clusters.
    pub(super) fn has_released(&self, kind: ResourceType, name: &ArcStr) -> bool {
        let Some(round) = self.round.as_ref().filter(|round| round.stage == Stage::Released) else { return false };
        let clusters_remain = || round.has(ResourceType::Cluster);
        let its_turn = kind == ResourceType::Cluster || !clusters_remain();
        its_turn && round.names.contains(&(kind, name.clone()))
    }

    /// When the round may move on by itself.
    pub(super) fn deadline(&self, hold: Duration, now: Instant, routing: Routing) -> Option<Instant> {
        let round = self.round.as_ref().filter(|_| !routing.is_refused)?;
        match round.stage {
            Stage::Lingering(until) if until > now => Some(until),
            // What holds the others back has a clock of its own, or is an answer that is waited for as long.
            Stage::InUse | Stage::Lingering(_) if routing.is_held_back => Some(round.last(hold)),
            Stage::InUse | Stage::Lingering(_) => Some(round.end(hold)),
            Stage::Released => None,
        }
    }
}
