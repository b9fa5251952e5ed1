//! The API server as a whole: whether it can be reached, and whether its revision went back.
//!
//! While it cannot be reached one prober asks for all sources, once a second, and its return wakes them. (client-go lets each
//! of its reflectors sleep out a back-off of its own: after an outage of 10 s Istio sees a change 33 s late.)

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::client::Client;
use super::fault::Fault;
use super::jitter;
use super::once::Once;
use super::read::{self, Dialect};
use super::target::{Ask, Target};
use super::wire::Pool;
use crate::metrics;
use crate::model::Kind;

/// How often the prober asks.
const PROBE: Duration = Duration::from_secs(1);
/// How often, once it answers and is not ready yet: it will be in a moment.
const STARTING: Duration = Duration::from_millis(250);
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A server that answers but calls itself not ready is taken for returned after this long: its checks may fail for reasons
/// that are not ours.
const UNREADY: Duration = Duration::from_secs(20);
/// A refusal (401, 403) is taken for an answer after it was given for this long: a server that has just started refuses everybody for a
/// moment, and does not serve all of its APIs yet.
const REFUSED: Duration = Duration::from_secs(3);
/// How long a list of one object may take, for which all sources of the kind wait.
const ONE_OBJECT: Duration = Duration::from_secs(10);
/// Who asks within this time of each other whether the server is well, asks once.
const MOMENT: Duration = Duration::from_secs(1);
/// The sources wake within this time after the return, so that they do not all ask at once.
const SPREAD: Duration = Duration::from_millis(300);

/// Whether the server can be reached. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    client: Client,
    /// Since when it cannot be reached.
    since: watch::Sender<Option<Instant>>,
    /// How often it came back: for those who rest from an error meanwhile.
    returns: watch::Sender<u64>,
    revisions: Arc<Revisions>,
    well: Arc<Once<bool>>,
}

/// The newest revision that the server gave for each kind.
#[derive(Debug, Default)]
struct Revisions(std::sync::Mutex<BTreeMap<Kind, Arc<Once<u64>>>>);

impl Outage {
    pub(super) fn new(client: Client) -> Self {
        metrics::api_reachable(true);
        Self {
            client,
            since: watch::Sender::new(None),
            returns: watch::Sender::new(0),
            revisions: Arc::default(),
            well: Arc::default(),
        }
    }

    /// The server did not answer a source: completes when the prober has found it again.
    pub(super) async fn over(&self, fault: &Fault) {
        let began = self.since.send_if_modified(|since| {
            let new = since.is_none();
            since.get_or_insert_with(Instant::now);
            new
        });
        if began {
            metrics::api_reachable(false);
            warn!(%fault, "the API server is not reached; what it said stays in effect");
        }
        // Errors only when the sender is gone, which is here.
        let _ = self.since.subscribe().wait_for(Option::is_none).await;
        sleep(jitter::up_to(SPREAD)).await;
    }

    /// Completes when the server is found to be away, by whomever.
    pub(super) async fn begun(&self) {
        // Errors only when the sender is gone, which is here.
        let _ = self.since.subscribe().wait_for(Option::is_some).await;
    }

    /// Completes when the server comes back from the outage that is or the next one. Whoever rests from an error need not rest longer: of
    /// what the server said before it went away nothing is known to hold.
    pub(super) async fn returned(&self) {
        // Errors only when the sender is gone, which is here.
        let _ = self.returns.subscribe().changed().await;
        sleep(jitter::up_to(SPREAD)).await;
    }

    /// Asks the server whenever it is away, for ever.
    pub(super) async fn probe(self) {
        let (mut away, mut returned) = (self.since.subscribe(), None::<Instant>);
        loop {
            let Ok(since) = away.wait_for(Option::is_some).await.map(|since| *since) else { return };
            let since = since.unwrap_or_else(Instant::now);
            // A server that comes and goes is one that is away now and then, not hundreds of outages.
            if let Some(returned) = returned {
                sleep_until(returned + PROBE).await;
            }
            let mut refused = None;
            while let Some(pause) = self.away(since, &mut refused).await {
                sleep(pause).await;
            }
            let away_for = since.elapsed();
            metrics::api_reachable(true);
            metrics::api_outage(away_for);
            info!(?away_for, "the API server is reached again");
            self.back();
            returned = Some(Instant::now());
        }
    }

    /// Wakes everybody who waits for it.
    pub(super) fn back(&self) {
        self.since.send_replace(None);
        self.returns.send_modify(|count| *count += 1);
    }

    /// How long to wait before the server is asked again; `None` when it is back.
    async fn away(&self, since: Instant, refused: &mut Option<Instant>) -> Option<Duration> {
        // One that stays unready does so for reasons of its own.
        let pause = if since.elapsed() < UNREADY { STARTING } else { PROBE };
        match timeout(PATIENCE, self.client.probe("/readyz")).await {
            Ok(Ok(())) => None,
            Ok(Err(Fault::Answer(status))) if matches!(status.code, 401 | 403) => {
                Some(pause).filter(|_| refused.get_or_insert_with(Instant::now).elapsed() < REFUSED)
            }
            Ok(Err(Fault::Answer(status))) => Some(pause).filter(|_| status.code >= 500 && since.elapsed() <= UNREADY),
            _ => Some(PROBE),
        }
    }

    /// Whether the server is well, by its own word.
    pub(super) async fn is_well(&self) -> bool {
        let asked = Instant::now();
        let ask = async || match timeout(PATIENCE, self.client.probe("/readyz")).await {
            Ok(Ok(())) => Ok(true),
            // No right to ask says nothing bad of it.
            Ok(Err(Fault::Answer(status))) => Ok(status.code < 500),
            _ => Ok(false),
        };
        self.well.ask(asked.checked_sub(MOMENT).unwrap_or(asked), ask).await.unwrap_or(false)
    }

    /// Whether the server's revision for this kind is lower than `seen`, as after a restore of etcd: a watch from a revision
    /// of the future is granted, and silent for ever. Answers that others asked for after `since` count.
    pub(super) async fn went_back(
        &self,
        target: &Target,
        dialect: Dialect,
        seen: u64,
        since: Instant,
    ) -> Result<bool, Fault> {
        let (newest, mut asked) = (self.revisions.of(target.kind), false);
        let ask = async || {
            asked = true;
            self.revision(target, dialect).await
        };
        match newest.ask(since, ask).await {
            // What another may not ask says nothing of what this one may.
            Err(fault) if fault.ends_a_watch() && !asked => self.went_back_by_its_own(target, dialect, seen).await,
            revision => Ok(revision? < seen),
        }
    }

    /// The same, asked with the rights on this target, whatever others were answered.
    pub(super) async fn went_back_by_its_own(
        &self,
        target: &Target,
        dialect: Dialect,
        seen: u64,
    ) -> Result<bool, Fault> {
        Ok(self.revision(target, dialect).await? < seen)
    }

    async fn revision(&self, target: &Target, dialect: Dialect) -> Result<u64, Fault> {
        let (ask, pool) = (Ask::List { limit: 1, after: None }, Pool::default());
        let page = timeout(ONE_OBJECT, read::page(&self.client, target, dialect, ask, &pool));
        Ok(page.await.map_err(|_| Fault::Silent(ONE_OBJECT))??.revision)
    }
}

impl Revisions {
    fn of(&self, kind: Kind) -> Arc<Once<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default().clone()
    }
}
