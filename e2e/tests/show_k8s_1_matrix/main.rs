//! Rights × event. Four syncgates with different rights, and a fifth that loses them, watch the same namespaces of one API server while these
//! are deleted, held by a finalizer, created again, closed to them, and while the server stops, is restored from a backup and loses
//! everything. What is expected of each stands in `table`; what it asked is read from the server's audit log.
//!
//! With `SYNCGATE_LONG=1` the server is away for 60 s instead of 10.

mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use syncgate_e2e::address::Loopback;
use syncgate_e2e::kube::api::Api;
use syncgate_e2e::kube::audit::Mark;
use syncgate_e2e::kube::resource::{CLUSTER_ROLE_BINDINGS, PODS, SERVICES};
use syncgate_e2e::kube::{self, ControlPlane, Options, Snapshot, objects};
use syncgate_e2e::manifests;
use syncgate_e2e::wait::eventually;
use syncgate_e2e::watching::Watcher;
use syncgate_e2e::watching::cell::{Cell, Evidence};
use syncgate_e2e::watching::lines::Line;
use syncgate_e2e::watching::requests::Requests;
use syncgate_e2e::watching::rights::Rights;
use syncgate_e2e::watching::world::{self, Rows};
use tokio::time::sleep;

use table::{
    ALL, AWAY_CELL, BARE, CALM, CALM_CELL, CLUSTER_CELL, CLUSTER_CLOSED_CELL, CLUSTER_REOPENED_CELL, DELETED,
    EMPTY_CELL, HELD, LOSER, NAMESPACED, RECREATED, RESTORED_CELL, RETURNED_CELL, RETURNED_CLUSTER_CELL, STRANGE_CELL,
    TABLE, TABLE_BACK, UNBOUND, WATCH_TIMEOUT, WATCHERS, alike, from, healed, pace, strange,
};

/// How long a cell may take to be as expected: a revocation shows after 5 s and is believed after 3 more; who is refused looks again after
/// at most 10 s, who met another cluster after at most 30 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long it has to stay so.
const STEADY: Duration = Duration::from_secs(6);

/// A kind's word in readiness: in cluster scope that is how a missing right is told of.
const PART: &str = "part changed";
const AWAY: &str = "the API server is not reached";
const BACK: &str = "the API server is reached again";
const DOUBTED: &str = "what the API server lists is not believed before a second look";
const CONFIRMED: &str = "confirmed by a second list";
const ANOTHER: &str = "another cluster answers";
/// Once in the life of a process, whenever it first shows.
const UNTOLD: &str = "no right to get the Namespace kube-system";

/// How often the nine kinds' words in readiness may change for one cause: away and back.
const FLIPS: usize = 18;
/// How long the server is away.
const OUTAGE: Duration = Duration::from_secs(10);
const LONG_OUTAGE: Duration = Duration::from_secs(60);
/// A change that is written right after the server's return is to be here within this time.
const SOON: Duration = Duration::from_secs(2);

/// Everything of one control plane, and since when it is looked at.
struct Matrix {
    plane: ControlPlane,
    watchers: Vec<Watcher>,
    since: Mark,
    began: Instant,
    lines: Vec<usize>,
    before: Vec<BTreeMap<String, Rows>>,
    _net: Loopback,
}

impl Matrix {
    async fn start(folder: std::path::PathBuf) -> Result<Self> {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("k8s-matrix");
        if home.exists() {
            std::fs::remove_dir_all(&home)?;
        }
        std::fs::create_dir_all(&home)?;
        let mut options = Options::new(folder, &home);
        options.controllers = true;
        let plane = ControlPlane::start(options).await?;
        plane.api().create(&manifests::gateway_class()).await?;
        for namespace in ALL {
            world::create(plane.api(), namespace, pods(namespace), &NAMESPACED).await?;
        }
        let (net, mut watchers) = (Loopback::claim()?, Vec::new());
        for ((user, rights), host) in WATCHERS.into_iter().zip(10..) {
            Watcher::grant(&plane, user, rights, &ALL).await?;
            let user = plane.identity(user)?;
            watchers.push(Watcher::start(
                user,
                rights,
                &ALL,
                &[&format!("--watch-timeout={}s", WATCH_TIMEOUT.as_secs())],
                net.host(host),
                &home,
            )?);
        }
        let mut started = Vec::new();
        for watcher in &mut watchers {
            watcher.syncgate.ready(PATIENCE).await?;
            started.push(BTreeMap::new());
        }
        let lines = vec![0; watchers.len()];
        Ok(Self {
            since: plane.audit().mark()?,
            began: Instant::now(),
            plane,
            watchers,
            lines,
            before: started,
            _net: net,
        })
    }

    /// From here on everything counts.
    async fn begin(&mut self) -> Result<()> {
        // The films have caught up.
        sleep(LOOK).await;
        self.since = self.plane.audit().mark()?;
        self.began = Instant::now();
        for (at, watcher) in self.watchers.iter().enumerate() {
            watcher.film().cut();
            self.lines[at] = watcher.lines().len();
            let picture = watcher.picture().await?;
            self.before[at] = ALL.iter().map(|name| ((*name).to_owned(), picture.rows(name))).collect();
            self.before[at].insert(String::new(), world::namespaced(picture.all_rows()));
        }
        Ok(())
    }

    /// Waits until every cell is as expected, and then looks once more after a while.
    async fn settle(&self, event: &str, cell: impl Fn(&Watcher, &str) -> Option<Cell>) -> Result<()> {
        let (since, mut last) = (Instant::now(), None);
        let after = loop {
            match self.check(&cell).await {
                Ok(_) => break since.elapsed(),
                Err(reason) if since.elapsed() > PATIENCE => {
                    return Err(reason.context(format!("{event}: not as expected after {PATIENCE:?}")));
                }
                Err(reason) => last = Some(reason),
            }
            sleep(LOOK).await;
        };
        sleep(STEADY).await;
        let rows = self.check(&cell).await.with_context(|| format!("{event}, after it had been as expected"))?;
        eprintln!("\n{event}: as expected after {after:.1?} and {STEADY:?} later");
        if let Some(last) = last {
            eprintln!("just before that, {last:#}");
        }
        eprintln!("| rights | namespace | states | sources | rows | reads of a kind | requests | lines |");
        eprintln!("|---|---|---|---|---|---|---|---|");
        rows.iter().for_each(|row| eprintln!("| {row} |"));
        Ok(())
    }

    async fn check(&self, cell: &impl Fn(&Watcher, &str) -> Option<Cell>) -> Result<Vec<String>> {
        let (events, api) = (self.plane.audit().since(self.since)?, self.plane.api());
        let elapsed = self.began.elapsed();
        let mut held = BTreeMap::new();
        for name in ALL.into_iter().chain([""]) {
            held.insert(name, world::held(api, name).await.unwrap_or_default());
        }
        let (mut rows, mut off) = (Vec::new(), Vec::new());
        for (at, watcher) in self.watchers.iter().enumerate() {
            let (requests, said) = (Requests::of(&watcher.name, &events), self.said(at));
            if watcher.rights.is_namespaced() {
                requests.ensure_nothing_wide()?;
            }
            let names: &[&str] = if watcher.rights.is_namespaced() { &ALL } else { &[""] };
            for name in names {
                let Some(expected) = cell(watcher, name) else { continue };
                let lines: Vec<Line> =
                    said.iter().filter(|line| !name.is_empty() && line.namespace == *name).cloned().collect();
                let namespace = Some(*name).filter(|name| !name.is_empty());
                let requests = namespace.map_or_else(|| requests.clone(), |name| requests.within(name));
                let evidence = Evidence {
                    namespace,
                    before: &self.before[at][*name],
                    held: &held[name],
                    requests: &requests,
                    elapsed,
                    pace: pace(watcher.rights),
                    lines: &lines,
                };
                let (user, rights) = (&watcher.name, watcher.rights.as_str());
                match expected.check(watcher, &evidence).await {
                    Ok(outcome) => rows.push(format!("{rights} ({user}) | {name} | {outcome}")),
                    Err(reason) => off.push(format!("{rights} ({user}), {name:?}: {reason:#}")),
                }
            }
        }
        ensure!(off.is_empty(), "{} cells are not as expected:\n{}", off.len(), off.join("\n"));
        Ok(rows)
    }

    fn said(&self, at: usize) -> Vec<Line> {
        self.watchers[at].lines()[self.lines[at]..].to_vec()
    }

    /// Looks at the lines that are about no namespace: each with how often it is to be there at least and at most.
    fn ensure_said<'a>(&self, expected: impl Fn(&Watcher) -> Vec<(&'a str, usize, usize)>) -> Result<()> {
        for (at, watcher) in self.watchers.iter().enumerate() {
            let said: Vec<Line> = self.said(at).into_iter().filter(|line| line.namespace.is_empty()).collect();
            let expected: Vec<_> = expected(watcher).into_iter().chain([(UNTOLD, 0, 1)]).collect();
            for line in &said {
                let known = expected.iter().any(|(beginning, ..)| line.message.starts_with(beginning));
                ensure!(known, "{} says {}", watcher.name, line.text);
            }
            for (beginning, least, most) in expected {
                let count = said.iter().filter(|line| line.message.starts_with(beginning)).count();
                ensure!(
                    (least..=most).contains(&count),
                    "{} says {beginning:?} {count} times: {said:#?}",
                    watcher.name
                );
            }
        }
        Ok(())
    }

    async fn still_ready(&self) -> Result<()> {
        for watcher in &self.watchers {
            let answer = watcher.syncgate.probe("/readyz").await?;
            ensure!(answer.status == 200, "{} is not ready: {}", watcher.name, answer.text());
        }
        Ok(())
    }
}

/// Pods of a namespace.
fn pods(namespace: &str) -> u8 {
    if namespace == BARE { 0 } else { 3 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_and_events() -> Result<()> {
    let Some(folder) = kube::installed("rights_and_events")? else { return Ok(()) };
    let start = Instant::now();
    let mut matrix = Matrix::start(folder).await?;
    matrix.namespaces().await?;
    matrix.given_back().await?;
    let backup = matrix.plane.snapshot()?;
    matrix.server_stopped().await?;
    matrix.older_etcd(&backup).await?;
    matrix.empty_etcd(&backup).await?;
    eprintln!("the whole matrix: {:.0?}", start.elapsed());
    Ok(())
}

impl Matrix {
    /// Deleted, held by a finalizer, created again at once, closed.
    async fn namespaces(&mut self) -> Result<()> {
        self.begin().await?;
        self.settle("at rest", from(&[(CALM, [CALM_CELL; 3])], CLUSTER_CELL, CLUSTER_CELL)).await?;
        self.begin().await?;
        let api = self.plane.api();
        api.delete(&CLUSTER_ROLE_BINDINGS, "", LOSER).await?;
        self.loser_is_denied().await?;
        world::hold(api, HELD, true).await?;
        world::delete(api, HELD).await?;
        world::delete(api, DELETED).await?;
        world::unbind(api, UNBOUND).await?;
        world::unbind(api, BARE).await?;
        let away = world::recreate(api, RECREATED, pods(RECREATED), &NAMESPACED).await?;
        ensure!(away < Duration::from_millis(100), "the namespace was away for {away:?}");
        world::gone(api, DELETED).await?;
        self.settle("namespaces", from(&TABLE, CLUSTER_CELL, CLUSTER_CLOSED_CELL)).await?;
        self.ensure_said(|watcher| if watcher.name == LOSER { vec![(PART, 8, 8)] } else { vec![] })?;
        self.still_ready().await
    }

    /// So that it sees nothing of what comes then.
    async fn loser_is_denied(&self) -> Result<()> {
        let loser = self.watchers.iter().find(|watcher| watcher.name == LOSER).context("it watches")?;
        eventually("the missing right to be noticed", PATIENCE, async || {
            let picture = loser.picture().await?;
            let not_yet = picture.sources.iter().find(|(_, source)| source.state != "denied");
            ensure!(not_yet.is_none(), "{not_yet:?}");
            Ok(())
        })
        .await
    }

    /// Everything comes back (F7, F16).
    async fn given_back(&mut self) -> Result<()> {
        self.begin().await?;
        let api = self.plane.api();
        world::hold(api, HELD, false).await?;
        world::bind(api, UNBOUND, &NAMESPACED).await?;
        world::bind(api, BARE, &NAMESPACED).await?;
        world::create(api, DELETED, pods(DELETED), &NAMESPACED).await?;
        Watcher::grant(&self.plane, LOSER, Rights::Cluster, &ALL).await?;
        world::gone(api, HELD).await?;
        self.settle("given back", from(&TABLE_BACK, CLUSTER_CELL, CLUSTER_REOPENED_CELL)).await?;
        self.ensure_said(|watcher| if watcher.name == LOSER { vec![(PART, 8, 8)] } else { vec![] })?;
        self.still_ready().await
    }

    /// The server is away (F15), and what changes right after its return is here soon.
    async fn server_stopped(&mut self) -> Result<()> {
        self.begin().await?;
        self.plane.stop_server().await?;
        sleep(if std::env::var_os("SYNCGATE_LONG").is_some() { LONG_OUTAGE } else { OUTAGE }).await;
        self.settle("server stopped", alike(AWAY_CELL)).await?;
        self.still_ready().await?;
        self.plane.start_server().await?;
        self.change_arrives("server started", async |api| api.delete(&PODS, CALM, "web-0").await.map(drop)).await?;
        self.settle("server started", alike(RETURNED_CELL)).await?;
        self.ensure_said(|_| vec![(AWAY, 1, 1), (BACK, 1, 1), (PART, 1, FLIPS)])?;
        self.still_ready().await
    }

    /// A backup from before the outage: the older state is served, and every later change.
    async fn older_etcd(&mut self, backup: &Snapshot) -> Result<()> {
        self.plane.api().delete(&SERVICES, CALM, "by-hand").await?;
        self.settle(
            "before the restore",
            from(&[(CALM, [RETURNED_CELL; 3])], RETURNED_CLUSTER_CELL, RETURNED_CLUSTER_CELL),
        )
        .await?;
        self.begin().await?;
        self.plane.restore(backup).await?;
        self.settle("etcd restored", alike(RESTORED_CELL)).await?;
        self.change_arrives("after the restore", async |api| api.delete(&PODS, CALM, "web-1").await.map(drop)).await?;
        self.ensure_said(|_| {
            vec![(AWAY, 1, 1), (BACK, 1, 1), (DOUBTED, 0, 1), (CONFIRMED, 0, 1), (PART, 1, 2 * FLIPS)]
        })?;
        self.still_ready().await
    }

    /// An empty etcd: first nobody has a right, then another cluster answers. Only who may not know that believes it.
    async fn empty_etcd(&mut self, backup: &Snapshot) -> Result<()> {
        self.begin().await?;
        self.plane.wipe().await?;
        self.settle("etcd empty", alike(EMPTY_CELL)).await?;
        self.still_ready().await?;

        self.begin().await?;
        for (user, rights) in WATCHERS {
            Watcher::grant(&self.plane, user, rights, &ALL).await?;
        }
        self.settle("etcd empty, rights given", alike(STRANGE_CELL)).await?;
        self.name_another().await?;

        self.plane.apply_crds().await?;
        for namespace in ALL {
            self.plane.api().create(&objects::namespace(namespace, &json!({}))).await?;
            for object in Rights::inside(namespace, &NAMESPACED) {
                self.plane.api().apply(&object).await?;
            }
        }
        self.settle("etcd empty, namespaces created", strange).await?;
        self.name_another().await?;
        self.ensure_said(|watcher| match watcher.rights {
            // Its namespaces find back at times of their own. Doubts within a minute of each other, such as those after the restore, are told
            // of once.
            Rights::Blind => vec![(PART, 0, 2 * FLIPS), (DOUBTED, 0, 1), (CONFIRMED, 0, 1)],
            _ => vec![(PART, 0, FLIPS), (ANOTHER, 1, 1)],
        })?;
        self.still_ready().await?;

        self.begin().await?;
        self.plane.restore(backup).await?;
        self.settle("the backup is back", healed).await?;
        self.still_ready().await
    }

    /// Whoever can know it says why nothing is believed.
    async fn name_another(&self) -> Result<()> {
        for watcher in self.watchers.iter().filter(|watcher| watcher.rights != Rights::Blind) {
            let picture = watcher.picture().await?;
            let classes = &picture.sources["GatewayClass"];
            ensure!(
                classes.state == "stale" && classes.reason.contains("another cluster"),
                "{}: {classes:?}",
                watcher.name
            );
        }
        Ok(())
    }

    /// Makes a change in the namespace where nothing else happens, and waits until everybody holds what the server holds.
    async fn change_arrives(&self, what: &str, change: impl AsyncFn(&Api) -> Result<()>) -> Result<()> {
        let api = self.plane.api();
        change(api).await?;
        let since = Instant::now();
        let held = [world::held(api, CALM).await?, world::held(api, "").await?];
        for watcher in &self.watchers {
            eventually(&format!("{what}: the change at {}", watcher.name), PATIENCE, async || {
                let picture = watcher.picture().await?;
                let (rows, held) = match watcher.rights {
                    Rights::Cluster => (world::namespaced(picture.all_rows()), &held[1]),
                    _ => (picture.rows(CALM), &held[0]),
                };
                ensure!(rows == *held, "{rows:?} instead of {held:?}");
                Ok(())
            })
            .await?;
        }
        let after = since.elapsed();
        eprintln!("\n{what}: a change written right then was everywhere after {after:.2?}");
        ensure!(after < SOON, "{what}: a change was everywhere only after {after:?}");
        Ok(())
    }
}
