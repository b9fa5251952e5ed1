//! A real Envoy that says whether it takes resources.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use envoy_types::pb::envoy::config::bootstrap::v3 as bootstrap;
use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::google::protobuf::BoolValue;
use prost::Message;
use syncgate::resource::{Parts, Resource, ResourceType, encode};
use tls::common_tls_context::ValidationContextType;

pub(crate) struct Oracle {
    envoy: PathBuf,
    folder: tempfile::TempDir,
    run: AtomicU32,
}

impl Oracle {
    /// The Envoys that `SYNCGATE_ENVOY` and `SYNCGATE_ENVOY_OLDEST` name.
    pub(crate) fn all() -> Vec<Self> {
        let named = ["SYNCGATE_ENVOY", "SYNCGATE_ENVOY_OLDEST"].into_iter().filter_map(std::env::var_os);
        let oracles: Vec<Self> = named
            .map(|envoy| {
                let folder = tempfile::tempdir().expect("a folder for bootstraps");
                Self { envoy: envoy.into(), folder, run: AtomicU32::new(0) }
            })
            .collect();
        if oracles.is_empty() {
            eprintln!("SYNCGATE_ENVOY is not set: nothing is validated");
        }
        oracles
    }

    /// Whether Envoy takes all of these together; its words if it does not.
    pub(crate) fn validate(&self, resources: &[Resource]) -> Result<(), String> {
        let run = self.run.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{run}.pb"));
        std::fs::write(&path, bootstrap(resources).encode_to_vec()).expect("a bootstrap can be written");
        let output = Command::new(&self.envoy)
            .args(["--mode", "validate", "--log-level", "error", "--config-path"])
            .arg(&path)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.envoy.display()));
        std::fs::remove_file(&path).expect("a bootstrap can be removed");
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
    }

    /// How many routes a route configuration holds.
    pub(crate) fn routes(config: &Resource) -> usize {
        decoded::<route::RouteConfiguration>(config).virtual_hosts.iter().map(|host| host.routes.len()).sum()
    }

    /// One resource of each kind that Envoy is known to refuse.
    pub(crate) fn spoilt() -> Vec<Resource> {
        let routes = |hosts: Vec<route::VirtualHost>| {
            let message = route::RouteConfiguration { name: "bad".into(), virtual_hosts: hosts, ..Default::default() };
            let body = Parts::leaf(encode::message(&message));
            Resource::new(ResourceType::RouteConfiguration, "bad", body, [])
        };
        let host = |name: &str, matched| route::VirtualHost {
            name: name.into(),
            domains: vec!["a.com".into()],
            routes: vec![route::Route {
                r#match: Some(matched),
                action: Some(route::route::Action::DirectResponse(route::DirectResponseAction {
                    status: 200,
                    ..Default::default()
                })),
                ..Default::default()
            }],
            ..Default::default()
        };
        let matched = |path| route::RouteMatch { path_specifier: Some(path), ..Default::default() };
        let prefix = || matched(route::route_match::PathSpecifier::Prefix("/".into()));
        let regex = |regex: &str| {
            let regex = regex.to_owned();
            let matcher = envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher { regex, ..Default::default() };
            matched(route::route_match::PathSpecifier::SafeRegex(matcher))
        };
        let secret = tls::Secret {
            name: "bad".into(),
            r#type: Some(tls::secret::Type::TlsCertificate(tls::TlsCertificate {
                certificate_chain: inline("no certificate"),
                private_key: inline("no key"),
                ..Default::default()
            })),
        };
        let clients = tls::Secret {
            name: "bad authorities".into(),
            r#type: Some(tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
                trusted_ca: inline("no certificate"),
                ..Default::default()
            })),
        };
        vec![
            routes(vec![host("one", prefix()), host("two", prefix())]),
            routes(vec![host("one", regex("(?=a)"))]),
            routes(vec![host("one", regex(&"x".repeat(97)))]),
            Resource::new(ResourceType::Secret, "bad", Parts::leaf(encode::message(&secret)), []),
            Resource::new(ResourceType::Secret, "bad authorities", Parts::leaf(encode::message(&clients)), []),
        ]
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.envoy.display())
    }
}

fn inline(text: &str) -> Option<core::DataSource> {
    let specifier = Some(core::data_source::Specifier::InlineString(text.into()));
    Some(core::DataSource { specifier, ..Default::default() })
}

fn decoded<M: Message + Default>(resource: &Resource) -> M {
    M::decode(resource.body.to_bytes()).unwrap_or_else(|error| panic!("{}: {error}", resource.name))
}

/// A bootstrap that holds the resources: listeners and clusters as they are, route configurations and secrets in
/// listeners of their own, since Envoy reads those only when something refers to them.
fn bootstrap(resources: &[Resource]) -> bootstrap::Bootstrap {
    let of = |kind| resources.iter().filter(move |resource| resource.kind == kind);
    let mut clusters: Vec<cluster::Cluster> = of(ResourceType::Cluster).map(decoded).collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters.dedup_by(|a, b| a.name == b.name);
    clusters.push(cluster::Cluster { name: "xds".into(), ..Default::default() });
    let mut listeners: Vec<listener::Listener> = of(ResourceType::Listener).map(decoded).collect();
    for (at, resource) in of(ResourceType::RouteConfiguration).enumerate() {
        let mut config: route::RouteConfiguration = decoded(resource);
        // As over RDS, where a route may come before its cluster.
        config.validate_clusters = Some(BoolValue { value: false });
        listeners.push(wrapped(format!("routes {at}"), 20_000 + at, config, None));
    }
    for (at, resource) in of(ResourceType::Secret).enumerate() {
        let secret: tls::Secret = decoded(resource);
        let context = match secret.r#type {
            Some(tls::secret::Type::TlsCertificate(certificate)) => {
                tls::CommonTlsContext { tls_certificates: vec![certificate], ..Default::default() }
            }
            Some(tls::secret::Type::ValidationContext(context)) => tls::CommonTlsContext {
                tls_certificates: vec![good_certificate()],
                validation_context_type: Some(ValidationContextType::ValidationContext(context)),
                ..Default::default()
            },
            _ => panic!("{}", secret.name),
        };
        let config = route::RouteConfiguration::default();
        listeners.push(wrapped(format!("secret {at}"), 30_000 + at, config, Some(context)));
    }
    bootstrap::Bootstrap {
        node: Some(core::Node { id: "fuzz".into(), cluster: "fuzz".into(), ..Default::default() }),
        static_resources: Some(bootstrap::bootstrap::StaticResources { listeners, clusters, secrets: Vec::new() }),
        dynamic_resources: Some(bootstrap::bootstrap::DynamicResources {
            ads_config: Some(ads()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn ads() -> core::ApiConfigSource {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let service = EnvoyGrpc { cluster_name: "xds".into(), ..Default::default() };
    core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![core::GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(service)),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// One that Envoy takes: it validates nobody without a certificate of its own.
fn good_certificate() -> tls::TlsCertificate {
    static GOOD: OnceLock<(String, String)> = OnceLock::new();
    let (certificate, key) = GOOD.get_or_init(|| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.com".to_owned()]).expect("parameters");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    });
    tls::TlsCertificate { certificate_chain: inline(certificate), private_key: inline(key), ..Default::default() }
}

/// A listener with this route configuration in it, behind TLS with this context.
fn wrapped(
    name: String,
    port: usize,
    config: route::RouteConfiguration,
    context: Option<tls::CommonTlsContext>,
) -> listener::Listener {
    let router = hcm::HttpFilter {
        name: "router".into(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(encode::any(&Router::default()))),
        ..Default::default()
    };
    let manager = hcm::HttpConnectionManager {
        stat_prefix: "fuzz".into(),
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::RouteConfig(config)),
        http_filters: vec![router],
        ..Default::default()
    };
    let filter = listener::Filter {
        name: "manager".into(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(encode::any(&manager))),
    };
    let context =
        context.map(|context| tls::DownstreamTlsContext { common_tls_context: Some(context), ..Default::default() });
    let transport_socket = context.map(|context| core::TransportSocket {
        name: "tls".into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(encode::any(&context))),
    });
    let address = core::SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(
            u32::try_from(port).expect("few listeners"),
        )),
        ..Default::default()
    };
    listener::Listener {
        name,
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(address)) }),
        filter_chains: vec![listener::FilterChain { filters: vec![filter], transport_socket, ..Default::default() }],
        ..Default::default()
    }
}
