//! ConfigMaps, of which the certificates of authorities alone are read.

use arcstr::ArcStr;
use bytes::Bytes;

/// A ConfigMap that a Gateway names as the authorities of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    /// `data["ca.crt"]`: a PEM bundle. Or why there is none: a lower-case fragment with the remedy, of the object itself or of the
    /// door, for one that could not be read.
    pub authorities: Result<Bytes, ArcStr>,
}

impl ConfigMap {
    /// The key of `data` that is read.
    pub const AUTHORITIES: &str = "ca.crt";

    /// The largest bundle that is kept, in bytes: twice what a browser trusts.
    pub const LARGEST: usize = 512 << 10;
}
