//! How the process ends (F62): not ready, serve on for the lame-duck time, close the streams, then everything else.
//!
//! The first SIGTERM or SIGINT begins it, a second one ends the process at once, and so does a part that fails.

use std::{io, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::readiness::Readiness;

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
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Running. Signals count from here on: the first process of a container would not even notice one that it does
    /// not listen for.
    ///
    /// # Errors
    /// When the operating system gives no signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            phase: watch::Sender::new(Phase::Running),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
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

    /// Waits for a signal or for `failed`, then goes through the phases.
    ///
    /// # Errors
    /// When the ADS server or another part failed.
    pub async fn run(
        mut self,
        readiness: &Readiness,
        lame_duck: Duration,
        mut ads: JoinHandle<()>,
        failed: impl Future<Output = anyhow::Error>,
    ) -> anyhow::Result<()> {
        tokio::pin!(failed);
        let told = tokio::select! {
            name = signalled(&mut self.terminate, &mut self.interrupt) => Ok(name),
            error = &mut failed => Err(error),
            ended = &mut ads => Err(match ended.context("the ADS server's task") {
                Err(error) => error,
                Ok(()) => anyhow::anyhow!("the ADS server ended although nobody told it to"),
            }),
        };
        readiness.begin_shutdown();
        let result = match told {
            Err(error) => Err(error),
            Ok(name) => {
                tracing::info!(signal = name, ?lame_duck, "shutting down: not ready, still serving");
                let closed = async {
                    tokio::time::sleep(lame_duck).await;
                    self.phase.send_replace(Phase::Draining);
                    ads.await.context("the ADS server's task")
                };
                tokio::select! {
                    result = closed => result,
                    error = failed => Err(error),
                    name = signalled(&mut self.terminate, &mut self.interrupt) => {
                        tracing::warn!(signal = name, "told again: ending at once");
                        Ok(())
                    }
                }
            }
        };
        self.phase.send_replace(Phase::Over);
        result
    }
}

async fn signalled(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Layer;

    #[tokio::test]
    async fn a_part_that_fails_ends_the_process_with_its_error() {
        let readiness = Readiness::new(|_| {});
        let part = readiness.register(Layer::Source, "test");
        part.ready();
        readiness.seal();
        let shutdown = Shutdown::listen().unwrap();
        let over = shutdown.over();
        let ads = tokio::spawn(std::future::pending());
        let failed = async { anyhow::anyhow!("the graph's thread ended") };
        let ended = shutdown.run(&readiness, Duration::from_secs(600), ads, failed).await;
        assert_eq!(ended.unwrap_err().to_string(), "the graph's thread ended");
        over.await;
        assert!(!readiness.is_ready(), "who looks in the meantime must not be sent traffic here");
    }

    #[tokio::test]
    async fn an_ads_server_that_ends_by_itself_is_an_error() {
        let readiness = Readiness::new(|_| {});
        let ads = tokio::spawn(async {});
        let ended = Shutdown::listen().unwrap().run(&readiness, Duration::ZERO, ads, std::future::pending()).await;
        assert!(ended.unwrap_err().to_string().contains("nobody told it to"));
    }
}
