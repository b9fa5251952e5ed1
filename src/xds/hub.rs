//! What is published, and who listens.
//!
//! Each Gateway that has clients has a channel of its own, so a change wakes the clients of that Gateway and nobody
//! else. A channel, a registration and everything else of a client goes when its stream goes (`gone_is_gone`).
//!
//! Invariants: nothing is handed out before the first publication (`gated`), and a client gets the snapshots of its
//! own Gateway only (`own_only`). A Gateway that was deleted keeps its clients' configuration for a
//! [while](Hub::TOMBSTONE): a deletion by mistake can be undone in it.

mod clients;
mod doubts;
mod graves;
mod history;
mod origins;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arcstr::ArcStr;
use tokio::sync::watch;
use tonic::Status;

use self::clients::Client;
pub(super) use self::clients::Introduction;
pub use self::clients::{ClientView, Marks, Which};
use self::doubts::{DoubtBook, Left};
use self::graves::{Graves, Tombstone};
use self::history::History;
use self::origins::Origins;
pub use self::origins::TraceBack;
use super::bounds::census::Census;
use super::session::{Doubts, Holding, Past, Progress, Refusal};
use crate::metrics;
use crate::readiness::Readiness;
use crate::resource::ResourceType;
use crate::snapshot::{Snapshot, World};

/// The published world and the connected clients. Shared by all streams.
#[derive(Debug)]
pub struct Hub {
    readiness: Readiness,
    state: Mutex<State>,
    /// Whether anything was published.
    complete: watch::Sender<bool>,
    /// Over how long streams are to end, once that is so.
    drain: watch::Sender<Option<Duration>>,
    /// Of this run of the process, so that no nonce of another run is taken for one of ours (rule 4).
    run: u64,
    streams: AtomicU64,
    /// Which objects refused resources come from.
    origins: Origins,
    /// The streams of each identity, those without a session too.
    pub(super) census: Arc<Census>,
}

#[derive(Debug, Default)]
struct State {
    world: World,
    channels: HashMap<ArcStr, watch::Sender<Published>>,
    graves: Graves,
    /// What went lately.
    history: History,
    clients: BTreeMap<u64, Arc<Client>>,
    /// What earlier streams left unknown (rules 16 and 25).
    doubts: DoubtBook,
}

/// What a Gateway's clients are to hold.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) snapshot: Arc<Snapshot>,
    /// When the Gateway, which is deleted, is emptied.
    pub(super) ends: Option<Instant>,
    /// What caused this, if it is known.
    pub(super) cause: Option<Cause>,
}

/// Since when a change is on its way, for measurements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cause {
    /// When the first event that led to it arrived at its source.
    pub(super) arrived: Instant,
    /// When it was published.
    pub(super) published: Instant,
}

impl Hub {
    /// How long the clients of a deleted Gateway keep its configuration.
    pub const TOMBSTONE: Duration = Duration::from_secs(60);

    /// A hub without a world. `readiness` tells clients that come too early what is missing.
    #[must_use]
    pub fn new(readiness: Readiness) -> Hub {
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Hub {
            readiness,
            state: Mutex::default(),
            complete: watch::Sender::new(false),
            drain: watch::Sender::new(None),
            run: nanos as u64,
            streams: AtomicU64::new(0),
            origins: Origins::default(),
            census: Arc::default(),
        }
    }

    /// Has NACKs say which objects the refused resources come from; only whoever derives them knows.
    #[must_use]
    pub fn tracing_back(mut self, trace: TraceBack) -> Hub {
        self.origins = Origins::new(trace);
        self
    }

    /// Publishes a whole world. `changed` are the Gateways that came, went or changed since the last one, as
    /// [`World::apply`] returns them; `arrived` is when the first event that led to it arrived at its source.
    pub fn publish(&self, world: World, changed: &[ArcStr], arrived: Option<Instant>) {
        metrics::published(world.len(), changed.len());
        let cause = arrived.map(|arrived| Cause { arrived, published: Instant::now() });
        let mut state = self.state();
        let forgotten = state.expire(now());
        let before = std::mem::replace(&mut state.world, world);
        for gateway in changed {
            state.change(gateway, before.get(gateway), cause);
        }
        drop(state);
        drop((before, forgotten));
        self.complete.send_replace(true);
    }

    /// The version of what is published for a Gateway, to compare clients with.
    #[must_use]
    pub fn snapshot(&self, gateway: &str) -> Option<Arc<Snapshot>> {
        self.state().world.get(gateway)
    }

    /// Tells all streams to end, each at its own moment within `over`, so that clients spread over other replicas.
    pub fn begin_drain(&self, over: Duration) {
        self.drain.send_replace(Some(over));
    }

    /// Completes when it is time for this stream to end.
    pub(super) async fn drained(&self, stream: u64) {
        let mut drain = self.drain.subscribe();
        let over = match drain.wait_for(Option::is_some).await {
            Ok(over) => over.unwrap_or_default(),
            Err(_) => return,
        };
        // The golden ratio spreads any run of numbers evenly.
        let share = (stream as f64 * 0.618_033_988_75).fract();
        tokio::time::sleep(over.mul_f64(share)).await;
    }

    /// Waits for the first publication.
    ///
    /// # Errors
    /// UNAVAILABLE, with what is missing, after `patience`.
    pub(super) async fn complete(&self, patience: Duration) -> Result<(), Status> {
        let mut complete = self.complete.subscribe();
        if *complete.borrow() {
            return Ok(());
        }
        if tokio::time::timeout(patience, complete.wait_for(|complete| *complete)).await.is_ok() {
            return Ok(());
        }
        metrics::stream_unserved("incomplete");
        let missing: Vec<String> = self.readiness.missing().iter().map(ToString::to_string).collect();
        let missing = if missing.is_empty() { "the first snapshot".to_owned() } else { missing.join("; ") };
        Err(Status::unavailable(format!("not complete yet, missing: {missing}")))
    }

    /// Registers a client and subscribes it to its Gateway. To be called after [`complete`](Self::complete).
    ///
    /// # Errors
    /// UNAVAILABLE if there never was such a Gateway: an empty configuration would be a guess.
    pub(super) fn join(self: &Arc<Hub>, client: Introduction, now: Instant) -> Result<Seat, Status> {
        let gateway = client.name.gateway.clone();
        let mut state = self.state();
        let forgotten = state.expire(now);
        let Some(published) = state.published(&gateway) else {
            drop(state);
            metrics::stream_unserved("unknown_gateway");
            return Err(Status::unavailable(format!("there is no Gateway {gateway}")));
        };
        let channel = state.channels.entry(gateway).or_insert_with(|| watch::Sender::new(published));
        let mut updates = channel.subscribe();
        // What is published and what was go together: a change between the two would be in neither.
        let published = updates.borrow_and_update().clone();
        let stream = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let left = state.doubts.take(&client.name);
        let past = state.history.of(&client.name.gateway);
        let client = Arc::new(Client::new(stream, client, now));
        state.clients.insert(stream, client.clone());
        drop(state);
        drop(forgotten);
        let start = Box::new(Start { published, past, doubts: doubts::merged(left) });
        let (updates, start) = (Some(updates), Some(start));
        Ok(Seat { hub: self.clone(), stream, updates, client, start, doubts: Doubts::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What is not kept any more, and is to be freed without the lock.
struct Forgotten {
    _doubts: Vec<Doubts>,
    _pasts: Vec<Past>,
}

impl State {
    fn change(&mut self, gateway: &ArcStr, before: Option<Arc<Snapshot>>, cause: Option<Cause>) {
        match (self.world.get(gateway), before) {
            (Some(present), before) => {
                let before = before.or_else(|| self.graves.last(gateway));
                before.iter().for_each(|before| self.history.note(gateway, before, &present, now()));
                self.graves.remove(gateway);
            }
            (None, Some(last)) => {
                self.graves.bury(gateway.clone(), Tombstone { last, ends: now() + Hub::TOMBSTONE });
            }
            (None, None) => {}
        }
        self.tell(gateway, cause);
    }

    /// Ends the tombstones whose time has come, and forgets clients that stay away; returns what is to be freed without the lock.
    #[must_use]
    fn expire(&mut self, now: Instant) -> Forgotten {
        let forgotten = Forgotten { _doubts: self.doubts.expire(now), _pasts: self.history.expire(now) };
        while let Some(gateway) = self.graves.expire(now) {
            self.tell(&gateway, None);
        }
        forgotten
    }

    fn tell(&self, gateway: &ArcStr, cause: Option<Cause>) {
        if let (Some(channel), Some(published)) = (self.channels.get(gateway), self.published(gateway)) {
            channel.send_replace(Published { cause, ..published });
        }
    }

    fn published(&self, gateway: &ArcStr) -> Option<Published> {
        let whole = |snapshot| Published { snapshot, ends: None, cause: None };
        if let Some(snapshot) = self.world.get(gateway) {
            return Some(whole(snapshot));
        }
        Some(match self.graves.get(gateway)? {
            Some(Tombstone { last, ends }) => Published { ends: Some(*ends), ..whole(last.clone()) },
            None => whole(Arc::new(Snapshot::empty(gateway.clone()))),
        })
    }
}

/// A client's place at the hub. Dropping it takes everything of the client away.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Arc<Hub>,
    pub(super) stream: u64,
    /// None only while it is dropped.
    updates: Option<watch::Receiver<Published>>,
    pub(super) client: Arc<Client>,
    start: Option<Box<Start>>,
    /// What the stream leaves unknown.
    doubts: Doubts,
}

/// What a stream begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// What is published.
    pub(super) published: Published,
    /// What the Gateway had before.
    pub(super) past: Arc<Past>,
    /// What the client's earlier streams left unknown.
    pub(super) doubts: Doubts,
}

impl Seat {
    /// What begins each nonce of this stream (rule 4).
    pub(super) fn nonce_prefix(&self) -> String {
        format!("{:x}.{:x}", self.hub.run, self.stream)
    }

    /// The client's Gateway.
    pub(super) fn gateway(&self) -> &ArcStr {
        &self.client.name.gateway
    }

    /// What the client calls itself.
    pub(super) fn node_id(&self) -> &ArcStr {
        &self.client.name.node_id
    }

    /// What the stream begins with, once.
    pub(super) fn take_start(&mut self) -> Option<Box<Start>> {
        self.start.take()
    }

    /// What is published now.
    pub(super) fn current(&mut self) -> Option<Published> {
        self.updates.as_mut().map(|updates| updates.borrow_and_update().clone())
    }

    /// Completes when something else is published. Never, if the hub is gone: what is there stays in place.
    pub(super) async fn changed(&mut self) {
        if let Some(updates) = &mut self.updates
            && updates.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Shows the client's progress in views.
    pub(super) fn show(&self, progress: Vec<Progress>) {
        self.client.show(progress, now());
    }

    /// Counts a response that was written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.client.wrote(bytes);
    }

    /// Notes an ACK.
    pub(super) fn accepted(&self, kind: ResourceType) {
        self.client.accepted(kind, now());
    }

    /// Notes a NACK; returns the objects that it is about.
    pub(super) fn refused(&self, refusal: &Refusal) -> Arc<[ArcStr]> {
        let blamed = self.hub.origins.of(refusal);
        self.client.refused(refusal.kind, blamed.clone());
        blamed
    }

    /// Tells whoever asked what the client holds, name by name.
    pub(super) fn answer(&self, holdings: impl FnOnce() -> Vec<Holding>) {
        self.client.answer(holdings);
    }

    /// Remembers what this stream leaves unknown for the client's next one.
    pub(super) fn remember(&mut self, doubts: Doubts) {
        self.doubts = doubts;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let name = self.client.name.clone();
        let doubts = std::mem::take(&mut self.doubts);
        let left = (!doubts.is_empty()).then(|| Left::of(&name, doubts));
        let mut forgotten = Vec::new();
        let mut state = self.hub.state();
        state.clients.remove(&self.stream);
        drop(self.updates.take());
        if state.channels.get(&name.gateway).is_some_and(|channel| channel.receiver_count() == 0) {
            state.channels.remove(&name.gateway);
        }
        if let Some(left) = left {
            forgotten = state.doubts.put(name, left, now());
        }
        drop(state);
        drop(forgotten);
    }
}

/// The present, as tokio's clock has it: tests can pause that one.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under a lock is whole after each statement, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
