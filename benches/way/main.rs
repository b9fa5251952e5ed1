//! An event's way: from its last byte, written by an API server, to the first client that is told of it and to the last one; how long each
//! stage in the program takes; and how that holds at 20 and at 1,000 changes a second.
//!
//! The API server is played by this process, because a real one cannot make 1,000 changes a second beside everything else on two cores. The
//! clients run in it too, each on a connection of its own. So the times are longer than those in the program by what loopback and the
//! clients take: the budgets are for the program alone. `SYNCGATE_BENCH_PODS` limits the size.

#![expect(clippy::print_stdout, reason = "a benchmark's report is what it prints")]

#[path = "../support/answers.rs"]
mod answers;
mod changes;
mod server;
mod stages;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use changes::{Measured, Pods};
use server::{GATEWAY, Server, Size};
use stages::{STAGES, Stages};
use syncgate_e2e::address::Loopback;
use syncgate_e2e::fleet::{Fleet, Plan, Spread};
use syncgate_e2e::process::Process;
use syncgate_e2e::syncgate::Variant;
use syncgate_e2e::{http, usage};

const PODS: usize = 100_000;
const PODS_OF_SERVICE: usize = 10;
const CLIENTS: usize = 100;
/// Changes of which each has the program for itself.
const SINGLE: usize = 200;
/// Changes a second, and for how long.
const RATES: [(u32, u64); 2] = [(20, 15), (1_000, 8)];
/// Milliseconds: to the first client, half of all changes and 99 of 100; to all clients, 99 of 100.
const FIRST: [f64; 2] = [1.0, 5.0];
const ALL: f64 = 15.0;
/// To be ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Program and clients have come to rest by then.
const SETTLES: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let most = std::env::var("SYNCGATE_BENCH_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(PODS);
    let pods = PODS.min(most);
    let size = Size { services: pods / PODS_OF_SERVICE, pods };
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-way");
    std::fs::create_dir_all(&home)?;
    let net = Loopback::claim()?;
    let server = Server::start((net.host(3), 6443).into(), size)?;
    let syncgate = start(&server, &net, &home).await?;
    let fleet = Fleet::start(&Plan::new(net.xds(), GATEWAY, CLIENTS, Variant::Delta), None);
    fleet.whole().await?;
    tokio::time::sleep(SETTLES).await;
    heading(size);
    let (mut pods, mut told) = (Pods::new(server.pods()?, size), Vec::new());
    for rate in std::iter::once(None).chain(RATES.into_iter().map(Some)) {
        let (before, busy) = (Stages::read(net.health()).await?, processor(&syncgate)?);
        let measured = match rate {
            None => pods.single(&fleet, SINGLE).await?,
            Some((rate, seconds)) => {
                let seconds = seconds.min(size.services as u64 / u64::from(rate)).max(1);
                pods.at_rate(&fleet, CLIENTS, rate, Duration::from_secs(seconds)).await?
            }
        };
        let label = rate.map_or_else(|| "single".to_owned(), |(rate, _)| rate.to_string());
        let now = processor(&syncgate)?;
        print(&label, &measured, [now[0] - busy[0], now[1] - busy[1]]);
        told.push((label, before, Stages::read(net.health()).await?, measured));
    }
    ensure!(fleet.figures().failures == 0, "clients lost their streams: {:?}", fleet.figures());
    println!(
        "its stages in the program, by its metrics: write once for each client, the others once for each snapshot"
    );
    println!("{:>9} {:>8} | {:>9} {:>7} {:>14}", "changes/s", "stage", "mean ms", "share", "p99 ms at most");
    told.iter().for_each(|(label, before, after, measured)| print_stages(label, before, after, measured));
    Ok(())
}

/// What the program and this process, with the clients, had of the processors.
fn processor(syncgate: &Process) -> Result<[Duration; 2]> {
    Ok([usage::processor(syncgate.pid()?)?, usage::processor(std::process::id())?])
}

fn heading(size: Size) {
    println!(
        "{} Services of {PODS_OF_SERVICE} pods, a route each; {CLIENTS} delta clients hold all of it",
        size.services
    );
    println!(
        "from an event written by the API server until clients have it; budgets: first < {} ms (p99 < {}), all < {ALL} (p99)",
        FIRST[0], FIRST[1]
    );
    println!(
        "{:>9} {:>8} | {:>28} | {:>28} | {:>17}",
        "changes/s", "made/s", "first client: p50 p99 most", "all clients: p50 p99 most", "CPU: its, clients'"
    );
}

async fn start(server: &Server, net: &Loopback, home: &Path) -> Result<Process> {
    let kubeconfig = home.join("kubeconfig");
    server.kubeconfig(&kubeconfig)?;
    let arguments = [
        "serve".to_owned(),
        "--kubernetes".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--xds-address={}", net.xds()),
        format!("--health-address={}", net.health()),
        format!("--admin-address={}", net.admin()),
    ];
    let program = Path::new(env!("CARGO_BIN_EXE_syncgate"));
    let mut process = Process::spawn("syncgate", program, arguments, &home.join("syncgate.log"))?;
    let health: SocketAddr = net.health();
    let ready = async || {
        let answer = http::get(health, "syncgate", "/readyz").await?;
        ensure!(answer.status == 200, "not ready");
        Ok(())
    };
    process.wait_until("syncgate to be ready", PATIENCE, ready).await?;
    Ok(process)
}

fn print(label: &str, measured: &Measured, used: [Duration; 2]) {
    let Measured { made, took, first, all } = measured;
    let spread = |spread: &Spread, budgets: [f64; 2]| {
        let [half, most] = [0.5, 0.99].map(ms(spread));
        format!("{} {} {:>8.2}", beside(half, budgets[0]), beside(most, budgets[1]), ms(spread)(1.0))
    };
    let share = |used: Duration| used.as_secs_f64() / took.as_secs_f64() * 100.0;
    println!(
        "{label:>9} {:>8.0} | {:>28} | {:>28} | {:>6.0} % {:>6.0} %",
        *made as f64 / took.as_secs_f64(),
        spread(first, FIRST),
        spread(all, [ALL, ALL]),
        share(used[0]),
        share(used[1]),
    );
}

fn print_stages(label: &str, before: &Stages, after: &Stages, measured: &Measured) {
    let stages = STAGES.map(|stage| (stage, after.since(before, stage)));
    let total: f64 = stages.iter().map(|(_, stage)| stage.mean()).sum();
    for (name, stage) in &stages {
        let (mean, share) = (stage.mean(), stage.mean() / total * 100.0);
        println!("{label:>9} {name:>8} | {mean:>9.3} {share:>5.0} % {:>14.3}", stage.within(0.99));
    }
    let all = ms(&measured.all)(0.5);
    println!("{label:>9} {:>8} | {total:>9.3} {:>7} (at the last client, p50: {all:.3})", "together", "");
}

fn ms(spread: &Spread) -> impl Fn(f64) -> f64 {
    |share| spread.at(share).as_secs_f64() * 1e3
}

fn beside(figure: f64, budget: f64) -> String {
    format!("{figure:>8.2}{}", if figure < budget { ' ' } else { '*' })
}
