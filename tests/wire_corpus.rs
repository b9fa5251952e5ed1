//! Answers of a real API server (Kubernetes 1.36.3, Gateway API 1.7), as they came: both encodings decode to equal
//! values, and the narrow reading of JSON loses nothing that a full one would find.
//!
//! How `tests/corpus` was made: an empty server with the CRDs of Gateway API got the requests of `requests.json` in
//! their order from an administrator (`path`, `method`, `body`, and `type` as Content-Type). Before the first of those
//! that [`CHANGES`] counts from the end, at revision R, `*.list` and `services.page` (limit 2) were read with
//! `resourceVersion=R&resourceVersionMatch=Exact`. After the last request, `*.watch` was read with `watch=1&
//! resourceVersion=R&timeoutSeconds=1`, and `*.initial` with `watch=1&sendInitialEvents=true&resourceVersionMatch=
//! NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1`. Each `.pb` was asked for with the Accept header of
//! `Encoding::Protobuf`, each `.json` with that of `Encoding::Json`, by a client that is no browser (to browsers and
//! curl the server indents). The answers in `*.status` are errors: `absent` GET of a Namespace, `anonymous` a wrong
//! token, `forbidden` a user without rights, `future` a LIST at revision 999999999, `token` a nonsensical `continue`,
//! `invalid` a watch with `sendInitialEvents` alone, `path` a path that is not served, and `expired` a LIST at
//! revision 250 after etcd was compacted, from a server with `--watch-cache=false`; from it `expired.watch` too.
//! `configmaps.*` are of a server that got `configmaps.requests.json` in the same way: the last three after the list.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as the test itself does")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Tree;
use syncgate::model::decode::{self, NotDecoded, TypeMeta};
use syncgate::model::{Kind, Object};
use syncgate::watch::wire::{self, Change, Encoding, Frames, Held, Item, Page, Pool, Value};

/// How many of the requests happened after the lists.
const CHANGES: usize = 15;

/// The kinds with the plural that names their files.
const KINDS: [(Kind, &str); 10] = [
    (Kind::Namespace, "namespaces"),
    (Kind::Service, "services"),
    (Kind::Pod, "pods"),
    (Kind::EndpointSlice, "endpointslices"),
    (Kind::Secret, "secrets"),
    (Kind::ConfigMap, "configmaps"),
    (Kind::GatewayClass, "gatewayclasses"),
    (Kind::Gateway, "gateways"),
    (Kind::HttpRoute, "httproutes"),
    (Kind::ReferenceGrant, "referencegrants"),
];

fn built_in() -> impl Iterator<Item = (Kind, &'static str)> {
    KINDS.into_iter().filter(|(kind, _)| Encoding::of_kind(*kind) == Encoding::Protobuf)
}

fn read(name: &str, encoding: Encoding) -> Bytes {
    let extension = match encoding {
        Encoding::Json => "json",
        Encoding::Protobuf => "pb",
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format!("{name}.{extension}"));
    fs::read(&path).expect(name).into()
}

fn page(kind: Kind, name: &str, encoding: Encoding) -> Page {
    let body = read(name, encoding);
    wire::page(kind, encoding, &body, &Pool::new()).expect(name)
}

/// The events of a watch, with the network cutting it into pieces of `size`.
fn changes(kind: Kind, name: &str, encoding: Encoding, size: usize) -> Vec<Change> {
    let (mut frames, pool, mut found) = (Frames::new(encoding), Pool::new(), Vec::new());
    for piece in read(name, encoding).chunks(size) {
        frames.push(piece);
        while let Some(frame) = frames.next_frame().expect(name) {
            found.push(wire::change(kind, encoding, &frame, &pool).expect(name));
        }
    }
    assert!(!frames.is_partial(), "{name} ends within an event");
    found
}

/// What full decoding makes of a tree: the name, the value and its problems; nothing of a managed slice.
fn in_full(kind: Kind, tree: &Tree, api_version: &str) -> Item {
    let metadata = &tree["metadata"];
    let version = metadata["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a revision");
    let (key, value) = match decode::decode(tree, Some(TypeMeta { api_version, kind: kind.as_str() })) {
        Ok(decoded) => (decoded.at.key, Value::Object(decoded.object, decoded.problems)),
        Err(NotDecoded::Managed(at)) => (at.key, Value::Managed),
        Err(other) => unreachable!("{other:?}"),
    };
    Item { key, version, value }
}

fn objects(items: &[Item]) -> Vec<&Object> {
    items
        .iter()
        .filter_map(|item| match &item.value {
            Value::Object(object, _) => Some(object),
            Value::Managed | Value::Unreadable(_) => None,
        })
        .collect()
}

#[test]
fn lists_decode_alike_in_both_encodings() {
    for (kind, name) in built_in() {
        let list = format!("{name}.list");
        let (json, protobuf) = (page(kind, &list, Encoding::Json), page(kind, &list, Encoding::Protobuf));
        assert_eq!(json, protobuf, "{name}");
        assert!(json.items.len() >= 3 && json.revision > 0 && json.next.is_none(), "{name}: {json:?}");
    }
}

#[test]
fn nothing_is_lost_by_narrow_reading() {
    for (kind, name) in KINDS {
        let list = format!("{name}.list");
        let tree: Tree = serde_json::from_slice(&read(&list, Encoding::Json)).unwrap();
        let api_version = tree["apiVersion"].as_str().unwrap();
        let full: Vec<_> =
            tree["items"].as_array().unwrap().iter().map(|tree| in_full(kind, tree, api_version)).collect();
        assert_eq!(page(kind, &list, Encoding::Json).items, full, "{name}");
    }
}

#[test]
fn watches_decode_alike_in_both_encodings_wherever_the_network_cuts() {
    for (kind, name) in built_in() {
        let watch = format!("{name}.watch");
        let json = changes(kind, &watch, Encoding::Json, usize::MAX);
        assert!(!json.is_empty(), "{name}");
        for size in [1, 7, 1000, usize::MAX] {
            assert_eq!(json, changes(kind, &watch, Encoding::Protobuf, size), "{name} in pieces of {size}");
            assert_eq!(json, changes(kind, &watch, Encoding::Json, size), "{name} in pieces of {size}");
        }
    }
    let routes = changes(Kind::HttpRoute, "httproutes.watch", Encoding::Json, 100);
    assert!(matches!(&routes[..], [Change::Put(_), Change::Delete(_)]), "{routes:?}");
}

#[test]
fn a_watch_may_begin_with_what_is_there() {
    let json = changes(Kind::Service, "services.initial", Encoding::Json, 64);
    let protobuf = changes(Kind::Service, "services.initial", Encoding::Protobuf, 64);
    let both = [&json, &protobuf].map(|changes| match changes.split_last() {
        // The server answered them one after the other, so their revisions differ.
        Some((Change::Bookmark { revision: 1.., initial_events_end: true }, puts)) => puts,
        _ => panic!("{changes:?}"),
    });
    assert_eq!(both[0], both[1]);
    assert!(both[0].len() > 3 && both[0].iter().all(|change| matches!(change, Change::Put(_))), "{both:?}");
    let gateways = changes(Kind::Gateway, "gateways.initial", Encoding::Json, 64);
    assert!(matches!(gateways[..], [Change::Put(_), Change::Bookmark { initial_events_end: true, .. }]));
}

#[test]
fn a_revision_that_is_too_old_ends_a_watch() {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let found = changes(Kind::Service, "expired.watch", encoding, usize::MAX);
        let [Change::Error(status)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    }
}

#[test]
fn a_page_names_the_next_one() {
    let both = [Encoding::Json, Encoding::Protobuf].map(|encoding| page(Kind::Service, "services.page", encoding));
    for page in &both {
        assert!(page.next.as_ref().is_some_and(|token| !token.is_empty()));
        assert_eq!((page.items.len(), page.remaining), (2, Some(5)));
    }
    assert_eq!(both[0].items, both[1].items);
}

#[test]
fn errors_read_alike_in_both_encodings() {
    let cases = [
        ("absent", 404, "NotFound", "namespaces \"absent\" not found"),
        ("anonymous", 401, "Unauthorized", "Unauthorized"),
        ("forbidden", 403, "Forbidden", "secrets is forbidden"),
        ("future", 504, "Timeout", "Too large resource version"),
        ("token", 400, "BadRequest", "continue"),
        ("invalid", 422, "Invalid", "sendInitialEvents"),
        ("expired", 410, "Expired", "too old"),
        ("path", 404, "", "404 page not found"),
    ];
    for (name, code, reason, message) in cases {
        let file = format!("{name}.status");
        let [json, protobuf] =
            [Encoding::Json, Encoding::Protobuf].map(|encoding| wire::status(code, &read(&file, encoding)));
        assert_eq!(json, protobuf, "{name}");
        assert_eq!((json.code, json.reason.as_str()), (code, reason), "{name}");
        assert!(json.message.contains(message), "{name}: {}", json.message);
        if name == "future" {
            assert_eq!(json.causes[0].0, "ResourceVersionTooLarge");
            assert_eq!(json.retry_after, Some(Duration::from_secs(1)));
        }
    }
}

/// So that the corpus cannot become poor without a failing test.
#[test]
fn the_corpus_is_varied() {
    let pods = page(Kind::Pod, "pods.list", Encoding::Protobuf).items;
    let pods: Vec<_> = objects(&pods)
        .into_iter()
        .map(|object| if let Object::Pod(pod) = object { pod } else { panic!("{object:?}") })
        .collect();
    assert!(
        pods.iter().any(|pod| pod.ready && pod.zone().is_some() && pod.named_ports.iter().any(|p| p.name == "proxy"))
    );
    assert!(pods.iter().any(|pod| pod.ips.len() == 2));
    assert!(pods.iter().any(|pod| !pod.ready && !pod.ips.is_empty()));
    assert!(pods.iter().any(|pod| pod.finished) && pods.iter().any(|pod| pod.terminating));
    assert!(
        !pods.iter().flat_map(|pod| &*pod.named_ports).any(|port| port.name == "setup"),
        "an init container's port"
    );

    let slices = page(Kind::EndpointSlice, "endpointslices.list", Encoding::Protobuf).items;
    let managed = slices.iter().filter(|slice| slice.value == Value::Managed).count();
    let faulty =
        slices.iter().filter(|slice| matches!(&slice.value, Value::Object(_, problems) if !problems.is_empty()));
    assert_eq!((slices.len(), managed, faulty.count()), (6, 2, 1));

    let secrets = page(Kind::Secret, "secrets.list", Encoding::Protobuf).items;
    let whole = |object: &&Object| matches!(object, Object::Secret(s) if s.certificate.is_some() && s.key.is_some());
    assert_eq!((secrets.len(), objects(&secrets).iter().filter(|object| whole(object)).count()), (3, 2));

    let maps = page(Kind::ConfigMap, "configmaps.list", Encoding::Protobuf).items;
    let whole = |object: &&Object| matches!(object, Object::ConfigMap(map) if map.authorities.is_ok());
    assert_eq!((maps.len(), objects(&maps).iter().filter(|object| whole(object)).count()), (4, 2));

    let requests: Tree = serde_json::from_slice(&read("requests", Encoding::Json)).unwrap();
    let requests = requests.as_array().unwrap();
    assert_eq!(
        requests[requests.len() - CHANGES]["path"],
        "/api/v1/namespaces/shop/pods/unready/status?fieldManager=kubelet"
    );
}

#[test]
fn equal_strings_and_label_sets_are_shared() {
    let pool = Pool::new();
    let first = wire::page(Kind::Pod, Encoding::Protobuf, &read("pods.list", Encoding::Protobuf), &pool).unwrap();
    let held = pool.held();
    let again = wire::page(Kind::Pod, Encoding::Json, &read("pods.list", Encoding::Json), &pool).unwrap();
    let sets = |held: Held| (held.label_sets, held.port_lists);
    // Names of pods are held by nothing else, and so need not be here.
    assert!(pool.held().strings <= held.strings + again.items.len());
    assert_eq!((first, sets(held)), (again, sets(pool.held())));
    pool.sweep();
    assert_eq!(pool.held(), Held { strings: 0, label_sets: 0, port_lists: 0 });
}

/// Secrets of the corpus by their text, none of which may be printed.
#[test]
fn what_is_secret_is_never_printed() {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let page = page(Kind::Secret, "secrets.list", encoding);
        let printed = format!("{page:?}");
        let bytes = |text: &str| format!("{:?}", text.as_bytes());
        for secret in ["not a real key", "open sesame"] {
            assert!(!printed.contains(secret) && !printed.contains(&bytes(secret)), "{printed}");
        }
    }
}
