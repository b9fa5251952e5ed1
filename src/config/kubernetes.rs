//! Flags of `syncgate serve --kubernetes`, and their validation.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{ConfigError, within};

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WatchScope {
    /// Every namespace; needs rights in a ClusterRole.
    #[default]
    Cluster,
    /// Selected namespaces only; needs Roles in these, and a small ClusterRole.
    Namespaces,
}

/// What to do while no namespace is selected, or none of those that are exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnEmptySelection {
    /// Stay not ready at start: nothing was asked for yet.
    #[default]
    Wait,
    /// Be ready, and serve nothing.
    Serve,
}

/// What becomes of a namespace's objects when the rights to read it were revoked and are not granted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnRevoked {
    /// The last state stays in effect.
    #[default]
    Keep,
    /// It is dropped after --revoked-hold.
    Drop,
}

/// Arguments of `syncgate serve` for Kubernetes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// Watch Kubernetes: by --kubeconfig, else $KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount.
    #[arg(long, env = "SYNCGATE_KUBERNETES")]
    pub kubernetes: bool,

    /// A kubeconfig with the API server's address and the credentials.
    #[arg(long, env = "SYNCGATE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig other than its current one.
    #[arg(long, env = "SYNCGATE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,

    /// What is watched.
    #[arg(long, env = "SYNCGATE_WATCH_SCOPE", value_name = "SCOPE", value_enum, default_value_t)]
    pub watch_scope: WatchScope,

    /// With --watch-scope namespaces: the namespaces, by name.
    #[arg(long, env = "SYNCGATE_WATCH_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// With --watch-scope namespaces: the namespaces with these labels, beside those by name, such as `team=shop,!paused`.
    #[arg(long, env = "SYNCGATE_WATCH_SELECTOR", value_name = "SELECTOR")]
    pub watch_selector: Option<String>,

    /// With --watch-scope namespaces: other namespaces into which references may lead if a ReferenceGrant there permits
    /// it; names, `prefix-*`, or `*`.
    #[arg(long, env = "SYNCGATE_FOREIGN_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    pub foreign_namespaces: Vec<String>,

    /// With --watch-scope namespaces: a file that says `namespaces`, `selector` and `foreignNamespaces` in place of the
    /// flags, and is read again when it changes.
    #[arg(long, env = "SYNCGATE_WATCH_FILE", value_name = "FILE")]
    pub watch_file: Option<PathBuf>,

    /// What to do while no namespace is selected, or none of those that are exists.
    #[arg(long, env = "SYNCGATE_ON_EMPTY_SELECTION", value_name = "WHAT", value_enum, default_value_t)]
    pub on_empty_selection: OnEmptySelection,

    /// What becomes of a namespace's objects when the rights to read it were revoked.
    #[arg(long, env = "SYNCGATE_ON_REVOKED", value_name = "WHAT", value_enum, default_value_t)]
    pub on_revoked: OnRevoked,

    /// How long they stay in effect in any case.
    #[arg(long, env = "SYNCGATE_REVOKED_HOLD", default_value = "5m", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub revoked_hold: Duration,

    /// Requests a second to the API server, all sources together, in the long run.
    #[arg(long, env = "SYNCGATE_API_REQUESTS_PER_SECOND", default_value_t = 200, value_name = "N")]
    pub api_requests_per_second: u32,

    /// Requests to the API server that may be under way at once; a watch counts until it is granted.
    #[arg(long, env = "SYNCGATE_API_IN_FLIGHT", default_value_t = 32, value_name = "N")]
    pub api_in_flight: usize,

    /// Objects in a page of a list.
    #[arg(long, env = "SYNCGATE_PAGE_SIZE", default_value_t = 500, value_name = "N")]
    pub page_size: u32,

    /// How long a watch stays open until the API server is to end it; some balancers cut idle connections after 240 s.
    #[arg(long, env = "SYNCGATE_WATCH_TIMEOUT", default_value = "200s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub watch_timeout: Duration,
}

/// Which namespaces are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// All.
    Cluster,
    /// As the flags say.
    Flags {
        /// By name.
        names: Vec<String>,
        /// By label.
        selector: Option<String>,
        /// Into which references may lead.
        foreign: Vec<String>,
    },
    /// As the file says.
    File(PathBuf),
}

/// A checked configuration of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// A kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it.
    pub context: Option<String>,
    /// What is watched.
    pub watched: Watched,
    /// While nothing is selected.
    pub on_empty_selection: OnEmptySelection,
    /// After a revocation.
    pub on_revoked: OnRevoked,
    /// How long the last state is held in any case.
    pub revoked_hold: Duration,
    /// Requests a second.
    pub requests_per_second: u32,
    /// Requests under way.
    pub in_flight: usize,
    /// Objects in a page.
    pub page_size: u32,
    /// How long a watch stays open.
    pub watch_timeout: Duration,
}

impl KubernetesArgs {
    /// Checks what can be checked before the API server is asked.
    pub(super) fn validate(self) -> Result<KubernetesConfig, ConfigError> {
        within("--revoked-hold", self.revoked_hold, Duration::ZERO, Duration::from_secs(7 * 86_400))?;
        within("--watch-timeout", self.watch_timeout, Duration::from_secs(5), Duration::from_secs(3600))?;
        at_least_one("--api-requests-per-second", self.api_requests_per_second as usize)?;
        at_least_one("--api-in-flight", self.api_in_flight)?;
        at_least_one("--page-size", self.page_size as usize)?;
        Ok(KubernetesConfig {
            watched: self.watched()?,
            kubeconfig: self.kubeconfig,
            context: self.context,
            on_empty_selection: self.on_empty_selection,
            on_revoked: self.on_revoked,
            revoked_hold: self.revoked_hold,
            requests_per_second: self.api_requests_per_second,
            in_flight: self.api_in_flight,
            page_size: self.page_size,
            watch_timeout: self.watch_timeout,
        })
    }

    fn watched(&self) -> Result<Watched, ConfigError> {
        let flags = [
            ("--watch-namespaces", !self.watch_namespaces.is_empty()),
            ("--watch-selector", self.watch_selector.is_some()),
            ("--foreign-namespaces", !self.foreign_namespaces.is_empty()),
        ];
        let given = flags.iter().find(|(_, given)| *given).map(|(flag, _)| *flag);
        match (self.watch_scope, &self.watch_file, given) {
            (WatchScope::Cluster, None, None) => Ok(Watched::Cluster),
            (WatchScope::Cluster, file, flag) => {
                let flag = flag.unwrap_or("--watch-file");
                Err(ConfigError::OnlyNamespaced(if file.is_some() { "--watch-file" } else { flag }))
            }
            (WatchScope::Namespaces, Some(_), Some(flag)) => Err(ConfigError::BesideFile(flag)),
            (WatchScope::Namespaces, Some(file), None) => Ok(Watched::File(file.clone())),
            (WatchScope::Namespaces, None, _) => Ok(Watched::Flags {
                names: self.watch_namespaces.clone(),
                selector: self.watch_selector.clone(),
                foreign: self.foreign_namespaces.clone(),
            }),
        }
    }
}

fn at_least_one(flag: &'static str, value: usize) -> Result<(), ConfigError> {
    if value > 0 { Ok(()) } else { Err(ConfigError::Zero(flag)) }
}
