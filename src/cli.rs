//! The command line: arguments in, exit code out. Each sub-command has a file of its own.

pub mod bootstrap;
pub mod certs;
pub mod check;
pub mod clients;
pub mod explain;
pub mod serve;
pub mod status;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::{
    config::{DEFAULT_ADMIN, ServeArgs},
    proto::introspection_client::IntrospectionClient,
};

/// A control plane for Envoy that never serves a half-synced world.
#[derive(Debug, Parser)]
#[command(name = "syncgate", version, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  syncgate check manifests/                           report every problem with file and line
  syncgate serve --files manifests/                   serve the folder to Envoys, as it changes
  syncgate bootstrap --gateway demo/web > envoy.yaml  an Envoy bootstrap for the Gateway demo/web
  syncgate status                                     what a running syncgate waits for and serves
  syncgate clients --gateway demo/web                 its Envoys, what they hold and what they refuse
  syncgate explain HTTPRoute demo/shop                why it has no effect, or what it became

Exit codes:
  0  all is well
  1  check found an error, status is not ready, explain found no such object
  2  it could not be done; standard error says why";

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Envoy configuration over ADS.
    Serve(Box<ServeArgs>),
    /// Translate a folder of manifests and report every problem; exit code 1 when one is an error.
    Check(check::CheckArgs),
    /// Print an Envoy bootstrap for a Gateway.
    Bootstrap(bootstrap::BootstrapArgs),
    /// Make and renew an authority, a server's certificate and a client's, for those who have no cert-manager.
    Certs(certs::CertsArgs),
    /// Show the sync state of a running syncgate.
    Status(status::StatusArgs),
    /// List the Envoys that are connected to a running syncgate: what they hold, and what they refuse.
    Clients(clients::ClientsArgs),
    /// Explain why an object has no effect, or what it became.
    Explain(explain::ExplainArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where a running syncgate is asked.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// The admin address of the running syncgate.
    #[arg(long, env = "SYNCGATE_ADMIN_ADDRESS", default_value = DEFAULT_ADMIN, value_name = "HOST:PORT")]
    pub admin_address: String,
}

impl AdminArgs {
    /// A client of the running process.
    ///
    /// # Errors
    /// When nothing answers there, with the remedy.
    pub async fn connect(&self) -> anyhow::Result<IntrospectionClient<Channel>> {
        use anyhow::Context;
        let channel = Endpoint::from_shared(format!("http://{}", self.admin_address))
            .with_context(|| format!("--admin-address {:?} is not HOST:PORT", self.admin_address))?
            .connect_timeout(std::time::Duration::from_secs(5))
            .timeout(std::time::Duration::from_secs(10))
            .connect()
            .await
            .with_context(|| {
                format!(
                    "no syncgate answers at {}: is it running, and is this its --admin-address? (in a cluster: \
                     kubectl port-forward deploy/syncgate 19000)",
                    self.admin_address
                )
            })?;
        Ok(IntrospectionClient::new(channel))
    }

    /// What an error of a call says to the user.
    pub(crate) fn explain(&self, error: &tonic::Status) -> anyhow::Error {
        let (address, message) = (&self.admin_address, error.message());
        match error.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                anyhow::anyhow!("the syncgate at {address} gave no answer: {message}")
            }
            Code::InvalidArgument => anyhow::anyhow!("{message}"),
            code => anyhow::anyhow!(
                "what answers at {address} does not speak syncgate's introspection ({code:?}): is this its \
                 --admin-address (port 19000 by default), and of the same release?"
            ),
        }
    }
}

/// Runs the command line.
///
/// # Errors
/// What kept the command from running; `check` with problems is an exit code, not an error.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Check(args) => check::run(&args),
        Command::Bootstrap(args) => bootstrap::run(&args),
        Command::Certs(args) => blocking(certs::run(args)),
        Command::Status(args) => blocking(status::run(args)),
        Command::Clients(args) => blocking(clients::run(args)),
        Command::Explain(args) => blocking(explain::run(args)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "syncgate", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a client command on a small runtime of its own.
fn blocking(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Writes to standard output; a closed pipe (`syncgate status | head`) is no error.
///
/// # Errors
/// Any other fault of standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
