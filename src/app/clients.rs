//! The connected Envoys as `/debug/clients`, `syncgate clients` and `syncgate status` show them.
//!
//! Invariant (`bounded`): a page has a bound, whatever the size of the fleet and the length of what clients say.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use arcstr::ArcStr;
use serde_json::Value;

use crate::{
    admin::Request,
    proto::{Client, ClientList, ClientType, ListClientsRequest, NackedResponse, Refusal},
    resource::{ResourceType, Version},
    snapshot::Snapshot,
    xds::{self, ClientView, Hub, Marks, Progress, Which},
};

/// Clients on a page. One that refuses every type takes some 30 kB, and gRPC clients accept 4 MiB.
const PAGE: usize = 100;

/// Clients that are looked at in one go.
const BATCH: usize = 256;

/// The page that was asked for.
#[must_use]
pub fn page(hub: &Hub, request: &ListClientsRequest) -> ClientList {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let which = Which { gateway: given(&request.gateway), node_id: given(&request.node_id), refused: request.refused };
    let limit = match request.limit as usize {
        0 => PAGE,
        limit => limit.min(PAGE),
    };
    // One more tells whether there is a next page.
    let mut found = hub.page(request.after, limit + 1, &which);
    let next = if found.len() > limit { found.pop().and(found.last()).map_or(0, |last| last.stream) } else { 0 };
    let mut snapshots = HashMap::new();
    let now = Instant::now();
    let clients = found.iter().map(|client| {
        let gateway = &client.name.gateway;
        let snapshot = snapshots.entry(gateway.clone()).or_insert_with(|| hub.snapshot(gateway));
        of_client(client, snapshot.as_deref(), now)
    });
    let clients = clients.collect();
    ClientList { clients, connected: hub.connected() as u64, next }
}

/// The same for a page of `/debug/…`; arguments that say nothing are passed over.
#[must_use]
pub fn page_json(hub: &Hub, request: Request<'_>) -> Value {
    let text = |name| request.value(name).map(|value| value.into_owned()).unwrap_or_default();
    let request = ListClientsRequest {
        gateway: text("gateway"),
        node_id: text("node"),
        refused: request.has("refused"),
        after: text("after").parse().unwrap_or(0),
        limit: text("limit").parse().unwrap_or(0),
    };
    serde_json::to_value(page(hub, &request)).unwrap_or(Value::Null)
}

fn of_client(client: &ClientView, snapshot: Option<&Snapshot>, now: Instant) -> Client {
    let of_type = |progress: &Progress| {
        let kind = progress.kind;
        let marks = client.marks.get(kind).cloned().unwrap_or_default();
        (kind.short().to_owned(), of_type(progress, &marks, snapshot, now))
    };
    let types: BTreeMap<String, ClientType> = client.progress.iter().map(of_type).collect();
    Client {
        stream: client.stream,
        node_id: client.name.node_id.to_string(),
        gateway: client.name.gateway.to_string(),
        envoy_version: client.node.version.to_string(),
        identity: client.identity.to_string(),
        variant: client.variant.as_str().to_owned(),
        peer: client.peer.to_string(),
        connected_seconds: seconds(client.since, now),
        responses: client.responses,
        bytes: client.bytes,
        behind_seconds: types.values().filter_map(|of_type| of_type.behind_seconds).reduce(f64::max),
        types,
    }
}

fn of_type(progress: &Progress, marks: &Marks, snapshot: Option<&Snapshot>, now: Instant) -> ClientType {
    let version = |version: Version| version.to_string();
    ClientType {
        wildcard: progress.wildcard,
        names: progress.names as u64,
        not_acknowledged: progress.open as u64,
        settled: progress.settled.is_some(),
        held_version: marks.held.as_ref().map(|set| version(set.version())).unwrap_or_default(),
        version: snapshot.map(|snapshot| version(snapshot.set(progress.kind).version())).unwrap_or_default(),
        acks: marks.acks,
        last_ack_seconds: marks.last_ack.map(|at| seconds(at, now)),
        nacks: marks.nacks,
        behind_seconds: marks.behind.map(|since| seconds(since, now)),
        refused: progress.refusal.as_ref().map(|refusal| nacked(refusal, &marks.blamed, now)),
    }
}

fn nacked(refusal: &xds::Refusal, blamed: &[ArcStr], now: Instant) -> NackedResponse {
    NackedResponse {
        message: refusal.message.clone(),
        nonce: refusal.nonce.clone(),
        seconds_ago: seconds(refusal.at, now),
        resources: refusal.blamed.iter().map(|resource| resource.name.to_string()).collect(),
        objects: blamed.iter().map(ArcStr::to_string).collect(),
        count: refusal.names.len() as u64,
    }
}

/// What is refused at present, at most `most`: that of the most clients first.
#[must_use]
pub fn refusals(hub: &Hub, most: usize) -> Vec<Refusal> {
    type Same = (ArcStr, ResourceType, String, Arc<[ArcStr]>);
    let mut grouped: HashMap<Same, (u32, Instant)> = HashMap::new();
    let which = Which { refused: true, ..Which::default() };
    let mut after = 0;
    loop {
        let page = hub.page(after, BATCH, &which);
        let Some(last) = page.last() else { break };
        after = last.stream;
        for client in &page {
            for refusal in client.progress.iter().filter_map(|progress| progress.refusal.as_ref()) {
                let blamed = client.marks.get(refusal.kind).map(|marks| marks.blamed.clone()).unwrap_or_default();
                let same = (client.name.gateway.clone(), refusal.kind, refusal.message.clone(), blamed);
                let (clients, since) = grouped.entry(same).or_insert((0, refusal.at));
                *clients += 1;
                *since = refusal.at.min(*since);
            }
        }
    }
    let now = Instant::now();
    let mut refusals: Vec<Refusal> = grouped
        .into_iter()
        .map(|((gateway, kind, message, blamed), (clients, since))| Refusal {
            gateway: gateway.to_string(),
            r#type: kind.short().to_owned(),
            message,
            objects: blamed.iter().map(ArcStr::to_string).collect(),
            clients,
            since_seconds: seconds(since, now),
        })
        .collect();
    refusals.sort_by(|a, b| {
        let order = |of: &Refusal| (std::cmp::Reverse(of.clients), of.gateway.clone(), of.r#type.clone());
        order(a).cmp(&order(b)).then_with(|| a.message.cmp(&b.message))
    });
    refusals.truncate(most);
    refusals
}

fn seconds(since: Instant, now: Instant) -> f64 {
    // As people read it; a page need not tell microseconds.
    let millis = now.saturating_duration_since(since).max(Duration::ZERO).as_millis();
    millis as f64 / 1000.0
}
