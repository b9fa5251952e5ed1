//! The admin listener: pages of `/debug/…`, CSDS, and the gRPC service behind `syncgate status`, `clients` and `explain`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::service::Routes;

use super::{clients, introspection, owner::Owner, views::Views};
use crate::{
    admin::{self, View},
    files::Findings,
    proto::introspection_server::IntrospectionServer,
    readiness::Readiness,
    watch::Board,
    xds::{self, Hub},
};

/// The site, from read-only views of everything.
#[must_use]
pub fn site(
    readiness: &Readiness,
    owner: &Owner,
    hub: Arc<Hub>,
    views: Views,
    found: watch::Receiver<Arc<Findings>>,
    watched: Option<Board>,
) -> admin::Site {
    let (held, graph) = (views.clone(), views);
    let (board, shown) = (watched.clone(), hub.clone());
    let pages = [
        View {
            path: "/debug/clients",
            help: "connected Envoys, what they hold and refused; ?gateway= ?node= ?refused ?after= ?limit=",
            show: Box::new(move |request| clients::page_json(&shown, request)),
        },
        View {
            path: "/debug/held",
            help: "changes that wait at the door, and why",
            show: Box::new(move |_| held.held()),
        },
        View { path: "/debug/graph", help: "the collections and their work", show: Box::new(move |_| graph.graph()) },
        View {
            path: "/debug/files",
            help: "the folder and everything that is wrong in it",
            show: Box::new(move |_| files(&found.borrow())),
        },
        View {
            path: "/debug/sources",
            help: "the sources of Kubernetes and the watched namespaces",
            show: Box::new(move |_| board.as_ref().map_or(Value::Null, sources)),
        },
    ];
    let client_status = xds::client_status(hub.clone());
    let introspection = introspection::Service::new(readiness.clone(), owner.clone(), hub, watched);
    admin::debug(pages).grpc(Routes::new(IntrospectionServer::new(introspection)).add_service(client_status))
}

fn files(findings: &Findings) -> Value {
    json!({
        "files": findings.files,
        "objects": findings.objects,
        "passed_over": findings.ignored,
        "broken": findings.broken,
        "problems": findings.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn sources(board: &Board) -> Value {
    let sources = board.sources().into_iter().map(|source| {
        json!({
            "source": source.target.to_string(),
            "on_demand": source.target.demanded,
            "state": source.state.as_str(),
            "reason": source.reason.as_str(),
            "seconds": source.since.elapsed().as_secs_f64(),
            "rows": source.rows,
        })
    });
    let namespaces = board.lives().into_iter().map(|(name, status)| {
        json!({
            "namespace": name.as_str(),
            "state": status.life.as_str(),
            "reason": status.reason.as_str(),
            "seconds": status.since.elapsed().as_secs_f64(),
        })
    });
    json!({ "sources": sources.collect::<Vec<_>>(), "namespaces": namespaces.collect::<Vec<_>>() })
}
