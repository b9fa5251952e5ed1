//! When a change counts as arrived: seen from outside by its traffic, and from inside by what Envoy says it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::envoy::Envoy;
use crate::http;
use crate::wait::eventually;

/// How long anything may take that should take a fraction of a second; generous, because two cores carry everything.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Answers in a row, each on a connection of its own, after which a change counts as arrived at every worker of Envoy.
const SETTLED: usize = 20;
/// What is compared of what Envoy runs.
const KINDS: [&str; 3] = ["Cluster", "Listener", "RouteConfiguration"];

/// Waits until `backend` answers at `at`, and goes on answering.
pub async fn answered_by(at: SocketAddr, host: &str, path: &str, backend: &str) -> Result<()> {
    let mut seen = 0;
    let what = format!("{backend} to answer {host}{path}");
    eventually(&what, PATIENCE, async || {
        while seen < SETTLED {
            let answer = http::get(at, host, path).await?;
            let right = answer.status == 200 && answer.backend() == Some(backend);
            seen = if right { seen + 1 } else { 0 };
            ensure!(right, "{} from {:?}: {}", answer.status, answer.backend(), answer.text().trim());
        }
        Ok(())
    })
    .await
}

/// Waits until Envoy runs exactly the clusters, listeners and route configurations among these resources.
pub async fn runs(envoy: &Envoy, resources: Vec<Value>) -> Result<()> {
    let key = |resource: &Value| Some((resource["@type"].as_str()?.to_owned(), resource["name"].as_str()?.to_owned()));
    let mut wanted: BTreeMap<_, _> =
        resources.into_iter().filter_map(|resource| Some((key(&resource)?, resource))).collect();
    wanted.retain(|(kind, _), _| kind.rsplit('.').next().is_some_and(|kind| KINDS.contains(&kind)));
    ensure!(!wanted.is_empty(), "the manifests stand for nothing");
    eventually("Envoy to run what the manifests stand for", PATIENCE, async || {
        let running = envoy.running().await?;
        for key in wanted.keys().chain(running.keys()) {
            let (wanted, running) = (wanted.get(key), running.get(key));
            ensure!(wanted == running, "{key:?}: wanted {wanted:#?}, running {running:#?}");
        }
        Ok(())
    })
    .await
}
