//! The whole program against a real API server: from its start to Ready beside the bare time of listing and decoding the
//! same objects, what it holds then, and how late and how dear changes of pods are at constant rates.
//!
//! It needs the API server that `make` builds (`SYNCGATE_KUBE`) and is skipped without it. `SYNCGATE_BENCH_PODS` limits the
//! size: 100,000 pods take some minutes to be made.

#![expect(clippy::print_stdout, reason = "a benchmark's report is what it prints")]

mod bare;
mod bed;
mod client;
mod lag;
mod spread;

use std::time::Duration;

use anyhow::Result;
use bed::Bed;
use spread::Spread;
use syncgate::watch::wire::Encoding;

/// The state has these many pods, one after the other.
const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
/// Changes of pods a second.
const RATES: [u32; 3] = [20, 100, 1_000];
/// Start to Ready, as a multiple of the bare time.
const BUDGET: f64 = 1.2;
/// Resident bytes for each pod, at Ready and at most.
const BUDGET_MEMORY: f64 = 600.0;
const ROUNDS: usize = 5;
/// For how long pods change at each rate.
const CHANGING: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let most: u32 = std::env::var("SYNCGATE_BENCH_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let Some(mut bed) = Bed::start().await? else { return Ok(()) };
    println!("start to Ready of the program beside listing and decoding the same objects; budget: < {BUDGET}");
    println!(
        "median (least to most) of {ROUNDS} rounds; bytes a pod: what more than {} pods take; budget: < {BUDGET_MEMORY}",
        SIZES[0]
    );
    println!(
        "{:>7} | {:>19} {:>19} {:>6} {:>20} | {:>18} {:>18} {:>7} | {:>8} {:>8}",
        "pods",
        "bare, seconds",
        "start to Ready",
        "ratio",
        "bare JSON",
        "MiB at Ready",
        "peak MiB",
        "settled",
        "bytes",
        "peak"
    );
    let mut first = None;
    for pods in SIZES.into_iter().filter(|pods| *pods <= most) {
        bed.fill(pods).await?;
        let row = starts(&bed).await?;
        row.print(pods, *first.get_or_insert(row));
    }
    println!(
        "lag from the return of a pod's status write to the client, and CPU; budgets: p50 < 1 ms, p99 < 10 ms, < 0.1 ms a change"
    );
    println!(
        "{:>7} {:>8} {:>8} | {:>9} {:>9} {:>9} {:>8} | {:>10} {:>12}",
        "pods", "wanted/s", "made/s", "p50 ms", "p99 ms", "most ms", "unseen", "CPU", "ms a change"
    );
    let running = bed.start_syncgate().await?;
    for rate in RATES {
        lag::measure(&bed, &running, rate, CHANGING).await?.print(bed.pods, rate);
    }
    Ok(())
}

/// What was measured at one size; memory in MiB.
#[derive(Debug, Clone, Copy)]
struct Row {
    bare: Spread,
    json: f64,
    start: Spread,
    resident: Spread,
    peak: Spread,
    /// Some time after Ready.
    settled: f64,
}

async fn starts(bed: &Bed) -> Result<Row> {
    let (mut bare, mut start, mut resident, mut peak) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // What the server has not read lately it reads more slowly.
    bare::list(bed.api(), Encoding::Protobuf).await?;
    let json = bare::list(bed.api(), Encoding::Json).await?.as_secs_f64();
    let mut settled = 0.0;
    for round in 1..=ROUNDS {
        bare.push(bare::list(bed.api(), Encoding::Protobuf).await?.as_secs_f64());
        let running = bed.start_syncgate().await?;
        start.push(running.ready.as_secs_f64());
        resident.push(mib(running.resident));
        peak.push(mib(running.peak));
        if round == ROUNDS {
            settled = mib(running.settled().await?);
        }
    }
    let [bare, start, resident, peak] = [bare, start, resident, peak].map(Spread::of);
    Ok(Row { bare, json, start, resident, peak, settled })
}

impl Row {
    fn print(self, pods: u32, first: Row) {
        let Row { bare, json, start, resident, peak, settled } = self;
        let more = pods - SIZES[0];
        let each = |now: f64, before: f64| match more {
            0 => format!("{:>8}", "-"),
            _ => beside((now - before) * f64::from(1 << 20) / f64::from(more), BUDGET_MEMORY, 0),
        };
        println!(
            "{pods:>7} | {bare:>19.3} {start:>19.3} {} {:>20} | {resident:>18.1} {peak:>18.1} {settled:>7.1} | {} {}",
            beside(start.median / bare.median, BUDGET, 2),
            format!("{json:.3} ({:.1} times)", json / bare.median),
            each(settled, first.settled),
            each(peak.median, first.peak.median),
        );
    }
}

fn beside(figure: f64, budget: f64, digits: usize) -> String {
    format!("{figure:>7.digits$}{}", if figure < budget { ' ' } else { '*' })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
