//! One stream: the task that feeds a [session](super::session) with requests, snapshots and time, and writes what it
//! answers.
//!
//! Invariant: whatever a client does, it costs its own stream: its requests are read one at a time, at most one
//! response for each type waits to be written, and an error ends this stream alone.

mod live;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::Status;
use tracing::info;

use self::live::Live;
use super::access::Access;
use super::bounds::names::Names;
use super::bounds::pace::{Pace, Unread};
use super::bounds::toll::Payer;
use super::client::ClientName;
use super::connection::{Bounds, Peer};
use super::grpc::{Taken, Written};
use super::hub::{Hub, Introduction, now};
use super::message::Request;
use super::node::NodeInfo;
use super::reader::{Incoming, MessageReader};
use super::request::DiscoveryMessage;
use super::session::Limits;
use crate::metrics;

/// Bounds of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The largest request that is read, in bytes. A reconnect names every resource that the client holds (rule 34).
    pub max_request: usize,
    /// Bytes of all requests that are larger than some KiB and not whole yet; others wait to be read.
    pub pending_requests: usize,
    /// How long a request that has begun may take to be whole.
    pub unfinished_request: Duration,
    /// Streams of one identity off loopback.
    pub streams_per_identity: usize,
    /// How long a client that comes before the first publication is held unanswered.
    pub patience: Duration,
    /// How long an opened stream may stay without its first request: until the prefix of it is there.
    pub first_request: Duration,
    /// The longest that a client may leave what it was sent unread.
    pub unread: Duration,
    /// Requests a second that are read of a stream, and ten times as many at once; more are read later.
    pub requests_per_second: u32,
    /// What the names of all streams of one tenant may take together, in bytes.
    pub name_bytes: usize,
    /// Bounds of the session.
    pub session: Limits,
    /// Bounds of connections.
    pub connection: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            // 100,000 names of 100 bytes with their versions.
            max_request: 16 << 20,
            // Four of the largest at once, or those of 1,600 Envoys that hold 400 names each.
            pending_requests: 64 << 20,
            unfinished_request: Duration::from_secs(30),
            // Half of the connections: whoever has one identity for a larger fleet says so.
            streams_per_identity: 10_000,
            patience: Duration::from_secs(5),
            first_request: Duration::from_secs(30),
            unread: Duration::from_secs(60),
            // An Envoy answers each response once, and asks for names as clusters come.
            requests_per_second: 200,
            // Those of 20,000 Envoys that want 4,000 names each that there are.
            name_bytes: 2 << 30,
            session: Limits::default(),
            connection: Bounds::default(),
        }
    }
}

/// What a stream's task needs.
pub(super) struct Stream {
    pub(super) hub: Arc<Hub>,
    pub(super) settings: Arc<Settings>,
    pub(super) access: Arc<Access>,
    pub(super) peer: Peer,
    pub(super) reader: MessageReader,
    pub(super) queue: mpsc::Sender<Written>,
    pub(super) taken: Taken,
}

/// A request that was more work to read than this, in names, lets others go first before it is worked on: by then about a
/// millisecond is over.
const YIELDS: u64 = 1_000;

/// The most that waits to be written: one response for each type, and the end.
pub(super) const QUEUE: usize = crate::resource::ResourceType::COUNT + 1;

impl Stream {
    /// Serves the stream until it ends. No `async fn`: one keeps its arguments twice, for as long as it runs.
    pub(super) fn run<M: DiscoveryMessage>(mut self) -> impl Future<Output = ()> {
        let queue = self.queue.clone();
        async move {
            tokio::select! {
                () = self.serve_to_the_end::<M>() => {}
                // The client has gone, or has taken the end.
                () = queue.closed() => {}
            }
        }
    }

    async fn serve_to_the_end<M: DiscoveryMessage>(&mut self) {
        let (identity, limit) = (&self.peer.identity, self.settings.streams_per_identity);
        // Until nothing is left of the stream: what was not taken is still held for it.
        let counted = self.hub.census.enter(identity, self.peer.address.ip(), limit);
        let served = match &counted {
            Ok(counted) => {
                let payer = Arc::new(counted.pays(self.settings.requests_per_second));
                self.reader.paid_by(payer.clone());
                let names = counted.names(self.settings.name_bytes);
                self.serve::<M>(&payer, names).await
            }
            Err(full) => {
                metrics::stream_unserved("too_many_streams");
                Err(Status::resource_exhausted(format!("too many streams: {full}")))
            }
        };
        self.reader.end();
        let end = Written::End(served.err().unwrap_or_else(|| Status::ok("")));
        if tokio::time::timeout(self.settings.unread, self.queue.send(end)).await.is_ok() {
            self.untaken().await;
        }
        self.peer.cut_off();
    }

    /// Completes when nothing is taken any more of what was written.
    async fn untaken(&mut self) {
        let mut before = None;
        loop {
            let taken = self.taken.count();
            if before.replace(taken) == Some(taken) {
                return;
            }
            tokio::time::sleep(self.settings.unread).await;
        }
    }

    async fn serve<M: DiscoveryMessage>(&mut self, payer: &Arc<Payer>, names: Names) -> Result<(), Status> {
        let Some((mut talk, first, weight)) = self.open::<M>(payer, names).await? else { return Ok(()) };
        let heard = talk.hear(first, weight);
        self.reader.done();
        let ended = match heard {
            Ok(()) => self.follow::<M>(&mut talk).await,
            Err(status) => Err(status),
        };
        let live = &talk.live;
        let reason = ended.as_ref().err().map_or("ended by the client", |status| status.message());
        let (node_id, gateway, stream) = (live.seat.node_id(), live.seat.gateway(), live.seat.stream);
        info!(%node_id, %gateway, stream, reason, seconds = live.opened.elapsed().as_secs(), "stream closed");
        ended
    }

    /// A session for the client of the first request, and that request with its weight; None if there is none. Apart from what follows,
    /// so that nothing of this takes memory for as long as the stream is open.
    async fn open<M: DiscoveryMessage>(
        &mut self,
        payer: &Arc<Payer>,
        names: Names,
    ) -> Result<Option<(Talk, Option<Request>, u64)>, Status> {
        payer.pay_for_opening().await;
        let begins = tokio::time::timeout(self.settings.first_request, self.reader.begins());
        let no_request = |_| {
            metrics::stream_cut("no_request");
            Status::deadline_exceeded("no request came")
        };
        begins.await.map_err(no_request)??;
        // One that has begun has its own clocks: it may have to wait for room, which is not the client's fault.
        let Some(Incoming { message: mut first, weight }) = self.reader.next::<M>().await? else {
            return Ok(None);
        };
        let node = first.take_node();
        let about = node.as_ref().map(NodeInfo::of).unwrap_or_default();
        let name = ClientName::from_node(node).inspect_err(|_| metrics::stream_unserved("bad_node"))?;
        self.access.permits(&self.peer.identity, &name.gateway)?;
        let first = first.into_request()?;
        self.hub.complete(self.settings.patience).await?;
        let peer = self.peer.address;
        let identity = arcstr::format!("{}", self.peer.identity);
        let client = Introduction { name: name.clone(), node: about, identity, variant: M::VARIANT, peer };
        let seat = self.hub.join(client, now())?;
        let (node_id, gateway, variant) = (name.node_id, name.gateway, M::VARIANT.as_str());
        let stream = seat.stream;
        info!(%node_id, %gateway, %peer, variant, stream, "stream opened");
        let unread = Unread::new(self.settings.unread, self.taken.clone());
        let live = Live::new(seat, &self.peer, M::VARIANT, self.settings.session, self.queue.clone(), unread);
        if weight > YIELDS {
            tokio::task::yield_now().await;
        }
        let pace = Pace::new(self.settings.requests_per_second, now());
        Ok(Some((Talk { live, pace, payer: payer.clone(), names }, first, weight)))
    }

    async fn follow<M: DiscoveryMessage>(&mut self, talk: &mut Talk) -> Result<(), Status> {
        let (hub, stream, mut peer) = (self.hub.clone(), talk.live.seat.stream, self.peer.clone());
        tokio::select! {
            ended = self.converse::<M>(talk) => ended,
            () = hub.drained(stream) => Err(Status::unavailable("this replica is shutting down")),
            () = peer.too_old() => Err(Status::unavailable("this connection is old: open another one")),
        }
    }

    async fn converse<M: DiscoveryMessage>(&mut self, talk: &mut Talk) -> Result<(), Status> {
        let client = talk.live.seat.client.clone();
        talk.live.tell(talk.live.cause).await?;
        loop {
            if talk.live.unread.is_over(now()) {
                return Err(talk.live.cut_off());
            }
            let paused = talk.pace.paused(now());
            let deadline = talk.live.deadline().into_iter().chain(paused).min();
            let tick = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let live = &mut talk.live;
            // Nothing is awaited in here: a request would take memory all the time.
            let (request, cause) = tokio::select! {
                request = self.reader.next::<M>(), if paused.is_none() => {
                    let Some(Incoming { message, weight }) = request? else { return Ok(()) };
                    (Some((message.into_request()?.map(Box::new), weight)), live.cause)
                }
                () = live.seat.changed() => {
                    live.on_update();
                    (None, live.cause)
                }
                () = tick => {
                    live.on_tick();
                    // What waits for a clock is late by intent.
                    (None, None)
                }
                () = client.asked() => {
                    live.seat.answer(|| live.session.holdings());
                    continue;
                }
            };
            if let Some((request, weight)) = request {
                if weight > YIELDS {
                    tokio::task::yield_now().await;
                }
                let heard = talk.hear(request.map(|request| *request), weight);
                // It may be long until another one is asked for.
                self.reader.done();
                heard?;
            }
            talk.live.tell(cause).await?;
        }
    }
}

/// A stream that is served, and what its requests cost.
struct Talk {
    live: Live,
    pace: Pace,
    payer: Arc<Payer>,
    names: Names,
}

impl Talk {
    /// A request was read that was so much work until here; None if its type is not one that we serve.
    fn hear(&mut self, request: Option<Request>, weight: u64) -> Result<(), Status> {
        self.pace.count(now());
        self.pace.charge(weight);
        let Some(request) = request else { return Ok(()) };
        let before = self.live.session.work();
        let (heard, refused) = self.live.hear(request);
        let more = (self.live.session.work() - before).saturating_sub(weight) + refused;
        self.pace.charge(more);
        self.payer.charge(more);
        heard?;
        self.names.take(self.live.session.bytes_of_names()).map_err(|too_much| {
            metrics::stream_cut("names_of_namespace");
            Status::resource_exhausted(too_much.to_string())
        })
    }
}
