//! Every fault that the proxy knows, each played on a syncgate of its own between a running load and a real API server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use syncgate_e2e::certificates::Authority;
use syncgate_e2e::faults::{Effect, Fault, Reply, Rule, Verb, When};
use syncgate_e2e::kube_bed::lane::{BACKENDS, Lane, Outcome, SECRET};
use syncgate_e2e::kube_bed::{KubeBed, Scope, Setup};
use syncgate_e2e::manifests::NAMESPACE;
use syncgate_e2e::usage::figure;
use tokio::task::{JoinSet, LocalSet};

use super::long;

/// So many are played at once.
const LANES: usize = 7;
/// The pauses of a source: the first, the longest, each twice the one before and no shorter than half of it.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What the server may ask for: five seconds with a quarter more.
const ASKED_PAUSE: Duration = Duration::from_millis(6_250);
/// The prober's second, the spread, the lists, and two cores that carry everything.
const SLACK: Duration = Duration::from_secs(3);
/// Lines in the log: each of nine kinds loses touch and is in touch again; one each for the outage and its end, for a doubt and what became of
/// it, for credentials that are read again, for another cluster and its end.
const LINES: usize = 2 * 9 + 7;

/// How a fault is brought to those whom it would meet by chance, hours later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stir {
    /// It finds everybody by itself.
    Nothing,
    /// All connections are cut first, so that every watch is asked for anew.
    Cut,
    /// All watches expire first, so that everything is listed anew.
    Expire,
}

fn stir(fault: Fault) -> Stir {
    match fault {
        Fault::Refuse
        | Fault::Reset
        | Fault::Outage
        | Fault::BlackHole
        | Fault::Hang
        | Fault::EndWatches
        | Fault::ResetWatches
        | Fault::ExpiredEvent
        | Fault::FutureVersionEvent => Stir::Nothing,
        Fault::CutWatches | Fault::WatchListOff | Fault::NoBookmarks | Fault::EmptyLists => Stir::Expire,
        Fault::Slow
        | Fault::Jitter
        | Fault::Flaky
        | Fault::Unauthorized
        | Fault::Forbidden
        | Fault::NotFound
        | Fault::NoSuchApi
        | Fault::Conflict
        | Fault::Expired
        | Fault::TooManyRequests
        | Fault::StorageInitializing
        | Fault::InternalError
        | Fault::Unavailable
        | Fault::Timeout
        | Fault::FutureVersion => Stir::Cut,
    }
}

/// The rules of a fault, for as many open watches.
fn rules(fault: Fault, watches: u64) -> Vec<Rule> {
    // A lie that is told again when it is asked about is no lie that anybody could see through.
    let on = if fault == Fault::EmptyLists {
        When { requests: Some(0..watches), ..When::default() }
    } else {
        When::default()
    };
    let mut rules = match stir(fault) {
        Stir::Nothing => Vec::new(),
        Stir::Cut => vec![Rule { when: When::default(), effect: Effect::Reset }],
        Stir::Expire => {
            let open = When { verbs: vec![Verb::Watch], requests: Some(0..watches), ..When::default() };
            vec![Rule { when: open, effect: Effect::ErrorEvent(Reply::Expired) }]
        }
    };
    rules.extend(fault.rules(&on));
    rules
}

/// The longest pause that may be under way when a fault ends that lasted this long.
fn longest_pause(lasted: Duration) -> Duration {
    let (mut begun, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    while begun + pause / 2 < lasted {
        begun += pause / 2;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    pause.max(ASKED_PAUSE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_under_load() -> Result<()> {
    let name = "k8s-faults";
    let Some(setup) = Setup::installed(name, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let start = Instant::now();
    let mut bed = KubeBed::start(&setup, name, Scope::Cluster).await?;
    for backend in BACKENDS {
        bed.deploy(NAMESPACE, backend).await?;
    }
    bed.api().create(&Authority::new()?.secret(NAMESPACE, SECRET, "secure.example.com")?).await?;
    let mut lanes = Vec::new();
    for number in 0..LANES {
        lanes.push(Lane::start(&bed, number).await.map_err(|reason| bed.with_logs(reason))?);
    }
    let faults = Fault::value_variants();
    let (rows, wrong) = LocalSet::new().run_until(play_all(lanes, faults)).await?;
    figure("| fault | acted | rows | in sync after | change at Envoy after | lines in the log |")?;
    figure("|---|---|---|---|---|---|")?;
    rows.values().try_for_each(|row| figure(row))?;
    figure(&format!("every fault: {:.0?}", start.elapsed()))?;
    ensure!(wrong.is_empty(), "{} of {} faults:\n{}", wrong.len(), faults.len(), wrong.join("\n"));
    ensure!(rows.len() == faults.len(), "only {} of {} were played", rows.len(), faults.len());
    Ok(())
}

/// Shares the faults among the lanes. Gives the rows of the table, and what went wrong.
async fn play_all(lanes: Vec<Lane>, faults: &[Fault]) -> Result<(BTreeMap<Fault, String>, Vec<String>)> {
    let mut playing = JoinSet::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        let faults: Vec<Fault> = faults.iter().copied().skip(number).step_by(LANES).collect();
        playing.spawn_local(play(lane, faults));
    }
    let (mut rows, mut wrong) = (BTreeMap::new(), Vec::new());
    while let Some(played) = playing.join_next().await {
        let (played, failures) = played?;
        rows.extend(played);
        wrong.extend(failures);
    }
    Ok((rows, wrong))
}

/// Plays the faults of one lane in turn. Gives the rows of the table, and what went wrong.
async fn play(mut lane: Lane, faults: Vec<Fault>) -> (Vec<(Fault, String)>, Vec<String>) {
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for fault in faults {
        let played = one(&mut lane, fault).await;
        match played.with_context(|| fault.name()) {
            Ok(outcome) => rows.push((fault, row(fault, &outcome))),
            Err(reason) => wrong.push(format!("{:#}", lane.with_logs(reason))),
        }
    }
    if let Err(reason) = lane.stop().await {
        wrong.push(format!("{:#}", lane.with_logs(reason)));
    }
    (rows, wrong)
}

async fn one(lane: &mut Lane, fault: Fault) -> Result<Outcome> {
    lane.renew(&fault.name()).await?;
    let time = Duration::from_secs(if long() { 45 } else { 3 });
    let outcome = lane.play(rules(fault, lane.open_watches()), time, longest_pause(time) + SLACK).await?;
    // syncgate writes nothing that could conflict.
    ensure!(outcome.played > 0 || fault == Fault::Conflict, "it did not act");
    let said: Vec<&str> = outcome.lines.iter().map(|line| line.message.as_str()).collect();
    ensure!(said.len() <= LINES, "{} lines in the log: {said:#?}", said.len());
    let loud = outcome.lines.iter().find(|line| line.level == "ERROR");
    ensure!(loud.is_none(), "{loud:?}");
    Ok(outcome)
}

fn row(fault: Fault, outcome: &Outcome) -> String {
    let Outcome { played, in_sync, change, lines, rows } = outcome;
    format!("| {} | {played} | {rows} kept | {in_sync:.2?} | {change:.2?} | {} |", fault.name(), lines.len())
}

#[test]
fn the_longest_pause_follows_from_the_time() {
    assert_eq!(longest_pause(Duration::from_secs(3)), Duration::from_millis(6_400));
    assert_eq!(longest_pause(Duration::from_secs(45)), LONGEST_PAUSE);
}
