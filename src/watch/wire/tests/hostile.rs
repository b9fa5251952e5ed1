//! Bytes that no server would send.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::{json_list_of, json_page, list_of, protobuf_page};
use crate::model::Kind;
use crate::watch::wire::messages::{ObjectMeta, Pod};
use crate::watch::wire::{Encoding, Frames, Pool, Value, change, page, status};

const FILES: [(Kind, &str); 6] = [
    (Kind::Namespace, "namespaces"),
    (Kind::Service, "services"),
    (Kind::Pod, "pods"),
    (Kind::EndpointSlice, "endpointslices"),
    (Kind::Secret, "secrets"),
    (Kind::ConfigMap, "configmaps"),
];

fn corpus(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)).unwrap()
}

#[test]
fn doubt_keeps_a_truncated_list_from_being_one() {
    for (kind, name) in FILES {
        for (encoding, extension) in [(Encoding::Protobuf, "pb"), (Encoding::Json, "json")] {
            let whole = corpus(&format!("{name}.list.{extension}"));
            let whole = Bytes::copy_from_slice(whole.trim_ascii_end());
            let pool = Pool::new();
            let full = page(kind, encoding, &whole, &pool);
            assert!(full.is_ok());
            for end in (0..whole.len()).step_by(1 + whole.len() / 500).chain([whole.len() - 1]) {
                let cut = page(kind, encoding, &whole.slice(..end), &pool);
                // Protobuf ends with fields about the encoding, which are empty.
                assert!(cut.is_err() || cut == full, "{name}.{extension} to {end} of {}", whole.len());
            }
        }
    }
}

#[test]
fn one_harms_one_in_a_list() {
    let good = Pod { metadata: Some(meta("good")), ..Pod::default() };
    let nameless = Pod { metadata: Some(ObjectMeta::default()), ..Pod::default() };
    // Its metadata is a number.
    let garbled = Bytes::from_static(&[0x08, 0x01]);
    let lying = Bytes::from_static(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let items = vec![garbled, good.encode_to_vec().into(), lying, nameless.encode_to_vec().into()];
    let found = protobuf_page(Kind::Pod, &list_of(Kind::Pod, items)).items;
    let readable: Vec<_> = found.iter().map(|item| matches!(item.value, Value::Object(..))).collect();
    assert_eq!(readable, [false, true, false, false]);
    let Value::Unreadable(problems) = &found[2].value else { panic!() };
    assert!(problems[0].message.contains("is not whole"), "{problems:?}");

    let items = [json!(7), json!({"metadata": {"name": "good"}}), json!({"metadata": {"name": "Bad"}}), json!(null)];
    let found = json_page(Kind::Pod, &json_list_of(Kind::Pod, &items)).items;
    let readable: Vec<_> = found.iter().map(|item| matches!(item.value, Value::Object(..))).collect();
    assert_eq!(readable, [false, true, false, false]);
    assert_eq!(found[2].key.name, "Bad", "an unreadable object is named as it is written");
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: Bytes::copy_from_slice(name.as_bytes()), ..ObjectMeta::default() }
}

#[test]
fn bounded_by_the_bytes_that_are_there_whatever_lengths_say() {
    let pool = Pool::new();
    // A list whose item says to have 4 GiB.
    let body = Bytes::from_static(b"k8s\0\x12\x06\x12\xff\xff\xff\xff\x0f");
    assert!(page(Kind::Pod, Encoding::Protobuf, &body, &pool).is_err());
    // Many items of no bytes.
    let many = list_of(Kind::Pod, vec![Bytes::new(); 10_000]);
    assert_eq!(protobuf_page(Kind::Pod, &many).items.len(), 10_000);
    // Deep where nothing is kept.
    let deep = format!("{{\"x\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(page(Kind::Pod, Encoding::Json, &Bytes::from(deep), &pool).is_err());
}

#[test]
fn what_is_passed_over_may_be_anything() {
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let body = format!(
        "{{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"1\"}},\"items\":[\
         {{\"metadata\":{{\"name\":\"a\",\"managedFields\":{deep},\"annotations\":{{\"a\":{deep}}}}},\
         \"other\":{deep}}}]}}"
    );
    let found = json_page(Kind::Pod, &body.into()).items;
    assert!(matches!(found[0].value, Value::Object(..)), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A flipped list or stream reads as something or as nothing, and never panics.
    #[test]
    fn flipped_bytes_never_panic(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        protobuf in any::<bool>(),
    ) {
        let (kind, name) = FILES[file];
        let (encoding, extension) = if protobuf { (Encoding::Protobuf, "pb") } else { (Encoding::Json, "json") };
        let flipped = |file: &str| {
            let mut bytes = corpus(&format!("{name}.{file}.{extension}"));
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let pool = Pool::new();
        let body = Bytes::from(flipped("list"));
        let _ = page(kind, encoding, &body, &pool);
        let _ = status(500, &body);
        let mut frames = Frames::new(encoding);
        frames.push(&flipped("watch"));
        while let Ok(Some(frame)) = frames.next_frame() {
            let _ = change(kind, encoding, &frame, &pool);
        }
    }

    /// Arbitrary bytes where an object, a list or an event is expected.
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::sample::select(Kind::ALL.to_vec()),
    ) {
        let pool = Pool::new();
        let bytes = Bytes::from(bytes);
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let _ = page(kind, encoding, &bytes, &pool);
            let _ = change(kind, encoding, &bytes, &pool);
        }
        let _ = page(kind, Encoding::Protobuf, &list_of(kind, vec![bytes.clone()]), &pool);
        let _ = status(400, &bytes);
    }
}
