//! A proxy between syncgate and a real API server that plays faults: what a network, a restarting server or a revoked right does to a
//! client, at the moment a test wants it. TLS ends here on both sides; bearer tokens pass, client certificates cannot. Bodies are
//! streamed. What is not faulted is not changed, but for `Host` and, where a body may have to be edited, `Accept-Encoding`; upgrades
//! (`exec`, `port-forward`) do not pass.
//!
//! It knows HTTP and the API server's conventions, but nothing of syncgate and nothing of how the API server is run.

mod call;
mod command;
mod connection;
mod counts;
mod forward;
mod named;
mod rules;
mod status;
mod stream;
mod upstream;
mod wire;

pub use call::Verb;
pub use command::{Arguments, kubeconfig, run};
pub use counts::Counts;
pub use named::Fault;
pub use rules::{Effect, End, Rule, When};
pub use status::{Encoding, JSON, PROTOBUF, Reply, Status};

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

use self::connection::{Gate, Port};
use self::counts::Tally;
use self::rules::{Dice, RuleSet};
use self::upstream::Upstream;
use crate::certificates::Authority;

/// After a failed accept (no file descriptor left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a proxy stands between.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// `https://HOST:PORT` of the API server.
    pub upstream: String,
    /// The PEM of the API server's authority.
    pub upstream_ca: String,
    /// What chances and delays are drawn from; from the clock if left out.
    pub seed: Option<u64>,
    /// Connections at the same time; more wait to be accepted.
    pub max_connections: usize,
}

impl Options {
    /// For an API server, on a port of its own.
    #[must_use]
    pub fn new(upstream: &str, upstream_ca: &str) -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            upstream: upstream.to_owned(),
            upstream_ca: upstream_ca.to_owned(),
            seed: None,
            max_connections: 1024,
        }
    }
}

/// What all tasks of a proxy share.
struct Shared {
    upstream: Upstream,
    /// Changed by other rules, and touched when a window of theirs opens or closes.
    rules: watch::Sender<Arc<RuleSet>>,
    dice: Dice,
    tally: Tally,
    gate: Arc<Gate>,
    tasks: Tasks,
}

/// A running proxy; everything of it ends when dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    authority: Authority,
    seed: u64,
    orders: mpsc::Sender<Order>,
    door: JoinHandle<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts one that plays nothing yet, and says on standard error where it listens and what its seed is.
    pub async fn start(options: &Options) -> Result<Self> {
        let authority = Authority::new()?;
        let port = Port::open(options.listen)?;
        let address = port.address()?;
        let (certificate, key) = authority.server(&[address.ip().to_string(), "localhost".to_owned()])?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos().into());
        let seed = options.seed.unwrap_or_else(clock);
        let shared = Arc::new(Shared {
            upstream: Upstream::new(&options.upstream, &options.upstream_ca)?,
            rules: watch::Sender::new(Arc::new(RuleSet::new(Vec::new())?)),
            dice: Dice::new(seed),
            tally: Tally::default(),
            gate: Arc::default(),
            tasks: Tasks::default(),
        });
        let (orders, receiver) = mpsc::channel(8);
        let door = Door {
            port: Some(port),
            shared: Arc::clone(&shared),
            tls: TlsAcceptor::from(Arc::new(tls)),
            connections: JoinSet::new(),
            most: options.max_connections,
            boundary: None,
            acting: Vec::new(),
        };
        eprintln!("fault proxy on https://{address} for {}, seed {seed}", options.upstream);
        let door = tokio::spawn(door.keep(receiver));
        Ok(Self { shared, address, authority, seed, orders, door })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server to write into a kubeconfig.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The PEM of the authority of its certificate, which is for its address and for `localhost`.
    #[must_use]
    pub fn ca(&self) -> &str {
        self.authority.pem()
    }

    /// What chances and delays are drawn from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Plays a fault on everything that it concerns, instead of what was played before.
    pub async fn play(&self, fault: Fault) -> Result<()> {
        self.play_on(fault, &When::default()).await
    }

    /// Plays a fault on what `on` matches, instead of what was played before.
    pub async fn play_on(&self, fault: Fault, on: &When) -> Result<()> {
        self.set(fault.rules(on)).await.with_context(|| format!("play {}", fault.name()))
    }

    /// Plays nothing any more.
    pub async fn clear(&self) -> Result<()> {
        self.set(Vec::new()).await
    }

    /// Puts these rules in the place of all others. They are in force when it returns: the port refuses, the connections are reset, the
    /// next request meets them. Watches that are open meet them as soon as their task runs.
    pub async fn set(&self, rules: Vec<Rule>) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let order = Order { rules: Arc::new(RuleSet::new(rules)?), done };
        self.orders.send(order).await.context("the fault proxy has ended")?;
        answer.await.context("the fault proxy has ended")?
    }

    /// What it has seen and done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.tally.now()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.door.abort();
        self.shared.tasks.end();
    }
}

/// Rules to put in force.
struct Order {
    rules: Arc<RuleSet>,
    done: oneshot::Sender<Result<()>>,
}

/// The task that owns the port and the connections.
struct Door {
    /// Always there but while it is being changed.
    port: Option<Port>,
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    connections: JoinSet<()>,
    most: usize,
    /// When a window of the rules opens or closes next.
    boundary: Option<Instant>,
    /// The places of the rules of connections that were in force when last looked.
    acting: Vec<usize>,
}

impl Door {
    async fn keep(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(Order { rules, done }) = order else { return };
                    self.acting.clear();
                    self.shared.rules.send_replace(rules);
                    // Whoever asked may have given up waiting.
                    drop(done.send(self.obey().await));
                }
                () = until(self.boundary) => {
                    if let Err(reason) = self.obey().await {
                        eprintln!("fault proxy: {reason:#}");
                    }
                    self.shared.rules.send_modify(|_| {});
                }
                Some(_) = self.connections.join_next() => {}
                stream = accept(self.port.as_ref()), if self.connections.len() < self.most => match stream {
                    Ok(stream) => {
                        let (tls, shared) = (self.tls.clone(), Arc::clone(&self.shared));
                        self.connections.spawn(connection::serve(stream, tls, shared));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// Does to port and connections what the rules want at this moment.
    async fn obey(&mut self) -> Result<()> {
        let rules = self.shared.rules.borrow().clone();
        let now = Instant::now();
        self.boundary = rules.next_boundary(now);
        let wanted: Vec<(usize, &Effect)> = rules.of_connections(now).collect();
        let wants = |effect: &Effect| wanted.iter().any(|(_, wanted)| *wanted == effect);
        if let Some(port) = self.port.take() {
            self.port = Some(port.refusing(wants(&Effect::Refuse))?);
        }
        self.shared.gate.close(wants(&Effect::BlackHole));
        let begins = wanted.iter().filter(|(at, _)| !self.acting.contains(at));
        for (_, effect) in begins {
            self.shared.tally.fault(effect.label());
            if **effect == Effect::Reset {
                self.shared.gate.reset(true);
                self.connections.shutdown().await;
                self.shared.gate.reset(false);
            }
        }
        self.acting = wanted.iter().map(|(at, _)| *at).collect();
        Ok(())
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn accept(port: Option<&Port>) -> std::io::Result<tokio::net::TcpStream> {
    match port {
        Some(port) => port.accept().await,
        None => std::future::pending().await,
    }
}

/// The tasks that HTTP/2 and the upstreams need beside a connection's own.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(async { drop(task.await) });
    }
}
