use std::collections::HashSet;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// What had to be made for some parts that were not there before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::resource) struct Work {
    /// Bytes in leaves that are not shared.
    pub(in crate::resource) bytes: usize,
    /// Children of inner nodes that are not shared: what was hashed for them.
    pub(in crate::resource) children: usize,
}

/// The parts of `new` that do not share memory with `old`.
pub(in crate::resource) fn work_between(old: &Parts, new: &Parts) -> Work {
    let mut known = HashSet::new();
    visit(old, &mut |parts| known.insert(address(parts)));
    let mut work = Work::default();
    visit(new, &mut |parts| {
        let fresh = !known.contains(&address(parts));
        match &parts.node {
            Node::Leaf(bytes) if fresh => work.bytes += bytes.len(),
            Node::Inner(children) if fresh => work.children += children.len(),
            _ => {}
        }
        fresh
    });
    work
}

fn address(parts: &Parts) -> usize {
    match &parts.node {
        Node::Leaf(bytes) => bytes.as_ptr().addr(),
        Node::Inner(children) => children.as_ptr().addr(),
    }
}

/// Visits the node, and what is below it if the visitor says so.
fn visit(parts: &Parts, visitor: &mut impl FnMut(&Parts) -> bool) {
    if visitor(parts)
        && let Node::Inner(children) = &parts.node
    {
        children.iter().for_each(|child| visit(child, visitor));
    }
}

#[test]
fn empty_parts_leave_no_trace() {
    let a = Parts::leaf("a");
    assert_eq!(Parts::concat([]), Parts::empty());
    assert_eq!(Parts::concat([Parts::empty(), a.clone(), Parts::empty()]), a);
    assert_eq!(Parts::empty().frames().count(), 0);
    assert_eq!(Parts::empty().to_bytes(), Bytes::new());
}

#[test]
fn versions_tell_content_and_order_apart() {
    let [a, b] = ["a", "b"].map(Parts::leaf);
    let ab = Parts::concat([a.clone(), b.clone()]);
    assert_eq!(ab, Parts::concat([Parts::leaf("a"), Parts::leaf("b")]));
    assert_ne!(ab, Parts::concat([b, a]));
    assert_eq!((ab.len(), ab.to_bytes()), (2, Bytes::from_static(b"ab")));
}

#[test]
fn a_leaf_cannot_pass_for_a_node() {
    let (a, b) = (Parts::leaf("a"), Parts::leaf("b"));
    let mut forged = Vec::new();
    for child in [&a, &b] {
        forged.extend((child.len() as u64).to_le_bytes());
        forged.extend(child.version().as_bytes());
    }
    assert_ne!(Parts::leaf(forged).version(), Parts::concat([a, b]).version());
}

#[test]
fn nested_is_a_field_and_shares_its_value() {
    let inner = Parts::leaf(encode::message(&DeltaDiscoveryResponse {
        system_version_info: "v".repeat(1000),
        ..Default::default()
    }));
    let outer = Parts::nested(2, inner.clone());
    // Field 2 of this message is a repeated message whose field 1 is a string too.
    let decoded = DeltaDiscoveryResponse::decode(outer.to_bytes()).unwrap();
    assert_eq!(decoded.resources[0].version, "v".repeat(1000));
    assert_eq!(outer.frames().nth(1).unwrap().as_ptr(), inner.to_bytes().as_ptr());
}

#[test]
fn nested_empty_is_still_a_field() {
    assert_eq!(Parts::nested(2, Parts::empty()).to_bytes(), Bytes::from_static(b"\x12\x00"));
}

#[test]
fn builder_gathers_small_pieces_and_shares_large_ones() {
    let large = Parts::leaf(vec![1; PartsBuilder::SMALL]);
    let mut builder = PartsBuilder::new();
    builder.put(b"ab");
    builder.put_parts(Parts::leaf("cd"));
    builder.put_parts(large.clone());
    builder.put_nested(1, Parts::leaf("e"));
    let parts = builder.finish();
    let frames: Vec<Bytes> = parts.frames().collect();
    assert_eq!(frames, [Bytes::from_static(b"abcd"), large.to_bytes(), Bytes::from_static(b"\x0a\x01e")]);
    assert_eq!(frames[1].as_ptr(), large.to_bytes().as_ptr());
}

#[test]
fn built_messages_decode() {
    let mut builder = PartsBuilder::new();
    builder.put(&encode::message(&Cluster { alt_stat_name: "s".repeat(2000), ..Default::default() }));
    builder.put_nested(1, Parts::leaf("name".repeat(300)));
    let cluster = Cluster::decode(builder.finish().to_bytes()).unwrap();
    assert_eq!((cluster.name.len(), cluster.alt_stat_name.len()), (1200, 2000));
}

#[derive(Debug, Clone)]
enum Piece {
    Bytes(Vec<u8>),
    Parts(Vec<Vec<u8>>),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let bytes = || (any::<u8>(), 0..3000_usize).prop_map(|(byte, len)| vec![byte; len]);
    let piece =
        prop_oneof![bytes().prop_map(Piece::Bytes), prop::collection::vec(bytes(), 0..4).prop_map(Piece::Parts)];
    prop::collection::vec(piece, 0..40)
}

proptest! {
    #[test]
    fn builder_is_concatenation(pieces in pieces()) {
        let (mut builder, mut expected) = (PartsBuilder::new(), Vec::new());
        for piece in &pieces {
            match piece {
                Piece::Bytes(bytes) => {
                    builder.put(bytes);
                    expected.extend_from_slice(bytes);
                }
                Piece::Parts(leaves) => {
                    builder.put_parts(Parts::concat(leaves.iter().cloned().map(Parts::leaf)));
                    expected.extend(leaves.concat());
                }
            }
        }
        let parts = builder.finish();
        let frames: Vec<Bytes> = parts.frames().collect();
        prop_assert!(frames.iter().all(|frame| !frame.is_empty() && frame.len() <= PartsBuilder::LEAF));
        prop_assert_eq!(frames.concat(), expected.clone());
        prop_assert_eq!(parts.len(), expected.len());
        prop_assert_eq!(parts.to_bytes(), expected);
    }
}
