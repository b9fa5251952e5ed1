//! `syncgate certs`: an authority, a server's certificate and a client's, made and renewed for those who have no cert-manager.
//!
//! Run again and again, by a timer or a CronJob: it does what is due, says what it did and when to run it next.

mod issue;
mod plan;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use clap::Args;

use self::plan::{LONGEST, Wish};
use self::store::{Folder, SecretStore, Store};
use crate::watch::Origin;

/// The longest life of an authority; some thousand years more, and there is no such date.
const LONGEST_AUTHORITY: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// Arguments of `syncgate certs`.
#[derive(Debug, Clone, Args)]
pub struct CertsArgs {
    /// A folder for ca.crt (the bundle), ca.key, tls.crt and tls.key, and client.crt and client.key.
    #[arg(
        long,
        env = "SYNCGATE_CERTS_OUT",
        value_name = "DIR",
        required_unless_present = "secret",
        conflicts_with = "secret"
    )]
    pub out: Option<PathBuf>,

    /// A Secret for ca.crt, tls.crt and tls.key; the authority's key is kept in `<name>-ca`, a client's certificate in
    /// `<name>-client`.
    #[arg(long, env = "SYNCGATE_CERTS_SECRET", value_name = "NAMESPACE/NAME")]
    pub secret: Option<String>,

    /// Names and addresses by which Envoys connect to syncgate, such as syncgate.syncgate-system.
    #[arg(long, env = "SYNCGATE_CERTS_DNS", value_name = "NAME", value_delimiter = ',', num_args = 1..)]
    pub dns: Vec<String>,

    /// Make a client's certificate too, for whoever is called by this URI: spiffe://<domain>/ns/<namespace>/sa/<name> or
    /// spiffe://<domain>/gateway/<namespace>/<name>.
    #[arg(long, env = "SYNCGATE_CERTS_CLIENT_URI", value_name = "URI")]
    pub client_uri: Option<String>,

    /// How long the certificates of server and client are valid.
    #[arg(long, env = "SYNCGATE_CERTS_LIFE", default_value = "90d", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub life: Duration,

    /// How long an authority is valid.
    #[arg(long, env = "SYNCGATE_CERTS_CA_LIFE", default_value = "3650d", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub ca_life: Duration,

    /// With --secret: a kubeconfig with the API server's address and the credentials.
    #[arg(long, env = "SYNCGATE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// With --secret: a context of the kubeconfig other than its current one.
    #[arg(long, env = "SYNCGATE_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
}

/// Does what is due.
///
/// # Errors
/// What cannot be read, written or made.
pub async fn run(args: CertsArgs) -> anyhow::Result<ExitCode> {
    ensure!(!args.dns.is_empty() || args.client_uri.is_some(), "give --dns NAME, --client-uri URI, or both");
    ensure!(args.life >= Duration::from_secs(60), "--life must be a minute at least");
    ensure!(args.life <= LONGEST, "--life must be 398d at most: so long an older authority stays in the bundle");
    ensure!(args.ca_life >= args.life, "--ca-life must not be less than --life");
    ensure!(args.ca_life <= LONGEST_AUTHORITY, "--ca-life must be 100y at most");
    let wish = Wish { dns: args.dns, client: args.client_uri, life: args.life, authority_life: args.ca_life };
    let mut store = match (args.out, args.secret) {
        (Some(dir), _) => Store::Folder(Folder::read(dir)?),
        (None, secret) => {
            let origin = Origin { kubeconfig: args.kubeconfig, context: args.context };
            Store::Secret(SecretStore::read(origin, secret.as_deref().unwrap_or_default()).await?)
        }
    };
    let plan = plan::plan(SystemTime::now(), store.held(), &wish)?;
    store.write(&plan.files).await?;
    let mut text: String = plan.said.iter().map(|line| format!("{line}\n")).collect();
    if let Some(next) = plan.next {
        text.push_str(&format!("run this again soon after {}\n", humantime::format_rfc3339_seconds(next)));
    }
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
