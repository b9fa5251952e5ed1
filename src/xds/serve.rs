//! The listener: ADS and gRPC health over HTTP/2, until shutdown.
//!
//! Invariant: a shutdown takes no longer than the drain time and [a grace](GRACE) after it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::info;

use super::acceptor::{Acceptor, HANDSHAKES, STRANGERS};
use super::access::Access;
use super::bounds::census::Census;
use super::bounds::room::Hall;
use super::hub::Hub;
use super::service::{self, service};
use super::stream::Settings;
use super::tls::Tls;
use super::token::Tokens;
use crate::lobby::Lobby;
use crate::readiness::{Gate, Readiness};

/// What is left for connections to close after the last stream was told to end.
const GRACE: Duration = Duration::from_secs(1);

/// The largest request for health, in bytes: it holds the name of a service, and strangers may ask.
const HEALTH_REQUEST: usize = 1 << 10;

/// The room for larger requests is that of so many tenants.
const SHARES: usize = 4;

/// Who may connect.
#[derive(Debug, Default)]
pub struct Guard {
    /// Certificates; without them everything is in clear text.
    pub tls: Option<Arc<Tls>>,
    /// Who may have what.
    pub access: Access,
    /// What proves tokens, if they are read.
    pub tokens: Option<Arc<Tokens>>,
}

/// Serves until `shutdown` completes, then ends all streams within `drain` and returns.
pub async fn serve(
    listener: TcpListener,
    guard: Guard,
    hub: Arc<Hub>,
    readiness: Readiness,
    settings: Settings,
    drain: Duration,
    shutdown: impl Future<Output = ()> + Send,
) {
    let reporter = HealthReporter::new();
    let health = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(reporter.clone()),
    )
    .max_decoding_message_size(HEALTH_REQUEST);
    let anyone = guard.access.anyone;
    let ads = service(hub.clone(), settings, guard.access, guard.tokens.clone());
    let routes = Routes::new(health).add_service(ads).prepare();
    let acceptor = Acceptor {
        bounds: settings.connection,
        tls: guard.tls.clone(),
        routes,
        room: (settings.max_request, Hall::new(settings.pending_requests)),
        census: Arc::new(Census::with_room(settings.max_request.max(settings.pending_requests / SHARES))),
        anyone,
        connections: Lobby::new(settings.connection.places()),
        handshakes: Lobby::new(HANDSHAKES),
        strangers: Lobby::new(STRANGERS),
        count: AtomicU64::new(0),
    };
    let (close, closing) = watch::channel(false);
    let server = Arc::new(acceptor).run(listener, closing);
    let (gate, fresh) = (follow_gate(&readiness, &reporter), keep_fresh(guard.tls, guard.tokens));
    tokio::pin!(server, gate, fresh);
    tokio::select! {
        // Ends only when told to.
        () = &mut server => {}
        () = &mut gate => {}
        () = &mut fresh => {}
        () = shutdown => {}
    }
    info!(seconds = drain.as_secs(), "ending the streams");
    hub.begin_drain(drain);
    // Stops accepting and says GOAWAY; streams that are open go on until they are told to end.
    close.send_replace(true);
    tokio::select! {
        () = server => {}
        () = gate => {}
        // Connections that did not close by themselves close with the server.
        () = tokio::time::sleep(drain + GRACE) => {}
    }
}

/// Certificates, and the keys of tokens. Does not return.
async fn keep_fresh(tls: Option<Arc<Tls>>, tokens: Option<Arc<Tokens>>) {
    let tls = async {
        match tls {
            Some(tls) => tls.keep_fresh().await,
            None => std::future::pending().await,
        }
    };
    let tokens = async {
        match tokens {
            Some(tokens) => tokens.keep_fresh().await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(tls, tokens);
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
