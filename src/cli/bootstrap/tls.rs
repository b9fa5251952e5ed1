//! TLS to syncgate: whose certificate is believed, and which one Envoy shows.
//!
//! Envoy reads the files that a bootstrap names once, when it starts. Files that a secret names are read again whenever
//! something is moved into their folder, as the kubelet does with a mounted Secret; but then the secret has to come from a file of its
//! own (shown with Envoy 1.37 and 1.40).

use std::path::Path;

use serde_json::{Value, json};

use super::BootstrapArgs;

/// What the secrets are called, in the bootstrap and in their files.
const CERTIFICATE: &str = "syncgate-client-certificate";
const AUTHORITIES: &str = "syncgate-authorities";

/// TLS to syncgate, whose certificate has to name it, with a certificate of Envoy's own if there is one; none in clear text.
pub(super) fn socket(args: &BootstrapArgs, host: &str) -> Option<Value> {
    let authorities = args.xds_ca.as_deref()?;
    let name = args.xds_server_name.as_deref().unwrap_or(host);
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let mut context = json!({ "alpn_protocols": ["h2"] });
    let mut validation = json!({
        "match_typed_subject_alt_names": [{
            "san_type": if is_address { "IP_ADDRESS" } else { "DNS" },
            "matcher": { "exact": name },
        }],
    });
    if let Some(file) = &args.authorities_secret {
        context["combined_validation_context"] = json!({
            "default_validation_context": validation,
            "validation_context_sds_secret_config": from_file(AUTHORITIES, file),
        });
    } else {
        validation["trusted_ca"] = named(authorities);
        context["validation_context"] = validation;
    }
    if let Some(own) = certificate(args) {
        match &args.certificate_secret {
            Some(file) => context["tls_certificate_sds_secret_configs"] = json!([from_file(CERTIFICATE, file)]),
            None => context["tls_certificates"] = json!([own]),
        }
    }
    Some(json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            // A server name is never an address.
            "sni": if is_address { "" } else { name },
            "common_tls_context": context,
        },
    }))
}

/// The file that tells Envoy of its own certificate, if it has one.
pub(super) fn certificate_secret(args: &BootstrapArgs) -> Option<Value> {
    let (mut own, file) = (certificate(args)?, args.client_certificate.as_deref()?);
    own["watched_directory"] = folder_of(file);
    Some(secret(CERTIFICATE, "tls_certificate", own))
}

/// The file that tells Envoy of the authorities, if there are any.
pub(super) fn authorities_secret(args: &BootstrapArgs) -> Option<Value> {
    let file = args.xds_ca.as_deref()?;
    let context = json!({ "trusted_ca": named(file), "watched_directory": folder_of(file) });
    Some(secret(AUTHORITIES, "validation_context", context))
}

fn certificate(args: &BootstrapArgs) -> Option<Value> {
    let (certificate, key) = args.client_certificate.as_deref().zip(args.client_key.as_deref())?;
    Some(json!({ "certificate_chain": named(certificate), "private_key": named(key) }))
}

fn named(file: &str) -> Value {
    json!({ "filename": file })
}

fn folder_of(file: &str) -> Value {
    let folder = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty());
    json!({ "path": folder.unwrap_or(Path::new(".")).display().to_string() })
}

fn from_file(name: &str, file: &str) -> Value {
    let source = json!({
        "path_config_source": { "path": file },
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
    });
    json!({ "name": name, "sds_config": source })
}

fn secret(name: &str, kind: &str, content: Value) -> Value {
    json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name,
        kind: content,
    }] })
}
