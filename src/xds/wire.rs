//! The protocol's messages: decoded with prost on the way in, written by hand on the way out.
//!
//! A response is a list of frames around the resources' own bytes, which are shared by every client and never copied.
//!
//! Invariant: what is written here decodes as the message that the discovery protos define.

use bytes::{BufMut, Bytes};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::encoding::{encode_varint, encoded_len_varint};
use tonic::Status;

use super::message::{Ask, Body, Request, Response, Variant};
use crate::resource::{FrameBuffer, Resource, ResourceType};

/// What Envoy exports as the name of the server that it is connected to (rule 5).
const CONTROL_PLANE: &str = concat!("syncgate/", env!("CARGO_PKG_VERSION"));

/// Of `DiscoveryResponse` and `DeltaDiscoveryResponse` alike: `resources`, `type_url` and `nonce`.
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;

/// A discovery request of either variant.
pub(super) trait DiscoveryMessage: prost::Message + Default + 'static {
    /// The variant that it belongs to.
    const VARIANT: Variant;

    /// Who asks; sure to be there in the first request of a stream only (rule 1).
    fn take_node(&mut self) -> Option<Node>;

    /// The request, or None if its type is not one that we serve: such a request does not close the stream (rule 2).
    ///
    /// # Errors
    /// INVALID_ARGUMENT if it names no type.
    fn into_request(self) -> Result<Option<Request>, Status>;
}

impl DiscoveryMessage for DiscoveryRequest {
    const VARIANT: Variant = Variant::StateOfTheWorld;

    fn take_node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn into_request(self) -> Result<Option<Request>, Status> {
        let ask = Ask::StateOfTheWorld { version: self.version_info, names: self.resource_names };
        let error = self.error_detail.map(|status| status.message);
        request(&self.type_url, self.response_nonce, error, ask)
    }
}

impl DiscoveryMessage for DeltaDiscoveryRequest {
    const VARIANT: Variant = Variant::Delta;

    fn take_node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn into_request(self) -> Result<Option<Request>, Status> {
        let ask = Ask::Delta {
            subscribe: self.resource_names_subscribe,
            unsubscribe: self.resource_names_unsubscribe,
            held: self.initial_resource_versions.into_iter().collect(),
        };
        let error = self.error_detail.map(|status| status.message);
        request(&self.type_url, self.response_nonce, error, ask)
    }
}

fn request(type_url: &str, nonce: String, error: Option<String>, ask: Ask) -> Result<Option<Request>, Status> {
    if type_url.is_empty() {
        return Err(Status::invalid_argument("a request on an aggregated stream must name its type_url"));
    }
    Ok(ResourceType::from_type_url(type_url).map(|kind| Request { kind, nonce, error, ask }))
}

/// A request of this variant from its bytes; None if its type is not one that we serve (rule 2).
///
/// # Errors
/// INVALID_ARGUMENT for what is no request.
pub fn decode(variant: Variant, bytes: &[u8]) -> Result<Option<Request>, Status> {
    fn read<M: DiscoveryMessage>(bytes: &[u8]) -> Result<Option<Request>, Status> {
        let message = M::decode(bytes).map_err(|error| Status::invalid_argument(error.to_string()))?;
        message.into_request()
    }
    match variant {
        Variant::StateOfTheWorld => read::<DiscoveryRequest>(bytes),
        Variant::Delta => read::<DeltaDiscoveryRequest>(bytes),
    }
}

/// The response as one gRPC message, in frames that share the resources' bytes.
///
/// # Errors
/// RESOURCE_EXHAUSTED if it does not fit into a gRPC message (4 GiB).
pub fn encode(response: &Response) -> Result<Vec<Bytes>, Status> {
    let tail = tail(response);
    let (version, removed): (String, &[_]) = match &response.body {
        Body::StateOfTheWorld { version, .. } => (version.to_string(), &[]),
        Body::Delta { removed, .. } => (String::new(), removed),
    };
    let wrap = match &response.body {
        Body::StateOfTheWorld { .. } => Wrap::Any,
        Body::Delta { .. } => Wrap::Resource,
    };
    let resources = response.resources();
    let sizes: usize = resources.iter().map(|resource| delimited_len(wrap.len(resource))).sum();
    let names: usize = removed.iter().map(|name| delimited_len(name.len())).sum();
    let version_len = if version.is_empty() { 0 } else { delimited_len(version.len()) };
    let len = version_len + sizes + names + tail.len();
    let prefix = u32::try_from(len)
        .map_err(|_| Status::resource_exhausted(format!("a response of {len} bytes does not fit into a message")))?;

    let mut buffer = FrameBuffer::new();
    let mut head = Vec::with_capacity(64);
    // Not compressed: a response is shared by all clients, and Envoys are near.
    head.put_u8(0);
    head.put_u32(prefix);
    if !version.is_empty() {
        put_field(&mut head, 1, version.as_bytes());
    }
    buffer.put(&head);
    for resource in resources {
        head.clear();
        wrap.put_head(&mut head, resource);
        buffer.put(&head);
        buffer.put_parts(&resource.body);
    }
    head.clear();
    removed.iter().for_each(|name| put_field(&mut head, 6, name.as_bytes()));
    head.extend_from_slice(&tail);
    buffer.put(&head);
    Ok(buffer.finish())
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

/// What a resource is wrapped in: the message up to the resource's own bytes, which end it.
#[derive(Clone, Copy)]
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
                let version = resource.version.to_string();
                let aliases: usize = resource.aliases.iter().map(|alias| delimited_len(alias.len())).sum();
                let any = if resource.is_unresolved() { 0 } else { delimited_len(any) };
                delimited_len(version.len()) + delimited_len(resource.name.len()) + aliases + any
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
