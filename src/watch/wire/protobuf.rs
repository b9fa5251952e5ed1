//! Answers in Kubernetes' protobuf: four bytes `k8s\0`, then a `runtime.Unknown` that holds the message and its type.
//!
//! A watch is a stream of `metav1.WatchEvent` without these four bytes, each around an object with them.

use bytes::Bytes;
use prost::Message as _;

use super::envelope::{self, ADDED, BOOKMARK, DELETED, ERROR, MODIFIED, check_list, required_revision};
use super::messages::{self, Named};
use super::pool::Strings;
use super::{
    Change, Gone, INITIAL_EVENTS_END, Item, Page, Pool, Status, Value, pod, status, tree, version, written_key,
};
use crate::model::decode::TypeMeta;
use crate::model::{EndpointSlice, FieldProblem, KeyBytes, Kind, Object, Secret};

const MAGIC: &[u8] = b"k8s\0";

/// How many objects are decoded before the pool is locked to build them.
const BATCH: usize = 128;

/// An object or a list with its type.
pub(super) struct Unknown {
    api_version: String,
    kind: String,
    raw: Bytes,
}

impl Unknown {
    pub(super) fn read(bytes: &Bytes) -> Result<Self, String> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err("does not begin as one".into()) };
        let unknown = messages::Unknown::decode(bytes.slice_ref(rest)).map_err(garbled)?;
        if !unknown.content_encoding.is_empty() || !matches!(&*unknown.content_type, "" | super::Encoding::PROTOBUF) {
            return Err("holds something that is encoded in another way".into());
        }
        let messages::TypeMeta { api_version, kind } = unknown.type_meta.unwrap_or_default();
        Ok(Self { api_version, kind, raw: unknown.raw })
    }

    /// The status, if it is one.
    pub(super) fn status(&self) -> Option<status::Status> {
        if self.kind != "Status" {
            return None;
        }
        messages::Status::decode(self.raw.clone()).ok().map(|message| Status::of_message(&message))
    }
}

pub(super) fn page(kind: Kind, body: &Bytes, pool: &Pool) -> Result<Page, String> {
    let answer = Unknown::read(body)?;
    check_list(kind, &answer.kind)?;
    let list = messages::List::decode(answer.raw).map_err(garbled)?;
    let metadata = list.metadata.unwrap_or_default();
    let revision = required_revision(&metadata.resource_version)?;
    let types = TypeMeta { api_version: &answer.api_version, kind: kind.as_str() };
    let mut items = Vec::with_capacity(list.items.len());
    for batch in list.items.chunks(BATCH) {
        let decoded: Vec<_> = batch.iter().map(|raw| Message::decode(kind, raw)).collect();
        let strings = pool.strings();
        items.extend(decoded.iter().map(|message| message.item(kind, types, &strings)));
    }
    Ok(Page {
        items,
        revision,
        next: Some(metadata.r#continue).filter(|token| !token.is_empty()),
        remaining: metadata.remaining_item_count.and_then(|count| count.try_into().ok()),
    })
}

pub(super) fn change(kind: Kind, frame: &Bytes, pool: &Pool) -> Result<Change, String> {
    let event = messages::WatchEvent::decode(frame.clone()).map_err(garbled)?;
    let object = Unknown::read(&event.object.unwrap_or_default().raw)?;
    match &*event.r#type {
        ADDED | MODIFIED => {
            let types = TypeMeta { api_version: &object.api_version, kind: &object.kind };
            Ok(Change::Put(Message::decode(kind, &object.raw).item(kind, types, &pool.strings())))
        }
        DELETED => {
            let metadata = Named::decode(object.raw).map_err(garbled)?.metadata.unwrap_or_default();
            if metadata.name.is_empty() {
                return Err("does not say which object was deleted".into());
            }
            let (namespace, name) = (tree::text(&metadata.namespace), tree::text(&metadata.name));
            Ok(Change::Delete(Gone {
                key: written_key(kind, &namespace, &name, &pool.strings()),
                version: version(&tree::text(&metadata.resource_version)),
            }))
        }
        BOOKMARK => {
            let metadata = messages::Bookmark::decode(object.raw).map_err(garbled)?.metadata.unwrap_or_default();
            let revision = required_revision(&metadata.resource_version)?;
            let ends = |entry: &messages::Entry| entry.key == INITIAL_EVENTS_END && entry.value == "true";
            let initial_events_end = metadata.annotations.iter().any(ends);
            Ok(Change::Bookmark { revision, initial_events_end })
        }
        ERROR => object.status().map(Change::Error).ok_or_else(|| "is an error without a status".into()),
        other => Err(format!("is of the unknown type {other:?}")),
    }
}

/// Why bytes are not a message. It names fields and quotes nothing.
fn garbled(error: prost::DecodeError) -> String {
    format!("is not whole: {error}")
}

/// One object, decoded and not yet built: that takes the pool.
enum Message {
    Pod(messages::Pod),
    Service(messages::Service),
    EndpointSlice(messages::EndpointSlice),
    Secret(messages::Secret),
    ConfigMap(messages::ConfigMap),
    /// A Namespace, or a slice of which no more is read.
    Named(Named),
    /// Bytes that are no such message, with why.
    Garbled(String),
}

impl Message {
    fn decode(kind: Kind, raw: &Bytes) -> Self {
        let raw = raw.clone();
        let decoded = match kind {
            Kind::Pod => messages::Pod::decode(raw).map(Message::Pod),
            Kind::Service => messages::Service::decode(raw).map(Message::Service),
            Kind::EndpointSlice => endpoint_slice(raw),
            Kind::Secret => messages::Secret::decode(raw).map(Message::Secret),
            Kind::ConfigMap => messages::ConfigMap::decode(raw).map(Message::ConfigMap),
            Kind::Namespace => Named::decode(raw).map(Message::Named),
            Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => {
                return Message::Garbled(format!("{kind} is a custom kind, which has no protobuf"));
            }
        };
        decoded.unwrap_or_else(|error| Message::Garbled(garbled(error)))
    }

    fn item(&self, kind: Kind, types: TypeMeta<'_>, strings: &Strings<'_>) -> Item {
        let slowly = |tree: &serde_json::Value| envelope::item(kind, tree, Some(types), strings);
        match self {
            Message::Pod(message) => {
                let plain = types == TypeMeta { api_version: "v1", kind: "Pod" };
                pod::plain(message, strings).filter(|_| plain).unwrap_or_else(|| slowly(&tree::pod(message)))
            }
            Message::Service(message) => slowly(&tree::service(message)),
            Message::EndpointSlice(message) => slowly(&tree::endpoint_slice(message)),
            Message::ConfigMap(message) => slowly(&tree::config_map(message)),
            Message::Named(message) => slowly(&tree::named(message)),
            Message::Secret(message) => {
                // Its values never enter a tree.
                let mut item = slowly(&tree::named(&Named { metadata: message.metadata.clone() }));
                if let Value::Object(object, _) = &mut item.value {
                    *object = Object::Secret(secret(message).into());
                }
                item
            }
            Message::Garbled(why) => Item {
                key: written_key(kind, "", "", strings),
                version: 0,
                value: Value::Unreadable(vec![FieldProblem::new("", why.as_str())]),
            },
        }
    }
}

/// A slice of Kubernetes' own controllers is not read further than to its labels.
fn endpoint_slice(raw: Bytes) -> Result<Message, prost::DecodeError> {
    let named = Named::decode(raw.clone())?;
    let mut labels = named.metadata.iter().flat_map(|metadata| &metadata.labels);
    let manager = labels.rfind(|entry| entry.key == EndpointSlice::MANAGED_BY);
    if manager.is_some_and(|entry| EndpointSlice::is_managed_by(&tree::text(&entry.value))) {
        return Ok(Message::Named(named));
    }
    messages::EndpointSlice::decode(raw).map(Message::EndpointSlice)
}

/// The entries of a Secret that are read, in bytes of their own: a slice would keep all other Secrets of the answer.
fn secret(message: &messages::Secret) -> Secret {
    let entry = |key: &str| message.data.iter().rfind(|entry| entry.key == key);
    let copy = |entry: &messages::SecretEntry| Bytes::copy_from_slice(&entry.value);
    Secret {
        certificate: entry("tls.crt").map(copy),
        key: entry("tls.key").map(copy).map(KeyBytes::new),
        unavailable: None,
    }
}
