//! A stream with a session: what it hears, what it writes, and what is noted of it.

use std::sync::Arc;
use std::time::Instant;

use arcstr::ArcStr;
use tokio::sync::mpsc;
use tonic::Status;
use tracing::warn;

use crate::metrics;
use crate::snapshot::Snapshot;
use crate::xds::bounds::pace::{self, Lines, Unread};
use crate::xds::connection::Peer;
use crate::xds::grpc::{Outgoing, Written};
use crate::xds::hub::{Cause, Published, Seat, Start, now};
use crate::xds::message::{Request, Variant};
use crate::xds::session::{Answer, Limits, Refusal, Session};
use crate::xds::wire::Encoder;

/// A stream with a session. However it ends, what it leaves unknown is remembered.
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) seat: Seat,
    peer: Peer,
    queue: mpsc::Sender<Written>,
    pub(super) unread: Unread,
    pub(super) opened: Instant,
    /// When the Gateway, which is deleted, is emptied.
    ends: Option<Instant>,
    gateway: Arc<Snapshot>,
    /// Of the oldest change that this client has not been told all about.
    pub(super) cause: Option<Cause>,
    acknowledged: bool,
    /// NACKs in the log.
    lines: Lines,
}

impl Live {
    pub(super) fn new(
        mut seat: Seat,
        peer: &Peer,
        variant: Variant,
        limits: Limits,
        queue: mpsc::Sender<Written>,
        unread: Unread,
    ) -> Live {
        metrics::stream_opened(variant.as_str());
        let Start { published, past, doubts } = *seat.take_start().expect("a seat begins once");
        let Published { snapshot, ends, .. } = published;
        let session = Session::new(variant, seat.nonce_prefix(), &snapshot, limits, doubts).remembering(past);
        Live {
            session,
            seat,
            peer: peer.clone(),
            queue,
            unread,
            opened: now(),
            ends,
            gateway: snapshot,
            cause: None,
            acknowledged: false,
            lines: Lines::default(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.session.next_deadline(now()), self.ends, self.unread.deadline()].into_iter().flatten().min()
    }

    /// A request came. Gives how much work its NACK was, in names, if it is one.
    pub(super) fn hear(&mut self, request: Request) -> (Result<(), Status>, u64) {
        let is_bounded = self.session.on_request(request, now());
        let answers = self.session.poll_answers();
        let refused = answers.iter().map(|answer| self.note(answer)).sum();
        let heard = is_bounded.map_err(|error| {
            metrics::stream_cut("too_many_names");
            Status::resource_exhausted(error.to_string())
        });
        (heard, refused)
    }

    /// The Gateway's configuration changed.
    pub(super) fn on_update(&mut self) {
        let Some(Published { snapshot, ends, cause }) = self.seat.current() else { return };
        self.ends = ends;
        self.cause = self.cause.or(cause);
        self.gateway = snapshot;
        self.session.on_snapshot(&self.gateway, now());
    }

    /// Time passed.
    pub(super) fn on_tick(&mut self) {
        if self.ends.is_some_and(|ends| now() >= ends) {
            self.ends = None;
            self.gateway = Arc::new(Snapshot::empty(self.gateway.gateway().clone()));
            self.session.on_snapshot(&self.gateway, now());
        }
        self.session.on_tick(now());
    }

    /// Writes what is to be said, which `cause` caused.
    pub(super) async fn tell(&mut self, cause: Option<Cause>) -> Result<(), Status> {
        self.write(cause).await?;
        if cause.is_some() && self.session.has_told_all() {
            self.cause = None;
        }
        self.seat.show(self.session.progress());
        Ok(())
    }

    async fn write(&mut self, cause: Option<Cause>) -> Result<(), Status> {
        for response in self.session.poll_responses() {
            let (kind, resources) = (response.kind, response.resources().len());
            let message = Encoder::new(response)?;
            let bytes = message.left();
            self.unread.wrote(bytes, now());
            metrics::pushed(kind.short(), bytes, resources);
            self.seat.wrote(bytes);
            let outgoing = Box::new(Outgoing { kind, message, cause });
            let sent = tokio::time::timeout(self.unread.limit, self.queue.send(Written::Response(outgoing))).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Status::cancelled("the client has gone")),
                Err(_) => return Err(self.cut_off()),
            }
        }
        Ok(())
    }

    /// The client does not read: nothing can be said to it, and the stream's end least of all.
    pub(super) fn cut_off(&self) -> Status {
        self.peer.cut_off();
        Status::deadline_exceeded("what was sent is not read")
    }

    /// Gives how much work it was, in names.
    fn note(&mut self, answer: &Answer) -> u64 {
        match answer {
            Answer::Accepted(kind, after) => {
                metrics::ack(kind.short(), *after);
                self.seat.accepted(*kind);
                if !std::mem::replace(&mut self.acknowledged, true) {
                    metrics::first_ack(now().saturating_duration_since(self.opened));
                }
                0
            }
            Answer::Refused(refusal) => {
                metrics::nack(refusal.kind.short());
                let blamed = self.seat.refused(refusal);
                if let Some(left_out) = self.lines.next(now()) {
                    warn_of(refusal, &blamed, &self.seat, left_out);
                }
                // They may have been decoded to find out whose they are.
                let searched: usize = refusal.blamed.iter().map(|resource| resource.body.len() / pace::BYTES).sum();
                pace::NACK + searched as u64
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let (left_out, stream) = (self.lines.left_out(), self.seat.stream);
        if left_out > 0 {
            warn!(stream, left_out, "the client refused more responses (NACK) than are logged");
        }
        self.seat.remember(self.session.doubts());
        metrics::stream_closed(self.session.variant().as_str());
    }
}

/// A client says as much as it likes; a log line holds the beginning of it.
fn warn_of(refusal: &Refusal, blamed: &[ArcStr], seat: &Seat, left_out: u32) {
    let reason: String = refusal.message.chars().take(1_000).collect();
    let names = refusal.blamed.iter().take(10).map(|resource| resource.name.as_str()).collect::<Vec<_>>().join(" ");
    let objects = blamed.iter().take(10).map(ArcStr::as_str).collect::<Vec<_>>().join(", ");
    let (type_url, nonce, count) = (refusal.kind.type_url(), &refusal.nonce, refusal.names.len());
    let (stream, node_id, gateway) = (seat.stream, seat.node_id(), seat.gateway());
    warn!(
        stream, %node_id, %gateway, type_url, %nonce, count, %names, %objects, %reason, left_out,
        "the client refused a response (NACK)"
    );
}
