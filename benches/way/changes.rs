//! Changes of pods, and how long each took to reach the first client and all of them.
//!
//! Each changes whether a pod is ready, so its address goes from a load assignment or comes back. In one run every Service is changed
//! once, so that no change hides another. Time begins right before the event is written to the socket of the watch.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use syncgate_e2e::fleet::{Fleet, Spread};

use super::answers;
use super::server::Size;

/// Between a change that reached everybody and the next one.
const IDLE: Duration = Duration::from_millis(20);
/// Clients have been told of everything by then.
const SETTLES: Duration = Duration::from_secs(3);

/// The watch of pods, and how the first pod of each Service is.
pub(crate) struct Pods {
    watch: Arc<TcpStream>,
    size: Size,
    ready: Vec<bool>,
    next: usize,
}

/// What was measured of one rate.
pub(crate) struct Measured {
    pub(crate) made: usize,
    /// With everything that follows them.
    pub(crate) took: Duration,
    pub(crate) first: Spread,
    pub(crate) all: Spread,
}

impl Pods {
    pub(crate) fn new(watch: TcpStream, size: Size) -> Self {
        Self { watch: Arc::new(watch), size, ready: vec![true; size.services], next: 0 }
    }

    /// The next change: of which Service, and its event.
    fn change(&mut self) -> (usize, Vec<u8>) {
        let service = self.next;
        self.next = (service + 1) % self.size.services;
        let ready = &mut self.ready[service];
        *ready = !*ready;
        let pod = answers::pod(service * self.size.pods_of_service(), service, *ready);
        (service, answers::event("MODIFIED", "Pod", pod))
    }

    /// One after the other, with nothing else under way.
    pub(crate) async fn single(&mut self, fleet: &Fleet, count: usize) -> Result<Measured> {
        let (start, mut first, mut all) = (Instant::now(), Vec::new(), Vec::new());
        for _ in 0..count {
            let ((_, event), watch) = (self.change(), self.watch.clone());
            let told = fleet.told(async || Ok((&*watch).write_all(&event)?)).await?;
            first.push(told.first());
            all.push(told.last());
            tokio::time::sleep(IDLE).await;
        }
        Ok(Measured { made: count, took: start.elapsed(), first: Spread::of(first), all: Spread::of(all) })
    }

    /// So many a second, whatever becomes of them.
    pub(crate) async fn at_rate(
        &mut self,
        fleet: &Fleet,
        clients: usize,
        rate: u32,
        time: Duration,
    ) -> Result<Measured> {
        let count = (time.as_secs_f64() * f64::from(rate)) as usize;
        ensure!(count <= self.size.services, "a Service would be changed twice");
        let changes: Vec<_> = (0..count).map(|_| self.change()).collect();
        fleet.forget();
        let (watch, start) = (self.watch.clone(), Instant::now());
        // A thread of its own: tokio's clock counts milliseconds.
        let written = tokio::task::spawn_blocking(move || {
            let mut written = HashMap::new();
            for (number, (service, event)) in changes.into_iter().enumerate() {
                let due = start + Duration::from_secs_f64(number as f64 / f64::from(rate));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                written.insert(service, Instant::now());
                (&*watch).write_all(&event)?;
            }
            std::io::Result::Ok(written)
        });
        let written = written.await??;
        let took = start.elapsed();
        tokio::time::sleep(SETTLES).await;
        let (mut first, mut all) = (Vec::new(), Vec::new());
        for (name, times) in fleet.arrivals() {
            let since = *written.get(&service(&name)?).with_context(|| format!("{name} was not changed"))?;
            first.extend(times.iter().min().map(|at| at.saturating_duration_since(since)));
            let last = times.iter().max().map(|at| at.saturating_duration_since(since));
            all.extend(last.filter(|_| times.len() >= clients));
        }
        ensure!(all.len() == count, "all clients were told of {} of {count} changes", all.len());
        Ok(Measured { made: count, took, first: Spread::of(first), all: Spread::of(all) })
    }
}

/// Of `service/<namespace>/<name>-<number>/<port>/<protocol>`.
fn service(cluster: &str) -> Result<usize> {
    let number = cluster.split('/').nth(2).and_then(|name| name.rsplit('-').next()?.parse().ok());
    number.with_context(|| format!("{cluster} is no Service's"))
}
