//! Deterministic protobuf.
//!
//! prost writes fields in the order of their numbers, so its output depends on the message alone, but for maps:
//! envoy-types holds them in `HashMap`s, whose order is random for each process. So a map field is left empty in
//! the message and written here, sorted, and appended: protobuf fields concatenate in any order.
//!
//! ```text
//! message(&cluster with an empty map) ++ map_field(36, [(name, message(&any))])
//! ```
//!
//! Invariant: what these functions return depends on their arguments' content alone. [`is_stable`] tells in tests
//! whether a message is free of unsorted maps.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use envoy_types::pb::google::protobuf::Any;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{Message, Name};

/// The field numbers of every protobuf map entry.
const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;

/// Encodes a message. Its map fields, and those of messages within, must be empty or hold one entry.
#[must_use]
pub fn message<M: Message>(message: &M) -> Bytes {
    message.encode_to_vec().into()
}

/// Encodes a message as the length-delimited field `field` of another. The rule of [`message`] holds.
#[must_use]
pub fn message_field<M: Message>(field: u32, message: &M) -> Bytes {
    let len = message.encoded_len();
    let mut out = Vec::with_capacity(delimited_len(field, len));
    put_header(&mut out, field, len);
    message.encode_raw(&mut out);
    out.into()
}

/// Encoded bytes (a message, a string) as the length-delimited field `field` of a message.
#[must_use]
pub fn bytes_field(field: u32, value: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(delimited_len(field, value.len()));
    put_delimited(&mut out, field, value);
    out.into()
}

/// Tag and length of the length-delimited field `field` with a value of `len` bytes, which is to follow.
#[must_use]
pub fn field_header(field: u32, len: usize) -> Bytes {
    let mut out = Vec::with_capacity(delimited_len(field, 0) + encoded_len_varint(len as u64));
    put_header(&mut out, field, len);
    out.into()
}

/// The field `field` of type `map<string, message>`, to be appended to a message that was encoded with the map
/// empty. Entries may come in any order and are sorted; of several with one key the last counts, as in protobuf.
#[must_use]
pub fn map_field<K: Into<String>>(field: u32, entries: impl IntoIterator<Item = (K, Bytes)>) -> Bytes {
    let sorted: BTreeMap<String, Bytes> = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
    let mut out = Vec::new();
    for (key, value) in &sorted {
        put_header(&mut out, field, delimited_len(ENTRY_KEY, key.len()) + delimited_len(ENTRY_VALUE, value.len()));
        put_delimited(&mut out, ENTRY_KEY, key.as_bytes());
        put_delimited(&mut out, ENTRY_VALUE, value);
    }
    out.into()
}

/// A message in an `Any`, with the type URL that Envoy expects. The rule of [`message`] holds.
#[must_use]
pub fn any<M: Message + Name>(message: &M) -> Any {
    any_of::<M>(message.encode_to_vec())
}

/// An encoded message of type `M` in an `Any`: for messages that were put together with [`map_field`].
#[must_use]
pub fn any_of<M: Name>(encoded: impl Into<Vec<u8>>) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: encoded.into() }
}

/// Whether decoding `encoded` as an `M` and encoding it again gives the same bytes each time: false as soon as
/// a map of two or more entries is among its fields, since every decoded `HashMap` has an order of its own.
/// For tests of what is encoded with [`message`]; it does not look into `Any`, nor into what `M` cannot decode.
#[must_use]
pub fn is_stable<M: Message + Default>(encoded: &[u8]) -> bool {
    // Two entries keep their order by chance in one of two rounds: 2⁻²⁴ in all.
    const ROUNDS: usize = 24;
    let again = || M::decode(encoded).map(|message| message.encode_to_vec());
    match again() {
        Ok(first) => (1..ROUNDS).all(|_| again().is_ok_and(|bytes| bytes == first)),
        Err(_) => false,
    }
}

fn delimited_len(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

fn put_header(out: &mut Vec<u8>, field: u32, len: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

fn put_delimited(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_header(out, field, value.len());
    out.put_slice(value);
}

#[cfg(test)]
mod tests;
