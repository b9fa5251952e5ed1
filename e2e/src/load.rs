//! Load at a constant rate. Open loop: the time of a request comes from the schedule, not from the answer before it, so a pause of the proxy
//! shows as latency of every request that fell into it. Every answer is held against what is allowed at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hdrhistogram::Histogram;
use rustls::RootCertStore;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::certificates::Certified;
use crate::http::{Answer, Connection};

/// A request without an answer for this long has failed.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Failures kept with their details; all are counted.
const KEPT: usize = 20;

/// Which backends may answer a call. A scenario changes it while the load runs; a request is held against what was allowed when it left.
#[derive(Debug, Clone)]
pub struct Allowed(watch::Sender<BTreeSet<String>>);

impl Allowed {
    /// Only these.
    #[must_use]
    pub fn only<const N: usize>(backends: [&str; N]) -> Self {
        Self::any_of(backends.map(str::to_owned).into())
    }

    /// Any of these.
    #[must_use]
    pub fn any_of(backends: BTreeSet<String>) -> Self {
        Self(watch::Sender::new(backends))
    }

    /// From now on these.
    pub fn set<const N: usize>(&self, backends: [&str; N]) {
        self.0.send_replace(backends.map(str::to_owned).into());
    }

    fn now(&self) -> BTreeSet<String> {
        self.0.borrow().clone()
    }
}

/// One kind of request; the load goes through its calls in turn.
#[derive(Debug, Clone)]
pub struct Call {
    /// The `Host` header.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Who may answer.
    pub allowed: Allowed,
}

/// TLS of a load's connections.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server name to ask for, which the certificate must be for.
    pub server_name: String,
    /// Who may have signed it.
    pub roots: RootCertStore,
    /// The certificate of the load's own.
    pub own: Option<Certified>,
}

/// What to send where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The proxy's listener.
    pub target: SocketAddr,
    /// How its connections are secured, if they are.
    pub tls: Option<Tls>,
    /// Requests in a second, over all connections.
    pub rate: u32,
    /// Keep-alive connections.
    pub connections: u32,
    /// The requests, sent in turn.
    pub calls: Vec<Call>,
}

impl Plan {
    async fn connect(&self) -> Result<Connection> {
        match &self.tls {
            Some(tls) => {
                Connection::open_tls_as(self.target, &tls.server_name, tls.roots.clone(), tls.own.as_ref()).await
            }
            None => Connection::open(self.target).await,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// From the first to the last.
    pub elapsed: Duration,
    /// Answers by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by host and path, and by backend.
    pub backends: BTreeMap<(String, String), u64>,
    /// Requests without an answer, or with another status than 200.
    pub failed: u64,
    /// Answers from a backend that was not allowed.
    pub wrong: u64,
    /// The first failures and wrong answers in words.
    pub details: Vec<String>,
    /// Microseconds from the scheduled time to the last byte of the answer.
    pub latency: Histogram<u64>,
}

impl Report {
    fn new() -> Result<Self> {
        Ok(Self {
            sent: 0,
            elapsed: Duration::ZERO,
            statuses: BTreeMap::new(),
            backends: BTreeMap::new(),
            failed: 0,
            wrong: 0,
            details: Vec::new(),
            latency: Histogram::new_with_bounds(1, 60_000_000, 3)?,
        })
    }

    /// Requests in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Fails unless at least `rate` requests a second were sent and every one was answered with 200 by an allowed backend.
    pub fn ensure_clean(&self, rate: f64) -> Result<()> {
        ensure!(self.failed == 0 && self.wrong == 0, "{self}");
        ensure!(self.rate() >= rate, "only {:.0} requests/s instead of {rate}: {self}", self.rate());
        Ok(())
    }

    fn note(&mut self, at: Duration, call: &Call, what: &str) {
        if self.details.len() < KEPT {
            self.details.push(format!("after {at:.3?}: {}{}: {what}", call.host, call.path));
        }
    }

    fn record(
        &mut self,
        at: Duration,
        latency: Duration,
        call: &Call,
        allowed: &BTreeSet<String>,
        answer: Result<Answer>,
    ) {
        self.sent += 1;
        self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => {
                self.failed += 1;
                return self.note(at, call, &format!("{reason:#}"));
            }
        };
        *self.statuses.entry(answer.status).or_default() += 1;
        if answer.status != 200 {
            self.failed += 1;
            return self.note(at, call, &format!("{} {}", answer.status, answer.text().trim()));
        }
        let backend = answer.backend().unwrap_or("nobody");
        *self.backends.entry((format!("{}{}", call.host, call.path), backend.to_owned())).or_default() += 1;
        if !allowed.contains(backend) {
            self.wrong += 1;
            self.note(at, call, &format!("answered by {backend}, allowed were {allowed:?}"));
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        writeln!(
            f,
            "{} requests in {:.1?} ({:.0}/s), {} failed, {} from a wrong backend",
            self.sent,
            self.elapsed,
            self.rate(),
            self.failed,
            self.wrong
        )?;
        writeln!(
            f,
            "  latency ms: p50 {:.2}, p99 {:.2}, max {:.2}; statuses {:?}",
            milliseconds(0.5),
            milliseconds(0.99),
            milliseconds(1.0),
            self.statuses
        )?;
        for ((call, backend), count) in &self.backends {
            writeln!(f, "  {call} -> {backend}: {count}")?;
        }
        self.details.iter().try_for_each(|detail| writeln!(f, "  {detail}"))
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    report: Arc<Mutex<Report>>,
    stop: watch::Sender<bool>,
    lanes: JoinSet<()>,
    start: Instant,
}

impl Load {
    /// Opens the connections and starts.
    pub async fn start(plan: Plan) -> Result<Self> {
        if plan.calls.is_empty() || plan.rate == 0 || plan.connections == 0 {
            bail!("a load needs at least one call, one connection and one request a second");
        }
        let mut connections = Vec::new();
        for _ in 0..plan.connections {
            connections.push(plan.connect().await.context("open a connection for the load")?);
        }
        let report = Arc::new(Mutex::new(Report::new()?));
        let stop = watch::Sender::new(false);
        let (plan, start, mut lanes) = (Arc::new(plan), Instant::now(), JoinSet::new());
        for (number, connection) in (0..).zip(connections) {
            let lane = Lane {
                plan: Arc::clone(&plan),
                number,
                start,
                connection: Some(connection),
                report: Arc::clone(&report),
            };
            lanes.spawn(lane.run(stop.subscribe()));
        }
        Ok(Self { report, stop, lanes, start })
    }

    /// Fails as soon as one request failed or one answer was wrong, so that a scenario need not run to its end.
    pub fn ensure_clean_so_far(&self) -> Result<()> {
        let mut report = lock(&self.report);
        report.elapsed = self.start.elapsed();
        ensure!(report.failed == 0 && report.wrong == 0, "{report}");
        Ok(())
    }

    /// Waits for the requests under way and tells what came of it all.
    pub async fn stop(mut self) -> Result<Report> {
        self.stop.send_replace(true);
        while let Some(lane) = self.lanes.join_next().await {
            lane?;
        }
        let mut report = Arc::into_inner(self.report).context("every lane has ended")?.into_inner()?;
        report.elapsed = self.start.elapsed();
        Ok(report)
    }
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection and its share of the schedule.
struct Lane {
    plan: Arc<Plan>,
    number: u32,
    start: Instant,
    connection: Option<Connection>,
    report: Arc<Mutex<Report>>,
}

impl Lane {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let plan = Arc::clone(&self.plan);
        let every = Duration::from_secs(1) / plan.rate;
        for turn in (u64::from(self.number)..).step_by(plan.connections as usize) {
            let due = self.start
                + Duration::from_nanos(u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).saturating_mul(turn));
            tokio::select! {
                () = sleep_until(due) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let call = &plan.calls[usize::try_from(turn % plan.calls.len() as u64).unwrap_or_default()];
            let allowed = call.allowed.now();
            let answer = timeout(REQUEST_LIMIT, self.send(call)).await;
            let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {REQUEST_LIMIT:?}")));
            if answer.is_err() {
                self.connection = None;
            }
            lock(&self.report).record(due - self.start, due.elapsed(), call, &allowed, answer);
        }
    }

    async fn send(&mut self, call: &Call) -> Result<Answer> {
        // A connection that the proxy closed between two requests is replaced, as any client does.
        let mut connection = match self.connection.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.plan.connect().await?,
        };
        let answer = connection.get(&call.host, &call.path).await?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    async fn run(allowed: Allowed, target: SocketAddr) -> Report {
        let call = Call { host: "a.example".into(), path: "/".into(), allowed };
        let plan = Plan { target, tls: None, rate: 500, connections: 4, calls: vec![call] };
        let load = Load::start(plan).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.stop().await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_from_another_backend_is_wrong() {
        let backend = Backend::start("one", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let right = run(Allowed::only(["one"]), backend.address()).await;
        right.ensure_clean(300.0).unwrap();
        assert!(right.sent > 90, "{right}");
        let wrong = run(Allowed::only(["two"]), backend.address()).await;
        assert_eq!(wrong.wrong, wrong.sent);
        assert!(wrong.ensure_clean(1.0).is_err());
    }

    #[tokio::test]
    async fn a_backend_that_goes_away_is_a_failure() {
        let backend = Backend::start("one", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let call = Call { host: "a.example".into(), path: "/".into(), allowed: Allowed::only(["one"]) };
        let plan = Plan { target: backend.address(), tls: None, rate: 500, connections: 2, calls: vec![call] };
        let load = Load::start(plan).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(backend);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(load.ensure_clean_so_far().is_err());
        assert!(load.stop().await.unwrap().failed > 10);
    }
}
