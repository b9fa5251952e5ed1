//! One client: connects, takes what it is told, and comes back when its stream ends or it is ordered to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::sleep;

use super::held::Held;
use super::tally::Tally;
use super::wire::{self, Tls, Wire};
use crate::syncgate::Variant;

/// How long a slow reader lets a message lie.
const SLOW: Duration = Duration::from_secs(5);
/// Before a stream that failed is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Reads at once and accepts everything.
    Honest,
    /// Accepts everything, and reads a message every few seconds.
    Slow,
    /// Refuses everything.
    Refusing,
}

/// To reconnect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// The clients below this number.
    pub(super) below: usize,
    pub(super) at: Instant,
}

/// What the clients of a fleet share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) variant: Variant,
    pub(super) connections: Connections,
    pub(super) tally: Tally,
}

/// Connections, with so many streams on each.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) target: SocketAddr,
    pub(super) tls: Option<Tls>,
    pub(super) streams: usize,
    /// Those with several streams.
    pub(super) shared: Vec<Mutex<Option<SendRequest<Bytes>>>>,
    /// So many are opened at once.
    pub(super) opening: Semaphore,
}

impl Connections {
    async fn of(&self, client: usize) -> Result<SendRequest<Bytes>> {
        if self.streams <= 1 {
            let _turn = self.opening.acquire().await?;
            return wire::connect(self.target, self.tls.as_ref()).await;
        }
        let mut slot = self.slot(client)?.lock().await;
        if let Some(handle) = &*slot {
            return Ok(handle.clone());
        }
        let handle = wire::connect(self.target, self.tls.as_ref()).await?;
        *slot = Some(handle.clone());
        Ok(handle)
    }

    /// The next stream of this client is to have another one.
    async fn forget(&self, client: usize) {
        if self.streams > 1
            && let Ok(slot) = self.slot(client)
        {
            *slot.lock().await = None;
        }
    }

    fn slot(&self, client: usize) -> Result<&Mutex<Option<SendRequest<Bytes>>>> {
        self.shared.get(client / self.streams).context("no such connection")
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) manner: Manner,
    pub(super) held: Held,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: watch::Receiver<Order>,
}

impl Client {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let mut since = self.orders.borrow_and_update().at;
        loop {
            match self.stream(since).await {
                Ok(ordered) => since = ordered,
                Err(reason) => {
                    self.shared.tally.failed(&reason);
                    sleep(AGAIN).await;
                    since = Instant::now();
                }
            }
            self.shared.connections.forget(self.number).await;
        }
    }

    /// One stream, until it is ordered to end, or fails. Gives when it was ordered.
    async fn stream(&mut self, since: Instant) -> Result<Instant> {
        let shared = self.shared.clone();
        let handle = shared.connections.of(self.number).await?;
        let authority = shared.connections.target.to_string();
        let mut wire = Wire::open(handle, &authority, shared.variant, &self.held.opening()).await?;
        let _open = Open::new(&shared.tally);
        // Whether it holds everything, and the server has said something on this stream.
        let mut whole = false;
        loop {
            tokio::select! {
                ordered = self.orders.changed() => {
                    ordered.context("the fleet is gone")?;
                    let order = *self.orders.borrow_and_update();
                    if self.number < order.below {
                        return Ok(order.at);
                    }
                }
                message = wire.next() => {
                    let (message, at) = (message?, Instant::now());
                    let length = message.len() as u64;
                    let taken = self.held.take(message)?;
                    taken.answers.into_iter().try_for_each(|answer| wire.send(answer))?;
                    shared.tally.received(taken.resources, length);
                    match self.manner {
                        Manner::Honest => {
                            taken.changed.iter().for_each(|change| shared.tally.arrived(*change, at));
                            if !whole && self.held.is_whole() {
                                whole = true;
                                shared.tally.whole(since.elapsed());
                            }
                        }
                        Manner::Slow => sleep(SLOW).await,
                        Manner::Refusing => {}
                    }
                }
            }
        }
    }
}

/// A stream that is counted while it is open.
struct Open<'a>(&'a Tally);

impl<'a> Open<'a> {
    fn new(tally: &'a Tally) -> Self {
        tally.open.fetch_add(1, Relaxed);
        Self(tally)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
