//! Frames, the pool, hostile bytes, and both encodings of arbitrary objects. What real servers answer is in
//! `tests/wire_corpus.rs`.

mod equal;
mod frames;
mod hostile;
mod pool;
mod status;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value as Tree, json};

use super::messages::{List, ListMeta, RawExtension, TypeMeta, Unknown, WatchEvent};
use super::{Change, Encoding, Item, Page, Pool, Value, change, page};
use crate::model::Kind;

/// `apiVersion` of a kind.
fn api_version(kind: Kind) -> String {
    if kind.group().is_empty() { "v1".into() } else { format!("{}/v1", kind.group()) }
}

/// A message in the envelope that every answer and every object of an event has.
fn wrapped(api_version: &str, kind: &str, raw: Vec<u8>) -> Bytes {
    let type_meta = Some(TypeMeta { api_version: api_version.into(), kind: kind.into() });
    let unknown = Unknown { type_meta, raw: raw.into(), ..Unknown::default() };
    [b"k8s\0".as_slice(), &unknown.encode_to_vec()].concat().into()
}

/// A list at revision 7 of these encoded objects.
fn list_of(kind: Kind, items: Vec<Bytes>) -> Bytes {
    let metadata = Some(ListMeta { resource_version: "7".into(), ..ListMeta::default() });
    wrapped(&api_version(kind), &format!("{kind}List"), List { metadata, items }.encode_to_vec())
}

/// The same in JSON.
fn json_list_of(kind: Kind, items: &[Tree]) -> Bytes {
    let list = json!({"kind": format!("{kind}List"), "apiVersion": api_version(kind),
        "metadata": {"resourceVersion": "7"}, "items": items});
    list.to_string().into()
}

/// An event about an encoded object.
fn event(r#type: &str, kind: &str, raw: Vec<u8>) -> Bytes {
    let object = Some(RawExtension { raw: wrapped("v1", kind, raw) });
    WatchEvent { r#type: r#type.into(), object }.encode_to_vec().into()
}

fn protobuf_page(kind: Kind, body: &Bytes) -> Page {
    page(kind, Encoding::Protobuf, body, &Pool::new()).unwrap()
}

fn json_page(kind: Kind, body: &Bytes) -> Page {
    page(kind, Encoding::Json, body, &Pool::new()).unwrap()
}

/// The problems of an object that has effect.
fn problems(item: &Item) -> Vec<String> {
    let Value::Object(_, problems) = &item.value else { panic!("{item:?}") };
    problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
}

#[test]
fn each_kind_has_its_encoding() {
    assert_eq!(Encoding::of_kind(Kind::Pod), Encoding::Protobuf);
    assert_eq!(Encoding::of_kind(Kind::HttpRoute), Encoding::Json);
    let cases = [
        ("application/json", Some(Encoding::Json)),
        ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
        ("application/vnd.kubernetes.protobuf", Some(Encoding::Protobuf)),
        ("application/vnd.kubernetes.protobuf;stream=watch", Some(Encoding::Protobuf)),
        ("text/html", None),
        ("", None),
    ];
    for (header, encoding) in cases {
        assert_eq!(Encoding::of_content_type(header), encoding, "{header}");
    }
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let first = encoding.accept().split(',').next().unwrap();
        assert_eq!(Encoding::of_content_type(first), Some(encoding));
    }
}

#[test]
fn what_was_not_asked_for_or_is_not_whole_is_no_list() {
    let pool = Pool::new();
    let json = [
        ("{}", "is a \"\", not the PodList"),
        ("[]", "is not JSON"),
        ("{\"kind\":\"PodList\"", "is not JSON"),
        ("{\"kind\":\"PodList\"}", "has no apiVersion"),
        ("{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\"}", "is a \"ServiceList\", not the PodList"),
        ("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[]}", "must be a number"),
        (
            "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"x\"},\"items\":[]}",
            "must be a number",
        ),
        ("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"1\"}}", "has no items"),
    ];
    for (body, why) in json {
        let error = page(Kind::Pod, Encoding::Json, &Bytes::from(body), &pool).unwrap_err().to_string();
        assert!(error.contains(why), "{body}: {error}");
    }
    let protobuf = [
        (Bytes::new(), "does not begin as one"),
        (Bytes::from("k8s\0\x0a"), "is not whole"),
        (wrapped("v1", "Status", Vec::new()), "is a \"Status\", not the PodList"),
        (wrapped("v1", "PodList", Vec::new()), "must be a number"),
        (wrapped("v1", "PodList", vec![0x0a]), "is not whole"),
    ];
    for (body, why) in protobuf {
        let error = page(Kind::Pod, Encoding::Protobuf, &body, &pool).unwrap_err().to_string();
        assert!(error.contains(why), "{body:?}: {error}");
    }
    let null = "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":null}";
    assert_eq!(json_page(Kind::Pod, &Bytes::from(null)).items, []);
}

#[test]
fn an_event_says_what_it_is_about_or_is_none() {
    let pool = Pool::new();
    let cases = [
        ("{\"type\":\"NEWS\",\"object\":{}}", "unknown type \"NEWS\""),
        ("{\"type\":\"DELETED\",\"object\":{}}", "which object was deleted"),
        ("{\"type\":\"BOOKMARK\",\"object\":{}}", "must be a number"),
        ("{\"object\":{}}", "unknown type \"\""),
    ];
    for (frame, why) in cases {
        let error = change(Kind::Pod, Encoding::Json, &Bytes::from(frame), &pool).unwrap_err().to_string();
        assert!(error.contains(why), "{frame}: {error}");
    }
    let cases = [
        (event("NEWS", "Pod", Vec::new()), "unknown type \"NEWS\""),
        (event("DELETED", "Pod", Vec::new()), "which object was deleted"),
        (event("BOOKMARK", "Pod", Vec::new()), "must be a number"),
        (event("ERROR", "Pod", Vec::new()), "without a status"),
        (Bytes::new(), "does not begin as one"),
    ];
    for (frame, why) in cases {
        let error = change(Kind::Pod, Encoding::Protobuf, &frame, &pool).unwrap_err().to_string();
        assert!(error.contains(why), "{frame:?}: {error}");
    }
}

#[test]
fn an_event_about_another_kind_or_version_is_unreadable() {
    let unreadable = |frame: &Bytes| match change(Kind::Pod, Encoding::Protobuf, frame, &Pool::new()) {
        Ok(Change::Put(Item { value: Value::Unreadable(problems), .. })) => problems[0].message.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(unreadable(&event("ADDED", "Service", Vec::new())).contains("is required"));
    let object = Some(RawExtension { raw: wrapped("v2", "Pod", Vec::new()) });
    let frame = WatchEvent { r#type: "ADDED".into(), object }.encode_to_vec().into();
    assert!(unreadable(&frame).contains("v2 is not served for Pod"));
    let object = Some(RawExtension { raw: wrapped("apps/v1", "Deployment", Vec::new()) });
    let frame = WatchEvent { r#type: "ADDED".into(), object }.encode_to_vec().into();
    assert!(unreadable(&frame).contains("must be Pod"));
}

#[test]
fn a_version_that_is_no_number_is_larger_than_any_revision() {
    assert_eq!((super::version("42"), super::version("")), (42, 0));
    for odd in ["x", "0", "-1", "+1", "9223372036854775808", "99999999999999999999"] {
        assert!(super::version(odd) > i64::MAX as u64, "{odd}");
        assert_eq!(super::revision(odd), None);
    }
    assert_ne!(super::version("x"), super::version("y"));
    assert_eq!(super::revision("9223372036854775807"), Some(i64::MAX as u64));
}
