//! Envoy listeners: one for each port of a Gateway, hardened as Envoy advises for an edge.
//!
//! A listener names its routes and secrets and holds none of them, so no change of a route or certificate drains its
//! connections.

use std::net::{IpAddr, Ipv4Addr};

use arcstr::ArcStr;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as envoy;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::google::protobuf::{BoolValue, Duration, UInt32Value};
use hcm::http_connection_manager::{PathWithEscapedSlashesAction, RouteSpecifier, UpgradeConfig};
use tls::common_tls_context::ValidationContextType;

use super::ads::ads;
use super::clients::Clients;
use super::hostname::Hostname;
use super::names::{PortKey, TableKey, secret_name};
use super::ports::Chain;
use crate::resource::{Parts, Ref, Resource, ResourceType, encode};

/// How much is kept for a connection, in bytes, before its sender has to wait: Envoy's advice for an edge.
const BUFFER_LIMIT: u32 = 32 * 1024;
/// HTTP/2 streams at once and windows in bytes: Envoy's advice for an edge.
const MAX_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How long a connection may be idle, a stream may be silent, and request headers may take to come, in seconds.
const IDLE_TIMEOUT: i64 = 3600;
const STREAM_IDLE_TIMEOUT: i64 = 300;
const HEADERS_TIMEOUT: i64 = 10;

/// The listener of an HTTP port: one filter chain, one route table.
pub(crate) fn http(key: &PortKey, addresses: &[IpAddr]) -> Resource {
    let table = TableKey { at: key.clone(), chain: None };
    let chain = envoy::FilterChain { filters: vec![connection_manager(&table)], ..Default::default() };
    let listener = envoy::Listener { filter_chains: vec![chain], ..listener(key, addresses) };
    resource(key, &listener, vec![Ref::new(ResourceType::RouteConfiguration, table.resource_name())])
}

/// The listener of an HTTPS port: a filter chain and a route table for each host name, chosen by SNI.
pub(crate) fn https(key: &PortKey, addresses: &[IpAddr], chains: &[Chain], clients: Option<&Clients>) -> Resource {
    let mut refs: Vec<Ref> = clients.map(|_| Ref::new(ResourceType::Secret, key.clients_name())).into_iter().collect();
    // In the order of the names, so that moving listeners about in the Gateway changes nothing.
    let mut sorted: Vec<&Chain> = chains.iter().collect();
    sorted.sort_unstable_by(|a, b| a.hostname.cmp(&b.hostname));
    let filter_chains = sorted.into_iter().map(|chain| {
        let table = TableKey { at: key.clone(), chain: Some(chain.hostname.clone()) };
        refs.push(Ref::new(ResourceType::RouteConfiguration, table.resource_name()));
        refs.extend(chain.secrets.iter().map(|secret| Ref::new(ResourceType::Secret, secret_name(secret))));
        tls_chain(chain, &table, clients)
    });
    let filter_chains = filter_chains.collect();
    let inspector = envoy::ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(envoy::listener_filter::ConfigType::TypedConfig(encode::any(&TlsInspector::default()))),
        ..Default::default()
    };
    let listener = envoy::Listener { filter_chains, listener_filters: vec![inspector], ..listener(key, addresses) };
    resource(key, &listener, refs)
}

fn resource(key: &PortKey, listener: &envoy::Listener, refs: Vec<Ref>) -> Resource {
    Resource::new(ResourceType::Listener, key.resource_name(), Parts::leaf(encode::message(listener)), refs)
}

/// A listener without filter chains.
fn listener(key: &PortKey, addresses: &[IpAddr]) -> envoy::Listener {
    let mut addresses = addresses.iter().map(|ip| address(*ip, key.port));
    envoy::Listener {
        name: key.resource_name().to_string(),
        address: Some(addresses.next().unwrap_or_else(|| address(Ipv4Addr::UNSPECIFIED.into(), key.port))),
        additional_addresses: addresses
            .map(|address| envoy::AdditionalAddress { address: Some(address), ..Default::default() })
            .collect(),
        per_connection_buffer_limit_bytes: number(BUFFER_LIMIT),
        ..Default::default()
    }
}

fn address(ip: IpAddr, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: ip.to_string(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

fn tls_chain(chain: &Chain, table: &TableKey, clients: Option<&Clients>) -> envoy::FilterChain {
    let server_names = if chain.hostname.is_any() { Vec::new() } else { vec![chain.hostname.to_string()] };
    let sds = |name: ArcStr| tls::SdsSecretConfig { name: name.to_string(), sds_config: Some(ads()) };
    let authorities = clients.map(|_| sds(table.at.clients_name()));
    let context = tls::DownstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_certificate_sds_secret_configs: chain.secrets.iter().map(|secret| sds(secret_name(secret))).collect(),
            validation_context_type: authorities.map(ValidationContextType::ValidationContextSdsSecretConfig),
            alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            ..Default::default()
        }),
        require_client_certificate: clients.map(|clients| BoolValue { value: !clients.insecure }),
        ..Default::default()
    };
    envoy::FilterChain {
        name: chain.hostname.to_string(),
        filter_chain_match: matched(&chain.hostname, server_names),
        filters: vec![connection_manager(table)],
        transport_socket: Some(core::TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(encode::any(&context))),
        }),
        ..Default::default()
    }
}

fn matched(hostname: &Hostname, server_names: Vec<String>) -> Option<envoy::FilterChainMatch> {
    (!hostname.is_any()).then(|| envoy::FilterChainMatch { server_names, ..Default::default() })
}

fn connection_manager(table: &TableKey) -> envoy::Filter {
    let name = table.resource_name().to_string();
    let router = hcm::HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(encode::any(&Router::default()))),
        ..Default::default()
    };
    let manager = hcm::HttpConnectionManager {
        stat_prefix: name.clone(),
        route_specifier: Some(RouteSpecifier::Rds(hcm::Rds { config_source: Some(ads()), route_config_name: name })),
        http_filters: vec![router],
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: seconds(IDLE_TIMEOUT),
            // Some servers take `_` for `-`, so such a name could pass for one that a gateway removes or checks.
            headers_with_underscores_action: core::http_protocol_options::HeadersWithUnderscoresAction::RejectRequest
                .into(),
            ..Default::default()
        }),
        http2_protocol_options: Some(core::Http2ProtocolOptions {
            max_concurrent_streams: number(MAX_STREAMS),
            initial_stream_window_size: number(STREAM_WINDOW),
            initial_connection_window_size: number(CONNECTION_WINDOW),
            ..Default::default()
        }),
        stream_idle_timeout: seconds(STREAM_IDLE_TIMEOUT),
        request_headers_timeout: seconds(HEADERS_TIMEOUT),
        // The client's own address is that of the connection, not what a header says.
        use_remote_address: yes(),
        // What is matched is what backends see, so no encoding of a path slips past a rule.
        normalize_path: yes(),
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndRedirect.into(),
        strip_trailing_host_dot: true,
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    envoy::Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(envoy::filter::ConfigType::TypedConfig(encode::any(&manager))),
    }
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn yes() -> Option<BoolValue> {
    Some(BoolValue { value: true })
}
