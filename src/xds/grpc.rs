//! gRPC below tonic: reading length-prefixed messages, and a body of shared frames with trailers.
//!
//! tonic's own encoder copies each response for each client; here responses are written as they are shared.
//!
//! Invariants: a message in the making holds no more than the limit, has [room](super::room) if it is a larger one, and is
//! whole in time; whoever breaks the framing ends its own stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tonic::Status;

use super::hub::Cause;
use super::request::DiscoveryMessage;
use super::room::{self, Rooms};
use super::wire::Encoder;
use crate::metrics;
use crate::resource::ResourceType;

/// Compression flag and length.
pub(super) const PREFIX: usize = 5;

/// The longest that a message waits for room: longer than those that have it may take.
const ROOM_PATIENCE: Duration = Duration::from_secs(60);

/// How fast one that has room has to come: so many bytes a second after a head start. A window comes in each round trip, which
/// is as much over 250 ms.
const PACE: u32 = 256 << 10;
const HEAD_START: Duration = Duration::from_secs(5);

/// How messages are taken in.
#[derive(Debug, Clone)]
pub(super) struct Intake {
    /// The largest, in bytes.
    pub(super) limit: usize,
    /// The most names in one.
    pub(super) names: usize,
    /// How long one may take to be whole, once it has begun and has room.
    pub(super) unfinished: Duration,
    /// Room for larger ones.
    pub(super) rooms: Rooms,
}

/// Reads the messages of a request's body.
pub(super) struct MessageReader {
    body: tonic::body::Body,
    unread: BytesMut,
    intake: Intake,
    making: Making,
    /// Room of the message that was given out last, until the next one is asked for.
    last: Option<room::Taken>,
}

/// A place in the queue for room: kept when reading is cancelled.
type Waiting = Pin<Box<dyn Future<Output = room::Taken> + Send>>;

/// A message that has begun and is not whole.
#[derive(Default)]
struct Making {
    begun: Option<tokio::time::Instant>,
    room: Option<room::Taken>,
    /// It waits for room, until this moment.
    waiting: Option<(Waiting, tokio::time::Instant)>,
}

impl MessageReader {
    /// A reader of a body.
    pub(super) fn new(body: tonic::body::Body, intake: Intake) -> MessageReader {
        MessageReader { body, unread: BytesMut::new(), intake, making: Making::default(), last: None }
    }

    /// The next message; None when the client has ended its half. Cancelling loses nothing.
    ///
    /// # Errors
    /// What is to be said to the client as its stream ends.
    pub(super) async fn next<M: DiscoveryMessage>(&mut self) -> Result<Option<M>, Status> {
        self.last = None;
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            self.find_room().await?;
            match self.frame().await? {
                None if self.unread.is_empty() => return Ok(None),
                None => return Err(malformed(Status::invalid_argument("the stream ended in the middle of a message"))),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.unread.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// The next frame of the body; in time, if a message has begun.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Status> {
        if self.unread.is_empty() {
            return self.body.frame().await.transpose();
        }
        let begun = *self.making.begun.get_or_insert_with(tokio::time::Instant::now);
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

    /// Waits until there is room for the message that has begun, if it needs any.
    async fn find_room(&mut self) -> Result<(), Status> {
        let Some(len) = self.announced()?.filter(|len| *len > room::SMALL && self.making.room.is_none()) else {
            return Ok(());
        };
        if self.making.waiting.is_none() {
            let mut room: Waiting = Box::pin(self.intake.rooms.take(len));
            let at_once = tokio::select! {
                biased;
                room = room.as_mut() => Some(room),
                () = std::future::ready(()) => None,
            };
            if let Some(room) = at_once {
                self.has_room(room, len);
                return Ok(());
            }
            metrics::requests_delayed();
            self.making.waiting = Some((room, tokio::time::Instant::now() + ROOM_PATIENCE));
        }
        let Some((room, until)) = &mut self.making.waiting else { return Ok(()) };
        let Ok(room) = timeout_at(*until, room).await else {
            metrics::stream_cut("no_room");
            return Err(Status::resource_exhausted("too many large requests are arriving: try again later"));
        };
        self.has_room(room, len);
        Ok(())
    }

    fn has_room(&mut self, room: room::Taken, len: usize) {
        // The client was not read meanwhile, so its time begins now.
        self.making = Making { room: Some(room), ..Making::default() };
        self.unread.reserve((PREFIX + len).saturating_sub(self.unread.len()));
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

    fn take_message<M: DiscoveryMessage>(&mut self) -> Result<Option<M>, Status> {
        let Some(len) = self.announced()?.filter(|len| self.unread.len() - PREFIX >= *len) else { return Ok(None) };
        self.unread.advance(PREFIX);
        let message = M::read(self.unread.split_to(len).freeze(), self.intake.names);
        if self.unread.is_empty() {
            // A stream that once sent a large message does not hold its memory.
            self.unread = BytesMut::new();
        }
        self.last = std::mem::take(&mut self.making).room;
        message.map(Some)
    }
}

fn malformed(status: Status) -> Status {
    metrics::stream_cut("malformed");
    status
}

/// One response on its way to the socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) kind: ResourceType,
    pub(super) message: Encoder,
    /// What caused it, if that is to be measured.
    pub(super) cause: Option<Cause>,
}

/// What a stream writes: responses, then its end.
#[derive(Debug)]
pub(super) enum Written {
    /// A response. In a box: the queue has room for many, and is seldom used.
    Response(Box<Outgoing>),
    /// The stream is over.
    End(Status),
}

/// How many bytes of a stream were taken to the socket: whether its client reads at all. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<AtomicU64>);

impl Taken {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body of a stream's answer.
pub(super) struct ResponseBody {
    queue: mpsc::Receiver<Written>,
    taken: Taken,
    /// The response that is being written: frame by frame, as they are taken.
    response: Option<Box<Outgoing>>,
    /// Bytes of the frame that was handed over: until the next one is asked for, the client may have no window for it.
    handed_over: usize,
    ended: bool,
}

impl ResponseBody {
    /// A body that writes what comes through `queue`.
    pub(super) fn new(queue: mpsc::Receiver<Written>, taken: Taken) -> ResponseBody {
        ResponseBody { queue, taken, response: None, handed_over: 0, ended: false }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let handed_over = std::mem::take(&mut self.handed_over);
        self.taken.0.fetch_add(handed_over as u64, Ordering::Relaxed);
        loop {
            if let Some(frame) = self.response.as_mut().and_then(|response| response.message.next()) {
                self.handed_over = frame.len();
                let written = self.response.take_if(|response| response.message.left() == 0);
                if let Some(Outgoing { kind, cause: Some(Cause { arrived, published }), .. }) = written.as_deref() {
                    let now = Instant::now();
                    metrics::propagated(kind.short(), now.saturating_duration_since(*arrived));
                    metrics::propagation_stage("write", now.saturating_duration_since(*published));
                }
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.queue.poll_recv(context)) {
                Some(Written::Response(response)) => self.response = Some(response),
                end => {
                    self.ended = true;
                    let status = match end {
                        Some(Written::End(status)) => status,
                        _ => Status::internal("the stream's task is gone"),
                    };
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
                }
            }
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // Only a message that no header can hold; the code says enough.
        headers.clear();
        headers.insert(Status::GRPC_STATUS, http::HeaderValue::from(status.code() as i32));
    }
    headers
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use prost::Message;
    use tonic::Code;

    use super::super::message::{Body, Response};
    use super::super::request::DiscoveryRequest;
    use super::super::room::Room;
    use super::super::wire::encode;
    use super::*;
    use crate::resource::{Parts, Resource};

    fn framed(message: &impl Message) -> Vec<u8> {
        let body = message.encode_to_vec();
        let mut out = vec![0];
        out.extend_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    fn rooms(of_process: &Room) -> Rooms {
        let ample = || Room::new(1 << 20);
        Rooms { of_connection: ample(), of_identity: ample(), of_process: of_process.clone() }
    }

    fn intake(limit: usize) -> Intake {
        Intake { limit, names: 100, unfinished: Duration::from_secs(30), rooms: rooms(&Room::new(1 << 20)) }
    }

    fn reader(bytes: Vec<u8>) -> MessageReader {
        MessageReader::new(tonic::body::Body::new(Full::new(Bytes::from(bytes))), intake(100))
    }

    async fn failure(bytes: Vec<u8>) -> Code {
        reader(bytes).next::<DiscoveryRequest>().await.expect_err("bad bytes").code()
    }

    #[tokio::test]
    async fn messages_are_read_however_they_are_cut() {
        let request = |nonce: &str| DiscoveryRequest { response_nonce: nonce.into(), ..Default::default() };
        let bytes = [framed(&request("a")), framed(&request("b"))].concat();
        for size in 1..bytes.len() {
            let frames: Vec<_> =
                bytes.chunks(size).map(|cut| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(cut)))).collect();
            let body = tonic::body::Body::new(StreamBody::new(tokio_stream::iter(frames)));
            let mut reader = MessageReader::new(body, intake(100));
            for nonce in ["a", "b"] {
                assert_eq!(reader.next().await.expect("valid"), Some(request(nonce)));
            }
            assert_eq!(reader.next::<DiscoveryRequest>().await.expect("valid"), None);
        }
    }

    #[tokio::test]
    async fn bad_framing_is_an_error_that_says_what_is_wrong() {
        assert_eq!(failure(vec![1, 0, 0, 0, 0]).await, Code::Unimplemented);
        assert_eq!(failure(vec![0, 0, 0, 0, 101]).await, Code::ResourceExhausted);
        assert_eq!(failure(vec![0, 255, 255, 255, 255]).await, Code::ResourceExhausted);
        assert_eq!(failure(vec![0, 0, 0, 0, 4, 1]).await, Code::InvalidArgument);
        assert_eq!(failure(vec![0, 0, 0, 0, 2, 0xff, 0xff]).await, Code::InvalidArgument);
    }

    #[tokio::test(start_paused = true)]
    async fn bounded_a_message_that_is_never_whole_ends_in_time() {
        let begun = framed(&DiscoveryRequest { response_nonce: "a".into(), ..Default::default() });
        for cut in [1, PREFIX, begun.len() - 1] {
            let first = Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(&begun[..cut])));
            let (sender, frames) = mpsc::channel(1);
            sender.send(first).await.expect("open");
            let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
            let mut reader = MessageReader::new(tonic::body::Body::new(body), intake(100));
            let start = tokio::time::Instant::now();
            // Cancelled again and again, as a stream does that has other things to do.
            let ended = loop {
                match tokio::time::timeout(Duration::from_secs(7), reader.next::<DiscoveryRequest>()).await {
                    Ok(ended) => break ended,
                    Err(_) => assert!(start.elapsed() < Duration::from_secs(60), "it waits for ever"),
                }
            };
            assert_eq!(ended.expect_err("never whole").code(), Code::DeadlineExceeded);
            assert_eq!(start.elapsed(), Duration::from_secs(30));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bounded_a_large_message_waits_for_room_and_small_ones_pass() {
        let large = framed(&DiscoveryRequest { response_nonce: "x".repeat(40 << 10), ..Default::default() });
        let small = framed(&DiscoveryRequest { response_nonce: "a".into(), ..Default::default() });
        let process = Room::new(60 << 10);
        let reader = |bytes: &[u8]| {
            let intake = Intake { rooms: rooms(&process), ..intake(1 << 20) };
            let cut: Vec<_> =
                bytes.chunks(16 << 10).map(|cut| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(cut)))).collect();
            MessageReader::new(tonic::body::Body::new(StreamBody::new(tokio_stream::iter(cut))), intake)
        };
        let (mut one, mut two, mut three) = (reader(&large), reader(&large), reader(&small));
        assert!(one.next::<DiscoveryRequest>().await.expect("room").is_some());
        let waits = tokio::time::timeout(Duration::from_secs(5), two.next::<DiscoveryRequest>()).await;
        assert!(waits.is_err(), "the first one is not done with");
        assert!(three.next::<DiscoveryRequest>().await.expect("small").is_some());
        assert!(one.next::<DiscoveryRequest>().await.expect("the end").is_none());
        assert!(two.next::<DiscoveryRequest>().await.expect("room").is_some());
        let mut four = reader(&large);
        let start = tokio::time::Instant::now();
        let refused = four.next::<DiscoveryRequest>().await.expect_err("the second one is not done with");
        assert_eq!((refused.code(), start.elapsed()), (Code::ResourceExhausted, ROOM_PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn bounded_a_message_that_has_room_has_to_come_at_a_pace() {
        for (each, seconds) in [(0, 5), (PACE / 2, 9), (PACE, 30)] {
            let (sender, frames) = mpsc::channel(1);
            let begins = [&[0][..], &(64_u32 << 20).to_be_bytes()].concat();
            tokio::spawn(async move {
                let mut next = Bytes::from(begins);
                while sender.send(Ok::<_, Status>(Frame::data(next))).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    next = Bytes::from(vec![0; each as usize]);
                }
            });
            let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames));
            let mut reader = MessageReader::new(tonic::body::Body::new(body), intake(64 << 20));
            let start = tokio::time::Instant::now();
            let ended = reader.next::<DiscoveryRequest>().await.expect_err("never whole");
            assert_eq!((ended.code(), start.elapsed().as_secs()), (Code::DeadlineExceeded, seconds));
        }
    }

    #[tokio::test]
    async fn a_body_writes_a_response_frame_by_frame_and_then_the_status() {
        let (sender, queue) = mpsc::channel(4);
        let cluster = |at: usize| Resource::new(ResourceType::Cluster, format!("c{at}"), Parts::leaf(vec![7; 400]), []);
        let resources = (0..100).map(|at| Arc::new(cluster(at))).collect();
        let body = Body::Delta { resources, removed: vec![] };
        let response = Response { kind: ResourceType::Cluster, nonce: "s-1".into(), body };
        let expected = encode(&response).expect("fits");
        let message = Encoder::new(response).expect("fits");
        let outgoing = Outgoing { kind: ResourceType::Cluster, message, cause: None };
        sender.send(Written::Response(Box::new(outgoing))).await.expect("open");
        sender.send(Written::End(Status::unavailable("not yet"))).await.expect("open");
        let taken = Taken::default();
        let mut body = ResponseBody::new(queue, taken.clone());
        let mut data: Vec<Bytes> = vec![];
        let trailers = loop {
            let all_but_the_last = data.iter().rev().skip(1).map(Bytes::len).sum::<usize>();
            assert_eq!(taken.count(), all_but_the_last as u64, "the last one may be on its way");
            let frame = body.frame().await.expect("not ended").expect("no error");
            match frame.into_data() {
                Ok(bytes) => data.push(bytes),
                Err(frame) => break frame.into_trailers().expect("trailers"),
            }
        };
        assert!(data.len() > 2 && data == expected, "{} frames", data.len());
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"14".parse().unwrap(), &"not%20yet".parse().unwrap())
        );
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_task_that_vanishes_ends_the_stream_with_an_error() {
        let (sender, queue) = mpsc::channel::<Written>(1);
        drop(sender);
        let frame = ResponseBody::new(queue, Taken::default()).frame().await.expect("not ended").expect("no error");
        assert_eq!(frame.into_trailers().expect("trailers")["grpc-status"], "13");
    }
}
