//! The whole program against a real API server: from its start to Ready beside the bare time of a program that lists and decodes
//! the same objects, what it holds then, and how late and how dear changes of pods are at constant rates.
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
/// Start to Ready, as a multiple of the bare program's time.
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
    if bare::is_child().await? {
        return Ok(());
    }
    let most: u32 = std::env::var("SYNCGATE_BENCH_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let Some(mut bed) = Bed::start().await? else { return Ok(()) };
    println!("start to Ready beside a program that lists and decodes the same objects; budget: < {BUDGET}");
    println!(
        "median (least to most) of {ROUNDS} rounds; bytes a pod: what is more than with all Services and routes but no pods; \
         budget: < {BUDGET_MEMORY}"
    );
    println!(
        "{:>7} | {:>19} {:>8} {:>19} {:>6} {:>20} | {:>18} {:>18} {:>7} | {:>8} {:>8}",
        "pods",
        "bare, seconds",
        "lists",
        "start to Ready",
        "ratio",
        "bare JSON",
        "MiB at Ready",
        "peak MiB",
        "settled",
        "bytes",
        "peak"
    );
    for pods in SIZES.into_iter().filter(|pods| *pods <= most) {
        let before = bed.pods;
        bed.fill_services(pods).await?;
        let without = Without::of(&bed, pods - before).await?;
        bed.fill_pods(pods).await?;
        starts(&bed).await?.print(pods, without);
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
    /// The lists of these.
    lists: f64,
    json: f64,
    start: Spread,
    resident: Spread,
    peak: Spread,
    /// Some time after Ready.
    settled: f64,
}

/// The state in which only pods are missing; memory in MiB.
#[derive(Debug, Clone, Copy)]
struct Without {
    /// So many.
    pods: u32,
    peak: f64,
    settled: f64,
}

impl Without {
    async fn of(bed: &Bed, pods: u32) -> Result<Self> {
        let running = bed.start_syncgate().await?;
        Ok(Self { pods, peak: mib(running.peak), settled: mib(running.settled().await?) })
    }
}

async fn starts(bed: &Bed) -> Result<Row> {
    let [mut bare, mut lists, mut start, mut resident, mut peak] = [const { Vec::new() }; 5];
    // What the server has not read lately it reads more slowly.
    bare::run(bed.kubeconfig(), Encoding::Protobuf)?;
    let json = bare::run(bed.kubeconfig(), Encoding::Json)?.lists.as_secs_f64();
    let mut settled = 0.0;
    for round in 1..=ROUNDS {
        let took = bare::run(bed.kubeconfig(), Encoding::Protobuf)?;
        bare.push(took.whole.as_secs_f64());
        lists.push(took.lists.as_secs_f64());
        let running = bed.start_syncgate().await?;
        start.push(running.ready.as_secs_f64());
        resident.push(mib(running.resident));
        peak.push(mib(running.peak));
        if round == ROUNDS {
            settled = mib(running.settled().await?);
        }
    }
    let [bare, lists, start, resident, peak] = [bare, lists, start, resident, peak].map(Spread::of);
    Ok(Row { bare, lists: lists.median, json, start, resident, peak, settled })
}

impl Row {
    fn print(self, pods: u32, without: Without) {
        let Row { bare, lists, json, start, resident, peak, settled } = self;
        // What a few take is less than what two runs of one program differ by.
        let each = |now: f64, before: f64| match without.pods {
            few if few <= SIZES[0] => format!("{:>8}", "-"),
            more => beside((now - before) * f64::from(1 << 20) / f64::from(more), BUDGET_MEMORY, 0),
        };
        println!(
            "{pods:>7} | {bare:>19.3} {lists:>8.3} {start:>19.3} {} {:>20} | {resident:>18.1} {peak:>18.1} {settled:>7.1} | {} {}",
            beside(start.median / bare.median, BUDGET, 2),
            format!("{json:.3} ({:.1} times)", json / lists),
            each(settled, without.settled),
            each(peak.median, without.peak),
        );
    }
}

fn beside(figure: f64, budget: f64, digits: usize) -> String {
    format!("{figure:>7.digits$}{}", if figure < budget { ' ' } else { '*' })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
