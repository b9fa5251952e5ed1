//! The address of a Service before several replicas, as kube-proxy makes one: each new connection goes to a replica that was ready at its
//! last probe, in turn, and stays there until either side ends it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use crate::http;
use crate::wait::eventually;

/// Between two probes of a replica, and the longest that one may take: the least that a kubelet can be told.
const PROBE: Duration = Duration::from_secs(1);

/// A replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Where connections to it go.
    pub serve: SocketAddr,
    /// Where it answers `/readyz`.
    pub health: SocketAddr,
}

/// The address. Dropping it closes every connection.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    replicas: Arc<Mutex<Replicas>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Replicas {
    /// Each with what its last probe found.
    known: Vec<(Replica, bool)>,
    turn: usize,
}

impl Replicas {
    /// Whose turn it is.
    fn next(&mut self) -> Option<SocketAddr> {
        let ready: Vec<SocketAddr> =
            self.known.iter().filter(|(_, ready)| *ready).map(|(replica, _)| replica.serve).collect();
        self.turn += 1;
        ready.get(self.turn % ready.len().max(1)).copied()
    }
}

impl Balancer {
    /// Listens on `address`, before no replica yet.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("balancer: listen on {address}"))?;
        let address = listener.local_addr()?;
        let replicas = Arc::new(Mutex::new(Replicas::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&replicas)));
        tasks.spawn(probe(Arc::clone(&replicas)));
        Ok(Self { address, replicas, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a replica; it gets connections once a probe finds it ready.
    pub fn add(&self, replica: Replica) {
        lock(&self.replicas).known.push((replica, false));
    }

    /// Takes a replica out. Its connections stay.
    pub fn remove(&self, replica: Replica) {
        lock(&self.replicas).known.retain(|(known, _)| *known != replica);
    }

    /// The replicas that get new connections.
    #[must_use]
    pub fn ready(&self) -> Vec<Replica> {
        lock(&self.replicas).known.iter().filter(|(_, ready)| *ready).map(|(replica, _)| *replica).collect()
    }

    /// Waits until exactly these get new connections.
    pub async fn sends_to(&self, replicas: &[Replica], limit: Duration) -> Result<()> {
        eventually(&format!("new connections to go to {replicas:?}"), limit, async || {
            let ready = self.ready();
            let same = ready.len() == replicas.len() && replicas.iter().all(|replica| ready.contains(replica));
            ensure!(same, "they go to {ready:?}");
            Ok(())
        })
        .await
    }
}

fn lock(replicas: &Mutex<Replicas>) -> MutexGuard<'_, Replicas> {
    replicas.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, replicas: Arc<Mutex<Replicas>>) {
    let mut connections = JoinSet::new();
    loop {
        // A failed accept (a client that is already gone) concerns that client alone.
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without a ready replica the connection is closed at once.
        let Some(to) = lock(&replicas).next() else { continue };
        connections.spawn(forward(stream, to));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut from: TcpStream, to: SocketAddr) {
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    if from.set_nodelay(true).and(to.set_nodelay(true)).is_ok() {
        // An error is one side that went away: both are closed.
        drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
    }
}

async fn probe(replicas: Arc<Mutex<Replicas>>) {
    let mut tick = tokio::time::interval(PROBE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let known: Vec<Replica> = lock(&replicas).known.iter().map(|(replica, _)| *replica).collect();
        let mut probes = JoinSet::new();
        for replica in known {
            probes.spawn(async move {
                let answer = timeout(PROBE, http::get(replica.health, "syncgate", "/readyz")).await;
                (replica, matches!(answer, Ok(Ok(answer)) if answer.status == 200))
            });
        }
        for (probed, found) in probes.join_all().await {
            let mut replicas = lock(&replicas);
            if let Some((_, ready)) = replicas.known.iter_mut().find(|(known, _)| *known == probed) {
                *ready = found;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn connections_go_in_turn_to_those_that_are_ready() {
        let backend = async |name| Backend::start(name, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (one, two) = (backend("one").await, backend("two").await);
        let replica = |backend: &Backend| Replica { serve: backend.address(), health: backend.address() };
        let absent = Replica { serve: one.address(), health: "127.0.0.1:1".parse().unwrap() };
        let balancer = Balancer::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        assert!(http::get(balancer.address(), "a.example", "/").await.is_err(), "nobody is ready");

        for replica in [replica(&one), replica(&two), absent] {
            balancer.add(replica);
        }
        balancer.sends_to(&[replica(&one), replica(&two)], LIMIT).await.unwrap();
        let mut open = http::Connection::open(balancer.address()).await.unwrap();
        let before = open.get("a.example", "/").await.unwrap();
        let next = http::get(balancer.address(), "a.example", "/").await.unwrap();
        assert_ne!(before.backend(), next.backend());

        balancer.remove(replica(&one));
        balancer.remove(replica(&two));
        let after = open.get("a.example", "/").await.unwrap();
        assert_eq!(before.backend(), after.backend(), "an open connection stays where it is");
    }
}
