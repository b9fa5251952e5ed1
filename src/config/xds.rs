//! Who may connect to ADS, with which certificates, and within which bounds.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{ConfigError, within};

/// Arguments of the ADS listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Identity and limits of Envoys")]
pub struct XdsArgs {
    /// Certificate chain of the ADS listener (PEM); read again when it changes. Without a client certificate only loopback is served.
    #[arg(long, env = "SYNCGATE_XDS_TLS_CERTIFICATE", value_name = "FILE")]
    pub xds_tls_certificate: Option<PathBuf>,

    /// Private key of that certificate (PEM).
    #[arg(long, env = "SYNCGATE_XDS_TLS_KEY", value_name = "FILE")]
    pub xds_tls_key: Option<PathBuf>,

    /// Authorities that sign the certificates of Envoys (PEM); read again when it changes.
    #[arg(long, env = "SYNCGATE_XDS_CLIENT_CA", value_name = "FILE")]
    pub xds_client_ca: Option<PathBuf>,

    /// Audience of the ServiceAccount tokens by which Envoys may show who they are. With --kubernetes and a certificate these
    /// are read: the API server says which keys prove them.
    #[arg(long, env = "SYNCGATE_XDS_TOKEN_AUDIENCE", default_value = "syncgate", value_name = "AUDIENCE")]
    pub xds_token_audience: String,

    /// Keys that prove tokens, in place of the API server's: a JSON Web Key Set, as `kubectl get --raw /openid/v1/jwks` prints
    /// it; read again when it changes.
    #[arg(long, env = "SYNCGATE_XDS_TOKEN_KEYS", value_name = "FILE")]
    pub xds_token_keys: Option<PathBuf>,

    /// Issuers whose tokens are accepted (`iss`); with --kubernetes beside the API server's own.
    #[arg(long, env = "SYNCGATE_XDS_TOKEN_ISSUER", value_name = "URL", value_delimiter = ',')]
    pub xds_token_issuer: Vec<String>,

    /// ServiceAccounts whose Envoys may have the Gateways of every namespace; others have those of their own.
    #[arg(long, env = "SYNCGATE_XDS_FLEETS", value_name = "NAMESPACE/NAME", value_delimiter = ',')]
    pub xds_fleets: Vec<String>,

    /// Serve every Gateway, with its private keys, to anyone who can connect, off loopback too.
    #[arg(long, env = "SYNCGATE_INSECURE_XDS_ANYONE")]
    pub insecure_xds_anyone: bool,

    /// Connections to ADS at once. Where there are too many, a namespace that has more of them gives way to one that has fewer.
    #[arg(long, env = "SYNCGATE_XDS_MAX_CONNECTIONS", default_value_t = 20_000, value_name = "COUNT")]
    pub xds_max_connections: usize,

    /// Age at which a connection to ADS is asked to end, give or take a tenth, so that Envoys spread over replicas.
    #[arg(long, env = "SYNCGATE_XDS_MAX_CONNECTION_AGE", default_value = "30m", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub xds_max_connection_age: Duration,

    /// Names that one stream may subscribe to, over all types.
    #[arg(long, env = "SYNCGATE_XDS_MAX_NAMES", default_value_t = 100_000, value_name = "COUNT")]
    pub xds_max_names: usize,

    /// What the names that all streams of one namespace subscribe to may take together, in bytes: 24 for each that there is, and 80
    /// beside its own for others.
    #[arg(long, env = "SYNCGATE_XDS_MAX_NAME_BYTES_PER_NAMESPACE", default_value_t = 2 << 30, value_name = "BYTES")]
    pub xds_max_name_bytes_per_namespace: usize,

    /// The largest request of an Envoy, in bytes; a reconnect names everything that it holds.
    #[arg(long, env = "SYNCGATE_XDS_MAX_REQUEST_BYTES", default_value_t = 16 << 20, value_name = "BYTES")]
    pub xds_max_request_bytes: usize,

    /// Bytes of all larger requests that have begun to arrive, of all Envoys together; others are read later.
    #[arg(long, env = "SYNCGATE_XDS_MAX_PENDING_REQUEST_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub xds_max_pending_request_bytes: usize,

    /// Streams of one identity off loopback, and connections: of one ServiceAccount or one Gateway's certificate.
    #[arg(long, env = "SYNCGATE_XDS_MAX_STREAMS_PER_IDENTITY", default_value_t = 10_000, value_name = "COUNT")]
    pub xds_max_streams_per_identity: usize,

    /// Requests a second that are read of a stream, and ten times as many at once; more are read later.
    #[arg(long, env = "SYNCGATE_XDS_MAX_REQUESTS_PER_SECOND", default_value_t = 200, value_name = "COUNT")]
    pub xds_max_requests_per_second: u32,
}

/// The ADS listener as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsConfig {
    /// Its certificates, if it has any.
    pub tls: Option<XdsTls>,
    /// Which tokens are accepted.
    pub tokens: XdsTokens,
    /// Anyone may have everything.
    pub anyone: bool,
    /// ServiceAccounts that may have the Gateways of every namespace.
    pub fleets: Vec<String>,
    /// Connections at once.
    pub max_connections: usize,
    /// Age at which a connection is asked to end.
    pub max_connection_age: Duration,
    /// Names that one stream may subscribe to.
    pub max_names: usize,
    /// Bytes of names of one namespace.
    pub max_name_bytes_per_namespace: usize,
    /// Bytes of a request.
    pub max_request_bytes: usize,
    /// Bytes of all larger requests that have begun to arrive.
    pub max_pending_request_bytes: usize,
    /// Streams of one identity.
    pub max_streams_per_identity: usize,
    /// Requests a second of a stream.
    pub max_requests_per_second: u32,
}

/// Which tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsTokens {
    /// For whom they have to be.
    pub audience: String,
    /// A file of keys that prove them; without it the API server is asked.
    pub keys: Option<PathBuf>,
    /// Whose they may be.
    pub issuers: Vec<String>,
}

/// Files of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsTls {
    /// The chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of clients.
    pub client_authorities: Option<PathBuf>,
}

impl XdsArgs {
    pub(super) fn validate(self) -> Result<XdsConfig, ConfigError> {
        let tls = match (self.xds_tls_certificate, self.xds_tls_key, self.xds_client_ca) {
            (None, None, None) => None,
            (Some(certificate), Some(key), client_authorities) => Some(XdsTls { certificate, key, client_authorities }),
            (None, _, Some(_)) => return Err(ConfigError::HalfTls("--xds-tls-certificate", "--xds-client-ca")),
            (None, Some(_), None) => return Err(ConfigError::HalfTls("--xds-tls-certificate", "--xds-tls-key")),
            (Some(_), None, _) => return Err(ConfigError::HalfTls("--xds-tls-key", "--xds-tls-certificate")),
        };
        let tokens = tokens(self.xds_token_audience, self.xds_token_keys, self.xds_token_issuer, tls.is_some())?;
        let is_account = |text: &&String| text.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        if let Some(bad) = self.xds_fleets.iter().find(|text| !is_account(text)) {
            return Err(ConfigError::NoAccount(bad.clone()));
        }
        for (flag, value) in [
            ("--xds-max-connections", self.xds_max_connections),
            ("--xds-max-names", self.xds_max_names),
            ("--xds-max-name-bytes-per-namespace", self.xds_max_name_bytes_per_namespace),
            ("--xds-max-streams-per-identity", self.xds_max_streams_per_identity),
            ("--xds-max-requests-per-second", self.xds_max_requests_per_second as usize),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero(flag));
            }
        }
        // Below 1 KiB not even the node of a first request fits.
        if self.xds_max_request_bytes < 1 << 10 {
            return Err(ConfigError::TooSmall("--xds-max-request-bytes", 1 << 10));
        }
        // The largest request has to find room.
        if self.xds_max_pending_request_bytes < self.xds_max_request_bytes {
            return Err(ConfigError::TooSmall("--xds-max-pending-request-bytes", self.xds_max_request_bytes));
        }
        let age = self.xds_max_connection_age;
        within("--xds-max-connection-age", age, Duration::from_secs(10), Duration::from_secs(7 * 24 * 3600))?;
        Ok(XdsConfig {
            tls,
            tokens,
            anyone: self.insecure_xds_anyone,
            fleets: self.xds_fleets,
            max_connections: self.xds_max_connections,
            max_connection_age: age,
            max_names: self.xds_max_names,
            max_name_bytes_per_namespace: self.xds_max_name_bytes_per_namespace,
            max_request_bytes: self.xds_max_request_bytes,
            max_pending_request_bytes: self.xds_max_pending_request_bytes,
            max_streams_per_identity: self.xds_max_streams_per_identity,
            max_requests_per_second: self.xds_max_requests_per_second,
        })
    }
}

fn tokens(
    audience: String,
    keys: Option<PathBuf>,
    issuers: Vec<String>,
    is_secure: bool,
) -> Result<XdsTokens, ConfigError> {
    if audience.is_empty() {
        return Err(ConfigError::NoAudience);
    }
    if keys.is_some() && issuers.is_empty() {
        return Err(ConfigError::TokenKeys("--xds-token-issuer", "whose tokens they prove has to be said"));
    }
    if keys.is_some() && !is_secure {
        return Err(ConfigError::TokenKeys("--xds-tls-certificate", "tokens are not accepted in clear text"));
    }
    Ok(XdsTokens { audience, keys, issuers })
}
