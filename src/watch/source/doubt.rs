//! What a source does not believe at once: a list that would take away much, a revision that went back, another cluster
//! (`doubt_keeps`).

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::super::board::State;
use super::super::cluster::{ANOTHER, Who};
use super::super::fault::Fault;
use super::super::scope::{Gathering, Loss};
use super::{LOOK_AGAIN, Source};
use crate::metrics;
use crate::model::Kind;

/// A list that would take away all rows, or more than half and more than this many, is confirmed first.
const BELIEVED: usize = 20;
/// Between two lists that have to agree.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Why a list is confirmed first.
pub(super) struct Doubt {
    why: String,
    /// How many rows it would take away.
    lost: usize,
}

impl Source {
    /// Why a list is not believed at once.
    pub(super) fn doubt(&self, gathering: &Gathering, revision: u64) -> Option<Doubt> {
        let Loss { had, lost } = self.scope.loss(&self.target, gathering);
        if let Some(seen) = self.revision.filter(|seen| revision < *seen) {
            return Some(Doubt { why: format!("the server's revision went back from {seen} to {revision}"), lost });
        }
        let most = lost > BELIEVED && lost * 2 > had;
        let why = || format!("the list would take away {lost} of {had}");
        (lost > 0 && (lost == had || most)).then(|| Doubt { why: why(), lost })
    }

    /// Lists once more and asks who answers. `None`: another cluster does, or the second list would take away even more, and nothing
    /// of it is believed.
    pub(super) async fn confirm(&mut self, doubt: &Doubt) -> Result<Option<(Gathering, u64)>, Fault> {
        metrics::source_doubt(self.target.kind.as_str());
        let Doubt { why: doubt, lost } = doubt;
        // All sources doubt a restored server: one speaks for them.
        let news = self.cx.cluster.is_doubted_anew();
        if news {
            warn!(source = %self.target, doubt, "what the API server lists is not believed before a second look");
        }
        self.state(State::Stale, format!("{doubt}; this is confirmed first"));
        sleep(SECOND_LOOK).await;
        if self.is_another(Instant::now()).await? {
            return Ok(None);
        }
        let second = self.pages().await?;
        if self.scope.loss(&self.target, &second.0).lost > *lost {
            return Ok(None);
        }
        if news {
            info!(source = %self.target, doubt, "confirmed by a second list");
        }
        Ok(Some(second))
    }

    /// Whether another cluster answers than the one that was met, asked after `since`. Then nothing of it is believed; it is asked again
    /// after a pause.
    pub(super) async fn is_another(&mut self, since: Instant) -> Result<bool, Fault> {
        if self.cx.cluster.who(since).await? != Who::Other {
            return Ok(false);
        }
        self.lost_with(ANOTHER);
        // Of many sources the first to wake asks for all.
        self.broke = Some(Instant::now());
        let pause = self.backoff.pause().min(LOOK_AGAIN);
        self.rest(pause).await;
        Ok(true)
    }

    /// Whether the server's revision is lower than what was seen: asked after `since`, which is after the last that was seen.
    pub(super) async fn went_back(&self, since: Instant) -> Result<bool, Fault> {
        let Some(seen) = self.revision else { return Ok(false) };
        // An open watch is not authorized again, and what others may ask says nothing of the rights in this namespace.
        let asks_itself = self.target.kind == Kind::Service && self.target.namespace.is_some();
        if asks_itself {
            return self.cx.outage.went_back_by_its_own(&self.target, self.dialect, seen).await;
        }
        self.cx.outage.went_back(&self.target, self.dialect, seen, since).await
    }
}
