//! When a change counts as arrived: seen from outside by its traffic, and from inside by what Envoy says it runs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::envoy::{Envoy, by_type_and_name};
use crate::http;
use crate::wait::eventually;

/// How long anything may take that should take a fraction of a second; generous, because two cores carry everything.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Answers in a row, each on a connection of its own, after which a change counts as arrived at every worker of Envoy.
const SETTLED: usize = 20;
/// What is compared of what Envoy runs.
const KINDS: [&str; 4] = ["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"];

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

/// Waits until Envoy runs exactly the clusters, endpoints, listeners and route configurations among these resources.
pub async fn runs(envoy: &Envoy, resources: Vec<Value>) -> Result<()> {
    let mut wanted = by_type_and_name(resources);
    wanted.retain(|(kind, _), _| kind.rsplit('.').next().is_some_and(|kind| KINDS.contains(&kind)));
    ensure!(!wanted.is_empty(), "the manifests stand for nothing");
    eventually("Envoy to run what the manifests stand for", PATIENCE, async || {
        let running = envoy.running().await?;
        for key in wanted.keys().chain(running.keys()) {
            let (wanted, running) = (wanted.get(key).map(comparable), running.get(key).map(comparable));
            ensure!(wanted == running, "{key:?}: wanted {wanted:#?}, running {running:#?}");
        }
        Ok(())
    })
    .await
}

/// Envoy shows the hosts of its load balancer, with much that nobody sent: of load assignments the addresses count.
fn comparable(resource: &Value) -> Value {
    if !resource["@type"].as_str().is_some_and(|kind| kind.ends_with(".ClusterLoadAssignment")) {
        return resource.clone();
    }
    let localities = resource["endpoints"].as_array().into_iter().flatten();
    let endpoints = localities.flat_map(|locality| locality["lb_endpoints"].as_array().into_iter().flatten());
    let address = |endpoint: &Value| {
        let address = endpoint.pointer("/endpoint/address/socket_address")?;
        Some(format!("{}:{}", address["address"].as_str()?, address["port_value"]))
    };
    let mut addresses: Vec<String> =
        endpoints.map(|endpoint| address(endpoint).unwrap_or_else(|| endpoint.to_string())).collect();
    addresses.sort();
    addresses.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn load_assignments_are_compared_by_their_addresses() {
        let endpoint = |address: &str, more: Value| {
            let address = json!({"socket_address": {"address": address, "port_value": 80}});
            json!({"endpoint": {"address": address, "health_check_config": more}, "metadata": {}})
        };
        let assignment = |endpoints: Vec<Value>| {
            let kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
            json!({"@type": kind, "cluster_name": "a", "endpoints": [{"lb_endpoints": endpoints}]})
        };
        let sent = assignment(vec![endpoint("10.0.0.1", Value::Null), endpoint("10.0.0.2", Value::Null)]);
        let shown = assignment(vec![endpoint("10.0.0.2", json!({})), endpoint("10.0.0.1", json!({}))]);
        assert_eq!(comparable(&sent), comparable(&shown));
        assert_ne!(comparable(&sent), comparable(&assignment(vec![endpoint("10.0.0.1", json!({}))])));
        assert_eq!(by_type_and_name([sent]).into_keys().next().map(|(_, name)| name).as_deref(), Some("a"));
    }
}
