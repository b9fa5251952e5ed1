//! The whole product put together: one `build_*` for each stage, in the order of the data, and the way it ends.
//!
//! Only this module knows every other one.

pub mod collections;
pub mod explain;
pub mod introspection;
pub mod offline;
pub mod owner;
pub mod pipeline;
pub mod report;
pub mod shutdown;
pub mod views;

use std::{sync::Arc, time::Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::service::Routes;

use self::{owner::Owner, shutdown::Shutdown, views::Views};
use crate::{
    admin::{self, Heartbeats, View},
    config::{self, ServeConfig},
    files::{self, FilesConfig, Findings},
    ingest,
    metrics::Exporter,
    proto::introspection_server::IntrospectionServer,
    readiness::{Layer, Part, Readiness},
    xds::{self, Hub},
};

/// Serves until a signal ends it (see [`shutdown`]).
///
/// # Errors
/// An address that cannot be bound, or a part that failed for good.
pub async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    let exporter = Exporter::install().context("installing the metrics recorder")?;
    let readiness = Readiness::new(admin::record);
    let heartbeats = Heartbeats::new();
    let sockets = Sockets::bind(&config, &readiness).await?;
    let shutdown = Shutdown::new();

    let (deltas, mailbox) = ingest::mailbox();
    let (findings, found) = watch::channel(Arc::new(Findings::default()));
    let hub = Arc::new(Hub::new(readiness.clone()));
    let views = Views::default();
    let source = build_source(&config, &readiness, deltas.clone(), findings, &shutdown);
    let (owner, thread) = owner::spawn(
        mailbox,
        deltas,
        &readiness,
        owner::Outlets { hub: hub.clone(), views: views.clone(), heart: heartbeats.register("graph") },
    )?;
    let ads = tokio::spawn(xds::serve(
        sockets.ads,
        hub.clone(),
        readiness.clone(),
        xds::Settings::default(),
        config.drain,
        shutdown.draining(),
    ));
    let health = admin::health(&readiness, &heartbeats, Some(exporter.clone()));
    let debug = build_debug(&readiness, &owner, hub, views, found);
    let sites = [
        tokio::spawn(admin::serve(sockets.health, health, shutdown.over())),
        tokio::spawn(admin::serve(sockets.admin, debug, shutdown.over())),
    ];
    let upkeep = [tokio::spawn(exporter.run_upkeep()), tokio::spawn(heartbeats.register("runtime").keep_beating())];
    readiness.seal();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), files = %config.files.display(), "syncgate started");

    let result = shutdown.run(&readiness, config.lame_duck, ads).await;
    owner.stop().await;
    let _ = tokio::task::spawn_blocking(|| thread.join()).await;
    for task in sites.into_iter().chain([source]) {
        let _ = task.await;
    }
    upkeep.iter().for_each(JoinHandle::abort);
    result
}

/// The sockets, open before anything else starts; each with its part of readiness.
struct Sockets {
    ads: TcpListener,
    health: TcpListener,
    admin: TcpListener,
    _parts: [Part; 3],
}

impl Sockets {
    async fn bind(config: &ServeConfig, readiness: &Readiness) -> anyhow::Result<Self> {
        let ads = admin::bind(config.xds_address).await.context("--xds-address")?;
        let health = admin::bind(config.health_address).await.context("--health-address")?;
        let admin = admin::bind(config.admin_address).await.context("--admin-address")?;
        let parts = ["ads", "health", "admin"].map(|name| {
            let part = readiness.register(Layer::Listener, name);
            part.ready();
            part
        });
        for (name, listener) in [("ads", &ads), ("health", &health), ("admin", &admin)] {
            tracing::info!(listener = name, address = %listener.local_addr()?, "listening");
        }
        Ok(Self { ads, health, admin, _parts: parts })
    }
}

/// The folder as a source of deltas.
fn build_source(
    config: &ServeConfig,
    readiness: &Readiness,
    deltas: ingest::Sender,
    findings: watch::Sender<Arc<Findings>>,
    shutdown: &Shutdown,
) -> JoinHandle<()> {
    let part = readiness.register(Layer::Source, files::SOURCE);
    let on_broken = match config.on_broken_file {
        config::OnBrokenFile::Fail => files::OnBrokenFile::Wait,
        config::OnBrokenFile::Skip => files::OnBrokenFile::Skip,
    };
    let config = FilesConfig { dir: config.files.clone(), on_broken, rescan: config.rescan_interval };
    tokio::spawn(files::run(config, move |delta| deltas.send(delta), part, findings, shutdown.over()))
}

/// The admin listener's pages and its gRPC service.
fn build_debug(
    readiness: &Readiness,
    owner: &Owner,
    hub: Arc<Hub>,
    views: Views,
    found: watch::Receiver<Arc<Findings>>,
) -> admin::Site {
    let (held, graph) = (views.clone(), views);
    let pages = [
        View {
            path: "/debug/clients",
            help: "connected Envoys: what they hold and what they refused",
            show: Box::new(move || clients_json(&hub)),
        },
        View {
            path: "/debug/held",
            help: "changes that wait at the door, and why",
            show: Box::new(move || held.held()),
        },
        View { path: "/debug/graph", help: "the collections and their work", show: Box::new(move || graph.graph()) },
        View {
            path: "/debug/files",
            help: "the folder and everything that is wrong in it",
            show: Box::new(move || files_json(&found.borrow())),
        },
    ];
    let introspection = introspection::Service::new(readiness.clone(), owner.clone());
    admin::debug(pages).grpc(Routes::new(IntrospectionServer::new(introspection)))
}

fn clients_json(hub: &Hub) -> Value {
    let now = Instant::now();
    let clients = hub.clients().into_iter().map(|client| {
        let types = client.progress.iter().map(|progress| {
            let refusal = progress.refusal.as_ref();
            let of_type = json!({
                "wildcard": progress.wildcard,
                "names": progress.names,
                "not_acknowledged": progress.open,
                "settled": progress.settled.is_some(),
                "refused": refusal.map(|refusal| refusal.message.as_str()),
            });
            (progress.kind.short().to_owned(), of_type)
        });
        json!({
            "node_id": client.name.node_id.as_str(),
            "gateway": client.name.gateway.as_str(),
            "variant": client.variant.as_str(),
            "peer": client.peer.to_string(),
            "connected_seconds": now.saturating_duration_since(client.since).as_secs(),
            "types": Value::Object(types.collect()),
        })
    });
    clients.collect()
}

fn files_json(findings: &Findings) -> Value {
    json!({
        "files": findings.files,
        "objects": findings.objects,
        "passed_over": findings.ignored,
        "broken": findings.broken,
        "problems": findings.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
