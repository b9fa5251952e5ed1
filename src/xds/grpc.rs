//! gRPC below tonic: reading length-prefixed messages, and a body of shared frames with trailers.
//!
//! tonic's own encoder copies each response for each client; here responses are written as they are shared.
//!
//! Invariant: a message in the making holds no more than the limit, and whoever breaks the framing ends its own
//! stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tonic::Status;

use crate::metrics;
use crate::resource::ResourceType;

/// Compression flag and length.
const PREFIX: usize = 5;

/// Reads the messages of a request's body.
pub(super) struct MessageReader {
    body: tonic::body::Body,
    unread: BytesMut,
    limit: usize,
}

impl MessageReader {
    /// A reader of messages of at most `limit` bytes.
    pub(super) fn new(body: tonic::body::Body, limit: usize) -> MessageReader {
        MessageReader { body, unread: BytesMut::new(), limit }
    }

    /// The next message; None when the client has ended its half. Cancelling loses nothing.
    ///
    /// # Errors
    /// What is to be said to the client as its stream ends.
    pub(super) async fn next<M: prost::Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                None if self.unread.is_empty() => return Ok(None),
                None => return Err(Status::invalid_argument("the stream ended in the middle of a message")),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.unread.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn take_message<M: prost::Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some((head, rest)) = self.unread.split_at_checked(PREFIX) else { return Ok(None) };
        if head[0] != 0 {
            return Err(Status::unimplemented("compressed messages are not supported"));
        }
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if len > self.limit {
            let limit = self.limit;
            return Err(Status::resource_exhausted(format!("a message of {len} bytes; at most {limit} are read")));
        }
        if rest.len() < len {
            return Ok(None);
        }
        self.unread.advance(PREFIX);
        let message = M::decode(self.unread.split_to(len).freeze());
        if self.unread.is_empty() {
            // A stream that once sent a large message does not hold its memory.
            self.unread = BytesMut::new();
        }
        message.map(Some).map_err(|error| Status::invalid_argument(format!("not a discovery request: {error}")))
    }
}

/// One response on its way to the socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) kind: ResourceType,
    pub(super) frames: Vec<Bytes>,
    /// When the event that caused it arrived at its source.
    pub(super) arrived: Option<Instant>,
}

/// What a stream writes: responses, then its end.
#[derive(Debug)]
pub(super) enum Written {
    /// A response.
    Response(Outgoing),
    /// The stream is over.
    End(Status),
}

/// How many frames of a stream were taken to the socket: whether its client reads at all. Clones count together.
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
    frames: VecDeque<Bytes>,
    /// Of the response that `frames` belong to.
    source: Option<(ResourceType, Instant)>,
    ended: bool,
}

impl ResponseBody {
    /// A body that writes what comes through `queue`.
    pub(super) fn new(queue: mpsc::Receiver<Written>, taken: Taken) -> ResponseBody {
        ResponseBody { queue, taken, frames: VecDeque::new(), source: None, ended: false }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                self.taken.0.fetch_add(1, Ordering::Relaxed);
                if self.frames.is_empty()
                    && let Some((kind, arrived)) = self.source.take()
                {
                    metrics::propagated(kind.short(), arrived.elapsed());
                }
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.queue.poll_recv(context)) {
                Some(Written::Response(response)) => {
                    self.source = response.arrived.map(|arrived| (response.kind, arrived));
                    self.frames = response.frames.into();
                }
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
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
    use http_body_util::{Full, StreamBody};
    use prost::Message;
    use tonic::Code;

    use super::*;

    fn framed(message: &impl Message) -> Vec<u8> {
        let body = message.encode_to_vec();
        let mut out = vec![0];
        out.extend_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    fn reader(bytes: Vec<u8>) -> MessageReader {
        MessageReader::new(tonic::body::Body::new(Full::new(Bytes::from(bytes))), 100)
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
            let mut reader = MessageReader::new(body, 100);
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

    #[tokio::test]
    async fn a_body_writes_its_frames_and_then_the_status() {
        let (sender, queue) = mpsc::channel(4);
        let frames = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let response = Outgoing { kind: ResourceType::Cluster, frames, arrived: Some(Instant::now()) };
        sender.send(Written::Response(response)).await.expect("open");
        sender.send(Written::End(Status::unavailable("not yet"))).await.expect("open");
        let mut body = ResponseBody::new(queue, Taken::default());
        let mut data = vec![];
        let trailers = loop {
            let frame = body.frame().await.expect("not ended").expect("no error");
            match frame.into_data() {
                Ok(bytes) => data.push(bytes),
                Err(frame) => break frame.into_trailers().expect("trailers"),
            }
        };
        assert_eq!(data, ["one", "two"]);
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
