//! What the operator may set, and its validation: arguments and `SYNCGATE_…` variables in, a checked
//! [`ServeConfig`] out, before anything starts.
//!
//! The environment is read here (by clap) and nowhere else.

mod kubernetes;
mod xds;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use thiserror::Error;

pub use kubernetes::{KubernetesArgs, KubernetesConfig, OnEmptySelection, OnRevoked, WatchScope, Watched};
pub use xds::{XdsArgs, XdsConfig, XdsTls, XdsTokens};

/// A configuration that cannot work, with the remedy.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Zero sources would be "synced" vacuously: an error, never a state (F37).
    #[error(
        "no source of configuration: watch Kubernetes with --kubernetes, or name a folder of manifests with --files DIR \
         (or SYNCGATE_FILES)"
    )]
    NoSource,
    /// Which of them would win where both name an object is nobody's guess.
    #[error("--files and --kubernetes are both given: choose one source")]
    TwoSources,
    /// A flag that says nothing in cluster scope.
    #[error("{0} selects namespaces: give --watch-scope namespaces with it, or leave it out")]
    OnlyNamespaced(&'static str),
    /// A flag beside the file that replaces it.
    #[error("{0} is given beside --watch-file: say it in the file")]
    BesideFile(&'static str),
    /// A bound of nothing.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A bound below which nothing works.
    #[error("{0} must be at least {1}")]
    TooSmall(&'static str, usize),
    /// A certificate without its key, or the other way round.
    #[error("{1} is given without {0}: TLS needs both a certificate and its key")]
    HalfTls(&'static str, &'static str),
    /// Tokens for nobody.
    #[error("--xds-token-audience must not be empty: any token of the cluster would do")]
    NoAudience,
    /// Keys without what they need.
    #[error("--xds-token-keys is given without {0}: {1}")]
    TokenKeys(&'static str, &'static str),
    /// What is no ServiceAccount.
    #[error("--xds-fleets {0:?} must be NAMESPACE/NAME of a ServiceAccount, such as envoy-system/envoy")]
    NoAccount(String),
    /// Two listeners of ours on one address.
    #[error("{first} and {second} are both {address}: give each its own port")]
    SameAddress {
        /// The flag of the first.
        first: &'static str,
        /// The flag of the second.
        second: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The admin listener shows every tenant's configuration.
    #[error(
        "--admin-address {0} is not on loopback: the admin listener shows every Gateway's configuration and has no \
         authentication; use 127.0.0.1 or [::1] and a port-forward"
    )]
    AdminNotLoopback(SocketAddr),
    /// A duration outside of what makes sense.
    #[error("{flag} {value:?} is out of range: it must be between {least:?} and {most:?}")]
    OutOfRange {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: Duration,
        /// The least allowed.
        least: Duration,
        /// The most allowed.
        most: Duration,
    },
}

/// What to do at start about a manifest file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnBrokenFile {
    /// Stay not ready until it is mended: nothing is served from a half-read folder.
    #[default]
    Fail,
    /// Report it and go on without it.
    Skip,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Arguments of `syncgate serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Folder of Kubernetes manifests (YAML or JSON, read recursively, reloaded when it changes).
    #[arg(long, env = "SYNCGATE_FILES", value_name = "DIR")]
    pub files: Option<PathBuf>,

    /// What to do at start about a manifest file that cannot be read.
    #[arg(long, env = "SYNCGATE_ON_BROKEN_FILE", value_name = "WHAT", value_enum, default_value_t)]
    pub on_broken_file: OnBrokenFile,

    /// How often the folder is read again even when no change was notified.
    #[arg(long, env = "SYNCGATE_RESCAN_INTERVAL", default_value = "30s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub rescan_interval: Duration,

    /// Kubernetes as the source.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,

    /// Where Envoys connect (ADS and gRPC health). Streams from off loopback need an identity: see --xds-client-ca.
    #[arg(long, env = "SYNCGATE_XDS_ADDRESS", default_value = "[::]:18000", value_name = "IP:PORT")]
    pub xds_address: SocketAddr,

    /// Where probes and Prometheus connect (/livez, /readyz, /startupz, /metrics).
    #[arg(long, env = "SYNCGATE_HEALTH_ADDRESS", default_value = "[::]:8081", value_name = "IP:PORT")]
    pub health_address: SocketAddr,

    /// Where `syncgate status` and `syncgate explain` connect, and /debug pages are; loopback only.
    #[arg(long, env = "SYNCGATE_ADMIN_ADDRESS", default_value = DEFAULT_ADMIN, value_name = "IP:PORT")]
    pub admin_address: SocketAddr,

    /// Identity and limits of Envoys.
    #[command(flatten)]
    pub xds: XdsArgs,

    /// After SIGTERM: time between not ready and the first closed stream, so that load balancers notice.
    #[arg(long, env = "SYNCGATE_LAME_DUCK", default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub lame_duck: Duration,

    /// After the lame-duck time: time over which the streams are closed.
    #[arg(long, env = "SYNCGATE_DRAIN", default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub drain: Duration,

    /// How log lines are written (to standard error).
    #[arg(long, env = "SYNCGATE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// What is logged: a level, or `tracing` directives such as `info,syncgate::xds=debug`.
    #[arg(long, env = "SYNCGATE_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Default of `--admin-address`, for the server and its clients.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:19000";

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of manifests.
    Files {
        /// The folder.
        dir: PathBuf,
        /// What to do at start about a broken file.
        on_broken: OnBrokenFile,
        /// Interval of the unconditional second look.
        rescan: Duration,
    },
    /// A Kubernetes API server.
    Kubernetes(KubernetesConfig),
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Where the configuration comes from.
    pub source: Source,
    /// Address of ADS.
    pub xds_address: SocketAddr,
    /// Identity and limits of Envoys.
    pub xds: XdsConfig,
    /// Address of probes and metrics.
    pub health_address: SocketAddr,
    /// Address of the admin listener.
    pub admin_address: SocketAddr,
    /// Not ready, still serving.
    pub lame_duck: Duration,
    /// Closing the streams.
    pub drain: Duration,
}

impl ServeArgs {
    /// Checks everything that can be checked before anything starts.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn validate(self) -> Result<ServeConfig, ConfigError> {
        let source = match (self.files, self.kubernetes.kubernetes) {
            (None, false) => return Err(ConfigError::NoSource),
            (Some(_), true) => return Err(ConfigError::TwoSources),
            (Some(dir), false) => Source::Files { dir, on_broken: self.on_broken_file, rescan: self.rescan_interval },
            (None, true) => Source::Kubernetes(self.kubernetes.validate()?),
        };
        if !self.admin_address.ip().is_loopback() {
            return Err(ConfigError::AdminNotLoopback(self.admin_address));
        }
        distinct(&[
            ("--xds-address", self.xds_address),
            ("--health-address", self.health_address),
            ("--admin-address", self.admin_address),
        ])?;
        within("--rescan-interval", self.rescan_interval, Duration::from_millis(100), Duration::from_secs(3600))?;
        within("--lame-duck", self.lame_duck, Duration::ZERO, Duration::from_secs(600))?;
        within("--drain", self.drain, Duration::ZERO, Duration::from_secs(600))?;
        Ok(ServeConfig {
            source,
            xds_address: self.xds_address,
            xds: self.xds.validate()?,
            health_address: self.health_address,
            admin_address: self.admin_address,
            lame_duck: self.lame_duck,
            drain: self.drain,
        })
    }
}

/// No two addresses that name the same port of the same (or of every) interface; port 0 takes a free one.
fn distinct(addresses: &[(&'static str, SocketAddr)]) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<u16, Vec<(&'static str, IpAddr)>> = BTreeMap::new();
    for &(second, address) in addresses.iter().filter(|(_, address)| address.port() != 0) {
        let others = seen.entry(address.port()).or_default();
        let overlaps = |ip: &IpAddr| *ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
        if let Some(&(first, _)) = others.iter().find(|(_, ip)| overlaps(ip)) {
            return Err(ConfigError::SameAddress { first, second, address });
        }
        others.push((second, address.ip()));
    }
    Ok(())
}

fn within(flag: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(ConfigError::OutOfRange { flag, value, least, most }) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn validate(line: &str) -> Result<ServeConfig, ConfigError> {
        Line::try_parse_from(std::iter::once("serve").chain(line.split_whitespace())).unwrap().serve.validate()
    }

    #[test]
    fn defaults_are_valid_with_a_folder() {
        let config = validate("--files manifests").unwrap();
        assert_eq!(config.lame_duck, Duration::from_secs(10));
        assert_eq!(config.xds_address.port(), 18000);
    }

    #[test]
    fn zero_sources_is_an_error() {
        assert_eq!(validate("").unwrap_err(), ConfigError::NoSource);
    }

    #[test]
    fn one_source_and_flags_that_say_something() {
        assert_eq!(validate("--files d --kubernetes").unwrap_err(), ConfigError::TwoSources);
        let error = validate("--kubernetes --watch-namespaces a").unwrap_err();
        assert_eq!(error, ConfigError::OnlyNamespaced("--watch-namespaces"));
        let namespaced = "--kubernetes --watch-scope namespaces --watch-namespaces a,b";
        let error = validate(&format!("{namespaced} --watch-file f")).unwrap_err();
        assert_eq!(error, ConfigError::BesideFile("--watch-namespaces"));
        let Source::Kubernetes(config) = validate(namespaced).unwrap().source else {
            panic!("Kubernetes was asked for")
        };
        let names = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(config.watched, Watched::Flags { names, selector: None, foreign: vec![] });
        assert_eq!(validate("--kubernetes --page-size 0").unwrap_err(), ConfigError::Zero("--page-size"));
    }

    #[test]
    fn addresses_must_differ() {
        let error = validate("--files d --xds-address 127.0.0.1:8081").unwrap_err();
        assert!(error.to_string().contains("--xds-address and --health-address"), "{error}");
        assert!(validate("--files d --xds-address 127.0.0.1:0 --health-address 127.0.0.1:0").is_ok());
    }

    #[test]
    fn the_admin_listener_stays_on_loopback() {
        let error = validate("--files d --admin-address 0.0.0.0:19000").unwrap_err();
        assert!(error.to_string().contains("port-forward"), "{error}");
    }

    #[test]
    fn certificates_come_in_pairs_and_bounds_are_bounds() {
        let error = |line: &str| validate(&format!("--files d {line}")).unwrap_err().to_string();
        assert!(error("--xds-client-ca ca.crt").starts_with("--xds-client-ca is given without --xds-tls-certificate"));
        assert!(error("--xds-tls-key k").starts_with("--xds-tls-key is given without --xds-tls-certificate"));
        assert!(error("--xds-tls-certificate c").starts_with("--xds-tls-certificate is given without --xds-tls-key"));
        assert!(error("--xds-fleets envoy").contains("\"envoy\" must be NAMESPACE/NAME"));
        let keys = "--xds-token-keys k --xds-token-issuer i";
        assert!(error("--xds-token-keys k").starts_with("--xds-token-keys is given without --xds-token-issuer"));
        assert!(error(keys).starts_with("--xds-token-keys is given without --xds-tls-certificate"));
        assert!(error("--xds-token-audience=").starts_with("--xds-token-audience must not be empty"));
        assert_eq!(error("--xds-max-names 0"), "--xds-max-names must be at least 1");
        assert_eq!(error("--xds-max-request-bytes 5"), "--xds-max-request-bytes must be at least 1024");
        let pending = error("--xds-max-pending-request-bytes 1000000");
        assert_eq!(pending, "--xds-max-pending-request-bytes must be at least 16777216");
        assert!(error("--xds-max-connection-age 1s").contains("out of range"));
        let config = validate("--files d --xds-tls-certificate c --xds-tls-key k --xds-fleets a/b,c/d").unwrap().xds;
        assert_eq!((config.tls.unwrap().client_authorities, config.fleets.len()), (None, 2));
    }

    #[test]
    fn durations_have_bounds() {
        let error = validate("--files d --drain 1h").unwrap_err();
        assert!(error.to_string().contains("--drain 3600s is out of range"), "{error}");
    }
}
