//! gRPC below tonic: a body of shared frames with trailers.
//!
//! tonic's own encoder copies each response for each client; here responses are written as they are shared.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;

use super::hub::Cause;
use super::wire::Encoder;
use crate::metrics;
use crate::resource::ResourceType;

/// Compression flag and length.
pub(super) const PREFIX: usize = 5;

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
    use http_body_util::BodyExt;

    use super::super::message::{Body, Response};
    use super::super::wire::encode;
    use super::*;
    use crate::resource::{Parts, Resource};

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
