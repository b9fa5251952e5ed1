//! The body of a watch, event by event, so that it can be cut inside one, lose some, or get one that nobody sent. An event leaves as soon
//! as its last byte has come; nothing more is ever held. Faults that come into force reach watches that have long been open.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use prost::Message;
use serde_json::Value;
use tokio::sync::watch;

use super::Shared;
use super::call::Call;
use super::counts::Open;
use super::rules::{Decided, Effect, End, RuleSet};
use super::status::{Encoding, Reply};
use super::wire;

/// No object of etcd is larger than 1.5 MiB; protobuf and JSON differ by less than the rest.
const LARGEST_EVENT: usize = 16 << 20;

/// Splits a watch into its events, frames and line ends included.
#[derive(Debug)]
pub(super) struct Events {
    encoding: Encoding,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
}

impl Events {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, buffer: BytesMut::new(), searched: 0 }
    }

    fn push(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() > LARGEST_EVENT + chunk.len() {
            return Err(io::Error::other(format!("an event of more than {LARGEST_EVENT} bytes")));
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Bytes> {
        let end = match self.encoding {
            Encoding::Json => {
                let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                    self.searched = self.buffer.len();
                    return None;
                };
                self.searched + at + 1
            }
            Encoding::Protobuf => {
                let mut head = self.buffer.get(..4)?;
                4 + usize::try_from(head.get_u32()).ok()?
            }
        };
        if self.buffer.len() < end {
            return None;
        }
        self.searched = 0;
        Some(self.buffer.split_to(end).freeze())
    }

    /// What has come of an event that will never be whole.
    fn rest(&mut self) -> Option<Bytes> {
        self.searched = 0;
        Some(self.buffer.split().freeze()).filter(|rest| !rest.is_empty())
    }

    /// `ADDED`, `BOOKMARK`; nothing for what is no event.
    fn kind(&self, event: &Bytes) -> Option<String> {
        match self.encoding {
            Encoding::Json => {
                let event: Value = serde_json::from_slice(event).ok()?;
                event.get("type")?.as_str().map(str::to_owned)
            }
            Encoding::Protobuf => wire::WatchEvent::decode(event.slice(4..)).ok()?.kind,
        }
    }
}

/// What is done to the stream at the moment.
#[derive(Debug, Default)]
struct Edits {
    silent: bool,
    error: Option<Reply>,
    drop_bookmarks: bool,
    /// Bytes that still pass, and what comes then.
    cut: Option<(u64, End)>,
}

/// A watch under way.
pub(super) struct Watch {
    call: Call,
    shared: Arc<Shared>,
    rules: watch::Receiver<Arc<RuleSet>>,
    decided: Decided,
    edits: Edits,
    /// The initial objects are left out until the bookmark that ends them.
    hides_initial: bool,
    upstream: Incoming,
    events: Events,
    /// The upstream's body is over.
    complete: bool,
    /// Nothing more is sent; an error if there is one.
    ended: Option<End>,
    _open: Open,
}

impl Watch {
    /// Under the rules that `decided` has been asked for, which the answer's head has already passed.
    pub(super) fn new(
        call: Call,
        shared: Arc<Shared>,
        decided: Decided,
        encoding: Encoding,
        upstream: Incoming,
    ) -> Self {
        let mut rules = shared.rules.subscribe();
        rules.mark_changed();
        Self {
            rules,
            decided,
            edits: Edits::default(),
            hides_initial: false,
            upstream,
            events: Events::new(encoding),
            complete: false,
            ended: None,
            _open: shared.tally.watch(),
            call,
            shared,
        }
        .opened()
    }

    /// An empty list is a lie from the beginning, or none.
    fn opened(mut self) -> Self {
        let rules = self.rules.borrow().clone();
        let effects = self.decided.effects(&rules, &self.call, &self.shared.dice);
        self.hides_initial = self.call.initial_events && effects.contains(&Effect::EmptyList);
        if self.hides_initial {
            self.shared.tally.fault(Effect::EmptyList.label());
        }
        self
    }

    /// The body to answer with.
    pub(super) fn into_body(self) -> WatchBody {
        WatchBody { next: Some(Box::pin(self.next())) }
    }

    fn follow_rules(&mut self) {
        let rules = self.rules.borrow_and_update().clone();
        let effects = self.decided.effects(&rules, &self.call, &self.shared.dice);
        let mut edits = Edits::default();
        for effect in effects {
            match effect {
                Effect::Silence => edits.silent = true,
                Effect::ErrorEvent(reply) => edits.error = Some(reply),
                Effect::DropBookmarks => edits.drop_bookmarks = true,
                Effect::Cut(after, end) => edits.cut = Some((after, end)),
                _ => {}
            }
        }
        if edits.silent && !self.edits.silent {
            self.shared.tally.fault(Effect::Silence.label());
        }
        self.edits = edits;
    }

    async fn next(mut self) -> Option<(Self, io::Result<Frame<Bytes>>)> {
        loop {
            match self.ended {
                Some(End::Eof) => return None,
                Some(End::Reset) => {
                    self.ended = Some(End::Eof);
                    return Some((self, Err(io::Error::other("reset by a fault"))));
                }
                None => {}
            }
            if self.rules.has_changed().unwrap_or(false) {
                self.follow_rules();
            }
            if self.edits.silent {
                Self::other_rules(&mut self.rules).await;
                continue;
            }
            if let Some(reply) = self.edits.error.take() {
                self.ended = Some(End::Eof);
                let event = reply.status(&self.call).event(self.events.encoding);
                self.shared.tally.fault(Effect::ErrorEvent(reply).label());
                return Some((self, Ok(Frame::data(event))));
            }
            if let Some((0, end)) = self.edits.cut {
                self.cut(end);
                continue;
            }
            if let Some(event) = self.events.next() {
                if let Some(event) = self.edited(event) {
                    return Some((self, Ok(Frame::data(event))));
                }
                continue;
            }
            if self.complete {
                let rest = self.events.rest()?;
                return Some((self, Ok(Frame::data(rest))));
            }
            if let Err(reason) = self.receive().await {
                self.ended = Some(End::Eof);
                return Some((self, Err(reason)));
            }
        }
    }

    /// Waits for more of the upstream's body, or for other rules.
    async fn receive(&mut self) -> io::Result<()> {
        tokio::select! {
            frame = self.upstream.frame() => match frame {
                // Trailers say nothing that a client of Kubernetes reads.
                Some(Ok(frame)) => frame.into_data().map_or(Ok(()), |data| self.events.push(&data)),
                Some(Err(reason)) => Err(io::Error::other(reason)),
                None => {
                    self.complete = true;
                    Ok(())
                }
            },
            () = Self::other_rules(&mut self.rules) => Ok(()),
        }
    }

    /// Waits until there may be other rules, and leaves the mark that says so. It cannot fail: what sends them is shared with us.
    async fn other_rules(rules: &mut watch::Receiver<Arc<RuleSet>>) {
        drop(rules.changed().await);
        rules.mark_changed();
    }

    fn cut(&mut self, end: End) {
        self.ended = Some(end);
        self.shared.tally.fault(Effect::Cut(0, end).label());
    }

    /// What is left of a whole event.
    fn edited(&mut self, event: Bytes) -> Option<Bytes> {
        if self.hides_initial || self.edits.drop_bookmarks {
            let kind = self.events.kind(&event);
            let is_bookmark = kind.as_deref() == Some("BOOKMARK");
            self.hides_initial &= !is_bookmark;
            if self.hides_initial && kind.as_deref() == Some("ADDED") {
                return None;
            }
            if self.edits.drop_bookmarks && is_bookmark {
                self.shared.tally.fault(Effect::DropBookmarks.label());
                return None;
            }
        }
        let Some((left, end)) = &mut self.edits.cut else { return Some(event) };
        let length = event.len() as u64;
        if *left >= length {
            // The next event is cut after one byte at least: in the middle, as promised.
            *left = (*left - length).max(1);
            return Some(event);
        }
        let (passes, end) = (usize::try_from(*left).unwrap_or_default(), *end);
        self.cut(end);
        Some(event.slice(..passes))
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Watch, io::Result<Frame<Bytes>>)>> + Send>>;

/// A watch as a body. It does nothing unless it is read, and ends when dropped.
pub(super) struct WatchBody {
    next: Option<Next>,
}

impl Body for WatchBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let Poll::Ready(outcome) = next.as_mut().poll(context) else { return Poll::Pending };
        let (next, frame) = outcome.map(|(watch, frame)| (Box::pin(watch.next()) as Next, frame)).unzip();
        self.next = next;
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(encoding: Encoding, whole: &[u8], size: usize) -> (Vec<Bytes>, Option<Bytes>) {
        let mut events = Events::new(encoding);
        let mut found = Vec::new();
        for chunk in whole.chunks(size) {
            events.push(chunk).unwrap();
            found.extend(std::iter::from_fn(|| events.next()));
        }
        (found, events.rest())
    }

    #[test]
    fn events_are_found_however_the_bytes_arrive() {
        let json: &[u8] = b"{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"BOOKMARK\"}\n{\"type\":\"MOD";
        let frames = [wire::event("ADDED", Bytes::from_static(b"k8s\0x")), wire::event("BOOKMARK", Bytes::new())];
        let protobuf = [&frames.concat()[..], b"\0\0\0\x09half"].concat();
        for size in 1..json.len() {
            let (found, rest) = split(Encoding::Json, json, size);
            assert_eq!(found.concat(), json[..49]);
            assert_eq!((found.len(), rest.unwrap().as_ref()), (2, &json[49..]));
            let (found, rest) = split(Encoding::Protobuf, &protobuf, size);
            assert_eq!((found, rest.unwrap().as_ref()), (frames.to_vec(), &b"\0\0\0\x09half"[..]));
        }
    }

    #[test]
    fn kinds_are_read_in_both_encodings() {
        let json = Bytes::from_static(b"{\"object\":{\"type\":\"x\"},\"type\":\"BOOKMARK\"}\n");
        assert_eq!(Events::new(Encoding::Json).kind(&json).unwrap(), "BOOKMARK");
        let protobuf = wire::event("BOOKMARK", Bytes::from_static(b"k8s\0"));
        assert_eq!(Events::new(Encoding::Protobuf).kind(&protobuf).unwrap(), "BOOKMARK");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::new(Encoding::Json);
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..32).find(|_| events.push(&chunk).is_err());
        assert_eq!(refused, Some(17));
    }
}
