//! What operators and probes see over HTTP: liveness, readiness, metrics, and the views for debugging.
//!
//! Two sites: [`health`] (`:8081`) shows names but nothing else of anyone's configuration and is safe to expose; [`debug`]
//! (`127.0.0.1:19000`) shows more than one's own and answers only requests that were addressed to a loopback name.
//!
//! Invariants: every page is computed from read-only views; nothing here can change the state of the process. Connections are
//! bounded in number, in the time for a request's head, and in age.
//!
//! Architecture invariant: knows the gate, the heartbeats and the metrics page; the rest comes as closures from `app`.

mod heartbeat;
mod listener;
mod observer;
mod probes;
mod server;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::metrics::Exporter;
use crate::readiness::Readiness;

pub use heartbeat::{Beat, Heartbeats, STALLED_AFTER};
pub use listener::{bind, serve};
pub use observer::record;
pub use server::{Answer, Request, Site};

/// The site that is safe to expose: `/livez`, `/readyz`, `/startupz`, `/metrics`. `held` says what waits at the door, a line each.
#[must_use]
pub fn health(
    readiness: &Readiness,
    heartbeats: &Heartbeats,
    exporter: Option<Exporter>,
    held: impl Fn() -> Vec<String> + Send + Sync + 'static,
) -> Site {
    let (ready, started) = (readiness.clone(), readiness.clone());
    let heartbeats = heartbeats.clone();
    let site = Site::new("syncgate: health and metrics")
        .page("/livez", "whether the loops of the process make progress", move |_| probes::live(&heartbeats))
        .page("/readyz", "whether this process may be sent traffic; ?verbose lists every part", move |request| {
            probes::ready(&ready.report(), request.has("verbose"))
        })
        .page(
            "/startupz",
            "whether it was ever ready; ?verbose lists every part, and what waits at the door",
            move |request| {
                let held = if request.has("verbose") { held() } else { Vec::new() };
                probes::started(&started.report(), started.started(), request.has("verbose"), &held)
            },
        );
    match exporter {
        Some(exporter) => site.page("/metrics", "metrics for Prometheus", move |_| Answer::metrics(exporter.render())),
        None => site,
    }
}

/// A page of [`debug`], computed when it is asked for.
pub struct View {
    /// The path, such as `/debug/clients`.
    pub path: &'static str,
    /// What it shows: a lower-case fragment, for the index.
    pub help: &'static str,
    /// The page. It must be quick: it runs on a thread that serves others too. No key bytes.
    pub show: Box<dyn Fn(Request<'_>) -> Value + Send + Sync>,
}

/// The site for debugging, on loopback only: each view as indented JSON.
#[must_use]
pub fn debug(views: impl IntoIterator<Item = View>) -> Site {
    let site = Site::new("syncgate: views for debugging").on_loopback_only();
    views.into_iter().fold(site, |site, View { path, help, show }| {
        site.page(path, help, move |request| Answer::json(&show(request)))
    })
}
