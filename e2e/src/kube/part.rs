//! One process of the control plane: it comes and goes, its flags stay.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::say;
use crate::process::{Process, Signal};

/// How long a part may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(30);

/// The part.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    /// The one program; the part's name is its first argument.
    program: PathBuf,
    flags: Vec<String>,
    /// Where it listens, in words.
    address: String,
    log: PathBuf,
    process: Option<Process>,
}

impl Part {
    pub(super) fn new(name: &'static str, program: PathBuf, flags: Vec<String>, address: String, log: PathBuf) -> Self {
        Self { name, program, flags, address, log, process: None }
    }

    pub(super) const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it without waiting for anything.
    pub(super) fn spawn(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let arguments = std::iter::once(self.name).chain(self.flags.iter().map(String::as_str));
        self.process = Some(Process::spawn(self.name, &self.program, arguments, &self.log)?);
        Ok(())
    }

    /// Starts it and waits until `probe` succeeds.
    pub(super) async fn start(
        &mut self,
        what: &str,
        limit: Duration,
        probe: impl AsyncFnMut() -> Result<()>,
    ) -> Result<()> {
        let since = Instant::now();
        self.spawn()?;
        let process = self.process.as_mut().context("it was just started")?;
        if let Err(reason) = process.wait_until(what, limit, probe).await {
            // Whoever tries again finds a part that does not run.
            self.process = None;
            return Err(reason);
        }
        say(&format!("{}: {}, up after {:.1?}", self.name, self.address, since.elapsed()));
        Ok(())
    }

    /// Asks it to end and waits for that.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().with_context(|| format!("{} does not run", self.name))?;
        let since = Instant::now();
        process.terminate(STOP).await?;
        say(&format!("{}: ended after {:.1?}", self.name, since.elapsed()));
        Ok(())
    }

    /// Ends it at once; one that does not run stays so.
    pub(super) async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    pub(super) fn pause(&self) -> Result<()> {
        self.running()?.pause()
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().with_context(|| format!("{} does not run", self.name))
    }
}
