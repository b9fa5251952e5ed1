//! From the configuration to what the ADS server takes: who may connect, and within which bounds.

use std::sync::Arc;

use anyhow::Context;
use arcstr::ArcStr;

use crate::{
    config::XdsConfig,
    xds::{Access, Bounds, Guard, Limits, Settings, Tls, TlsFiles},
};

/// Who may connect, by certificates; what proves tokens is not known here.
///
/// # Errors
/// Certificates that cannot be used.
pub fn guard(config: &XdsConfig) -> anyhow::Result<Guard> {
    let files = config.tls.clone().map(|tls| TlsFiles {
        certificate: tls.certificate,
        key: tls.key,
        client_authorities: tls.client_authorities,
    });
    let tls = files.map(Tls::load).transpose().context("certificates of the ADS listener")?;
    if config.anyone {
        tracing::warn!("--insecure-xds-anyone: every Gateway, with its private keys, is served to anyone who connects");
    }
    let fleets = config.fleets.iter().map(ArcStr::from).collect();
    Ok(Guard { tls: tls.map(Arc::new), access: Access { anyone: config.anyone, fleets }, tokens: None })
}

/// Within which bounds.
#[must_use]
pub fn settings(config: &XdsConfig) -> Settings {
    let connection = Bounds {
        connections: config.max_connections,
        per_identity: config.max_streams_per_identity,
        age: config.max_connection_age,
        ..Bounds::default()
    };
    Settings {
        max_request: config.max_request_bytes,
        name_bytes: config.max_name_bytes_per_namespace,
        pending_requests: config.max_pending_request_bytes,
        streams_per_identity: config.max_streams_per_identity,
        requests_per_second: config.max_requests_per_second,
        connection,
        session: Limits { names: config.max_names, ..Limits::default() },
        ..Settings::default()
    }
}
