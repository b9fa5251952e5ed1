//! A fleet by hand.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::{Fleet, Plan, Tls, tls};

/// Connect many clients of ADS to a server, keep them for a while, and tell how long they waited.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// For how many seconds they stay once all honest ones hold everything.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// So many of them reconnect at once …
    #[arg(long, default_value_t = 0, value_name = "STREAMS")]
    storm: usize,
    /// … every so many seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    storm_every: u64,
    /// Connect by TLS to a server whose certificate this authority signed.
    #[arg(long, value_name = "FILE", requires = "server_name")]
    ca: Option<PathBuf>,
    /// The name in the server's certificate.
    #[arg(long, value_name = "NAME", requires = "ca")]
    server_name: Option<String>,
    /// The clients' own certificate.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

impl Arguments {
    fn tls(&self) -> Result<Option<Tls>> {
        let Some((ca, name)) = self.ca.as_ref().zip(self.server_name.as_ref()) else { return Ok(None) };
        tls(ca, name, self.certificate.as_ref().zip(self.key.as_ref())).map(Some)
    }
}

/// Runs it.
pub async fn run(arguments: Arguments) -> Result<()> {
    let fleet = Fleet::start(&arguments.plan, arguments.tls()?);
    let whole = fleet.whole().await.context("not every client was told of everything")?;
    eprintln!("every honest client held everything: {whole}");
    let (since, mut storms) = (Instant::now(), 1);
    while since.elapsed() < Duration::from_secs(arguments.seconds) {
        sleep(Duration::from_secs(1)).await;
        if arguments.storm > 0 && since.elapsed() >= Duration::from_secs(storms * arguments.storm_every) {
            storms += 1;
            eprintln!("{} reconnected: {}", arguments.storm, fleet.reconnect(arguments.storm).await?);
        }
    }
    for change in fleet.changes() {
        eprintln!("a change that all were told of; from the first of them on: {change}");
    }
    let figures = fleet.figures();
    eprintln!("{figures:?}");
    Ok(())
}
