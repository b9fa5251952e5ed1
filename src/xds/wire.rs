//! The protocol's responses, written by hand.
//!
//! A response is a row of frames around the resources' own bytes, which are shared by every client; only small ones are
//! copied, and then into the one frame that is written.
//!
//! Invariant: what is written here decodes as the message that the discovery protos define.

use arcstr::ArcStr;
use bytes::{BufMut, Bytes};
use prost::encoding::{encode_varint, encoded_len_varint};
use tonic::Status;

use super::grpc::PREFIX;
use super::message::{Body, Response};
use crate::resource::{FrameBuffer, Resource, Version};

/// What Envoy exports as the name of the server that it is connected to (rule 5).
const CONTROL_PLANE: &str = concat!("syncgate/", env!("CARGO_PKG_VERSION"));

/// Of `DiscoveryResponse` and `DeltaDiscoveryResponse` alike: `resources`, `type_url` and `nonce`.
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;

/// The response as one gRPC message, in frames that share the resources' bytes.
///
/// # Errors
/// RESOURCE_EXHAUSTED if it does not fit into a gRPC message (4 GiB).
pub fn encode(response: &Response) -> Result<Vec<Bytes>, Status> {
    Ok(Encoder::new(response.clone())?.collect())
}

/// Writes a response frame by frame, as they are asked for: what waits to be taken is the response, whose resources all
/// clients share, and at most one frame.
#[derive(Debug)]
pub(super) struct Encoder {
    response: Response,
    wrap: Wrap,
    /// Bytes of the frames that are still to come.
    left: usize,
    next: Step,
    buffer: FrameBuffer,
    head: Vec<u8>,
}

/// What is to be written next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Head,
    Resource(usize),
    Removed(usize),
    Tail,
    End,
}

impl Encoder {
    /// # Errors
    /// RESOURCE_EXHAUSTED if it does not fit into a gRPC message (4 GiB).
    pub(super) fn new(response: Response) -> Result<Encoder, Status> {
        let wrap = match &response.body {
            Body::StateOfTheWorld { .. } => Wrap::Any,
            Body::Delta { .. } => Wrap::Resource,
        };
        let mut encoder =
            Encoder { response, wrap, left: 0, next: Step::Head, buffer: FrameBuffer::new(), head: Vec::new() };
        let len = encoder.message_len();
        if u32::try_from(len).is_err() {
            return Err(Status::resource_exhausted(format!("a response of {len} bytes does not fit into a message")));
        }
        encoder.left = PREFIX + len;
        Ok(encoder)
    }

    /// How many bytes there are in the frames that are still to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    fn message_len(&self) -> usize {
        let version = match &self.response.body {
            Body::StateOfTheWorld { .. } => delimited_len(VERSION_LEN),
            Body::Delta { .. } => 0,
        };
        let resources = self.response.resources().iter().map(|resource| delimited_len(self.wrap.len(resource)));
        let removed = self.removed().iter().map(|name| delimited_len(name.len()));
        version + resources.sum::<usize>() + removed.sum::<usize>() + tail(&self.response).len()
    }

    fn removed(&self) -> &[ArcStr] {
        match &self.response.body {
            Body::StateOfTheWorld { .. } => &[],
            Body::Delta { removed, .. } => removed,
        }
    }

    /// Writes the next piece.
    fn step(&mut self) {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let mut parts = None;
        self.next = match self.next {
            Step::Head => {
                // Not compressed: a response is shared by all clients, and Envoys are near.
                head.put_u8(0);
                // It fits: that is known since there is an encoder.
                head.put_u32((self.left - PREFIX) as u32);
                if let Body::StateOfTheWorld { version, .. } = &self.response.body {
                    put_field(&mut head, 1, version.to_string().as_bytes());
                }
                Step::Resource(0)
            }
            Step::Resource(at) => match self.response.resources().get(at) {
                Some(resource) => {
                    self.wrap.put_head(&mut head, resource);
                    parts = Some(resource);
                    Step::Resource(at + 1)
                }
                None => Step::Removed(0),
            },
            Step::Removed(at) => match self.removed().get(at) {
                Some(name) => {
                    put_field(&mut head, 6, name.as_bytes());
                    Step::Removed(at + 1)
                }
                None => Step::Tail,
            },
            Step::Tail => {
                head.extend_from_slice(&tail(&self.response));
                Step::End
            }
            Step::End => Step::End,
        };
        self.buffer.put(&head);
        if let Some(resource) = parts {
            self.buffer.put_parts(&resource.body);
        }
        self.head = head;
        if matches!(self.next, Step::End) {
            self.buffer.close_frame();
        }
    }
}

impl Iterator for Encoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.buffer.pop() {
                self.left -= frame.len();
                return Some(frame);
            }
            if matches!(self.next, Step::End) {
                return None;
            }
            self.step();
        }
    }
}

/// What follows the resources: type, nonce and control plane.
fn tail(response: &Response) -> Vec<u8> {
    let control_plane_field = match response.body {
        Body::StateOfTheWorld { .. } => 6,
        Body::Delta { .. } => 7,
    };
    let mut control_plane = Vec::new();
    put_field(&mut control_plane, 1, CONTROL_PLANE.as_bytes());
    let mut tail = Vec::with_capacity(160);
    put_field(&mut tail, TYPE_URL, response.kind.type_url().as_bytes());
    put_field(&mut tail, NONCE, response.nonce.as_bytes());
    put_field(&mut tail, control_plane_field, &control_plane);
    tail
}

/// The length of a version as text.
const VERSION_LEN: usize = 2 * Version::LEN;

/// What a resource is wrapped in: the message up to the resource's own bytes, which end it.
#[derive(Debug, Clone, Copy)]
enum Wrap {
    /// `Any { type_url, value }`.
    Any,
    /// `Resource { version, name, aliases, resource: Any }`; of what there is none of, without the last.
    Resource,
}

impl Wrap {
    fn len(self, resource: &Resource) -> usize {
        let any = delimited_len(resource.kind.type_url().len()) + delimited_len(resource.body.len());
        match self {
            Wrap::Any => any,
            Wrap::Resource => {
                let aliases: usize = resource.aliases.iter().map(|alias| delimited_len(alias.len())).sum();
                let any = if resource.is_unresolved() { 0 } else { delimited_len(any) };
                delimited_len(VERSION_LEN) + delimited_len(resource.name.len()) + aliases + any
            }
        }
    }

    fn put_head(self, out: &mut Vec<u8>, resource: &Resource) {
        put_header(out, RESOURCES, self.len(resource));
        if let Wrap::Resource = self {
            put_field(out, 1, resource.version.to_string().as_bytes());
            put_field(out, 3, resource.name.as_bytes());
            resource.aliases.iter().for_each(|alias| put_field(out, 4, alias.as_bytes()));
            if resource.is_unresolved() {
                return;
            }
            put_header(out, 2, Wrap::Any.len(resource));
        }
        put_field(out, 1, resource.kind.type_url().as_bytes());
        put_header(out, 2, resource.body.len());
    }
}

/// A length-delimited field of a number below 16, tag and length included.
fn delimited_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_header(out: &mut Vec<u8>, field: u32, len: usize) {
    const LENGTH_DELIMITED: u32 = 2;
    encode_varint(u64::from(field << 3 | LENGTH_DELIMITED), out);
    encode_varint(len as u64, out);
}

fn put_field(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_header(out, field, value.len());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
