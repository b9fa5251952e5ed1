//! What `/debug/…` shows of the graph's thread: pictures that the thread leaves behind.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tracing::info;

use super::pipeline::Pipeline;
use crate::ingest::Held;
use crate::readiness::{Gate, Readiness};

/// Between lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// The newest pictures. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Views {
    held: Arc<ArcSwap<Value>>,
    graph: Arc<ArcSwap<Value>>,
}

impl Views {
    /// Replaces the picture of the graph.
    pub fn show_graph(&self, pipeline: &Pipeline) {
        self.graph.store(Arc::new(graph_json(pipeline)));
    }

    /// Replaces the picture of what is held.
    pub fn show_held(&self, held: &[Held], now: Instant) {
        self.held.store(Arc::new(held.iter().map(|held| held_json(held, now)).collect()));
    }

    /// What waits at the door, and why.
    #[must_use]
    pub fn held(&self) -> Value {
        Value::clone(&self.held.load())
    }

    /// The same as a line for each.
    #[must_use]
    pub fn held_lines(&self) -> Vec<String> {
        let held = self.held.load();
        let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
        let line = |of: &Value| format!("{}: {}, for {} ms", text(of, "object"), text(of, "why"), of["held_ms"]);
        held.as_array().into_iter().flatten().map(line).collect()
    }

    /// While the process starts, says every ten seconds what is held at the door (F45). Ends with the start.
    pub async fn tell_of_held(self, readiness: Readiness) {
        let gate = readiness.subscribe();
        loop {
            tokio::time::sleep(PROGRESS).await;
            if *gate.borrow() != Gate::Starting {
                return;
            }
            let held = self.held_lines();
            if let Some(first) = held.first() {
                info!(held = held.len(), %first, "still starting: changes are held at the door");
            }
        }
    }

    /// The nodes of the graph and the work they did.
    #[must_use]
    pub fn graph(&self) -> Value {
        Value::clone(&self.graph.load())
    }
}

fn held_json(held: &Held, now: Instant) -> Value {
    json!({
        "object": held.object.to_string(),
        "change": if held.delete { "delete" } else { "put" },
        "why": held.why,
        "held_ms": millis(now.saturating_duration_since(held.since)),
        "let_in_at_the_latest_in_ms": millis(held.until.saturating_duration_since(now)),
    })
}

fn graph_json(pipeline: &Pipeline) -> Value {
    let nodes = pipeline.graph.stats().into_iter().map(|node| {
        json!({
            "name": node.name.as_str(),
            "kind": format!("{:?}", node.kind).to_lowercase(),
            "complete": node.complete,
            "waits_for": node.waits_for.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "rows": node.rows,
            "dependencies": node.dependencies,
            "pending": node.pending,
            "faults": node.faults,
            "collisions": node.collisions,
            "recomputed": node.total.recomputed,
            "unchanged": node.total.no_ops,
            "scans": node.total.scans,
            "seconds": node.total.time.as_secs_f64(),
        })
    });
    nodes.collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, ObjectKey, ObjectRef};
    use crate::readiness::Layer;

    /// F45.
    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_told_every_ten_seconds_until_the_start_is_over() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let file = log.reopen().unwrap();
        let writer = move || file.try_clone().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let text = || std::fs::read_to_string(log.path()).unwrap();
        let lines = || text().lines().count();
        let readiness = Readiness::new(|_| {});
        let part = readiness.register(Layer::Source, "a part");
        readiness.seal();
        let (views, now) = (Views::default(), Instant::now());
        let telling = tokio::spawn(views.clone().tell_of_held(readiness));
        tokio::time::sleep(PROGRESS).await;
        assert_eq!(lines(), 0, "nothing is held");
        let object = ObjectRef::new(Kind::Gateway, ObjectKey::new("shop", "web"));
        let why = "waits for Secret shop/tls to be read".to_owned();
        views.show_held(&[Held { object, delete: false, why, since: now, until: now + PROGRESS }], now);
        tokio::time::sleep(2 * PROGRESS).await;
        assert_eq!(lines(), 2);
        let expected = "changes are held at the door held=1 first=Gateway shop/web: waits for Secret";
        assert!(text().contains(expected), "{}", text());
        part.ready();
        tokio::time::sleep(2 * PROGRESS).await;
        assert!(telling.is_finished());
        assert_eq!(lines(), 2);
    }
}
