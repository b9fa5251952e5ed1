//! The recorder of the process, and its page for Prometheus.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ::metrics::gauge;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::runtime::Handle;

use super::catalogue::{self, CATALOGUE, Kind};
use super::process;

/// How often histograms are folded. Between foldings each recorded value takes 8 bytes.
const UPKEEP: Duration = Duration::from_secs(5);

/// When the present snapshot was published. Beside the recorder, which is as global as this, because an age can only be
/// computed when it is asked for.
static PUBLISHED: Mutex<Option<Instant>> = Mutex::new(None);

/// The one recorder of the process.
static INSTALLED: OnceLock<Exporter> = OnceLock::new();

/// Held while it is installed: between the two steps others would find a recorder in force and none of ours.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Renders everything recorded. Clones share it.
#[derive(Debug, Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

/// The recorder could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A bucket list is empty.
    #[error("building the metrics recorder")]
    Build(#[from] BuildError),
    /// Another recorder is in force in this process.
    #[error("another metrics recorder is installed in this process already")]
    Taken,
}

impl Exporter {
    /// Makes the recorder of this process, with every metric described; the second call gives the same one.
    ///
    /// # Errors
    /// When another library has installed a recorder of its own.
    pub fn install() -> Result<Self, InstallError> {
        let _turn = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(installed) = INSTALLED.get() {
            return Ok(installed.clone());
        }
        let recorder = recorder()?;
        let exporter = Self { handle: recorder.handle() };
        ::metrics::set_global_recorder(recorder).map_err(|_| InstallError::Taken)?;
        let exporter = INSTALLED.get_or_init(|| exporter).clone();
        catalogue::describe();
        gauge!(catalogue::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        // Zero is an answer and no series is none: an alert on "no Envoy is connected" has to see the zero.
        gauge!(catalogue::DOOR_LONGEST_HOLD_SECONDS).set(0.0);
        for variant in ["delta", "sotw"] {
            gauge!(catalogue::STREAMS, "variant" => variant).set(0.0);
        }
        Ok(exporter)
    }

    /// The page in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let published = *PUBLISHED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(published) = published {
            gauge!(catalogue::SNAPSHOT_AGE_SECONDS).set(published.elapsed());
        }
        if let Ok(runtime) = Handle::try_current() {
            gauge!(catalogue::PROCESS_TASKS).set(runtime.metrics().num_alive_tasks() as f64);
        }
        let mut page = self.handle.render();
        process::render(&mut page);
        page
    }

    /// Keeps the memory of histograms bounded, for as long as it is polled.
    pub async fn run_upkeep(self) {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            self.handle.run_upkeep();
        }
    }
}

/// Notes that a snapshot was published.
pub(super) fn published_at(now: Instant) {
    *PUBLISHED.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
}

/// A recorder with the buckets of the catalogue; without them histograms would be summaries, which cannot be added up.
pub(super) fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in CATALOGUE {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}
