//! Gathering encoded bytes into frames that are worth writing.
//!
//! Each frame of a response body becomes a DATA frame of its own, so a header of six bytes before each resource
//! would double their number. Small pieces are copied together; large ones are shared.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::encode;
use super::parts::{Parts, PartsBuilder};

/// Collects a response: like [`PartsBuilder`], but flat and without a version.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    done: VecDeque<Bytes>,
    open: BytesMut,
    len: usize,
}

impl FrameBuffer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of bytes that were appended so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no bytes were appended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes, copied.
    pub fn put(&mut self, bytes: &[u8]) {
        if !self.open.is_empty() && self.open.len() + bytes.len() > PartsBuilder::LEAF {
            self.close_frame();
        }
        self.open.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends a frame: shared, or copied if it is [small](PartsBuilder::SMALL).
    pub fn put_frame(&mut self, frame: Bytes) {
        if frame.len() < PartsBuilder::SMALL {
            self.put(&frame);
        } else {
            self.close_frame();
            self.len += frame.len();
            self.done.push_back(frame);
        }
    }

    /// Appends parts, frame by frame.
    pub fn put_parts(&mut self, parts: &Parts) {
        parts.frames().for_each(|frame| self.put_frame(frame));
    }

    /// Appends the length-delimited field `field` with `inner` as its value.
    pub fn put_nested(&mut self, field: u32, inner: &Parts) {
        self.put(&encode::field_header(field, inner.len()));
        self.put_parts(inner);
    }

    /// Takes out the first frame that is closed; none of them is empty.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.done.pop_front()
    }

    /// The frames, none of them empty.
    #[must_use]
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close_frame();
        self.done.into()
    }

    /// Closes the frame that small pieces are gathered in.
    pub fn close_frame(&mut self) {
        if !self.open.is_empty() {
            self.done.push_back(self.open.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_share_a_frame_and_large_ones_are_not_copied() {
        let large = Bytes::from(vec![7; PartsBuilder::SMALL]);
        let mut buffer = FrameBuffer::new();
        buffer.put(b"ab");
        buffer.put_nested(1, &Parts::concat([Parts::leaf("cd"), Parts::leaf(large.clone()), Parts::leaf("e")]));
        assert_eq!(buffer.len(), 2 + 3 + 2 + large.len() + 1);
        let frames = buffer.finish();
        assert_eq!(frames[0], Bytes::from_static(b"ab\x0a\x83\x04cd"));
        assert_eq!(frames[1].as_ptr(), large.as_ptr());
        assert_eq!(frames[2], Bytes::from_static(b"e"));
        assert_eq!(frames.len(), 3);
    }

    #[test]
    fn frames_are_closed_at_their_size() {
        let mut buffer = FrameBuffer::new();
        (0..100).for_each(|_| buffer.put(&[1; 500]));
        let frames = buffer.finish();
        assert!(frames.iter().all(|frame| frame.len() <= PartsBuilder::LEAF));
        assert_eq!(frames.iter().map(Bytes::len).sum::<usize>(), 50_000);
        assert_eq!(frames.len(), 4);
    }

    #[test]
    fn nothing_gives_no_frames() {
        let mut buffer = FrameBuffer::new();
        buffer.put(b"");
        buffer.put_parts(&Parts::empty());
        assert!(buffer.is_empty());
        assert!(buffer.finish().is_empty());
    }
}
