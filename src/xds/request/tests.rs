use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::r#type::v3::SemanticVersion as EnvoyVersion;
use envoy_types::pb::google::protobuf::{Any, ListValue, Struct, Value, value::Kind};
use envoy_types::pb::google::rpc;
use tonic::Code;

use super::*;

const NO_LIMIT: usize = usize::MAX;

/// A node as a client says it, read as it is read here.
pub(in crate::xds) fn node(node: &core::Node) -> Node {
    Node::decode(node.encode_to_vec().as_slice()).expect("the same message")
}

fn read<M: DiscoveryMessage>(message: &impl Message) -> M {
    M::read(message.encode_to_vec().into(), NO_LIMIT).expect("the same message")
}

fn metadata(fields: &[(&str, Kind)]) -> Struct {
    let value = |kind: &Kind| Value { kind: Some(kind.clone()) };
    Struct { fields: fields.iter().map(|(key, kind)| ((*key).to_owned(), value(kind))).collect() }
}

#[test]
fn rule_02_a_request_without_a_type_is_invalid_and_one_of_an_unknown_type_is_no_error() {
    let request = |type_url: &str| DiscoveryRequest { type_url: type_url.into(), ..Default::default() }.into_request();
    let delta =
        |type_url: &str| DeltaDiscoveryRequest { type_url: type_url.into(), ..Default::default() }.into_request();
    for error in [request("").expect_err("no type"), delta("").expect_err("no type")] {
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    assert_eq!(request("type.googleapis.com/not.Ours").expect("no error"), None);
    assert_eq!(delta("type.googleapis.com/not.Ours").expect("no error"), None);
}

#[test]
fn requests_keep_what_they_say() {
    let type_url = ResourceType::Cluster.type_url().to_owned();
    let error_detail = Some(rpc::Status { message: "bad".into(), ..Default::default() });
    let sotw = discovery::DiscoveryRequest {
        version_info: "v".into(),
        resource_names: vec!["a".into()],
        type_url: type_url.clone(),
        response_nonce: "n".into(),
        error_detail: error_detail.clone(),
        ..Default::default()
    };
    let ask = Ask::StateOfTheWorld { version: "v".into(), names: vec!["a".into()] };
    let expected = |ask| Request { kind: ResourceType::Cluster, nonce: "n".into(), error: Some("bad".into()), ask };
    assert_eq!(read::<DiscoveryRequest>(&sotw).into_request().expect("valid"), Some(expected(ask)));
    let delta = discovery::DeltaDiscoveryRequest {
        type_url,
        resource_names_subscribe: vec!["a".into()],
        resource_names_unsubscribe: vec!["b".into()],
        initial_resource_versions: [("c".to_owned(), "v".to_owned())].into(),
        response_nonce: "n".into(),
        error_detail,
        ..Default::default()
    };
    let held = vec![("c".to_owned(), "v".to_owned())];
    let ask = Ask::Delta { subscribe: vec!["a".into()], unsubscribe: vec!["b".into()], held };
    assert_eq!(read::<DeltaDiscoveryRequest>(&delta).into_request().expect("valid"), Some(expected(ask)));
}

#[test]
fn a_node_keeps_who_it_is() {
    let build = core::BuildVersion {
        version: Some(EnvoyVersion { major_number: 1, minor_number: 37, patch: 2 }),
        metadata: Some(metadata(&[("build.type", Kind::StringValue("RELEASE".into()))])),
    };
    let said = core::Node {
        id: "envoy-1".into(),
        cluster: "shop/web".into(),
        metadata: Some(metadata(&[("a", Kind::BoolValue(true)), ("b", Kind::StringValue("text".into()))])),
        locality: Some(core::Locality { region: "r".into(), zone: "z".into(), sub_zone: "s".into() }),
        user_agent_name: "envoy".into(),
        user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentBuildVersion(build)),
        extensions: vec![core::Extension { name: "envoy.x".into(), ..Default::default() }; 3],
        ..Default::default()
    };
    let request = discovery::DeltaDiscoveryRequest { node: Some(said.clone()), ..Default::default() };
    let read = read::<DeltaDiscoveryRequest>(&request).take_node().expect("said");
    assert_eq!((read.id.as_str(), read.cluster.as_str()), ("envoy-1", "shop/web"));
    assert_eq!(read.metadata_text("b"), Ok(Some(Some("text".to_owned()))));
    assert_eq!((read.metadata_text("a"), read.metadata_text("c")), (Ok(Some(None)), Ok(None)));
    let version = SemanticVersion { major: 1, minor: 37, patch: 2 };
    assert_eq!(read.user_agent_build_version, Some(BuildVersion { version: Some(version) }));
    // Written again it is the same but for what is not read.
    let again = core::Node::decode(read.encode_to_vec().as_slice()).expect("the same message");
    let numbers = core::BuildVersion {
        version: Some(EnvoyVersion { major_number: 1, minor_number: 37, patch: 2 }),
        metadata: None,
    };
    let numbers = Some(core::node::UserAgentVersionType::UserAgentBuildVersion(numbers));
    assert_eq!(again, core::Node { extensions: vec![], user_agent_version_type: numbers, ..said });
    assert!(Node { metadata: Bytes::from_static(&[0x0a, 9]), ..Default::default() }.metadata_text("a").is_err());
}

#[test]
fn bounded_a_request_with_more_names_than_allowed_is_not_decoded() {
    let list = |count: usize| vec!["n".to_owned(); count];
    let sotw = |count| discovery::DiscoveryRequest { resource_names: list(count), ..Default::default() };
    let delta = |subscribe, unsubscribe, held: usize| discovery::DeltaDiscoveryRequest {
        resource_names_subscribe: list(subscribe),
        resource_names_unsubscribe: list(unsubscribe),
        initial_resource_versions: (0..held).map(|at| (at.to_string(), String::new())).collect::<HashMap<_, _>>(),
        ..Default::default()
    };
    let code = |read: Result<(), Status>| read.map_err(|status| status.code());
    let sotw = |count| code(DiscoveryRequest::read(sotw(count).encode_to_vec().into(), 4).map(drop));
    let delta = |a, b, c| code(DeltaDiscoveryRequest::read(delta(a, b, c).encode_to_vec().into(), 4).map(drop));
    assert_eq!((sotw(4), delta(4, 0, 0), delta(1, 1, 2)), (Ok(()), Ok(()), Ok(())));
    let refused = Err(Code::ResourceExhausted);
    assert_eq!((sotw(5), delta(5, 0, 0), delta(0, 5, 0)), (refused, refused, refused));
    assert_eq!((delta(0, 0, 5), delta(2, 1, 2)), (refused, refused));
    let garbage = DeltaDiscoveryRequest::read(Bytes::from_static(&[0xff, 0xff]), 4);
    assert_eq!(garbage.map_err(|status| status.code()), Err(Code::InvalidArgument));
}

/// The heap that a message takes, beside the bytes that it was read from.
fn heap(request: &DeltaDiscoveryRequest) -> usize {
    let texts = |texts: &Vec<String>| {
        texts.capacity() * size_of::<String>() + texts.iter().map(String::capacity).sum::<usize>()
    };
    let held = &request.initial_resource_versions;
    let versions = held.iter().map(|held| held.name.capacity() + held.version.capacity()).sum::<usize>();
    let node = request.node.as_ref().map_or(0, |node| {
        node.id.capacity() + node.cluster.capacity() + node.user_agent_name.capacity() + node.metadata.len()
    });
    let error = request.error_detail.as_ref().map_or(0, |error| error.message.capacity());
    texts(&request.resource_names_subscribe)
        + texts(&request.resource_names_unsubscribe)
        + (held.capacity() * size_of::<HeldVersion>() + versions)
        + (node + error)
}

#[test]
#[expect(deprecated, reason = "clients may say what is deprecated")]
fn bounded_what_is_not_read_takes_no_memory() {
    const LEN: usize = 1 << 20;
    let empty = |count| vec![core::Extension::default(); count];
    let lists = ListValue { values: vec![Value { kind: Some(Kind::ListValue(ListValue::default())) }; LEN / 4] };
    let of_node = |node: core::Node| discovery::DeltaDiscoveryRequest { node: Some(node), ..Default::default() };
    let extensions = of_node(core::Node { extensions: empty(LEN / 2), ..Default::default() });
    let features = of_node(core::Node { client_features: vec![String::new(); LEN / 2], ..Default::default() });
    let addresses = vec![core::Address::default(); LEN / 2];
    let addresses = of_node(core::Node { listening_addresses: addresses, ..Default::default() });
    let lists =
        of_node(core::Node { metadata: Some(metadata(&[("a", Kind::ListValue(lists))])), ..Default::default() });
    let details = rpc::Status { details: vec![Any::default(); LEN / 2], ..Default::default() };
    let details = discovery::DeltaDiscoveryRequest { error_detail: Some(details), ..Default::default() };
    let locators = vec![discovery::ResourceLocator::default(); LEN / 2];
    let locators = discovery::DeltaDiscoveryRequest { resource_locators_subscribe: locators, ..Default::default() };
    for message in [extensions, features, addresses, lists, details, locators] {
        let bytes = message.encode_to_vec();
        assert!(bytes.len() >= LEN, "{} bytes", bytes.len());
        let heap = heap(&read(&message));
        assert!(heap <= bytes.len(), "{heap} bytes for {}", bytes.len());
    }
}

#[test]
fn bounded_a_name_that_nothing_can_have_is_refused_and_said_in_part() {
    let (fits, long) = ("x".repeat(LONGEST_NAME), "y".repeat(LONGEST_NAME + 1));
    let type_url = ResourceType::Secret.type_url();
    let held = |name: &String| vec![HeldVersion { name: name.clone(), version: String::new() }];
    let sotw = |name: &String| {
        let resource_names = vec!["a".to_owned(), name.clone()];
        DiscoveryRequest { type_url: type_url.into(), resource_names, ..Default::default() }.into_request()
    };
    let delta = |resource_names_subscribe, resource_names_unsubscribe, initial_resource_versions| {
        DeltaDiscoveryRequest {
            type_url: type_url.into(),
            resource_names_subscribe,
            resource_names_unsubscribe,
            initial_resource_versions,
            ..Default::default()
        }
        .into_request()
    };
    let all = |name: &String| {
        let list = || vec![name.clone()];
        [sotw(name), delta(list(), vec![], vec![]), delta(vec![], list(), vec![]), delta(vec![], vec![], held(name))]
    };
    assert!(all(&fits).iter().all(|read| matches!(read, Ok(Some(_)))));
    for refused in all(&long) {
        let refused = refused.expect_err("too long");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("2049 bytes") && refused.message().contains("yyy"), "{refused}");
        assert!(refused.message().len() < 300, "{refused}");
    }
}
