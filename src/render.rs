//! Resources as people read them: Envoy's messages as JSON, with every secret redacted.
//!
//! What syncgate serves is bytes; `check`, `explain`, the admin pages and the golden tests show it through here. The
//! rendering is the canonical JSON of protobuf with the field names of the `.proto` files, which is what Envoy's own
//! `/config_dump` prints, so that the two can be compared. It is driven by descriptors (`render/envoy.binpb`, compiled
//! from the `.proto` files of the `envoy-types` in use), so a field that translation starts to emit is shown without
//! another line of code.
//!
//! Invariant: whatever Envoy's API marks as sensitive is redacted, at any depth and inside every `Any`; there is no
//! option to show it. And nothing is left out in silence: bytes that the descriptors do not explain are an error.
//!
//! Must not know: where resources come from, and how they are printed (YAML, JSON, a page).

use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, ReflectMessage, SerializeOptions, Value,
};
use serde_json::Value as Json;

use crate::resource::Resource;

/// What stands in the place of a secret; the same word as in Envoy's `/config_dump`.
pub const REDACTED: &str = "[redacted]";

/// [`REDACTED`] where the field holds bytes, which JSON shows in base64.
const REDACTED_BYTES: &str = "W3JlZGFjdGVkXQ==";

const ANY: &str = "google.protobuf.Any";

/// Why bytes could not be rendered. None of these can come from input: they mean that `render/envoy.binpb` does not
/// describe what translation emits.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The type is not among the descriptors.
    #[error("the descriptors hold no message type {0}")]
    UnknownType(String),
    /// The bytes are not a message of the type.
    #[error("malformed {0}: {1}")]
    Malformed(String, String),
    /// The message carries a field that its descriptor does not have.
    #[error("{0} has no field number {1}")]
    UnknownField(String, u32),
}

/// The resource as JSON: `@type` and the fields of its message, secrets redacted.
///
/// A resource that cannot be rendered (see [`RenderError`]) is shown by its `@type`, `name` and `error`.
#[must_use]
pub fn resource(resource: &Resource) -> Json {
    let type_url = resource.kind.type_url();
    message(type_url, &resource.body.to_bytes()).unwrap_or_else(
        |error| serde_json::json!({ "@type": type_url, "name": resource.name.as_str(), "error": error.to_string() }),
    )
}

/// The resources as a stream of YAML documents, in the order given, secrets redacted.
pub fn yaml<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> String {
    // In a YAML 1.2 document only what really is a number or a boolean needs quotes to be a string.
    let options = serde_saphyr::ser_options! { yaml_12: true, no_lang_directive: true, prefer_block_scalars: false };
    let documents = resources.into_iter().map(|r| {
        let json = resource(r);
        serde_saphyr::to_string_with_options(&json, options.clone()).unwrap_or_else(|e| format!("# {}: {e}\n", r.name))
    });
    documents.collect::<Vec<_>>().join("---\n")
}

/// An encoded message of the type as JSON: `@type` and its fields, secrets redacted.
///
/// # Errors
/// When the descriptors do not explain the bytes.
pub fn message(type_url: &str, body: &[u8]) -> Result<Json, RenderError> {
    let mut message = decode(type_url, body)?;
    Redaction::new().message(&mut message, false)?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let malformed = |e: serde_json::Error| RenderError::Malformed(type_url.to_owned(), e.to_string());
    let mut json = message.serialize_with_options(serde_json::value::Serializer, &options).map_err(malformed)?;
    if let Json::Object(fields) = &mut json {
        fields.insert("@type".to_owned(), Json::String(type_url.to_owned()));
    }
    spell_redaction(&mut json);
    Ok(json)
}

/// The message types that can be rendered. Decoded at the first use: a server that nobody asks never pays for it.
static TYPES: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(include_bytes!("render/envoy.binpb").as_slice())
        .expect("a test compiles these descriptors and compares")
});

fn decode(type_url: &str, body: &[u8]) -> Result<DynamicMessage, RenderError> {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    let descriptor = TYPES.get_message_by_name(name).ok_or_else(|| RenderError::UnknownType(name.to_owned()))?;
    DynamicMessage::decode(descriptor, body).map_err(|e| RenderError::Malformed(name.to_owned(), e.to_string()))
}

/// Walks a message, checks that every byte of it is described, and overwrites what is sensitive.
struct Redaction {
    /// `udpa.annotations.sensitive`, by which Envoy's API marks secrets.
    sensitive: ExtensionDescriptor,
}

impl Redaction {
    fn new() -> Self {
        let sensitive = TYPES.get_extension_by_name("udpa.annotations.sensitive");
        Self { sensitive: sensitive.expect("the descriptors of secrets import it") }
    }

    fn is_sensitive(&self, field: &FieldDescriptor) -> bool {
        field.options().get_extension(&self.sensitive).as_bool().unwrap_or_default()
    }

    /// Everything below a sensitive field is a secret, as for Envoy.
    fn message(&self, message: &mut DynamicMessage, secret: bool) -> Result<(), RenderError> {
        let name = message.descriptor().full_name().to_owned();
        if let Some(field) = message.unknown_fields().next() {
            return Err(RenderError::UnknownField(name, field.number()));
        }
        if name == ANY {
            return self.any(message, secret);
        }
        for (field, value) in message.fields_mut() {
            self.value(value, secret || self.is_sensitive(&field))?;
        }
        Ok(())
    }

    fn value(&self, value: &mut Value, secret: bool) -> Result<(), RenderError> {
        match value {
            Value::Message(inner) => self.message(inner, secret)?,
            Value::List(items) => items.iter_mut().try_for_each(|item| self.value(item, secret))?,
            Value::Map(entries) => entries.values_mut().try_for_each(|entry| self.value(entry, secret))?,
            Value::String(text) if secret => *text = REDACTED.to_owned(),
            Value::Bytes(bytes) if secret => *bytes = REDACTED.into(),
            _ => {}
        }
        Ok(())
    }

    fn any(&self, any: &mut DynamicMessage, secret: bool) -> Result<(), RenderError> {
        let text = |value: Option<std::borrow::Cow<'_, Value>>| value.and_then(|v| v.as_str().map(str::to_owned));
        let type_url = text(any.get_field_by_name("type_url")).unwrap_or_default();
        let body = any.get_field_by_name("value").and_then(|v| v.as_bytes().cloned()).unwrap_or_default();
        let mut inner = decode(&type_url, &body)?;
        self.message(&mut inner, secret)?;
        let encoded = prost::Message::encode_to_vec(&inner);
        any.set_field_by_name("value", Value::Bytes(encoded.into()));
        Ok(())
    }
}

/// Bytes are shown in base64, a redacted secret as the word.
fn spell_redaction(json: &mut Json) {
    match json {
        Json::String(text) if text == REDACTED_BYTES => *text = REDACTED.to_owned(),
        Json::Array(items) => items.iter_mut().for_each(spell_redaction),
        Json::Object(fields) => fields.values_mut().for_each(spell_redaction),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
