//! How the process ends (F62): not ready, serve on for the lame-duck time, close the streams, then everything else.
//!
//! The first SIGTERM or SIGINT begins it, a second one ends the process at once.

use std::time::Duration;

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::{readiness::Readiness, xds::ServeError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Over,
}

/// The phases of the end, for whoever waits for one.
#[derive(Debug)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Running.
    #[must_use]
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }

    /// Completes when the streams are to be closed.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Draining)
    }

    /// Completes when everything is to end.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Over)
    }

    fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.phase.subscribe();
        async move {
            // An error means that the sender is gone: everything is over.
            let _ = receiver.wait_for(|now| *now >= phase).await;
        }
    }

    /// Waits for a signal (or for the ADS server to fail), then goes through the phases.
    ///
    /// # Errors
    /// When the ADS server failed, or signals cannot be had.
    pub async fn run(
        self,
        readiness: &Readiness,
        lame_duck: Duration,
        mut ads: JoinHandle<Result<(), ServeError>>,
    ) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let mut signalled = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        tokio::select! {
            failed = &mut ads => return failed.context("the ADS server's task")?.context("serving ADS"),
            name = signalled() => {
                tracing::info!(signal = name, ?lame_duck, "shutting down: not ready, still serving");
            }
        }
        readiness.begin_shutdown();
        let closed = async {
            tokio::time::sleep(lame_duck).await;
            self.phase.send_replace(Phase::Draining);
            ads.await.context("the ADS server's task")?.context("serving ADS")
        };
        let result = tokio::select! {
            result = closed => result,
            name = signalled() => {
                tracing::warn!(signal = name, "told again: ending at once");
                Ok(())
            }
        };
        self.phase.send_replace(Phase::Over);
        result
    }
}
