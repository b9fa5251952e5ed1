//! What is read of a client's messages.
//!
//! Of the discovery protos these messages have the fields that are used here, and no others: prost skips what it does not
//! know without keeping it. Decoded in full a message takes up to 84 times what it took on the wire (an empty extension
//! of a node is 2 bytes there, and 168 here), and it is decoded before it is known who sent it.
//!
//! Invariant (`bounded`): a message that was read takes some times its own length at most, and
//! [no more names](super::session::Limits) than allowed.

use bytes::Bytes;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use tonic::Status;

use super::message::{Ask, Request, Variant};
use super::session::{Limits, TooManyNames};
use crate::metrics;
use crate::resource::ResourceType;

/// The longest name that a client may say, in bytes: the longest that anything is called here has some hundred.
const LONGEST_NAME: usize = 2 << 10;

/// `envoy.service.discovery.v3.DiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    pub(super) version_info: String,
    #[prost(message, optional, tag = "2")]
    pub(super) node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    pub(super) resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub(super) type_url: String,
    #[prost(string, tag = "5")]
    pub(super) response_nonce: String,
    #[prost(message, optional, tag = "6")]
    pub(super) error_detail: Option<ErrorDetail>,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeltaDiscoveryRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) node: Option<Node>,
    #[prost(string, tag = "2")]
    pub(super) type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) resource_names_subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) resource_names_unsubscribe: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initial_resource_versions: Vec<HeldVersion>,
    #[prost(string, tag = "6")]
    pub(super) response_nonce: String,
    #[prost(message, optional, tag = "7")]
    pub(super) error_detail: Option<ErrorDetail>,
}

/// An entry of the map `initial_resource_versions`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeldVersion {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ErrorDetail {
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// `envoy.config.core.v3.Node`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) cluster: String,
    /// A `google.protobuf.Struct`, not decoded: a tree of lists takes many times what it takes on the wire.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) metadata: Bytes,
    #[prost(message, optional, tag = "4")]
    pub(super) locality: Option<Locality>,
    #[prost(string, tag = "6")]
    pub(super) user_agent_name: String,
    #[prost(string, tag = "7")]
    pub(super) user_agent_version: String,
    #[prost(message, optional, tag = "8")]
    pub(super) user_agent_build_version: Option<BuildVersion>,
}

/// `envoy.config.core.v3.Locality`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Locality {
    #[prost(string, tag = "1")]
    pub(super) region: String,
    #[prost(string, tag = "2")]
    pub(super) zone: String,
    #[prost(string, tag = "3")]
    pub(super) sub_zone: String,
}

/// `envoy.config.core.v3.BuildVersion`: the numbers alone. With them comes a list of how Envoy was built.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BuildVersion {
    #[prost(message, optional, tag = "1")]
    pub(super) version: Option<SemanticVersion>,
}

/// `envoy.type.v3.SemanticVersion`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct SemanticVersion {
    #[prost(uint32, tag = "1")]
    pub(super) major: u32,
    #[prost(uint32, tag = "2")]
    pub(super) minor: u32,
    #[prost(uint32, tag = "3")]
    pub(super) patch: u32,
}

impl Node {
    /// A value of the metadata: `None` if there is none under this key, `Some(None)` if it is no string.
    ///
    /// # Errors
    /// If the metadata cannot be read.
    pub(super) fn metadata_text(&self, key: &str) -> Result<Option<Option<String>>, DecodeError> {
        /// An entry of the map `google.protobuf.Struct.fields`.
        #[derive(Clone, PartialEq, Message)]
        struct Entry {
            #[prost(string, tag = "1")]
            key: String,
            #[prost(bytes = "bytes", tag = "2")]
            value: Bytes,
        }
        #[derive(Clone, PartialEq, Message)]
        struct Value {
            #[prost(string, optional, tag = "3")]
            string: Option<String>,
        }
        let mut found = None;
        let mut rest = self.metadata.clone();
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest)?;
            if tag == 1 {
                let entry = Entry::decode_length_delimited(&mut rest)?;
                if entry.key == key {
                    found = Some(Value::decode(entry.value)?.string);
                }
            } else {
                skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
            }
        }
        Ok(found)
    }
}

/// A discovery request of either variant.
pub(super) trait DiscoveryMessage: Message + Default + 'static {
    /// The variant that it belongs to.
    const VARIANT: Variant;

    /// The fields that hold one name each.
    const NAMES: &'static [u32];

    /// How many names it says, whatever for.
    fn names(&self) -> usize;

    /// Who asks; sure to be there in the first request of a stream only (rule 1).
    fn take_node(&mut self) -> Option<Node>;

    /// The request, or None if its type is not one that we serve: such a request does not close the stream (rule 2).
    ///
    /// # Errors
    /// INVALID_ARGUMENT if it names no type, or says a name that nothing can have.
    fn into_request(self) -> Result<Option<Request>, Status>;

    /// Reads a message with so many names at most.
    ///
    /// # Errors
    /// What is to be said to the client as its stream ends.
    fn read(bytes: Bytes, limit: usize) -> Result<Self, Status> {
        let malformed = |error| {
            metrics::stream_cut("malformed");
            Status::invalid_argument(format!("not a discovery request: {error}"))
        };
        let names = count(&bytes, Self::NAMES).map_err(malformed)?;
        if names > limit {
            metrics::stream_cut("too_many_names");
            return Err(Status::resource_exhausted(TooManyNames::InRequest { names, limit }.to_string()));
        }
        Self::decode(bytes).map_err(malformed)
    }
}

/// How many fields there are of some numbers.
fn count(mut bytes: &[u8], fields: &[u32]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes)?;
        count += usize::from(fields.contains(&tag));
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
    }
    Ok(count)
}

impl DiscoveryMessage for DiscoveryRequest {
    const VARIANT: Variant = Variant::StateOfTheWorld;
    const NAMES: &'static [u32] = &[3];

    fn names(&self) -> usize {
        self.resource_names.len()
    }

    fn take_node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn into_request(self) -> Result<Option<Request>, Status> {
        let ask = Ask::StateOfTheWorld { version: self.version_info, names: self.resource_names };
        request(&self.type_url, self.response_nonce, self.error_detail, ask)
    }
}

impl DiscoveryMessage for DeltaDiscoveryRequest {
    const VARIANT: Variant = Variant::Delta;
    const NAMES: &'static [u32] = &[3, 4, 5];

    fn names(&self) -> usize {
        let (more, less) = (&self.resource_names_subscribe, &self.resource_names_unsubscribe);
        more.len() + less.len() + self.initial_resource_versions.len()
    }

    fn take_node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn into_request(self) -> Result<Option<Request>, Status> {
        let ask = Ask::Delta {
            subscribe: self.resource_names_subscribe,
            unsubscribe: self.resource_names_unsubscribe,
            held: self.initial_resource_versions.into_iter().map(|held| (held.name, held.version)).collect(),
        };
        request(&self.type_url, self.response_nonce, self.error_detail, ask)
    }
}

fn request(type_url: &str, nonce: String, error: Option<ErrorDetail>, ask: Ask) -> Result<Option<Request>, Status> {
    if type_url.is_empty() {
        return Err(Status::invalid_argument("a request on an aggregated stream must name its type_url"));
    }
    if let Some(name) = ask.names().find(|name| name.len() > LONGEST_NAME) {
        metrics::stream_cut("long_name");
        let (shown, len): (String, _) = (name.chars().take(80).collect(), name.len());
        return Err(Status::invalid_argument(format!(
            "a resource name of {len} bytes, at most {LONGEST_NAME} are read; it begins with {shown:?}"
        )));
    }
    let error = error.map(|status| status.message);
    Ok(ResourceType::from_type_url(type_url).map(|kind| Request { kind, nonce, error, ask }))
}

/// A request of this variant from its bytes; None if its type is not one that we serve (rule 2).
///
/// # Errors
/// INVALID_ARGUMENT for what is no request, RESOURCE_EXHAUSTED for one with more names than are allowed by default.
pub fn decode(variant: Variant, bytes: &[u8]) -> Result<Option<Request>, Status> {
    let (bytes, limit) = (Bytes::copy_from_slice(bytes), Limits::default().names_in_request());
    match variant {
        Variant::StateOfTheWorld => DiscoveryRequest::read(bytes, limit)?.into_request(),
        Variant::Delta => DeltaDiscoveryRequest::read(bytes, limit)?.into_request(),
    }
}

#[cfg(test)]
pub(super) mod tests;
