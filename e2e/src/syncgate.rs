//! The program under test, as a process with its own addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::http::{self, Answer};
use crate::process::{Process, Signal};

/// The protocol variant that an Envoy is told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// Incremental xDS.
    Delta,
    /// State of the world.
    Sotw,
}

impl Variant {
    /// As `syncgate bootstrap --variant` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Variant::Delta => "delta",
            Variant::Sotw => "sotw",
        }
    }
}

/// Where one syncgate listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// ADS.
    pub xds: SocketAddr,
    /// Probes and metrics.
    pub health: SocketAddr,
    /// Admin pages.
    pub admin: SocketAddr,
}

/// The path of the built program: beside this one, or one folder up (tests lie in `deps/`).
pub fn built_program() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join("syncgate")).find(|path| path.is_file());
    found.with_context(|| format!("no syncgate beside {}: run `cargo build --workspace` first", here.display()))
}

/// Prints the bootstrap for an Envoy of `gateway` (`<namespace>/<name>`).
pub async fn bootstrap(
    program: &Path,
    gateway: &str,
    xds: SocketAddr,
    variant: Variant,
    admin: SocketAddr,
) -> Result<String> {
    let mut command = Command::new(program);
    command.args(["bootstrap", "--gateway", gateway, "--variant", variant.as_str()]);
    command.args(["--xds", &xds.to_string(), "--envoy-admin-address", &admin.to_string()]);
    let output = command.output().await.with_context(|| format!("run {}", program.display()))?;
    ensure!(output.status.success(), "syncgate bootstrap: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The Envoy resources of one Gateway that `syncgate check` makes of a folder, secrets redacted.
pub async fn translated(program: &Path, folder: &Path, gateway: &str) -> Result<Vec<Value>> {
    let mut command = Command::new(program);
    command.args(["check", "--output", "json"]).arg(folder);
    let output = command.output().await.with_context(|| format!("run {}", program.display()))?;
    let resources: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("syncgate check ({}) prints no JSON: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    let mut found = Vec::new();
    collect(&resources["gateways"][gateway], &mut found);
    Ok(found)
}

/// The version of a Gateway's snapshot, as `syncgate status` shows it: a hash of the content.
pub async fn version(program: &Path, admin: SocketAddr, gateway: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(["status", "--admin-address", &admin.to_string()]);
    let output = command.output().await.with_context(|| format!("run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let row = text.lines().find(|line| line.split_whitespace().next() == Some(gateway));
    let version = row.and_then(|row| row.split_whitespace().last());
    Ok(version.with_context(|| format!("syncgate status names no {gateway}: {text}"))?.to_owned())
}

/// The outermost messages of a tree.
fn collect(tree: &Value, found: &mut Vec<Value>) {
    match tree {
        Value::Object(fields) if fields.contains_key("@type") => found.push(tree.clone()),
        Value::Object(fields) => fields.values().for_each(|inner| collect(inner, found)),
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}

/// Where a syncgate reads its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of manifests.
    Folder(PathBuf),
    /// The API server.
    Kubernetes {
        /// Who asks it.
        kubeconfig: PathBuf,
        /// What is watched, as flags.
        flags: Vec<String>,
    },
}

impl Source {
    fn flags(&self) -> Vec<String> {
        match self {
            // Two seconds tell a graceful end from an abrupt one as well as the default twenty.
            Source::Folder(folder) => {
                vec![format!("--files={}", folder.display()), "--lame-duck=1s".to_owned(), "--drain=1s".to_owned()]
            }
            Source::Kubernetes { kubeconfig, flags } => {
                let mut all = vec!["--kubernetes".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
                // Balancers of the test bed look once a second: nobody is sent to it any more when its streams close.
                all.extend(["--lame-duck=2s".to_owned(), "--drain=1s".to_owned()]);
                all.extend(flags.iter().cloned());
                all
            }
        }
    }
}

/// A running `syncgate serve`.
#[derive(Debug)]
pub struct Syncgate {
    process: Process,
    health: SocketAddr,
    admin: SocketAddr,
}

impl Syncgate {
    /// Starts it.
    pub fn start(program: &Path, source: &Source, at: Addresses, log: &Path) -> Result<Self> {
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--xds-address={}", at.xds),
            format!("--health-address={}", at.health),
            format!("--admin-address={}", at.admin),
        ];
        arguments.extend(source.flags());
        Ok(Self { process: Process::spawn("syncgate", program, arguments, log)?, health: at.health, admin: at.admin })
    }

    /// The id of the process.
    pub fn pid(&self) -> Result<u32> {
        self.process.pid()
    }

    /// A page of the admin listener, such as `/debug/sources`.
    pub async fn debug(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.admin, "localhost", path).await?;
        ensure!(answer.status == 200, "{path} is {}: {}", answer.status, answer.text());
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Its metrics, each series by its name with its labels.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let page = self.probe("/metrics").await?.text();
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        Ok(series.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// Asks a probe, such as `/readyz?verbose`.
    pub async fn probe(&self, path: &str) -> Result<Answer> {
        http::get(self.health, "syncgate", path).await
    }

    /// Waits until `/readyz` is 200.
    pub async fn ready(&mut self, limit: Duration) -> Result<()> {
        let health = self.health;
        let ready = async || {
            let answer = http::get(health, "syncgate", "/readyz?verbose").await?;
            ensure!(answer.status == 200, "/readyz is {}: {}", answer.status, answer.text());
            Ok(())
        };
        self.process.wait_until("syncgate to be ready", limit, ready).await
    }

    /// Waits until `/readyz?verbose` answers with `status` and a text that contains every one of `words`.
    pub async fn says(&mut self, status: u16, words: &[&str], limit: Duration) -> Result<()> {
        let health = self.health;
        let said = async || {
            let answer = http::get(health, "syncgate", "/readyz?verbose").await?;
            let text = answer.text();
            let whole = answer.status == status && words.iter().all(|word| text.contains(word));
            ensure!(whole, "/readyz?verbose is {}: {text}", answer.status);
            Ok(())
        };
        self.process.wait_until(&format!("/readyz?verbose to be {status} and to name {words:?}"), limit, said).await
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it as a crash would (SIGKILL).
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Ends it as a rollout does (SIGTERM) and asserts that it ends well.
    pub async fn terminate(&mut self, limit: Duration) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.ended(limit).await
    }

    /// Waits for the end that a SIGTERM began and asserts that it ends well.
    pub async fn ended(&mut self, limit: Duration) -> Result<()> {
        let status = self.process.ended(limit).await?;
        ensure!(
            status.success(),
            "syncgate ended with {status} after SIGTERM; its log ends:\n{}",
            self.process.log_tail()
        );
        Ok(())
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}
