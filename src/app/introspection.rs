//! `syncgate.v1.Introspection`: the running process' answers to `syncgate status` and `syncgate explain`.

use std::{fmt::Write, sync::Arc, time::Instant};

use arcstr::ArcStr;
use tonic::{Request, Response, Status};

use super::{clients, owner::Owner};
use crate::{
    model::{Kind, ObjectKey, ObjectRef},
    proto::{
        self, ClientList, ExplainRequest, Explanation, GetSyncStatusRequest, ListClientsRequest, Part, SyncStatus,
        introspection_server::Introspection, part,
    },
    readiness::{PartStatus, Readiness, State},
    watch::{Board, LifeStatus, SourceStatus},
    xds::Hub,
};

/// Serves what the owner thread and the gate say.
#[derive(Debug)]
pub struct Service {
    readiness: Readiness,
    owner: Owner,
    hub: Arc<Hub>,
    watched: Option<Board>,
}

impl Service {
    /// A service on the gate, the owner thread, the clients, and the sources of Kubernetes if they are watched.
    #[must_use]
    pub fn new(readiness: Readiness, owner: Owner, hub: Arc<Hub>, watched: Option<Board>) -> Self {
        Self { readiness, owner, hub, watched }
    }
}

#[tonic::async_trait]
impl Introspection for Service {
    async fn get_sync_status(&self, _: Request<GetSyncStatusRequest>) -> Result<Response<SyncStatus>, Status> {
        let graph = self.owner.report().await.ok_or_else(silent)?;
        let now = Instant::now();
        Ok(Response::new(SyncStatus {
            ready: self.readiness.is_ready(),
            parts: self.readiness.report().parts.iter().map(|status| part(status, now)).collect(),
            collections: graph.collections,
            publication: Some(graph.publication),
            file_problems: graph.file_problems,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sources: self.watched.iter().flat_map(Board::sources).map(source).collect(),
            namespaces: self.watched.iter().flat_map(Board::lives).map(namespace).collect(),
            refusals: clients::refusals(&self.hub, SHOWN),
        }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<Explanation>, Status> {
        let ExplainRequest { kind, namespace, name } = request.into_inner();
        let kind = Kind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .ok_or_else(|| Status::invalid_argument(format!("unknown kind {kind:?}")))?;
        let object = ObjectRef::new(kind, ObjectKey::new(namespace, name));
        let named = object.to_string();
        let (found, mut text) = self.owner.explain(object).await.ok_or_else(silent)?;
        // An object may be named with more behind it: `Service demo/shop port 80`.
        let is_named =
            |object: &String| object.strip_prefix(&named).is_some_and(|rest| matches!(rest.get(..1), None | Some(" ")));
        let refusals = clients::refusals(&self.hub, usize::MAX).into_iter();
        for refusal in refusals.filter(|refusal| refusal.objects.iter().any(is_named)).take(SHOWN) {
            let proto::Refusal { clients, gateway, r#type, message, .. } = refusal;
            // Writing to a String cannot fail.
            let _ = write!(text, "\nrefused ({type}) by {clients} of the Envoys of Gateway {gateway}: {message}\n", type = r#type);
        }
        Ok(Response::new(Explanation { found, text }))
    }

    async fn list_clients(&self, request: Request<ListClientsRequest>) -> Result<Response<ClientList>, Status> {
        Ok(Response::new(clients::page(&self.hub, &request.into_inner())))
    }
}

/// Refusals that are shown.
const SHOWN: usize = 20;

fn silent() -> Status {
    Status::unavailable("the graph's thread does not answer: syncgate is stopping, or busy (see /livez)")
}

fn part(status: &PartStatus, now: Instant) -> Part {
    let state = match status.state {
        State::Waiting => part::State::Waiting,
        State::Ready => part::State::Ready,
        State::Stale => part::State::Stale,
        State::Failed => part::State::Failed,
    };
    proto::Part {
        name: format!("{}/{}", status.layer, status.name),
        state: state.into(),
        reason: status.reason.to_string(),
        since_seconds: now.saturating_duration_since(status.since).as_secs_f64(),
    }
}

fn source(status: SourceStatus) -> proto::Source {
    proto::Source {
        name: status.target.to_string(),
        kind: status.target.kind.as_str().to_owned(),
        namespace: status.target.namespace.unwrap_or_default().to_string(),
        state: status.state.as_str().to_owned(),
        reason: status.reason.to_string(),
        since_seconds: status.since.elapsed().as_secs_f64(),
        rows: status.rows as u64,
        on_demand: status.target.demanded,
    }
}

fn namespace((name, status): (ArcStr, LifeStatus)) -> proto::WatchedNamespace {
    proto::WatchedNamespace {
        name: name.to_string(),
        state: status.life.as_str().to_owned(),
        reason: status.reason.to_string(),
        since_seconds: status.since.elapsed().as_secs_f64(),
    }
}
