//! `syncgate bootstrap`: the Envoy bootstrap that makes syncgate's promises hold on Envoy's side.
//!
//! Its two settings that matter most: `initial_fetch_timeout: 0s` (rule 32a: with the default of 15 s Envoy goes live
//! with a part of its configuration) and a short back-off of the stream (the default of up to 30 s would make every
//! restart of syncgate a long freeze).

mod tls;
mod token;

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// The options of a cluster that are about HTTP.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Arguments of `syncgate bootstrap`.
#[derive(Debug, Clone, Args)]
pub struct BootstrapArgs {
    /// The Gateway that the Envoy is for.
    #[arg(long, env = "SYNCGATE_GATEWAY", value_name = "NAMESPACE/NAME")]
    pub gateway: String,

    /// Where syncgate serves ADS, as this Envoy reaches it.
    #[arg(long, env = "SYNCGATE_XDS", default_value = "127.0.0.1:18000", value_name = "HOST:PORT")]
    pub xds: String,

    /// Authorities that sign syncgate's certificate (PEM), as this Envoy finds the file. With it, TLS is spoken.
    #[arg(long, env = "SYNCGATE_XDS_CA", value_name = "FILE")]
    pub xds_ca: Option<String>,

    /// The name in syncgate's certificate, if it is another than the host of --xds.
    #[arg(long, env = "SYNCGATE_XDS_SERVER_NAME", value_name = "NAME", requires = "xds_ca")]
    pub xds_server_name: Option<String>,

    /// This Envoy's own certificate (PEM), by which syncgate knows which Gateways it may have.
    #[arg(
        long,
        env = "SYNCGATE_CLIENT_CERTIFICATE",
        value_name = "FILE",
        requires = "xds_ca",
        requires = "client_key"
    )]
    pub client_certificate: Option<String>,

    /// The private key of that certificate (PEM).
    #[arg(long, env = "SYNCGATE_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<String>,

    /// Where this Envoy finds the file that tells it of its certificate, so that a renewed one is in use from the next connection on;
    /// `--print certificate-secret` prints it. Without it, Envoy reads the certificate when it starts.
    #[arg(long, env = "SYNCGATE_CERTIFICATE_SECRET", value_name = "FILE", requires = "client_certificate")]
    pub certificate_secret: Option<String>,

    /// Likewise for the authorities of --xds-ca; `--print authorities-secret` prints it.
    #[arg(long, env = "SYNCGATE_AUTHORITIES_SECRET", value_name = "FILE", requires = "xds_ca")]
    pub authorities_secret: Option<String>,

    /// The token of this Envoy's ServiceAccount, for the audience of syncgate, as this Envoy finds the file: that of a projected
    /// volume, which is renewed. In place of a certificate, or beside one that names nobody.
    #[arg(long, env = "SYNCGATE_TOKEN_FILE", value_name = "FILE", requires = "xds_ca")]
    pub token_file: Option<String>,

    /// Where this Envoy finds the second file that --token-file needs; `--print token-secret` prints it.
    #[arg(long, env = "SYNCGATE_TOKEN_SECRET", value_name = "FILE", default_value = "/etc/envoy/token-secret.yaml")]
    pub token_secret: String,

    /// Variant of the xDS transport.
    #[arg(long, env = "SYNCGATE_XDS_VARIANT", value_enum, default_value_t)]
    pub variant: Variant,

    /// Envoy's own admin address (`/ready`, `/stats`, `/config_dump`); keep it on loopback.
    #[arg(long, env = "SYNCGATE_ENVOY_ADMIN_ADDRESS", default_value = "127.0.0.1:19001", value_name = "IP:PORT")]
    pub envoy_admin_address: SocketAddr,

    /// The node's id, unique for each Envoy; the Gateway's name with this process' host name by default.
    #[arg(long, env = "SYNCGATE_NODE_ID", value_name = "ID")]
    pub node_id: Option<String>,

    /// Downstream connections that Envoy accepts at most.
    #[arg(long, env = "SYNCGATE_MAX_CONNECTIONS", default_value_t = 50_000)]
    pub max_connections: u32,

    /// Which of the files is printed.
    #[arg(long, value_enum, default_value_t)]
    pub print: Printed,

    /// How it is written; Envoy reads both.
    #[arg(long, value_enum, default_value_t)]
    pub output: super::check::OutputFormat,
}

/// Variant of the xDS transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Variant {
    /// Incremental: only what changed travels.
    #[default]
    Delta,
    /// State of the world: the full set travels on any change.
    Sotw,
}

/// A file for Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Printed {
    /// The bootstrap.
    #[default]
    Bootstrap,
    /// What the bootstrap finds the token by, if it has one.
    TokenSecret,
    /// What the bootstrap finds the certificate by, with --certificate-secret.
    CertificateSecret,
    /// What the bootstrap finds the authorities by, with --authorities-secret.
    AuthoritiesSecret,
}

/// Prints the bootstrap, or the file beside it.
///
/// # Errors
/// When an argument is malformed.
pub fn run(args: &BootstrapArgs) -> anyhow::Result<ExitCode> {
    let file = match args.print {
        Printed::Bootstrap => bootstrap(args)?,
        Printed::TokenSecret => {
            token::secret(args.token_file.as_deref().context("--print token-secret needs --token-file")?)
        }
        Printed::CertificateSecret => {
            tls::certificate_secret(args).context("--print certificate-secret needs --client-certificate")?
        }
        Printed::AuthoritiesSecret => {
            tls::authorities_secret(args).context("--print authorities-secret needs --xds-ca")?
        }
    };
    super::print(&args.output.write(&file)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The bootstrap as JSON.
///
/// # Errors
/// When the Gateway or the address is malformed.
pub fn bootstrap(args: &BootstrapArgs) -> anyhow::Result<Value> {
    let (namespace, name) = args
        .gateway
        .split_once('/')
        .filter(|(namespace, name)| is_name(namespace) && is_name(name))
        .with_context(|| format!("--gateway {:?} must be NAMESPACE/NAME, such as demo/web", args.gateway))?;
    let (host, port) = split_address(&args.xds)?;
    let id = args.node_id.clone().unwrap_or_else(|| format!("{namespace}.{name}.{}", host_name()));
    let api_type = match args.variant {
        Variant::Delta => "DELTA_GRPC",
        Variant::Sotw => "GRPC",
    };
    let ads = json!({ "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" });
    Ok(json!({
        "node": { "id": id, "cluster": args.gateway, "metadata": { "syncgate.dev/gateway": args.gateway } },
        "admin": { "address": socket_address(&args.envoy_admin_address.ip().to_string(), args.envoy_admin_address.port()) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": {
                    "cluster_name": "syncgate",
                    "retry_policy": { "retry_back_off": { "base_interval": "0.2s", "max_interval": "2s" } },
                }}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": { "clusters": [syncgate_cluster(args, &host, port)] },
        // Without a limit a flood of connections ends the process; Envoy itself warns about it.
        "overload_manager": { "resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": args.max_connections,
            },
        }]},
    }))
}

/// The one static cluster: syncgate itself.
fn syncgate_cluster(args: &BootstrapArgs, host: &str, port: u16) -> Value {
    let mut cluster = clear_text_cluster(host, port);
    if let Some(socket) = tls::socket(args, host) {
        cluster["transport_socket"] = socket;
    }
    if let Some(filters) = token::filters(args) {
        cluster["typed_extension_protocol_options"][HTTP_OPTIONS]["http_filters"] = filters;
    }
    cluster
}

fn clear_text_cluster(host: &str, port: u16) -> Value {
    let discovery = if host.parse::<std::net::IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    json!({
        "name": "syncgate",
        "type": discovery,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "syncgate",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket_address(host, port) } }] }],
        },
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {
                    // A syncgate that vanished without closing is noticed (rule 35).
                    "connection_keepalive": { "interval": "30s", "timeout": "10s" },
                }},
            },
        },
    })
}

fn socket_address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// `host:port`, `1.2.3.4:port` or `[::1]:port`.
fn split_address(text: &str) -> anyhow::Result<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), nonzero(text, &address.port().to_string())?));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains([':', '/', ' ']) => {
            Ok((host.to_owned(), nonzero(text, port)?))
        }
        _ => bail!("--xds {text:?} must be HOST:PORT, such as syncgate.syncgate-system:18000 or [::1]:18000"),
    }
}

/// A port that can be connected to.
fn nonzero(address: &str, port: &str) -> anyhow::Result<u16> {
    let parsed: Option<std::num::NonZeroU16> = port.parse().ok();
    Ok(parsed.with_context(|| format!("--xds {address:?}: {port:?} is not a port from 1 to 65535"))?.get())
}

/// Whether Kubernetes would take it for a name, so that a Gateway of that name can exist.
fn is_name(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || matches!(c, '-' | '.'))
}

/// This machine's host name, as the kernel knows it; tells the Envoys of one Gateway apart.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "envoy".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BootstrapArgs,
    }

    fn made(line: &str) -> anyhow::Result<Value> {
        bootstrap(&Line::try_parse_from(std::iter::once("bootstrap").chain(line.split(' '))).unwrap().args)
    }

    #[test]
    fn says_delta_and_no_initial_fetch_timeout() {
        let json = made("--gateway demo/web --xds [::1]:18000").unwrap();
        assert_eq!(json["dynamic_resources"]["ads_config"]["api_type"], "DELTA_GRPC");
        assert_eq!(json["dynamic_resources"]["cds_config"]["initial_fetch_timeout"], "0s");
        assert_eq!(json["node"]["metadata"]["syncgate.dev/gateway"], "demo/web");
        assert_eq!(json["static_resources"]["clusters"][0]["type"], "STATIC");
    }

    #[test]
    fn names_are_resolved_by_dns() {
        let json = made("--gateway demo/web --xds syncgate.system:18000 --variant sotw").unwrap();
        assert_eq!(json["static_resources"]["clusters"][0]["type"], "STRICT_DNS");
        assert_eq!(json["dynamic_resources"]["ads_config"]["api_type"], "GRPC");
    }

    #[test]
    fn tls_names_the_server_and_shows_the_clients_own_certificate() {
        let json = made("--gateway demo/web --xds syncgate.system:18000 --xds-ca ca.crt").unwrap();
        let socket = &json["static_resources"]["clusters"][0]["transport_socket"]["typed_config"];
        assert_eq!(socket["sni"], "syncgate.system");
        let context = &socket["common_tls_context"];
        assert_eq!(context["validation_context"]["match_typed_subject_alt_names"][0]["san_type"], "DNS");
        assert!(context["tls_certificates"].is_null());
        let json = made("--gateway a/b --xds-ca ca.crt --client-certificate tls.crt --client-key tls.key").unwrap();
        let socket = &json["static_resources"]["clusters"][0]["transport_socket"]["typed_config"];
        assert_eq!(socket["sni"], "");
        assert_eq!(socket["common_tls_context"]["tls_certificates"][0]["private_key"]["filename"], "tls.key");
        assert!(made("--gateway a/b").unwrap()["static_resources"]["clusters"][0]["transport_socket"].is_null());
    }

    #[test]
    fn certificates_that_are_renewed_come_from_files_of_their_own() {
        let line = "bootstrap --gateway a/b --xds-ca /tls/ca.crt --client-certificate /tls/tls.crt --client-key /tls/tls.key \
                    --certificate-secret own.yaml --authorities-secret ca.yaml";
        let args = Line::try_parse_from(line.split_whitespace()).unwrap().args;
        let json = bootstrap(&args).unwrap();
        let context =
            &json["static_resources"]["clusters"][0]["transport_socket"]["typed_config"]["common_tls_context"];
        assert!(context["tls_certificates"].is_null() && context["validation_context"].is_null());
        let pairs = [
            (&context["tls_certificate_sds_secret_configs"][0], tls::certificate_secret(&args), "own.yaml"),
            (
                &context["combined_validation_context"]["validation_context_sds_secret_config"],
                tls::authorities_secret(&args),
                "ca.yaml",
            ),
        ];
        for (config, secret, file) in pairs {
            let secret = &secret.unwrap()["resources"][0];
            assert_eq!(config["sds_config"]["path_config_source"]["path"], file);
            assert_eq!(config["name"], secret["name"]);
            let content = secret.as_object().unwrap().values().find(|value| value.is_object()).unwrap();
            assert_eq!(content["watched_directory"]["path"], "/tls");
        }
        let names =
            &context["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"];
        assert_eq!(names[0]["san_type"], "IP_ADDRESS", "the name is still looked at");
        let alone = Line::try_parse_from("bootstrap --gateway a/b --certificate-secret own.yaml".split(' '));
        assert!(alone.is_err_and(|error| error.to_string().contains("--client-certificate")));
    }

    #[test]
    fn a_token_is_sent_by_a_filter_and_over_tls_only() {
        let json = made("--gateway a/b --xds-ca ca.crt --token-file token --token-secret secret.yaml").unwrap();
        let filters =
            &json["static_resources"]["clusters"][0]["typed_extension_protocol_options"][HTTP_OPTIONS]["http_filters"];
        let credential = &filters[0]["typed_config"]["credential"]["typed_config"]["credential"];
        assert_eq!(credential["sds_config"]["path_config_source"]["path"], "secret.yaml");
        assert_eq!(token::secret("token")["resources"][0]["name"], credential["name"]);
        let clear = Line::try_parse_from("bootstrap --gateway a/b --token-file token".split(' '));
        assert!(clear.is_err_and(|error| error.to_string().contains("--xds-ca")));
    }

    #[test]
    fn malformed_arguments_say_how_to_mend_them() {
        for gateway in ["web", "a/b/c", "/web", "Demo/web", "demo/wéb", "demo/-"] {
            let error = made(&format!("--gateway {gateway}")).unwrap_err().to_string();
            assert!(error.contains("must be NAMESPACE/NAME"), "{error}");
        }
        for xds in ["a:0", "a:65536", "127.0.0.1:0"] {
            let error = made(&format!("--gateway a/b --xds {xds}")).unwrap_err().to_string();
            assert!(error.contains("is not a port from 1 to 65535"), "{error}");
        }
        let error = made("--gateway a/b --xds nowhere").unwrap_err().to_string();
        assert!(error.contains("must be HOST:PORT"), "{error}");
    }
}
