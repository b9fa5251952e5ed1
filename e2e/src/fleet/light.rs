//! The parts of xDS messages that a client of a fleet looks at. The bodies of resources are skipped, not decoded: ten thousand clients
//! share a machine with the server that is measured.

use bytes::Bytes;

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Delta {
    #[prost(message, repeated, tag = "2")]
    pub(super) resources: Vec<Named>,
    #[prost(string, tag = "4")]
    pub(super) type_url: String,
    #[prost(string, tag = "5")]
    pub(super) nonce: String,
    #[prost(string, repeated, tag = "6")]
    pub(super) removed: Vec<String>,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

/// `envoy.service.discovery.v3.DiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Whole {
    #[prost(string, tag = "1")]
    pub(super) version: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) resources: Vec<Packed>,
    #[prost(string, tag = "4")]
    pub(super) type_url: String,
    #[prost(string, tag = "5")]
    pub(super) nonce: String,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Packed {
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// `envoy.config.cluster.v3.Cluster` and `envoy.config.endpoint.v3.ClusterLoadAssignment`: both begin with their name.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Head {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;

    use super::*;

    #[test]
    fn they_read_what_the_full_messages_say() {
        let body = ClusterLoadAssignment { cluster_name: "a".to_owned(), ..ClusterLoadAssignment::default() };
        let any = Any { type_url: "t".to_owned(), value: body.encode_to_vec() };
        let resource = Resource {
            name: "a".to_owned(),
            version: "7".to_owned(),
            resource: Some(any.clone()),
            ..Resource::default()
        };
        let full = DeltaDiscoveryResponse {
            type_url: "t".to_owned(),
            nonce: "n".to_owned(),
            resources: vec![resource],
            removed_resources: vec!["b".to_owned()],
            ..DeltaDiscoveryResponse::default()
        };
        let light = Delta::decode(&full.encode_to_vec()[..]).unwrap();
        assert_eq!(
            (light.type_url.as_str(), light.nonce.as_str(), light.removed.as_slice()),
            ("t", "n", &["b".to_owned()][..])
        );
        assert_eq!(light.resources, [Named { version: "7".to_owned(), name: "a".to_owned() }]);

        let full = DiscoveryResponse {
            version_info: "8".to_owned(),
            type_url: "t".to_owned(),
            nonce: "n".to_owned(),
            resources: vec![any],
            ..DiscoveryResponse::default()
        };
        let light = Whole::decode(&full.encode_to_vec()[..]).unwrap();
        assert_eq!((light.version.as_str(), light.type_url.as_str(), light.nonce.as_str()), ("8", "t", "n"));
        assert_eq!(Head::decode(light.resources[0].value.clone()).unwrap().name, "a");
    }
}
