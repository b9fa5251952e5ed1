//! A watch's bytes, cut into its events: lines of JSON, or protobuf with a length before each.
//!
//! Invariant (`bounded`): no more is kept than one frame of [`MAX_FRAME`] and what was pushed after it.

use bytes::{Buf, Bytes, BytesMut};

use super::{Encoding, Malformed};

/// The longest event that is believed. etcd keeps no object above 1.5 MiB unless it is told to, and JSON may double it.
pub const MAX_FRAME: usize = 8 << 20;

/// A buffer above this size is given back when it is empty: thousands of watches are idle most of the time.
const IDLE: usize = 64 << 10;

/// The bytes before each protobuf event: its length, the highest byte first.
const PREFIX: usize = 4;

/// Cuts a stream into frames, wherever the network cut it.
#[derive(Debug)]
pub struct Frames {
    encoding: Encoding,
    buffer: BytesMut,
    /// The bytes at the start of the buffer that hold no end of a line.
    searched: usize,
}

impl Frames {
    /// The frames of a watch that has told nothing yet.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, buffer: BytesMut::new(), searched: 0 }
    }

    /// More of the stream. Take all frames with [`Frames::next_frame`] before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// When the frame is too long; it stays so.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Malformed> {
        let frame = match self.encoding {
            Encoding::Json => self.line()?,
            Encoding::Protobuf => self.delimited()?,
        };
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE {
            self.buffer = BytesMut::new();
        }
        Ok(frame)
    }

    /// Whether a frame has begun and not ended: at the end of the stream, whether it was cut within an event.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        match self.encoding {
            Encoding::Json => !self.buffer.trim_ascii().is_empty(),
            Encoding::Protobuf => !self.buffer.is_empty(),
        }
    }

    fn line(&mut self) -> Result<Option<Bytes>, Malformed> {
        while let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + at;
            if end > MAX_FRAME {
                return Err(self.too_long(end));
            }
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
        self.searched = self.buffer.len();
        if self.buffer.len() > MAX_FRAME { Err(self.too_long(self.buffer.len())) } else { Ok(None) }
    }

    fn delimited(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if len > MAX_FRAME {
            return Err(self.too_long(len));
        }
        if self.buffer.len() < PREFIX + len {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    fn too_long(&self, len: usize) -> Malformed {
        Malformed::new("an event", self.encoding, format!("has {len} bytes or more, at most {MAX_FRAME} are read"))
    }
}
