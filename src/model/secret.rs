//! TLS secrets. Key bytes are a type that prints as redacted.

use std::fmt;

use arcstr::ArcStr;
use bytes::Bytes;

/// Bytes that must never reach a log, a metric, a debug page or a panic message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyBytes(Bytes);

impl KeyBytes {
    /// Wraps the bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves: only for the encoder of the SDS resource and for validation.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A Secret of type `kubernetes.io/tls` (or any other that has both entries).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// `data["tls.crt"]`: a PEM chain; `None` when the entry is absent.
    pub certificate: Option<Bytes>,
    /// `data["tls.key"]`: a PEM key; `None` when the entry is absent.
    pub key: Option<KeyBytes>,
    /// Why it is not known, if it is not: then this is the door's stand-in for a Secret that could not be read.
    pub unavailable: Option<ArcStr>,
}
