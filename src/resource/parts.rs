//! A rope of encoded bytes.
//!
//! Protobuf fields concatenate, so a large message is a tree of encoded parts: a change encodes and hashes the
//! part that holds it and the nodes above it, and everything else is shared with what was there before.
//!
//! Invariant: a node is immutable; its length and version are known when it exists. A version covers the shape of
//! the tree too, so encoders must derive the shape from the content alone (see [`Chunks`](super::Chunks)).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::encode;
use super::version::{Domain, Version, VersionHasher};

/// Encoded bytes in shared parts. Cheap to clone; equal when length and version are.
#[derive(Clone)]
pub struct Parts {
    node: Node,
    len: usize,
    version: Version,
}

#[derive(Clone)]
enum Node {
    Leaf(Bytes),
    /// At least two children, none of them empty.
    Inner(Arc<[Parts]>),
}

impl Parts {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Parts {
        Parts::leaf(Bytes::new())
    }

    /// One part. Hashes the bytes.
    pub fn leaf(bytes: impl Into<Bytes>) -> Parts {
        let bytes = bytes.into();
        let mut hasher = VersionHasher::new(Domain::Leaf);
        hasher.raw(&bytes);
        Parts { len: bytes.len(), version: hasher.finish(), node: Node::Leaf(bytes) }
    }

    /// One part after the other. Hashes 24 bytes for each; empty ones leave no trace, and one alone is itself.
    pub fn concat(parts: impl IntoIterator<Item = Parts>) -> Parts {
        let mut children: Vec<Parts> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if children.len() < 2 {
            return children.pop().unwrap_or_default();
        }
        let mut hasher = VersionHasher::new(Domain::Inner);
        for child in &children {
            hasher.number(child.len as u64);
            hasher.version(child.version);
        }
        let len = children.iter().map(Parts::len).sum();
        Parts { len, version: hasher.finish(), node: Node::Inner(children.into()) }
    }

    /// The length-delimited field `field` with `inner` as its value: a small part for tag and length, then
    /// `inner` itself, shared.
    #[must_use]
    pub fn nested(field: u32, inner: Parts) -> Parts {
        Parts::concat([Parts::leaf(encode::field_header(field, inner.len)), inner])
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash of the parts' hashes; known without work.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The bytes in order, part by part, shared and not copied; no frame is empty.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        Frames { pending: vec![self] }
    }

    /// All bytes in one piece: copied if there is more than one part.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.node {
            Node::Leaf(bytes) => bytes.clone(),
            Node::Inner(_) => {
                let mut out = BytesMut::with_capacity(self.len);
                for frame in self.frames() {
                    out.extend_from_slice(&frame);
                }
                out.freeze()
            }
        }
    }
}

impl Default for Parts {
    fn default() -> Self {
        Parts::empty()
    }
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.version == other.version
    }
}

impl Eq for Parts {}

impl Hash for Parts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.version.hash(state);
    }
}

/// Length and version only: the bytes may be those of a private key.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({} bytes, {})", self.len, self.version)
    }
}

/// The leaves of [`Parts`] in order.
#[derive(Debug)]
pub struct Frames<'a> {
    /// What is still to come, the next on top.
    pending: Vec<&'a Parts>,
}

impl Iterator for Frames<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while let Some(next) = self.pending.pop() {
            match &next.node {
                Node::Leaf(bytes) if bytes.is_empty() => {}
                Node::Leaf(bytes) => return Some(bytes.clone()),
                Node::Inner(children) => self.pending.extend(children.iter().rev()),
            }
        }
        None
    }
}

/// Builds [`Parts`] in order: bytes are gathered into leaves of about [`PartsBuilder::LEAF`] bytes, parts are shared.
#[derive(Debug, Default)]
pub struct PartsBuilder {
    done: Vec<Parts>,
    open: Vec<u8>,
}

impl PartsBuilder {
    /// The size that leaves grow to, in bytes: large enough for a frame of its own, small enough to encode again
    /// when one row of it changes.
    pub const LEAF: usize = 16 * 1024;

    /// Parts shorter than this are copied into the leaf beside them: sharing them would cost more than it saves.
    pub const SMALL: usize = 512;

    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        if !self.open.is_empty() && self.open.len() + bytes.len() > Self::LEAF {
            self.close_leaf();
        }
        self.open.extend_from_slice(bytes);
    }

    /// Appends parts: shared, or copied if they are [small](PartsBuilder::SMALL).
    pub fn put_parts(&mut self, parts: Parts) {
        if parts.len() < Self::SMALL {
            for frame in parts.frames() {
                self.put(&frame);
            }
        } else {
            self.close_leaf();
            self.done.push(parts);
        }
    }

    /// Appends the length-delimited field `field` with `inner` as its value.
    pub fn put_nested(&mut self, field: u32, inner: Parts) {
        self.put(&encode::field_header(field, inner.len()));
        self.put_parts(inner);
    }

    /// Everything that was appended.
    #[must_use]
    pub fn finish(mut self) -> Parts {
        self.close_leaf();
        Parts::concat(self.done)
    }

    fn close_leaf(&mut self) {
        if !self.open.is_empty() {
            // Copied to its exact size: leaves live long, and this buffer is larger than what is in it.
            self.done.push(Parts::leaf(Bytes::copy_from_slice(&self.open)));
            self.open.clear();
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
