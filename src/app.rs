//! The whole product put together: one `build_*` for each stage, in the order of the data, and the way it ends.
//!
//! Only this module knows every other one.

pub mod ads;
pub mod clients;
pub mod collections;
pub mod debug;
pub mod explain;
pub mod introspection;
pub mod offline;
pub mod origins;
pub mod owner;
pub mod pipeline;
pub mod problems;
pub mod report;
pub mod shutdown;
pub mod sources;
pub mod tasks;
pub mod tokens;
pub mod views;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use self::{problems::Problems, shutdown::Shutdown, tasks::Tasks, views::Views};
use crate::{
    admin::{self, Heartbeats},
    config::{ServeConfig, Source},
    files::Findings,
    ingest,
    metrics::Exporter,
    model::Wants,
    readiness::{Layer, Part, Readiness},
    xds::{self, Hub},
};

/// How long the parts may take to end once everything is over. Who takes longer is left behind: the process ends anyway.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves until a signal ends it (see [`shutdown`]).
///
/// # Errors
/// An address that cannot be bound, or a part that failed for good.
pub async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    let shutdown = Shutdown::listen().context("listening for SIGTERM and SIGINT")?;
    let exporter = Exporter::install().context("installing the metrics recorder")?;
    let mut guard = ads::guard(&config.xds)?;
    let readiness = Readiness::new(admin::record);
    let heartbeats = Heartbeats::new();
    let sockets = Sockets::bind(&config, &readiness).await?;
    let mut tasks = Tasks::default();

    let (deltas, mailbox) = ingest::mailbox();
    let (findings, found) = watch::channel(Arc::new(Findings::default()));
    let hub = Arc::new(Hub::new(readiness.clone()).tracing_back(origins::objects));
    let views = Views::default();
    let (wants, wanted) = watch::channel(Wants::default());
    let mut watched = None;
    match &config.source {
        Source::Files { dir, on_broken, rescan } => {
            guard.tokens = tokens::verifier(&config.xds, None);
            let files = sources::files(dir, *on_broken, *rescan);
            tasks.spawn("the source of files", sources::read(files, &readiness, deltas.clone(), findings, &shutdown));
        }
        Source::Kubernetes(kubernetes) => {
            let client = sources::client(kubernetes).await?;
            guard.tokens = tokens::verifier(&config.xds, Some(&client));
            let watch = sources::kubernetes(client, kubernetes, &readiness, deltas.clone(), wanted)?;
            watched = Some(watch.board());
            tasks.spawn("the source of Kubernetes", watch.run(shutdown.over()));
        }
    }
    let (owner, thread) = owner::spawn(
        mailbox,
        deltas,
        &readiness,
        owner::Outlets {
            hub: hub.clone(),
            views: views.clone(),
            problems: Problems::new(found.clone()),
            heart: heartbeats.register("graph"),
            wants,
        },
    )?;
    tasks.spawn("the graph's thread", thread.ended());
    let health = admin::health(&readiness, &heartbeats, Some(exporter.clone()), {
        let views = views.clone();
        move || views.held_lines()
    });
    tasks.spawn("the health listener", admin::serve(sockets.health, health, shutdown.over()));
    let debug = debug::site(&readiness, &owner, hub.clone(), views.clone(), found, watched);
    tasks.spawn("the admin listener", admin::serve(sockets.admin, debug, shutdown.over()));
    let (settings, draining) = (ads::settings(&config.xds), shutdown.draining());
    let ads = xds::serve(sockets.ads, guard, hub, readiness.clone(), settings, config.drain, draining);
    let ads = tokio::spawn(ads);
    // Ends when it is dropped.
    let mut upkeep = JoinSet::new();
    upkeep.spawn(exporter.run_upkeep());
    upkeep.spawn(heartbeats.register("runtime").keep_beating());
    upkeep.spawn(views.tell_of_held(readiness.clone()));
    readiness.seal();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "syncgate started");

    let result = shutdown.run(&readiness, config.lame_duck, ads, tasks.first_end()).await;
    let all_ended = async {
        owner.stop().await;
        tasks.all_ended().await;
    };
    if tokio::time::timeout(LAST_WORDS, all_ended).await.is_err() {
        tracing::warn!(after = ?LAST_WORDS, "not every part has ended, ending all the same");
    }
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
        let ads = bind("--xds-address", config.xds_address).await?;
        let health = bind("--health-address", config.health_address).await?;
        let admin = bind("--admin-address", config.admin_address).await?;
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

async fn bind(flag: &'static str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    admin::bind(address).await.with_context(|| flag).map_err(|error| {
        let remedy = match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::AddrInUse) => "end the process that listens there, or give another port",
            Some(io::ErrorKind::AddrNotAvailable) => "give an address of this machine, or [::] for all of them",
            Some(io::ErrorKind::PermissionDenied) => "give a port of 1024 or more, or the right to bind lower ones",
            _ => return error,
        };
        anyhow::anyhow!("{error:#}; {remedy}")
    })
}
