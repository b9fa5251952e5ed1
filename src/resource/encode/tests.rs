use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::{Metadata, TypedExtensionConfig};
use envoy_types::pb::envoy::config::rbac::v3::{Policy, Rbac};
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3::CheckSettings;
use envoy_types::pb::google::protobuf::StringValue;
use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::*;

/// `Cluster.typed_extension_protocol_options`.
const PROTOCOL_OPTIONS: u32 = 36;

fn string(value: &str) -> Any {
    any(&StringValue { value: value.to_owned() })
}

/// A field of type `map<string, string>`: its values are encoded like those of a map of messages.
fn string_map_field<K: Into<String>, V: Into<String>>(field: u32, entries: impl IntoIterator<Item = (K, V)>) -> Bytes {
    map_field(field, entries.into_iter().map(|(key, value)| (key, Bytes::from(value.into()))))
}

#[test]
fn a_map_is_appended_to_a_message_without_it() {
    let options = [("z", string("1")), ("a", string("2")), ("m", string("3"))];
    let cluster = Cluster { name: "c".to_owned(), ..Default::default() };
    let map = map_field(PROTOCOL_OPTIONS, options.clone().map(|(key, value)| (key, message(&value))));
    let bytes = [message(&cluster), map].concat();

    let expected: HashMap<_, _> = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let decoded = Cluster::decode(&*bytes).unwrap();
    assert_eq!(decoded, Cluster { typed_extension_protocol_options: expected, ..cluster });
}

#[test]
fn entries_are_sorted_and_the_last_of_a_key_counts() {
    let field = string_map_field(1, [("b", "old"), ("a", "1"), ("b", "new")]);
    assert_eq!(field, string_map_field(1, [("a", "1"), ("b", "new")]));
    assert_eq!(field, Bytes::from_static(b"\x0a\x06\x0a\x01a\x12\x011\x0a\x08\x0a\x01b\x12\x03new"));
}

#[test]
fn an_empty_map_is_no_field() {
    assert_eq!(map_field::<String>(PROTOCOL_OPTIONS, []), Bytes::new());
}

#[test]
fn empty_keys_and_values_keep_their_entry() {
    let encoded = string_map_field(1, [("", ""), ("k", "")]);
    let settings = CheckSettings::decode(encoded).unwrap();
    let expected = HashMap::from([(String::new(), String::new()), ("k".to_owned(), String::new())]);
    assert_eq!(settings.context_extensions, expected);
}

#[test]
fn fields_are_those_that_prost_writes() {
    let value = TypedExtensionConfig { name: "n".repeat(200), typed_config: Some(string("x")) };
    let whole = Cluster { upstream_config: Some(value.clone()), ..Default::default() };
    const UPSTREAM_CONFIG: u32 = 48;
    assert_eq!(message_field(UPSTREAM_CONFIG, &value), message(&whole));
    assert_eq!(bytes_field(UPSTREAM_CONFIG, &message(&value)), message(&whole));
    let header = field_header(UPSTREAM_CONFIG, value.encoded_len());
    assert_eq!([header, message(&value)].concat(), message(&whole));
}

#[test]
fn any_has_the_type_url_that_envoy_expects() {
    let value = Cluster { name: "c".to_owned(), ..Default::default() };
    let packed = any(&value);
    assert_eq!(packed.type_url, "type.googleapis.com/envoy.config.cluster.v3.Cluster");
    assert_eq!(packed.value, message(&value));
    assert_eq!(packed, any_of::<Cluster>(message(&value)));
    // A type of google.protobuf, and one whose package differs from its path in the crate.
    assert_eq!(string("").type_url, "type.googleapis.com/google.protobuf.StringValue");
    assert_eq!(any(&Policy::default()).type_url, "type.googleapis.com/envoy.config.rbac.v3.Policy");
}

#[test]
fn stability_is_about_unsorted_maps() {
    let policies = |names: &[&str]| {
        message(&Rbac {
            policies: names.iter().map(|name| ((*name).to_owned(), Policy::default())).collect(),
            ..Default::default()
        })
    };
    assert!(is_stable::<Rbac>(&policies(&["a"])));
    assert!(!is_stable::<Rbac>(&policies(&["a", "b"])));
    assert!(!is_stable::<Rbac>(b"\xff"), "not a message");
    // Also in a message within.
    let metadata = Metadata {
        typed_filter_metadata: ["a", "b"].map(|name| (name.to_owned(), Any::default())).into(),
        ..Default::default()
    };
    assert!(!is_stable::<Cluster>(&message(&Cluster { metadata: Some(metadata), ..Default::default() })));
}

proptest! {
    #[test]
    fn map_fields_decode_to_what_was_given_in_any_order(
        entries in prop::collection::hash_map(".{0,300}", ".{0,300}", 0..20)
    ) {
        let encoded = string_map_field(1, entries.clone());
        let sorted: BTreeMap<_, _> = entries.clone().into_iter().collect();
        prop_assert_eq!(&encoded, &string_map_field(1, sorted.into_iter().rev()));
        let settings = CheckSettings::decode(encoded).unwrap();
        prop_assert_eq!(settings.context_extensions, entries);
    }
}
