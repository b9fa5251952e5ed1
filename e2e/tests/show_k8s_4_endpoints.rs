//! Show 4: syncgate's endpoints are those of Kubernetes' own endpoint-slice controller, for random Services and Pods.
//!
//! `SYNCGATE_DIFFERENTIAL_BATCHES` and `SYNCGATE_DIFFERENTIAL_SEED` make it longer and different.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use syncgate_e2e::differential::{self, Plan};
use syncgate_e2e::{kube, syncgate};

const BATCHES: usize = 12;
const SEED: u64 = 20;

fn number<T: std::str::FromStr>(variable: &str, default: T) -> Result<T> {
    let Ok(text) = std::env::var(variable) else { return Ok(default) };
    text.parse().ok().with_context(|| format!("{variable} is {text:?} and should be a number"))
}

fn spread(times: &[Duration]) -> String {
    let mut millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    millis.sort_unstable();
    let at = |part: usize| millis.get(millis.len().saturating_sub(1) * part / 10).copied().unwrap_or_default();
    format!("after {} ms (median), {} ms (9 of 10), {} ms (all)", at(5), at(9), at(10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_equal_the_controllers_slices() -> Result<()> {
    let Some(kube) = kube::installed("endpoints_equal_the_controllers_slices")? else { return Ok(()) };
    let plan = Plan {
        kube,
        syncgate: syncgate::built_program()?,
        work: Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential"),
        seed: number("SYNCGATE_DIFFERENTIAL_SEED", SEED)?,
        batches: number("SYNCGATE_DIFFERENTIAL_BATCHES", BATCHES)?,
    };
    let report = differential::run(&plan).await?;
    eprintln!(
        "seed {}: {} batches with {} changes, {} Service ports with {} endpoints equal; settled: syncgate {}, the controller {}",
        plan.seed,
        plan.batches,
        report.changes,
        report.clusters,
        report.endpoints,
        spread(&report.syncgate),
        spread(&report.controller),
    );
    Ok(())
}
