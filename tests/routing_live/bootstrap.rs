//! Resources as static configuration: what Envoy would be told over streams stands in the listeners and clusters.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::bootstrap::v3 as bootstrap;
use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use hcm::http_connection_manager::RouteSpecifier;
use prost::Message;
use syncgate::resource::{Resource, ResourceType, encode};

/// The bootstrap of an Envoy that serves all of these; its ports are chosen by the system.
pub(crate) fn of(resources: &[Resource]) -> bootstrap::Bootstrap {
    let of = |kind| resources.iter().filter(move |resource| resource.kind == kind);
    let clusters: BTreeMap<_, _> = of(ResourceType::Cluster)
        .map(|resource| (resource.name.clone(), resource_cluster(resource, resources)))
        .collect();
    let listeners = of(ResourceType::Listener).map(|resource| resource_listener(resource, resources)).collect();
    let address = Some(loopback());
    bootstrap::Bootstrap {
        static_resources: Some(bootstrap::bootstrap::StaticResources {
            listeners,
            clusters: clusters.into_values().collect(),
            secrets: Vec::new(),
        }),
        admin: Some(bootstrap::Admin { address, ..Default::default() }),
        ..Default::default()
    }
}

fn loopback() -> core::Address {
    let address = core::SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(0)),
        ..Default::default()
    };
    core::Address { address: Some(core::address::Address::SocketAddress(address)) }
}

fn decoded<M: Message + Default>(resource: &Resource) -> M {
    M::decode(resource.body.to_bytes()).unwrap_or_else(|error| panic!("{}: {error}", resource.name))
}

fn named<'r>(resources: &'r [Resource], kind: ResourceType, name: &str) -> &'r Resource {
    let found = resources.iter().find(|resource| resource.kind == kind && resource.name == name);
    found.unwrap_or_else(|| panic!("{kind} {name} is named and not there"))
}

fn resource_cluster(resource: &Resource, resources: &[Resource]) -> cluster::Cluster {
    let assignment = named(resources, ResourceType::ClusterLoadAssignment, &resource.name);
    cluster::Cluster {
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Static.into(),
        )),
        eds_cluster_config: None,
        load_assignment: Some(decoded::<endpoint::ClusterLoadAssignment>(assignment)),
        ..decoded(resource)
    }
}

fn resource_listener(resource: &Resource, resources: &[Resource]) -> listener::Listener {
    let mut listener: listener::Listener = decoded(resource);
    listener.address = Some(loopback());
    for chain in &mut listener.filter_chains {
        for filter in &mut chain.filters {
            let Some(listener::filter::ConfigType::TypedConfig(config)) = &mut filter.config_type else { continue };
            replace(config, |manager: &mut hcm::HttpConnectionManager| {
                let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier else { panic!("routes come by RDS") };
                let config = named(resources, ResourceType::RouteConfiguration, &rds.route_config_name);
                let mut config: route::RouteConfiguration = decoded(config);
                // As over RDS.
                config.validate_clusters = Some(BoolValue { value: false });
                manager.route_specifier = Some(RouteSpecifier::RouteConfig(config));
            });
        }
        let socket = chain.transport_socket.as_mut().and_then(|socket| socket.config_type.as_mut());
        if let Some(core::transport_socket::ConfigType::TypedConfig(config)) = socket {
            replace(config, |context: &mut tls::DownstreamTlsContext| {
                let common = context.common_tls_context.as_mut().expect("a context");
                for secret in std::mem::take(&mut common.tls_certificate_sds_secret_configs) {
                    let secret: tls::Secret = decoded(named(resources, ResourceType::Secret, &secret.name));
                    let Some(tls::secret::Type::TlsCertificate(certificate)) = secret.r#type else {
                        panic!("{} is a certificate", secret.name)
                    };
                    common.tls_certificates.push(certificate);
                }
            });
        }
    }
    listener
}

fn replace<M: Message + prost::Name + Default>(any: &mut Any, change: impl FnOnce(&mut M)) {
    let mut message = M::decode(&*any.value).expect("what was encoded");
    change(&mut message);
    *any = encode::any(&message);
}
