//! Where Envoy gets what a resource names: over the stream on which the resource itself came.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::Duration;

/// The config source of every named resource. Without a time-out for the first answer: with Envoy's default of 15 s it
/// would go live with a part of its configuration (rule 32a).
pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(core::AggregatedConfigSource {})),
        initial_fetch_timeout: Some(Duration { seconds: 0, nanos: 0 }),
        resource_api_version: core::ApiVersion::V3.into(),
        ..Default::default()
    }
}
