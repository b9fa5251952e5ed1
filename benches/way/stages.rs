//! How long the stages of an event's way took, by the program's own metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use syncgate_e2e::http;

/// In the order of the way.
pub(crate) const STAGES: [&str; 5] = ["read", "mailbox", "graph", "publish", "write"];

/// Sums and counts since the start of the program.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stages(BTreeMap<String, Stage>);

/// One of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stage {
    count: f64,
    /// Seconds.
    sum: f64,
    /// How many took this many seconds at most.
    buckets: Vec<(f64, f64)>,
}

impl Stages {
    /// Those up to now.
    pub(crate) async fn read(health: SocketAddr) -> Result<Self> {
        let answer = http::get(health, "syncgate", "/metrics").await?;
        ensure!(answer.status == 200, "metrics: {}", answer.status);
        let mut stages = Self::default();
        for line in answer.text().lines() {
            let Some(rest) = line.strip_prefix("syncgate_propagation_stage_seconds_") else { continue };
            let (series, value) = rest.rsplit_once(' ').context("no value")?;
            let value: f64 = value.parse()?;
            let label = |name: &str| series.split_once(&format!("{name}=\""))?.1.split_once('"').map(|(text, _)| text);
            let stage = stages.0.entry(label("stage").context("no stage")?.to_owned()).or_default();
            match series.split_once('{').map(|(what, _)| what) {
                Some("sum") => stage.sum = value,
                Some("count") => stage.count = value,
                _ => {
                    let bound = label("le").context("no bound")?;
                    stage.buckets.push((bound.parse().unwrap_or(f64::INFINITY), value));
                }
            }
        }
        Ok(stages)
    }

    /// What came since then, of one stage.
    pub(crate) fn since(&self, before: &Self, stage: &str) -> Stage {
        let (now, before) = (self.0.get(stage).cloned().unwrap_or_default(), before.0.get(stage).cloned());
        let before = before.unwrap_or_default();
        let buckets = now
            .buckets
            .iter()
            .enumerate()
            .map(|(at, (bound, count))| (*bound, count - before.buckets.get(at).map_or(0.0, |(_, count)| *count)));
        Stage { count: now.count - before.count, sum: now.sum - before.sum, buckets: buckets.collect() }
    }
}

impl Stage {
    /// Milliseconds.
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0.0 { 0.0 } else { self.sum / self.count * 1e3 }
    }

    /// The bound in milliseconds that so large a share kept.
    pub(crate) fn within(&self, share: f64) -> f64 {
        let bound = self.buckets.iter().find(|(_, count)| *count >= self.count * share);
        bound.map_or(f64::INFINITY, |(bound, _)| bound * 1e3)
    }
}
