//! Who is connected: what views show of each client, and the questions that its stream answers itself.
//!
//! Invariant: looking costs the looker. A stream counts with relaxed atomics and leaves small marks behind; what it holds
//! name by name it says only when it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arcstr::ArcStr;
use tokio::sync::{Notify, oneshot};

use super::{Hub, State, lock};
use crate::resource::{PerType, ResourceType};
use crate::snapshot::ResourceSet;
use crate::xds::client::ClientName;
use crate::xds::message::Variant;
use crate::xds::node::NodeInfo;
use crate::xds::session::{Holding, Progress};

/// Clients that are looked at before streams get their turn at the lock again.
const BATCH: usize = 256;

/// A connected client, for views.
#[derive(Debug, Clone)]
pub struct ClientView {
    /// The number of its stream in this process.
    pub stream: u64,
    /// Its node id and Gateway.
    pub name: ClientName,
    /// What it says of itself.
    pub node: NodeInfo,
    /// Who it is, as access to Gateways is decided by.
    pub identity: ArcStr,
    /// The variant that it speaks.
    pub variant: Variant,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// When its stream opened.
    pub since: Instant,
    /// Responses that were written to it.
    pub responses: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What it wants and has of each type, and the last NACK.
    pub progress: Vec<Progress>,
    /// What it had before, and said.
    pub marks: PerType<Marks>,
}

/// What is remembered of one type of one client beside its [progress](Progress).
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// The set that it last held all of that it wants.
    pub held: Option<ResourceSet>,
    /// Since when it has not acknowledged all that it wants, if that is so.
    pub behind: Option<Instant>,
    /// Responses that it accepted.
    pub acks: u64,
    /// When it accepted the last one.
    pub last_ack: Option<Instant>,
    /// Responses that it refused.
    pub nacks: u64,
    /// The objects that its last NACK is about, as [`Hub::tracing_back`] names them.
    pub blamed: Arc<[ArcStr]>,
}

/// Which clients are asked for; by default all.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only those of this Gateway.
    pub gateway: Option<String>,
    /// Only those of this node id.
    pub node_id: Option<String>,
    /// Only those that refuse something.
    pub refused: bool,
}

/// A connected client, as its stream and the views share it.
#[derive(Debug)]
pub(in crate::xds) struct Client {
    pub(super) stream: u64,
    pub(super) name: ClientName,
    node: NodeInfo,
    identity: ArcStr,
    variant: Variant,
    peer: SocketAddr,
    since: Instant,
    responses: AtomicU64,
    bytes: AtomicU64,
    shown: Mutex<Shown>,
    asked: Mutex<Vec<oneshot::Sender<Arc<[Holding]>>>>,
    question: Notify,
}

#[derive(Debug, Default)]
struct Shown {
    progress: Vec<Progress>,
    marks: PerType<Marks>,
}

/// What a client says of itself and is known by when its stream opens.
#[derive(Debug)]
pub(in crate::xds) struct Introduction {
    pub(in crate::xds) name: ClientName,
    pub(in crate::xds) node: NodeInfo,
    pub(in crate::xds) identity: ArcStr,
    pub(in crate::xds) variant: Variant,
    pub(in crate::xds) peer: SocketAddr,
}

impl Client {
    pub(super) fn new(stream: u64, of: Introduction, since: Instant) -> Client {
        let Introduction { name, node, identity, variant, peer } = of;
        Client {
            stream,
            name,
            node,
            identity,
            variant,
            peer,
            since,
            responses: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            shown: Mutex::default(),
            asked: Mutex::default(),
            question: Notify::new(),
        }
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn show(&self, progress: Vec<Progress>, now: Instant) {
        let mut shown = lock(&self.shown);
        for of_type in &progress {
            let marks = shown.marks.get_or_insert_with(of_type.kind, Marks::default);
            match &of_type.settled {
                Some(set) => {
                    marks.held = Some(set.clone());
                    marks.behind = None;
                }
                None => _ = marks.behind.get_or_insert(now),
            }
        }
        shown.progress = progress;
    }

    pub(super) fn accepted(&self, kind: ResourceType, now: Instant) {
        let mut shown = lock(&self.shown);
        let marks = shown.marks.get_or_insert_with(kind, Marks::default);
        marks.acks += 1;
        marks.last_ack = Some(now);
    }

    pub(super) fn refused(&self, kind: ResourceType, blamed: Arc<[ArcStr]>) {
        let mut shown = lock(&self.shown);
        let marks = shown.marks.get_or_insert_with(kind, Marks::default);
        marks.nacks += 1;
        marks.blamed = blamed;
    }

    /// Completes when somebody asks what the client holds.
    pub(in crate::xds) async fn asked(&self) {
        self.question.notified().await;
    }

    /// Tells everyone who asked.
    pub(in crate::xds) fn answer(&self, holdings: impl FnOnce() -> Vec<Holding>) {
        let asked = std::mem::take(&mut *lock(&self.asked));
        // Whoever has gone meanwhile has no need of it.
        let mut waiting = asked.into_iter().filter(|asker| !asker.is_closed()).peekable();
        if waiting.peek().is_some() {
            let holdings: Arc<[Holding]> = holdings().into();
            waiting.for_each(|asker| _ = asker.send(holdings.clone()));
        }
    }

    fn ask(&self) -> oneshot::Receiver<Arc<[Holding]>> {
        let (asker, answer) = oneshot::channel();
        lock(&self.asked).push(asker);
        self.question.notify_one();
        answer
    }

    fn is(&self, which: &Which) -> bool {
        let is = |wanted: &Option<String>, name: &ArcStr| wanted.as_ref().is_none_or(|wanted| wanted == name.as_str());
        is(&which.gateway, &self.name.gateway)
            && is(&which.node_id, &self.name.node_id)
            && (!which.refused || lock(&self.shown).progress.iter().any(|of_type| of_type.refusal.is_some()))
    }

    fn view(&self) -> ClientView {
        let shown = lock(&self.shown);
        ClientView {
            stream: self.stream,
            name: self.name.clone(),
            node: self.node.clone(),
            identity: self.identity.clone(),
            variant: self.variant,
            peer: self.peer,
            since: self.since,
            responses: self.responses.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            progress: shown.progress.clone(),
            marks: shown.marks.clone(),
        }
    }
}

impl Hub {
    /// The connected clients that have a session, in the order in which they came.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientView> {
        self.page(0, usize::MAX, &Which::default())
    }

    /// The first `limit` of these clients whose streams opened after the stream of number `after`, in the order in which
    /// they came. A page of a fleet costs a page.
    #[must_use]
    pub fn page(&self, after: u64, limit: usize, which: &Which) -> Vec<ClientView> {
        let mut found = Vec::new();
        let mut after = after;
        while found.len() < limit {
            let batch = self.state().clients_after(after);
            let Some(last) = batch.last() else { break };
            after = last.stream;
            let fitting = batch.iter().filter(|client| client.is(which)).map(|client| client.view());
            found.extend(fitting.take(limit - found.len()));
        }
        found
    }

    /// How many clients there are.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.state().clients.len()
    }

    /// How many clients there are of each Gateway that has any.
    #[must_use]
    pub fn counts(&self) -> HashMap<ArcStr, u32> {
        let mut counts = HashMap::new();
        for client in self.state().clients.values() {
            *counts.entry(client.name.gateway.clone()).or_default() += 1;
        }
        counts
    }

    /// Asks the stream of this number what its client holds, name by name. The answer comes when the stream gets to it;
    /// never, if it ends before. None if there is no such stream.
    pub(in crate::xds) fn ask(&self, stream: u64) -> Option<oneshot::Receiver<Arc<[Holding]>>> {
        let client = self.state().clients.get(&stream).cloned();
        client.map(|client| client.ask())
    }
}

impl State {
    fn clients_after(&self, stream: u64) -> Vec<Arc<Client>> {
        let range = self.clients.range((Bound::Excluded(stream), Bound::Unbounded));
        range.take(BATCH).map(|(_, client)| client.clone()).collect()
    }
}
