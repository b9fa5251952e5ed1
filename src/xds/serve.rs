//! The listener: ADS and gRPC health over HTTP/2, until shutdown.
//!
//! Invariant: a shutdown takes no longer than the drain time and [a grace](GRACE) after it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::info;

use super::hub::Hub;
use super::service::{self, service};
use super::stream::Settings;
use crate::readiness::{Gate, Readiness};

/// What is left for connections to close after the last stream was told to end.
const GRACE: Duration = Duration::from_secs(1);

/// Pings on an idle connection, and how long they wait: as Istio does (rule 35).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams on one connection; an Envoy needs one or two.
const MAX_STREAMS: u32 = 100;

/// The server ended with an error.
#[derive(Debug, thiserror::Error)]
#[error("the ADS listener failed: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves until `shutdown` completes, then ends all streams within `drain` and returns.
///
/// # Errors
/// [`ServeError`] if the listener fails.
pub async fn serve(
    listener: TcpListener,
    hub: Arc<Hub>,
    readiness: Readiness,
    settings: Settings,
    drain: Duration,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let reporter = HealthReporter::new();
    let health = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(reporter.clone()),
    );
    // Small responses are latency, not throughput.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (closed, close) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(health)
        .add_service(service(hub.clone(), settings))
        .serve_with_incoming_shutdown(incoming, async {
            // An error means that `serve` itself is dropped.
            let _ = close.await;
        });
    let gate = follow_gate(&readiness, &reporter);
    tokio::pin!(server, gate);
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = &mut gate => {}
        () = shutdown => {}
    }
    info!(seconds = drain.as_secs(), "ending the streams");
    hub.begin_drain(drain);
    // Stops accepting and says GOAWAY; streams that are open go on until they are told to end.
    let _ = closed.send(());
    tokio::select! {
        ended = server => Ok(ended?),
        () = gate => Ok(()),
        // Connections that did not close by themselves close with the server.
        () = tokio::time::sleep(drain + GRACE) => Ok(()),
    }
}

/// Tells gRPC health what the gate says. Does not return.
async fn follow_gate(readiness: &Readiness, reporter: &HealthReporter) {
    let mut gate = readiness.subscribe();
    loop {
        let status = match *gate.borrow_and_update() {
            Gate::Ready => ServingStatus::Serving,
            Gate::Starting | Gate::Failed | Gate::ShuttingDown => ServingStatus::NotServing,
        };
        for name in ["", service::NAME] {
            reporter.set_service_status(name, status).await;
        }
        if gate.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
