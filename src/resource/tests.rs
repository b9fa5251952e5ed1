use super::*;

fn cluster(name: &str, refs: impl IntoIterator<Item = Ref>) -> Resource {
    Resource::new(ResourceType::Cluster, name, Parts::leaf(format!("body of {name}")), refs)
}

#[test]
fn refs_are_sorted_and_unique_whatever_the_order() {
    let secret = Ref::new(ResourceType::Secret, "secret/a/tls");
    let assignment = Ref::new(ResourceType::ClusterLoadAssignment, "service/a/b/80/http");
    let resource = cluster("c", [secret.clone(), assignment.clone(), secret.clone()]);
    assert_eq!(*resource.refs, [assignment.clone(), secret.clone()]);
    assert_eq!(resource, cluster("c", [assignment, secret]));
}

#[test]
fn refs_of_one_type() {
    let refs = ["b", "a"].map(|name| Ref::new(ResourceType::Secret, name));
    let other = Ref::new(ResourceType::RouteConfiguration, "r");
    let resource = cluster("c", refs.into_iter().chain([other]));
    let secrets: Vec<_> = resource.refs_of(ResourceType::Secret).map(ArcStr::as_str).collect();
    assert_eq!(secrets, ["a", "b"]);
    assert_eq!(resource.refs_of(ResourceType::Listener).count(), 0);
}

#[test]
fn the_version_is_that_of_the_body() {
    let resource = cluster("c", []);
    assert_eq!(resource.version, Parts::leaf("body of c").version());
    assert_ne!(resource.version, cluster("d", []).version);
}

#[test]
fn aliases_are_part_of_the_version_whatever_their_order() {
    let resource = |aliases: &[&str]| cluster("c", []).with_aliases(aliases.iter().map(|alias| ArcStr::from(*alias)));
    assert_eq!(resource(&["b", "a", "b"]), resource(&["a", "b"]));
    let versions = [cluster("c", []), resource(&["a"]), resource(&["a", "b"]), resource(&["ab"])].map(|of| of.version);
    assert_eq!(versions.iter().collect::<std::collections::BTreeSet<_>>().len(), versions.len());
}

#[test]
fn a_load_assignment_without_endpoints_decodes_as_one() {
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use prost::Message;
    let body = Resource::without_endpoints("a".into()).body.to_bytes();
    let expected = ClusterLoadAssignment { cluster_name: "a".to_owned(), ..Default::default() };
    assert_eq!(ClusterLoadAssignment::decode(&body[..]), Ok(expected));
}

#[test]
fn debug_output_shows_no_bytes() {
    let key = Resource::new(ResourceType::Secret, "s", Parts::leaf("PRIVATE KEY"), []);
    let shown = format!("{key:?}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
    assert!(shown.contains("11 bytes"), "{shown}");
}
