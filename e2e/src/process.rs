//! A child process of a scenario: its output goes to a file, it dies with its handle, and a wait that fails shows the end of that file.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::process::{Child, Command};

use crate::wait::eventually;

/// Lines of the log that an error shows.
const TAIL: usize = 40;
/// How long a killed process may take to be gone.
const REAP: Duration = Duration::from_secs(2);

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; standard output and error are appended to `log`. Variables named `SYNCGATE_…` are not passed on: they would set its flags.
    pub fn spawn<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Self> {
        let output =
            File::options().create(true).append(true).open(log).with_context(|| format!("open {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("SYNCGATE_") {
                command.env_remove(variable);
            }
        }
        let child = command.spawn().with_context(|| format!("start {name} ({})", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its id.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.handle()?;
        rustix::process::kill_process(pid, signal).with_context(|| format!("signal {} ({pid:?})", self.name))
    }

    /// Stops it (SIGSTOP) and returns when every thread of it stands still; SIGCONT lets it run on.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let stopped = rustix::process::waitid(WaitId::Pid(self.handle()?), WaitIdOptions::STOPPED);
        stopped.map(drop).with_context(|| format!("wait until {} stands still", self.name))
    }

    fn handle(&self) -> Result<Pid> {
        i32::try_from(self.pid()?).ok().and_then(Pid::from_raw).context("a pid that is no pid")
    }

    /// Ends it at once (SIGKILL) and reaps it.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Asks it to end (SIGTERM) and waits for that, at most for `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(limit).await
    }

    /// Waits until it ends by itself, at most for `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            bail!("{} still runs {limit:?} after SIGTERM; its log ends:\n{}", self.name, self.log_tail());
        };
        Ok(status?)
    }

    /// Waits until `probe` succeeds; ends early when the process does. Errors carry the end of the log.
    pub async fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let child = &mut self.child;
        let found = eventually(what, limit, async || match child.try_wait()? {
            Some(status) => Ok(Err(anyhow!("it ended ({status})"))),
            None => probe().await.map(Ok),
        });
        let found = found.await.and_then(|found| found);
        found.map_err(|reason| {
            anyhow!("{}: {reason:#}; its log ({}) ends:\n{}", self.name, self.log.display(), self.log_tail())
        })
    }

    /// All that it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines it wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    /// Kills and reaps it: the next scenario may use its addresses.
    fn drop(&mut self) {
        let start = Instant::now();
        // It may have ended by itself.
        drop(self.child.start_kill());
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < REAP {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
