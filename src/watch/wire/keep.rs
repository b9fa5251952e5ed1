//! Which fields of a JSON answer become a tree, and the reader that passes over all others without holding them.
//!
//! What is kept is what `model::decode` reads; `tests/wire_corpus.rs` shows on real answers that nothing of it is lost.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::INITIAL_EVENTS_END;
use crate::model::{ConfigMap, Kind};

/// What to keep of a value. A list is what its entries are; a value that is no mapping where fields are named is kept,
/// for decoding to complain about.
#[derive(Debug)]
pub(super) enum Keep {
    /// Everything.
    All,
    /// These fields of a mapping.
    Fields(&'static [(&'static str, Keep)]),
    /// An object: what all have, and these fields of its kind.
    Object(&'static [(&'static str, Keep)]),
}

use Keep::{All, Fields, Object};

/// No `managedFields`, and of the annotations only the one that a bookmark may have. The rest after `metadata` are the
/// fields of a Status, which may stand in any object's place.
const COMMON: &[(&str, Keep)] = &[
    ("apiVersion", All),
    ("kind", All),
    (
        "metadata",
        Fields(&[
            ("name", All),
            ("namespace", All),
            ("uid", All),
            ("resourceVersion", All),
            ("generation", All),
            ("creationTimestamp", All),
            ("deletionTimestamp", All),
            ("labels", All),
            ("annotations", Fields(&[(INITIAL_EVENTS_END, All)])),
        ]),
    ),
    ("code", All),
    ("reason", All),
    ("message", All),
    ("details", All),
];

const CONTAINER: Keep =
    Fields(&[("restartPolicy", All), ("ports", Fields(&[("name", All), ("containerPort", All), ("protocol", All)]))]);

const POD: Keep = Object(&[
    ("spec", Fields(&[("containers", CONTAINER), ("initContainers", CONTAINER)])),
    (
        "status",
        Fields(&[
            ("phase", All),
            ("conditions", Fields(&[("type", All), ("status", All)])),
            ("podIP", All),
            ("podIPs", Fields(&[("ip", All)])),
        ]),
    ),
]);

const SERVICE: Keep = Object(&[(
    "spec",
    Fields(&[
        ("type", All),
        ("externalName", All),
        ("selector", All),
        ("clusterIP", All),
        ("publishNotReadyAddresses", All),
        ("ipFamilies", All),
        (
            "ports",
            Fields(&[("name", All), ("port", All), ("targetPort", All), ("protocol", All), ("appProtocol", All)]),
        ),
    ]),
)]);

const ENDPOINT_SLICE: Keep = Object(&[
    ("addressType", All),
    ("ports", Fields(&[("name", All), ("port", All), ("protocol", All)])),
    (
        "endpoints",
        Fields(&[("addresses", All), ("conditions", Fields(&[("ready", All), ("terminating", All)])), ("zone", All)]),
    ),
]);

/// Without `stringData`, which no answer has.
const SECRET: Keep = Object(&[("data", Fields(&[("tls.crt", All), ("tls.key", All)]))]);

/// Without `binaryData`: certificates are text.
const CONFIG_MAP: Keep = Object(&[("data", Fields(&[(ConfigMap::AUTHORITIES, All)]))]);

/// The lists of what Gateway API's specs hold are long, and nearly all of it is read; their status is not.
const GATEWAY_API: Keep = Object(&[("spec", All)]);

const fn object(kind: Kind) -> &'static Keep {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => &GATEWAY_API,
        Kind::Namespace => &Object(&[]),
        Kind::Service => &SERVICE,
        Kind::Pod => &POD,
        Kind::EndpointSlice => &ENDPOINT_SLICE,
        Kind::Secret => &SECRET,
        Kind::ConfigMap => &CONFIG_MAP,
    }
}

/// A list of objects of `kind`, kept narrowly.
pub(super) fn list(kind: Kind, body: &[u8]) -> Result<Value, String> {
    read(&[("apiVersion", &All), ("kind", &All), ("metadata", &All), ("items", object(kind))], body)
}

/// An event about an object of `kind`, kept narrowly.
pub(super) fn event(kind: Kind, frame: &[u8]) -> Result<Value, String> {
    read(&[("type", &All), ("object", object(kind))], frame)
}

fn read(fields: &[(&'static str, &'static Keep)], bytes: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let tree = reader.deserialize_map(Top(fields)).and_then(|tree| reader.end().map(|()| tree));
    // A message about syntax quotes nothing of the text, which may be a Secret's.
    tree.map_err(|error| format!("is not JSON: {error}"))
}

/// The fields of an answer itself.
struct Top<'f>(&'f [(&'static str, &'static Keep)]);

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        fields(map, |name| self.0.iter().find(|(kept, _)| *kept == name).map(|(_, keep)| *keep))
    }
}

fn fields<'de, A: MapAccess<'de>>(mut map: A, keep: impl Fn(&str) -> Option<&'static Keep>) -> Result<Value, A::Error> {
    let mut kept = Map::new();
    while let Some(name) = map.next_key::<String>()? {
        match keep(&name) {
            Some(keep) => {
                kept.insert(name, map.next_value_seed(keep)?);
            }
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(Value::Object(kept))
}

impl Keep {
    fn field(&self, name: &str) -> Option<&'static Keep> {
        let find = |fields: &'static [(&'static str, Keep)]| fields.iter().find(|(kept, _)| *kept == name);
        match self {
            All => Some(&All),
            Fields(fields) => find(fields).map(|(_, keep)| keep),
            Object(fields) => find(COMMON).or_else(|| find(fields)).map(|(_, keep)| keep),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &'static Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &'static Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            kept.push(value);
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        fields(map, |name| self.field(name))
    }
}
