//! The few protobuf messages of Kubernetes that the proxy reads or writes, and how a watch frames them.
//!
//! An object of its own is `k8s\0` and a `runtime.Unknown` whose `raw` is the message and whose `typeMeta` names it. A watch (media type
//! `application/vnd.kubernetes.protobuf;stream=watch`) is made of frames: four bytes of length, big-endian, then a bare
//! `metav1.WatchEvent`, *without* magic and without Unknown (apimachinery's `protobuf.NewRawSerializer` under `LengthDelimitedFramer`).
//! The event's `object.raw` is again an object of its own, magic and all, because the API server encodes it with the ordinary serializer
//! (`watchEmbeddedEncoder`). Go writes empty strings as fields of length 0, and so do we.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// What every object begins with.
const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeMeta {
    #[prost(string, optional, tag = "1")]
    pub(super) api_version: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) kind: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub(super) type_meta: Option<TypeMeta>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) raw: Option<Bytes>,
    #[prost(string, optional, tag = "3")]
    pub(super) content_encoding: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) content_type: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListMeta {
    #[prost(string, optional, tag = "1")]
    pub(super) self_link: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) resource_version: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) continue_token: Option<String>,
}

impl ListMeta {
    /// As Go writes one in which nothing is set.
    pub(super) fn blank() -> Self {
        let empty = Some(String::new());
        Self { self_link: empty.clone(), resource_version: empty.clone(), continue_token: empty }
    }
}

/// Any list: its items (field 2) are what reading it loses.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EmptyList {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ListMeta>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ListMeta>,
    #[prost(string, optional, tag = "2")]
    pub(super) status: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) message: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) reason: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) details: Option<StatusDetails>,
    #[prost(int32, optional, tag = "6")]
    pub(super) code: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusDetails {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) group: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) kind: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) causes: Vec<StatusCause>,
    #[prost(int32, optional, tag = "5")]
    pub(super) retry_after_seconds: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub(super) uid: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusCause {
    #[prost(string, optional, tag = "1")]
    pub(super) reason: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) message: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) field: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RawExtension {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) raw: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchEvent {
    #[prost(string, optional, tag = "1")]
    pub(super) kind: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) object: Option<RawExtension>,
}

/// A message as an object of its own.
pub(super) fn object(api_version: &str, kind: &str, message: &impl Message) -> Bytes {
    unknown(&Unknown {
        type_meta: Some(TypeMeta { api_version: Some(api_version.to_owned()), kind: Some(kind.to_owned()) }),
        raw: Some(message.encode_to_vec().into()),
        content_encoding: Some(String::new()),
        content_type: Some(String::new()),
    })
}

fn unknown(unknown: &Unknown) -> Bytes {
    let mut bytes = BytesMut::from(MAGIC);
    bytes.put_slice(&unknown.encode_to_vec());
    bytes.freeze()
}

/// An event of a watch in its frame.
pub(super) fn event(kind: &str, object: Bytes) -> Bytes {
    let event = WatchEvent { kind: Some(kind.to_owned()), object: Some(RawExtension { raw: Some(object) }) };
    let event = event.encode_to_vec();
    let mut bytes = BytesMut::with_capacity(4 + event.len());
    bytes.put_u32(u32::try_from(event.len()).unwrap_or(u32::MAX));
    bytes.put_slice(&event);
    bytes.freeze()
}

/// The list without its items, as if there were none and no further page; its kind and resource version stay.
pub(super) fn emptied(list: &Bytes) -> Option<Bytes> {
    let mut outer = Unknown::decode(list.strip_prefix(MAGIC)?).ok()?;
    let metadata = EmptyList::decode(outer.raw.take()?).ok()?.metadata.unwrap_or_else(ListMeta::blank);
    let metadata = ListMeta { continue_token: Some(String::new()), ..metadata };
    outer.raw = Some(EmptyList { metadata: Some(metadata) }.encode_to_vec().into());
    Some(unknown(&outer))
}
