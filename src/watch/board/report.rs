//! What the board says by itself, once a second: gauges, and the progress of the start.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::info;

use super::inner::{Progress, describe};
use super::{Board, Life, State};
use crate::metrics;
use crate::model::Kind;

/// What the gauges say of one kind.
#[derive(Default)]
struct Gauges {
    states: BTreeMap<&'static str, usize>,
    oldest: Duration,
    rows: usize,
}

impl Board {
    /// Writes the gauges, and every ten seconds of the start a line of progress (F45, F46).
    pub(in crate::watch) async fn report(self) {
        const EVERY: Duration = Duration::from_secs(1);
        const PROGRESS: u32 = 10;
        let mut since_line = 0;
        loop {
            tokio::time::sleep(EVERY).await;
            self.lock().tell_of_the_lost();
            self.export();
            since_line += 1;
            if since_line >= PROGRESS && !self.is_listed() {
                since_line = 0;
                let (waiting, first, Progress { objects, pages }) = self.progress();
                info!(elapsed = ?self.shared.began.elapsed(), objects, pages, waiting, %first, "still starting");
            }
        }
    }

    /// How many sources have not delivered, the first of them, and how much was read.
    fn progress(&self) -> (usize, String, Progress) {
        let inner = self.lock();
        let first = inner.lacking().next().map(|(target, entry)| describe(target, entry));
        let read = Progress {
            objects: inner.sources().map(|(_, entry)| entry.rows.max(entry.read.objects)).sum(),
            pages: inner.sources().map(|(_, entry)| entry.read.pages).sum(),
        };
        (inner.lacking().count(), first.unwrap_or_else(|| "the selection of namespaces".to_owned()), read)
    }

    pub(super) fn export(&self) {
        let (mut kinds, mut lives) = (BTreeMap::<Kind, Gauges>::new(), BTreeMap::<Life, usize>::new());
        let inner = self.lock();
        for (target, entry) in inner.sources() {
            let gauges = kinds.entry(target.kind).or_default();
            *gauges.states.entry(entry.state.as_str()).or_default() += 1;
            if matches!(entry.state, State::Stale | State::Denied) {
                gauges.oldest = gauges.oldest.max(entry.since.elapsed());
            }
            gauges.rows += entry.rows;
        }
        inner.lives.values().for_each(|status| *lives.entry(status.life).or_default() += 1);
        drop(inner);
        for kind in Kind::ALL {
            let gauges = kinds.remove(&kind).unwrap_or_default();
            for state in State::ALL {
                let count = gauges.states.get(state.as_str()).copied().unwrap_or_default();
                metrics::sources(kind.as_str(), state.as_str(), count);
            }
            metrics::source_staleness(kind.as_str(), gauges.oldest);
            metrics::source_rows(kind.as_str(), gauges.rows);
        }
        for life in Life::ALL {
            metrics::namespaces(life.as_str(), lives.get(&life).copied().unwrap_or_default());
        }
    }
}
