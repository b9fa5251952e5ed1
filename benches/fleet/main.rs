//! Thousands of Envoys on one server: how long until all hold everything, until one change has reached all, until all are back after
//! they reconnected, and until a change in the midst of that has reached those that stayed (at 10,000); what a client costs in memory and a resource in CPU. Beside it go-control-plane's own server with the same resources.
//!
//! The clients run in this process, on the same cores as the server. `SYNCGATE_BENCH_STREAMS` limits their number; the peer is left out
//! unless `SYNCGATE_PEER` names its program, as `make` does.

#![expect(clippy::print_stdout, reason = "a benchmark's report is what it prints")]

mod resources;
mod servers;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use servers::{Kind, Place, Server};
use syncgate_e2e::address::Loopback;
use syncgate_e2e::fleet::{Fleet, Plan, Spread};
use syncgate_e2e::syncgate::Variant;
use syncgate_e2e::usage;

const SIZES: [usize; 3] = [1_000, 5_000, 10_000];
/// Which servers are measured, and how their clients speak.
const CASES: [(Kind, Variant); 5] = [
    (Kind::Syncgate, Variant::Delta),
    (Kind::Peer, Variant::Delta),
    (Kind::Syncgate, Variant::Sotw),
    (Kind::Peer, Variant::Sotw),
    (Kind::SyncgateTls, Variant::Delta),
];
/// Changes of one endpoint, one after the other.
const CHANGES: usize = 9;
/// Clients that reconnect at once.
const STORM: usize = 5_000;
/// The server and its allocator have come to rest by then.
const SETTLES: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let most = std::env::var("SYNCGATE_BENCH_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-fleet");
    std::fs::create_dir_all(&home)?;
    let place = Place { home, net: Loopback::claim()?, peer: std::env::var_os("SYNCGATE_PEER").map(PathBuf::from) };
    println!("{} clusters and as many load assignments; server and clients share the cores", world::CLUSTERS);
    println!("budgets: a change at all 10,000 < 1 s; a client on a connection of its own <= 64 KiB");
    println!(
        "{:<17} {:<5} {:>7} | {:>9} {:>11} {:>10} | {:>28} | {:>33}",
        "server",
        "",
        "streams",
        "whole, s",
        "CPU s/mio",
        "KiB each",
        "change at all: p50 p99 last",
        "reconnected: first last MiB, ms"
    );
    for streams in SIZES.into_iter().filter(|streams| *streams <= most) {
        for (kind, variant) in CASES {
            if kind != Kind::Peer || place.peer.is_some() {
                measure(&place, kind, variant, streams).await?.print(kind, variant, streams);
            }
        }
    }
    Ok(())
}

/// What was measured of one server with one fleet.
struct Row {
    whole: Duration,
    /// Seconds for each million of resources that were sent.
    processor: f64,
    /// Bytes for each client.
    memory: f64,
    /// The median of several changes.
    change: Spread,
    storm: Spread,
    storm_bytes: u64,
    /// In the midst of the storm.
    meanwhile: Duration,
}

async fn measure(place: &Place, kind: Kind, variant: Variant, streams: usize) -> Result<Row> {
    let mut server = Server::start(kind, place).await?;
    let pid = server.pid()?;
    let (empty, busy, start) = (usage::resident(pid)?, usage::processor(pid)?, Instant::now());
    let fleet = Fleet::start(&Plan::new(place.net.xds(), world::FLEET, streams, variant), server.tls.clone());
    fleet.whole().await?;
    let (whole, sent) = (start.elapsed(), fleet.figures().resources);
    tokio::time::sleep(SETTLES).await;
    let processor = (usage::processor(pid)? - busy).as_secs_f64() / (sent as f64 / 1e6);
    let memory = (usage::resident(pid)? as f64 - empty as f64) / streams as f64;
    let mut changes = Vec::new();
    for _ in 0..CHANGES {
        changes.push(fleet.told(async || server.change().await).await?);
        tokio::time::sleep(SETTLES / 10).await;
    }
    changes.sort_by_key(Spread::last);
    let before = fleet.figures().bytes;
    let (storm, told) = fleet.reconnect_during(STORM, async || server.change().await).await?;
    let meanwhile = told.last();
    let storm_bytes = fleet.figures().bytes - before;
    Ok(Row { whole, processor, memory, change: changes.swap_remove(CHANGES / 2), storm, storm_bytes, meanwhile })
}

impl Row {
    fn print(&self, kind: Kind, variant: Variant, streams: usize) {
        let ms = |share| self.change.at(share).as_secs_f64() * 1e3;
        println!(
            "{:<17} {:<5} {streams:>7} | {:>9.2} {:>11.2} {:>10.1} | {:>9.1} {:>8.1} {:>6.1} ms | {:>6.2} {:>7.2} {:>8.2} {:>9.0}",
            kind.name(),
            variant.as_str(),
            self.whole.as_secs_f64(),
            self.processor,
            self.memory / 1024.0,
            ms(0.5),
            ms(0.99),
            ms(1.0),
            self.storm.first().as_secs_f64(),
            self.storm.last().as_secs_f64(),
            self.storm_bytes as f64 / f64::from(1 << 20),
            self.meanwhile.as_secs_f64() * 1e3,
        );
    }
}
