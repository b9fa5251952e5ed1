//! Namespaces that are created and deleted in turn, each with rights, a Service, a pod and a route of its own, while others carry traffic:
//! no request fails, and what was left behind at the end is what was there at the start.
//!
//! `SYNCGATE_CHURN_NAMESPACES` says how many come and go; the default keeps the test short.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use syncgate_e2e::kube::api::{Api, Refusal};
use syncgate_e2e::kube::objects::{self, pod, service};
use syncgate_e2e::kube::resource::NAMESPACES;
use syncgate_e2e::kube_bed::objects::route;
use syncgate_e2e::kube_bed::{KubeBed, Scope, Setup};
use syncgate_e2e::load::{Allowed, Call};
use syncgate_e2e::manifests::{BACKEND_PORT, rule};
use syncgate_e2e::scenario::Release;
use syncgate_e2e::settled::PATIENCE;
use syncgate_e2e::syncgate::{Syncgate, Variant};
use syncgate_e2e::wait::eventually;
use syncgate_e2e::{http, rbac, usage};
use tokio::task::{JoinError, JoinSet, LocalSet};

const NAME: &str = "k8s-namespaces";
const LABEL: &str = "syncgate.dev/watched";
const GATEWAY: &str = "web";
/// Namespaces that carry traffic.
const LASTING: usize = 50;
/// Namespaces that come and go, unless the variable says otherwise.
const PASSING: usize = 60;
/// Of these, so many at the same time: each waits most of its life for the controller that deletes it, which begins after 5 s.
const AT_ONCE: usize = 32;
/// Namespaces that come and go before the start is measured: code that runs for the first time costs once and for all.
const FIRST: usize = 8;
/// Requests a second that are scheduled, and required because two cores carry everything.
const RATE: u32 = 300;
const REQUIRED: f64 = 250.0;
/// How long a namespace may take to be served or to be gone: hundreds of requests of the controllers stand between.
const TURN: Duration = Duration::from_secs(60);
/// A watch that was opened at the peak lives on for 200 s, and holds a connection to the API server that nothing else would need.
const LONGEST_WATCH: Duration = Duration::from_secs(230);
/// The share by which resident memory may have grown.
const GROWTH: f64 = 0.05;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_leaves_nothing_behind() -> Result<()> {
    let Some(setup) = Setup::installed(NAME, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let passing = match std::env::var("SYNCGATE_CHURN_NAMESPACES") {
        Ok(number) => number.parse().context("SYNCGATE_CHURN_NAMESPACES is no number")?,
        Err(_) => PASSING,
    };
    let start = Instant::now();
    let mut bed = KubeBed::start(&setup, NAME, Scope::Selector(LABEL)).await?;
    bed.gateway(GATEWAY, &[]).await?;
    for number in 0..LASTING {
        let namespace = format!("lasting-{number}");
        bed.namespace(&namespace).await?;
        bed.deploy(&namespace, &namespace).await?;
        bed.apply(&[route(&namespace, "web", &host(&namespace), &[GATEWAY], &[rule("/", &namespace)])]).await?;
    }
    let shared = bed.backend("passing").await?;
    bed.add_replica().await?;
    bed.start_envoy(GATEWAY, Release::Newest, Variant::Delta).await?;
    let names: Vec<String> = (0..LASTING).map(|number| format!("lasting-{number}")).collect();
    for name in &names {
        bed.answered_by(&host(name), "/", name).await?;
    }
    let call =
        |name: &String| Call { host: host(name), path: "/".into(), allowed: Allowed::any_of([name.clone()].into()) };
    let load = bed.load(GATEWAY, RATE, names.iter().map(call).collect()).await?;

    eprintln!("{LASTING} namespaces carry traffic after {:.1?}", start.elapsed());
    let syncgate = &bed.replicas()[0].syncgate;
    pass(&bed, shared, 0..FIRST).await?;
    let before = settle(syncgate).await?;
    let since = Instant::now();
    eprintln!("before, after {:.1?}: {before}", start.elapsed());
    pass(&bed, shared, FIRST..FIRST + passing).await?;
    let took = since.elapsed();
    load.ensure_clean_so_far().map_err(|reason| bed.with_logs(reason))?;

    eprintln!("all came and went after {:.1?}", start.elapsed());
    let after = eventually("what passed to have left nothing behind", LONGEST_WATCH, async || {
        let now = State::of(syncgate).await?;
        now.ensure_same(&before)?;
        Ok(now)
    });
    let after = after.await.map_err(|reason| bed.with_logs(reason))?;
    eprintln!("as before after {:.1?}", start.elapsed());
    bed.converged().await?;
    let report = load.stop().await?;
    let growth = after.resident as f64 / before.resident as f64 - 1.0;
    usage::figure(&format!(
        "{NAME}: {passing} namespaces came and went in {took:.1?} beside {LASTING} that carried {} requests, {} failed; \
         before {before}; after {after}; resident memory {:+.1} %",
        report.sent,
        report.failed,
        growth * 100.0
    ))?;
    report.ensure_clean(REQUIRED).map_err(|reason| bed.with_logs(reason))?;
    ensure!(growth <= GROWTH, "resident memory grew from {before} to {after}");
    Ok(())
}

fn host(namespace: &str) -> String {
    format!("{namespace}.example.com")
}

/// Lets namespaces come and go, some at the same time.
async fn pass(bed: &KubeBed, pod: IpAddr, numbers: Range<usize>) -> Result<()> {
    // On this thread: what waits for a condition cannot move to another.
    LocalSet::new().run_until(pass_here(bed, pod, numbers)).await
}

async fn pass_here(bed: &KubeBed, pod: IpAddr, numbers: Range<usize>) -> Result<()> {
    let gateway = bed.http(GATEWAY)?;
    let mut lives = JoinSet::new();
    for number in numbers {
        if lives.len() >= AT_ONCE {
            ended(bed, lives.join_next().await)?;
        }
        let api = bed.api().clone();
        lives.spawn_local(async move { live(&api, gateway, &format!("passing-{number}"), pod).await });
    }
    while !lives.is_empty() {
        ended(bed, lives.join_next().await)?;
    }
    Ok(())
}

fn ended(bed: &KubeBed, life: Option<Result<Result<()>, JoinError>>) -> Result<()> {
    life.map_or(Ok(()), |life| life?).map_err(|reason| bed.with_logs(reason))
}

/// One namespace: created with all that it needs, served, deleted, gone, and not served any more.
async fn live(api: &Api, gateway: SocketAddr, name: &str, ip: IpAddr) -> Result<()> {
    api.create(&objects::namespace(name, &json!({LABEL: ""}))).await?;
    for grant in rbac::inside(name)? {
        api.create(&grant).await?;
    }
    let mut backend = pod(name, "web-0", "web", ip, BACKEND_PORT);
    // No kubelet ends it.
    backend["spec"]["terminationGracePeriodSeconds"] = 0.into();
    let routed = route(name, "web", &host(name), &[GATEWAY], &[rule("/", "web")]);
    api.create_all([service(name, "web", BACKEND_PORT), backend, routed], 3).await?;
    eventually(&format!("{name} to be served"), TURN, async || {
        let answer = http::get(gateway, &host(name), "/").await?;
        ensure!(answer.backend() == Some("passing"), "{} from {:?}", answer.status, answer.backend());
        Ok(())
    })
    .await?;
    api.delete(&NAMESPACES, "", name).await?;
    eventually(&format!("{name} to be gone"), TURN, async || {
        // Gently: this is no load on the API server that a cluster has.
        tokio::time::sleep(Duration::from_millis(500)).await;
        match api.get(&NAMESPACES, "", name).await {
            Err(refusal) if Refusal::code_of(&refusal) == Some(404) => Ok(()),
            Err(failed) => Err(failed),
            Ok(still) => Err(anyhow::anyhow!("it is there: {}", still["status"])),
        }
    })
    .await?;
    eventually(&format!("{name} not to be served"), TURN, async || {
        let answer = http::get(gateway, &host(name), "/").await?;
        ensure!(answer.status == 404, "{} from {:?}", answer.status, answer.backend());
        Ok(())
    })
    .await
}

/// What a process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    /// Rows by source.
    rows: BTreeMap<String, u64>,
    /// Rows by collection of the graph.
    collections: BTreeMap<String, u64>,
    namespaces: usize,
    sockets: usize,
    api_connections: u64,
    tasks: u64,
    resident: u64,
}

impl State {
    async fn of(syncgate: &Syncgate) -> Result<Self> {
        let sources = syncgate.debug("/debug/sources").await?;
        let of = |list: &str| sources[list].as_array().cloned().context("the page of sources has another form");
        let row = |source: &Value| Some((source["source"].as_str()?.to_owned(), source["rows"].as_u64()?));
        let metrics = syncgate.metrics().await?;
        let metric = |name: &str| metrics.get(name).copied().with_context(|| format!("no metric {name}"));
        let collections = metrics.iter().filter(|(name, _)| name.starts_with("syncgate_collection_rows{"));
        Ok(Self {
            rows: of("sources")?.iter().filter_map(row).collect(),
            collections: collections.map(|(name, rows)| (name.clone(), *rows as u64)).collect(),
            namespaces: of("namespaces")?.len(),
            sockets: usage::sockets(syncgate.pid()?)?,
            api_connections: metric("syncgate_api_connections")? as u64,
            tasks: metric("syncgate_process_tasks")? as u64,
            resident: usage::resident(syncgate.pid()?)?,
        })
    }

    /// Everything but memory, which has a margin.
    fn ensure_same(&self, before: &Self) -> Result<()> {
        let differs = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let names = now.keys().chain(then.keys()).filter(|name| now.get(*name) != then.get(*name));
            names.map(|name| format!("{name}: {:?}, was {:?}", now.get(name), then.get(name))).collect::<Vec<_>>()
        };
        let rows = [differs(&self.rows, &before.rows), differs(&self.collections, &before.collections)].concat();
        ensure!(rows.is_empty(), "rows: {rows:?}");
        let held = |state: &Self| (state.namespaces, state.sockets, state.api_connections, state.tasks);
        ensure!(held(self) == held(before), "now {self}; before {before}");
        Ok(())
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows in {} sources of {} namespaces, {} rows in collections, {} sockets, {} connections to the API server, {} tasks, \
             {:.1} MB resident",
            self.rows.values().sum::<u64>(),
            self.rows.len(),
            self.namespaces,
            self.collections.values().sum::<u64>(),
            self.sockets,
            self.api_connections,
            self.tasks,
            self.resident as f64 / 1e6
        )
    }
}

/// The state once it does not change any more.
async fn settle(syncgate: &Syncgate) -> Result<State> {
    let mut last = State::of(syncgate).await?;
    eventually("the process to be at rest", PATIENCE, async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let earlier = std::mem::replace(&mut last, State::of(syncgate).await?);
        last.ensure_same(&earlier)?;
        Ok(last.clone())
    })
    .await
}
