//! Kubernetes as a source: lists and watches turned into deltas for the door.
//!
//! ```text
//!                    ┌ lives: a scope for each namespace ─┐
//!  rights, selection ┤                                    ├─► source ─► scope ─► door
//!   wants of the door ┴ wants: what specs refer to ───────┘   │  ▲    (rows by name;
//!                                                             │  │     fences, stages)
//!      outage: one prober for all ◄──────── faults ───────────┘  └── wire: narrow decoding
//!      board: where every source stands ─► readiness, status, metrics
//! ```
//!
//! A **source** is one kind in one scope (all namespaces, one namespace, one object). Invariants: an error is never an
//! answer, so an outage, a refusal or a lie removes no row (`doubt_keeps`); what a scope owned leaves with it, in one epoch
//! (`gone_is_gone`); no cluster-wide request for a namespaced kind is sent in namespaced scope (F6).
//!
//! Must not know: the graph, Envoy, what rows are used for.

mod accounts;
mod apis;
mod backoff;
mod board;
mod client;
mod cluster;
#[cfg(test)]
mod fake;
mod fault;
mod jitter;
mod lives;
mod once;
mod outage;
mod read;
mod rights;
mod scope;
mod secrets;
mod selection;
mod sight;
mod source;
mod target;
mod tasks;
#[cfg(test)]
mod testing;
mod wants;
pub mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use accounts::{Accounts, Issuer, TokenReview};
pub use board::{Board, Life, LifeStatus, SourceStatus, State};
pub use client::{Client, ClientError, Limits, Origin};
pub use fault::{Action, Fault, Phase, classify};
pub use secrets::{Secrets, Stored};
pub use selection::{Selection, SelectionError};
pub use target::{Target, plural};

use apis::Apis;
use cluster::Cluster;
use lives::{KINDS, Lives, Seen};
use outage::Outage;
use scope::{First, Owners, Scope, Sink};
use source::Source;
use wants::Demands;

use crate::model::{Coverage, Delta, Event, Kind, Wants};
use crate::readiness::{Layer, Part, Readiness};

/// What is watched.
#[derive(Debug, Clone)]
pub enum Scopes {
    /// Every namespace, with cluster-wide rights.
    Cluster,
    /// Selected namespaces.
    Namespaces {
        /// At first.
        selection: Selection,
        /// Where it is read again whenever the file changes.
        file: Option<PathBuf>,
    },
}

/// What becomes of rows when the right to read them is gone and the namespace is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long the last state is held in any case.
    pub hold: Duration,
    /// Whether it is dropped then; otherwise it is kept.
    pub drop: bool,
}

/// What to do when no namespace is selected, or none of those that are exists (F37).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptySelection {
    /// Stay not ready: nothing was asked for yet.
    #[default]
    Wait,
    /// Serve nothing, and call that ready.
    Serve,
}

/// How to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Objects in a page of a list.
    pub page_size: u32,
    /// How long a watch stays open until the server ends it: less than balancers cut idle connections after (240 s).
    pub watch_timeout: Duration,
    /// How long a list may pause between two pieces.
    pub list_pause: Duration,
    /// After a revocation.
    pub revoked: Policy,
    /// When no namespace is selected.
    pub on_empty_selection: EmptySelection,
    /// How long something is read on after the last reference to it went: references come and go together.
    pub linger: Duration,
    /// How long a namespace that left the selection is read on, if references may lead into it: until what they lead to is read instead.
    pub handover: Duration,
    /// Between questions for rights on Namespaces that are missing.
    pub rights_again: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            page_size: 500,
            watch_timeout: Duration::from_secs(200),
            list_pause: Duration::from_secs(30),
            revoked: Policy { hold: Duration::from_secs(300), drop: false },
            on_empty_selection: EmptySelection::default(),
            linger: Duration::from_secs(60),
            handover: Duration::from_secs(15),
            rights_again: Duration::from_secs(30),
        }
    }
}

/// What every source has at hand.
#[derive(Clone)]
struct Context {
    client: Client,
    outage: Outage,
    cluster: Arc<Cluster>,
    apis: Arc<Apis>,
    pool: Arc<wire::Pool>,
    board: Board,
    sink: Sink,
    /// In namespaced scope, where two scopes may have the same rows.
    owners: Option<Arc<Owners>>,
    settings: Settings,
}

impl Context {
    /// A scope of these targets.
    fn scope(&self, targets: &[Target], first: First) -> Arc<Scope> {
        Scope::among(self.owners.as_ref(), self.sink.clone(), self.board.clone(), targets, first)
    }
}

/// Kubernetes as a source, before it runs.
pub struct Watch {
    cx: Context,
    scopes: Scopes,
    wants: channel::Receiver<Wants>,
    seen: Arc<Seen>,
}

impl Watch {
    /// Registers a part of readiness for each kind. Asks nothing yet.
    pub fn new(
        client: Client,
        scopes: Scopes,
        settings: Settings,
        wants: channel::Receiver<Wants>,
        readiness: &Readiness,
        sink: impl Fn(Delta) + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let heard = seen.clone();
        let sink: Sink = Arc::new(move |delta: Delta| {
            heard.hear(&delta);
            sink(delta);
        });
        let listed = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Secret);
        let parts: BTreeMap<Kind, Part> = listed
            .map(|kind| {
                let part = readiness.register(Layer::Source, kind.as_str());
                part.waiting("the API server is being asked");
                (kind, part)
            })
            .collect();
        let namespaced = matches!(scopes, Scopes::Namespaces { .. });
        let board = Board::new(parts, namespaced.then(|| selection(readiness)), sink.clone());
        let outage = Outage::new(client.clone());
        let cluster = Arc::new(Cluster::new(client.clone()));
        let apis = Arc::new(Apis::new(client.clone()));
        let owners = namespaced.then(Arc::default);
        let cx = Context { client, outage, cluster, apis, pool: Arc::default(), board, sink, owners, settings };
        Self { cx, scopes, wants, seen }
    }

    /// Where every source stands.
    #[must_use]
    pub fn board(&self) -> Board {
        self.cx.board.clone()
    }

    /// Watches until `shutdown`; then every task and connection ends.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.cx.outage.clone().probe());
        tasks.spawn(self.cx.board.clone().report());
        let watching = self.start(&mut tasks);
        tokio::pin!(shutdown);
        tokio::select! {
            () = &mut shutdown => return,
            () = watching => {}
        }
        tokio::select! {
            () = shutdown => {}
            // Tasks run for ever: one that ends has panicked, and half a watch would lie.
            Some(_) = tasks.join_next() => {}
        }
    }

    async fn start(self, tasks: &mut JoinSet<()>) {
        let Self { cx, scopes, wants, seen } = self;
        meet(&cx).await;
        match scopes {
            Scopes::Cluster => {
                tasks.spawn(Demands::new(cx.clone(), wants, None).run());
                start_cluster(&cx, tasks);
            }
            Scopes::Namespaces { selection, file } => {
                let (sender, selection) = channel::channel(Arc::new(selection));
                let on_empty = cx.settings.on_empty_selection;
                tasks.spawn(selection::follow(file, sender, cx.board.clone(), on_empty));
                tasks.spawn(Demands::new(cx.clone(), wants, Some(selection.clone())).run());
                start_namespaces(cx, seen, selection, tasks);
            }
        }
    }
}

/// The word of the selection of namespaces in readiness.
fn selection(readiness: &Readiness) -> Part {
    let part = readiness.register(Layer::Source, "selection of namespaces");
    part.waiting("the API server is being asked");
    part
}

/// Waits for the API server, and learns which cluster it is.
async fn meet(cx: &Context) {
    let mut said = None;
    while let Err(fault) = cx.cluster.meet().await {
        cx.board.waits(&fault.to_string());
        if fault.is_outage() {
            cx.outage.over(&fault).await;
            continue;
        }
        if fault.class() == "unauthorized" {
            cx.client.authenticate(cx.client.generation()).await;
        }
        if said.as_ref() != Some(&fault) {
            warn!(%fault, "the API server does not say which cluster it is; it is asked again and again");
            said = Some(fault);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Every kind in all namespaces.
fn start_cluster(cx: &Context, tasks: &mut JoinSet<()>) {
    let coverage = Coverage { on_demand: Kind::BY_OBJECT.into(), namespaces: None };
    (cx.sink)(Delta::new(std::time::Instant::now(), vec![Event::Covers(coverage)]));
    let kinds = KINDS.into_iter().chain([Kind::GatewayClass, Kind::Namespace]);
    let targets: Vec<_> = kinds.map(|kind| Target::all(kind, None)).collect();
    let scope = cx.scope(&targets, First::Early);
    targets.iter().for_each(|target| cx.board.add(target, true));
    cx.board.seal();
    for target in targets {
        tasks.spawn(Source::new(target, scope.clone(), cx.clone()).run());
    }
    info!("watching all namespaces");
}

/// Selected namespaces, each with sources of its own.
fn start_namespaces(
    cx: Context,
    seen: Arc<Seen>,
    selection: channel::Receiver<Arc<Selection>>,
    tasks: &mut JoinSet<()>,
) {
    let class = Target::all(Kind::GatewayClass, None);
    let scope = cx.scope(std::slice::from_ref(&class), First::Whole);
    cx.board.add(&class, true);
    tasks.spawn(Source::new(class, scope, cx.clone()).run());
    info!("watching selected namespaces");
    tasks.spawn(Lives::new(cx, seen, selection).run());
}
