use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use prost::Message;

use super::*;
use crate::resource::{Parts, ResourceType, Version};
use crate::snapshot::ResourceSet;

fn cluster(name: &str, size: usize) -> Arc<Resource> {
    Arc::new(Resource::new(ResourceType::Cluster, name, Parts::leaf(vec![7; size]), []))
}

fn body(frames: &[Bytes]) -> Vec<u8> {
    let bytes = frames.concat();
    assert_eq!(bytes[0], 0, "not compressed");
    let len = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
    assert_eq!(bytes.len(), len + 5);
    bytes[5..].to_vec()
}

fn version(resources: &[Arc<Resource>]) -> Version {
    resources.iter().cloned().collect::<ResourceSet>().version()
}

#[test]
fn rule_05_a_state_of_the_world_response_decodes_and_names_its_control_plane() {
    let resources = vec![cluster("a", 3), cluster("b", 20_000)];
    let version = version(&resources);
    let body_of = Body::StateOfTheWorld { version, resources: resources.clone() };
    let frames = encode(&Response { kind: ResourceType::Cluster, nonce: "s-1".into(), body: body_of }).expect("fits");
    let decoded = DiscoveryResponse::decode(&body(&frames)[..]).expect("valid");
    assert_eq!(decoded.control_plane.expect("set").identifier, CONTROL_PLANE);
    assert_eq!((decoded.version_info, decoded.nonce), (version.to_string(), "s-1".to_owned()));
    assert_eq!(decoded.type_url, ResourceType::Cluster.type_url());
    for (any, resource) in decoded.resources.iter().zip(&resources) {
        assert_eq!(any.type_url, ResourceType::Cluster.type_url());
        assert_eq!(any.value, resource.body.to_bytes());
    }
    assert_eq!(decoded.resources.len(), 2);
}

#[test]
fn rule_05_a_delta_response_decodes_and_names_its_control_plane() {
    let resources = vec![cluster("a", 0), cluster("a/long/name", 300)];
    for (resources, removed) in
        [(resources, vec![]), (vec![], vec![ArcStr::from("x"), ArcStr::from("y")]), (vec![], vec![])]
    {
        let body_of = Body::Delta { resources: resources.clone(), removed: removed.clone() };
        let frames =
            encode(&Response { kind: ResourceType::Cluster, nonce: "s-2".into(), body: body_of }).expect("fits");
        let decoded = DeltaDiscoveryResponse::decode(&body(&frames)[..]).expect("valid");
        assert_eq!(decoded.control_plane.expect("set").identifier, CONTROL_PLANE);
        assert_eq!((decoded.nonce.as_str(), decoded.type_url.as_str()), ("s-2", ResourceType::Cluster.type_url()));
        assert_eq!(decoded.removed_resources, removed.iter().map(ToString::to_string).collect::<Vec<_>>());
        let sent: BTreeMap<_, _> = decoded.resources.iter().map(|r| (r.name.clone(), r)).collect();
        assert_eq!(sent.len(), resources.len());
        for resource in &resources {
            let sent = sent[resource.name.as_str()];
            assert_eq!(sent.version, resource.version.to_string());
            assert_eq!(sent.resource.as_ref().expect("present").value, resource.body.to_bytes());
        }
    }
}

#[test]
fn rule_24_a_resource_tells_its_aliases_and_one_that_there_is_none_of_has_no_message() {
    let host = Resource::new(ResourceType::VirtualHost, "web/shop", Parts::leaf(vec![7; 300]), []);
    let host = Arc::new(host.with_aliases(["web/b".into(), "web/a".into()]));
    let none = Arc::new(Resource::unresolved("web/none".into()));
    let body_of = Body::Delta { resources: vec![host.clone(), none], removed: vec![] };
    let response = Response { kind: ResourceType::VirtualHost, nonce: "s-3".into(), body: body_of };
    let decoded = DeltaDiscoveryResponse::decode(&body(&encode(&response).expect("fits"))[..]).expect("valid");
    let [shop, none] = &decoded.resources[..] else { panic!("two resources: {decoded:?}") };
    assert_eq!((shop.name.as_str(), &shop.aliases[..]), ("web/shop", &["web/a".to_owned(), "web/b".to_owned()][..]));
    assert_eq!(shop.resource.as_ref().expect("present").value, host.body.to_bytes());
    assert_eq!((none.name.as_str(), &none.aliases[..]), ("web/none", &["web/none".to_owned()][..]));
    assert_eq!(none.resource, None);
}

#[test]
fn the_bytes_of_large_resources_are_shared_and_not_copied() {
    let resource = cluster("a", 10_000);
    let pointer = resource.body.frames().next().expect("a frame").as_ptr();
    let body = Body::Delta { resources: vec![resource], removed: vec![] };
    let frames = encode(&Response { kind: ResourceType::Cluster, nonce: "s-1".into(), body }).expect("fits");
    assert!(frames.iter().any(|frame| frame.as_ptr() == pointer));
}
