//! The cluster of one Service port: how a gateway connects to its endpoints.
//!
//! Invariant: a cluster depends on its key alone, so no change of a pod or of a Service's other fields ever sends one
//! again (a cluster that is sent again is warmed again, and its load assignment must follow).
//!
//! Must not know: endpoints, routes and Gateways.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3 as envoy;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as upstreams;
use envoy_types::pb::google::protobuf::{Duration, UInt32Value};
use upstreams::http_protocol_options::explicit_http_config::ProtocolConfig;
use upstreams::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};

use crate::graph::{Out, Stop};
use crate::resource::{Parts, Ref, Resource, ResourceType, encode};

use super::ads::ads;
use super::keys::{AppProtocol, ClusterKey};
use super::led::Led;

/// How long a connection may take to open, in seconds. Pods are near: within this time a lost first packet has been
/// sent twice more, and a request that waits longer had better fail.
const CONNECT_TIMEOUT: i64 = 5;

/// How much Envoy reads from an endpoint, or keeps for it, before it lets the sender wait, in bytes. Envoy's default of
/// 1 MiB for each connection lets a few thousand slow clients exhaust a gateway; this is Envoy's advice for an edge.
const BUFFER_LIMIT: u32 = 32 * 1024;

/// Retries of one cluster at a time. Envoy's default of 3 would turn retries off under load.
const MAX_RETRIES: u32 = 1024;

/// HTTP/2 windows for each stream and connection, in bytes: Envoy's advice for an edge, as [`BUFFER_LIMIT`].
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// `typed_extension_protocol_options` of a Cluster, a map.
const EXTENSION_OPTIONS: u32 = 36;
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Transform: a Service port that is led to → its cluster.
pub(super) fn of_port(key: &ClusterKey, _: &Arc<Led>, out: &mut Out<ClusterKey, Resource>) -> Result<(), Stop> {
    out.put(key.clone(), cluster(key));
    Ok(())
}

fn cluster(key: &ClusterKey) -> Resource {
    let name = key.resource_name();
    let message = envoy::Cluster {
        name: name.to_string(),
        cluster_discovery_type: Some(envoy::cluster::ClusterDiscoveryType::Type(
            envoy::cluster::DiscoveryType::Eds.into(),
        )),
        eds_cluster_config: Some(envoy::cluster::EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: name.to_string(),
        }),
        connect_timeout: Some(Duration { seconds: CONNECT_TIMEOUT, nanos: 0 }),
        per_connection_buffer_limit_bytes: Some(UInt32Value { value: BUFFER_LIMIT }),
        lb_policy: envoy::cluster::LbPolicy::LeastRequest.into(),
        circuit_breakers: Some(no_limits()),
        // An endpoint that is gone is gone at once, not after it has failed health checks as well.
        ignore_health_on_host_removal: true,
        ..Default::default()
    };
    let options = match key.protocol {
        AppProtocol::Http => None,
        AppProtocol::H2c => Some((HTTP_OPTIONS, encode::message(&encode::any(&http2())))),
    };
    let body = [encode::message(&message), encode::map_field(EXTENSION_OPTIONS, options)].concat();
    let assignment = Ref::new(ResourceType::ClusterLoadAssignment, name.clone());
    Resource::new(ResourceType::Cluster, name, Parts::leaf(body), [assignment])
}

/// Envoy's defaults (1,024 connections, pending requests and requests) answer 503 to a backend's legitimate load. How
/// much a backend can bear only its owner knows; how much the gateway can bear is its overload manager's business.
fn no_limits() -> envoy::CircuitBreakers {
    let unlimited = Some(UInt32Value { value: u32::MAX });
    let thresholds = Thresholds {
        max_connections: unlimited,
        max_pending_requests: unlimited,
        max_requests: unlimited,
        max_retries: Some(UInt32Value { value: MAX_RETRIES }),
        ..Default::default()
    };
    envoy::CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

fn http2() -> upstreams::HttpProtocolOptions {
    let http2 = core::Http2ProtocolOptions {
        initial_stream_window_size: Some(UInt32Value { value: STREAM_WINDOW }),
        initial_connection_window_size: Some(UInt32Value { value: CONNECTION_WINDOW }),
        ..Default::default()
    };
    let explicit = ExplicitHttpConfig { protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2)) };
    upstreams::HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectKey;
    use crate::render;

    fn key(protocol: AppProtocol) -> ClusterKey {
        ClusterKey::new(ObjectKey::new("shop", "cart"), 8080, protocol)
    }

    #[test]
    fn a_cluster_names_its_load_assignment_and_waits_for_it_without_a_limit() {
        let resource = cluster(&key(AppProtocol::Http));
        let name = "service/shop/cart/8080/http";
        assert_eq!(resource.name, name);
        assert_eq!(*resource.refs, [Ref::new(ResourceType::ClusterLoadAssignment, name)]);
        let json = render::resource(&resource);
        let source = serde_json::json!({ "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" });
        assert_eq!(json["eds_cluster_config"], serde_json::json!({ "eds_config": source, "service_name": name }));
        assert_eq!(json["type"], "EDS");
        assert_eq!(json.get("typed_extension_protocol_options"), None);
    }

    #[test]
    fn h2c_is_spoken_with_prior_knowledge() {
        let json = render::resource(&cluster(&key(AppProtocol::H2c)));
        let options = &json["typed_extension_protocol_options"][HTTP_OPTIONS];
        assert!(options["explicit_http_config"]["http2_protocol_options"].is_object(), "{json}");
    }

    #[test]
    fn the_encoding_does_not_depend_on_the_process() {
        for protocol in AppProtocol::ALL {
            let body = cluster(&key(protocol)).body.to_bytes();
            assert!(encode::is_stable::<envoy::Cluster>(&body), "{protocol}");
        }
    }
}
