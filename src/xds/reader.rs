//! Reads length-prefixed messages, below tonic.
//!
//! Invariants: a message in the making holds no more than the limit, has [room] for what came of it if it is a larger
//! one (or lacks it for one frame), and is whole in time; whoever breaks the framing ends its own stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::bounds::pace;
use super::bounds::room::{self, Rooms};
use super::bounds::toll::Payer;
use super::grpc::PREFIX;
use super::request::DiscoveryMessage;
use crate::metrics;

/// The longest that a message waits for its first room: longer than those that have some may take.
const ROOM_PATIENCE: Duration = Duration::from_secs(60);

/// The longest that one waits for more, all in all: what it holds meanwhile is lost to others.
const HOLDING_PATIENCE: Duration = Duration::from_secs(10);

/// How fast one that has room has to come: so many bytes a second after a head start from its beginning. A window comes in each round trip, which
/// is as much over 250 ms.
const PACE: u32 = 256 << 10;
const HEAD_START: Duration = Duration::from_secs(5);

/// The largest message that never waits for what its tenant owes, in bytes: an ACK. What it costs is charged all the same.
const FREE: usize = 1 << 10;

/// How messages are taken in.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    /// The largest, in bytes.
    pub(super) limit: usize,
    /// The most names in one.
    pub(super) names: usize,
    /// How long one may take to be whole once it has begun, without the time in which it waits for room.
    pub(super) unfinished: Duration,
    /// Room for larger ones.
    pub(super) rooms: Rooms,
}

/// A message that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Incoming<M> {
    pub(super) message: M,
    /// How much work it was so far, in names: those that it says, or [bytes](pace::BYTES) that were looked through.
    pub(super) weight: u64,
}

/// Reads the messages of a request's body.
pub(super) struct MessageReader {
    body: tonic::body::Body,
    /// Who pays for what is read, if anyone does.
    payer: Option<Arc<Payer>>,
    unread: BytesMut,
    intake: Intake,
    making: Making,
    /// Room of the message that was given out last, until it is [done with](Self::done).
    last: Option<room::Taken>,
}

/// A message that has begun and is not whole.
#[derive(Default)]
struct Making {
    begun: Option<Instant>,
    room: Option<room::Taken>,
    waiting: Option<Waiting>,
    /// It is whole, and is paid for. It keeps its room meanwhile, which is its tenant's.
    paying: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// For how long it has waited for more room.
    held_up: Duration,
}

/// A place in the queue for room: kept when reading is cancelled.
struct Waiting {
    room: Pin<Box<dyn Future<Output = room::Taken> + Send>>,
    since: Instant,
    patience: Duration,
}

impl MessageReader {
    /// A reader of a body.
    pub(super) fn new(body: tonic::body::Body, intake: Intake) -> MessageReader {
        MessageReader { body, payer: None, unread: BytesMut::new(), intake, making: Making::default(), last: None }
    }

    /// Has somebody pay for messages before they are decoded.
    pub(super) fn paid_by(&mut self, payer: Arc<Payer>) {
        self.payer = Some(payer);
    }

    /// Completes when a message has begun, which means that its prefix is there, or when the client has ended its half.
    /// Cancelling loses nothing.
    ///
    /// # Errors
    /// What is to be said to the client as its stream ends.
    pub(super) async fn begins(&mut self) -> Result<(), Status> {
        while self.announced()?.is_none() {
            let Some(frame) = self.frame().await? else { break };
            self.keep(frame);
        }
        Ok(())
    }

    /// The message that was given out last has been worked on: nothing of it is held any more.
    pub(super) fn done(&mut self) {
        self.last = None;
    }

    /// Nothing more is read: nothing is held any more, however long the end takes.
    pub(super) fn end(&mut self) {
        (self.last, self.making, self.unread) = (None, Making::default(), BytesMut::new());
    }

    /// The next message; None when the client has ended its half. Cancelling loses nothing.
    ///
    /// # Errors
    /// What is to be said to the client as its stream ends.
    pub(super) async fn next<M: DiscoveryMessage>(&mut self) -> Result<Option<Incoming<M>>, Status> {
        self.done();
        loop {
            if let Some(len) = self.announced()?.filter(|len| self.unread.len() - PREFIX >= *len) {
                if len > FREE {
                    self.pay((len / pace::BYTES) as u64).await;
                }
                return self.take_message(len).map(Some);
            }
            self.find_room().await?;
            match self.frame().await? {
                None if self.unread.is_empty() => return Ok(None),
                None => return Err(malformed(Status::invalid_argument("the stream ended in the middle of a message"))),
                Some(frame) => self.keep(frame),
            }
        }
    }

    fn keep(&mut self, frame: Frame<Bytes>) {
        if let Ok(data) = frame.into_data() {
            self.unread.extend_from_slice(&data);
        }
    }

    /// The next frame of the body; in time, if a message has begun.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Status> {
        if self.unread.is_empty() {
            return self.body.frame().await.transpose();
        }
        let begun = *self.making.begun.get_or_insert_with(Instant::now);
        timeout_at(begun + self.allowed(), self.body.frame())
            .await
            .unwrap_or_else(|_| {
                metrics::stream_cut("unfinished");
                let seconds = begun.elapsed().as_secs_f64();
                Some(Err(Status::deadline_exceeded(format!("a request that began {seconds:.1} s ago is not whole"))))
            })
            .transpose()
    }

    /// How long the message that has begun may take, by what has come of it: whoever holds room has to make use of it.
    fn allowed(&self) -> Duration {
        let came = u32::try_from(self.unread.len()).unwrap_or(u32::MAX);
        let at_pace = HEAD_START + Duration::from_secs(1).mul_f64(f64::from(came) / f64::from(PACE));
        if self.making.room.is_some() { self.intake.unfinished.min(at_pace) } else { self.intake.unfinished }
    }

    /// Waits until there is room for what comes next of the message that has begun, if it needs any.
    async fn find_room(&mut self) -> Result<(), Status> {
        let Some(whole) = self.announced()?.map(|len| PREFIX + len) else { return Ok(()) };
        if self.making.waiting.is_none() {
            let has = self.making.room.as_ref().map_or(room::SMALL, room::Taken::bytes);
            if whole <= has || self.unread.len() < has {
                return Ok(());
            }
            let left = HOLDING_PATIENCE.saturating_sub(self.making.held_up);
            let patience = if self.making.room.is_some() { left } else { ROOM_PATIENCE };
            let mut room = Box::pin(self.intake.rooms.take(self.making.room.take(), whole));
            let at_once = tokio::select! {
                biased;
                room = room.as_mut() => Some(room),
                () = std::future::ready(()) => None,
            };
            if let Some(room) = at_once {
                self.has_room(room);
                return Ok(());
            }
            metrics::requests_delayed();
            self.making.waiting = Some(Waiting { room, since: Instant::now(), patience });
        }
        let Some(Waiting { room, since, patience }) = &mut self.making.waiting else { return Ok(()) };
        let Ok(room) = timeout_at(*since + *patience, room).await else {
            metrics::stream_cut("no_room");
            return Err(Status::resource_exhausted("too many large requests are arriving: try again later"));
        };
        // The client was not read meanwhile, so that is none of its time.
        let waited = since.elapsed();
        self.making.begun = self.making.begun.map(|begun| begun + waited);
        if *patience < ROOM_PATIENCE {
            self.making.held_up += waited;
        }
        self.making.waiting = None;
        self.has_room(room);
        Ok(())
    }

    fn has_room(&mut self, room: room::Taken) {
        self.unread.reserve(room.bytes().saturating_sub(self.unread.len()));
        self.making.room = Some(room);
    }

    /// The length of the message that has begun, once its prefix is there.
    fn announced(&self) -> Result<Option<usize>, Status> {
        let Some((head, _)) = self.unread.split_at_checked(PREFIX) else { return Ok(None) };
        if head[0] != 0 {
            return Err(malformed(Status::unimplemented("compressed messages are not supported")));
        }
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if len > self.intake.limit {
            metrics::stream_cut("too_large");
            let limit = self.intake.limit;
            return Err(Status::resource_exhausted(format!("a message of {len} bytes; at most {limit} are read")));
        }
        Ok(Some(len))
    }

    async fn pay(&mut self, weight: u64) {
        let Some(payer) = &self.payer else { return };
        self.making.paying.get_or_insert_with(|| Box::pin(payer.pay(weight))).await;
    }

    fn take_message<M: DiscoveryMessage>(&mut self, len: usize) -> Result<Incoming<M>, Status> {
        self.unread.advance(PREFIX);
        let message = M::read(self.unread.split_to(len).freeze(), self.intake.names);
        self.last = std::mem::take(&mut self.making).room;
        if self.last.is_some() || self.unread.is_empty() {
            // A stream that once sent a large message does not hold its memory. What follows is a frame at most, and would
            // otherwise keep all that it came behind.
            self.unread = BytesMut::from(&self.unread[..]);
        }
        let message = message?;
        let (read, names) = ((len / pace::BYTES) as u64, message.names() as u64);
        let paid = if len > FREE { read } else { 0 };
        let weight = names.max(read);
        if let Some(payer) = &self.payer {
            payer.charge(weight.saturating_sub(paid));
        }
        Ok(Incoming { message, weight })
    }
}

fn malformed(status: Status) -> Status {
    metrics::stream_cut("malformed");
    status
}

#[cfg(test)]
mod tests;
