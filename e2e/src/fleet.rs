//! Many clients of ADS in one process, for measurements: each subscribes to every cluster and every load assignment of one Gateway and
//! answers honestly, or slowly, or refuses.
//!
//! ```text
//!  Fleet ─► Client (one task each) ─► Wire (gRPC on HTTP/2, counted)
//!    │         └─► Held (what it holds, asks and answers; without IO)
//!    └─ orders ┘   Tally (counts and times of all)
//! ```
//!
//! They must cost little beside the server that is measured, so bodies are skipped and names and versions shared.

mod client;
pub mod command;
mod held;
mod light;
mod spread;
mod tally;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;

use self::client::{Client, Connections, Manner, Order, Shared};
use self::held::{Held, Texts};
pub use self::spread::Spread;
pub use self::tally::Figures;
use self::tally::Tally;
pub use self::wire::Tls;
use crate::syncgate::Variant;

/// Connections that are opened at once; a listener's queue is not much longer.
const OPENING: usize = 500;
/// How long a fleet may take for anything.
const PATIENCE: Duration = Duration::from_secs(300);
/// A storm has begun, and is not over.
const IN_THE_MIDDLE: Duration = Duration::from_millis(300);

/// What a fleet is.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// The ADS server.
    #[arg(long, value_name = "IP:PORT")]
    pub target: SocketAddr,
    /// Whose configuration is asked for, as `<namespace>/<name>`.
    #[arg(long)]
    pub gateway: String,
    /// Streams.
    #[arg(long, default_value_t = 1_000)]
    pub streams: usize,
    /// Streams of each connection.
    #[arg(long, default_value_t = 1)]
    pub streams_per_connection: usize,
    /// How they speak.
    #[arg(long, value_enum, default_value_t = Variant::Delta)]
    pub variant: Variant,
    /// So many of the streams read a message every five seconds.
    #[arg(long, default_value_t = 0)]
    pub slow: usize,
    /// So many of the streams refuse everything.
    #[arg(long, default_value_t = 0)]
    pub refusing: usize,
}

impl Plan {
    /// Honest clients of this Gateway.
    #[must_use]
    pub fn new(target: SocketAddr, gateway: &str, streams: usize, variant: Variant) -> Self {
        Self { target, gateway: gateway.to_owned(), streams, streams_per_connection: 1, variant, slow: 0, refusing: 0 }
    }

    /// The last ones are the others.
    fn manner(&self, number: usize) -> Manner {
        if number >= self.streams.saturating_sub(self.refusing) {
            Manner::Refusing
        } else if number >= self.honest() {
            Manner::Slow
        } else {
            Manner::Honest
        }
    }

    fn honest(&self) -> usize {
        self.streams.saturating_sub(self.refusing + self.slow)
    }
}

/// TLS from files: who signed the server's certificate, the name in it, and the own certificate with its key.
pub fn tls(ca: &Path, server: &str, own: Option<(&PathBuf, &PathBuf)>) -> Result<Tls> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| format!("read {}", ca.display()))? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)?.collect();
            builder.with_client_auth_cert(chain?, PrivateKeyDer::from_pem_file(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Tls { config: Arc::new(config), server: server.to_owned() })
}

/// Clients that run. Dropping it ends them.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    texts: Arc<Texts>,
    honest: usize,
    streams: usize,
    _clients: JoinSet<()>,
}

impl Fleet {
    /// Starts all clients at once.
    #[must_use]
    pub fn start(plan: &Plan, tls: Option<Tls>) -> Self {
        let per = plan.streams_per_connection.max(1);
        let connections = Connections {
            target: plan.target,
            tls,
            streams: per,
            shared: (0..plan.streams.div_ceil(per)).map(|_| Mutex::default()).collect(),
            opening: Semaphore::new(OPENING),
        };
        let shared = Arc::new(Shared { variant: plan.variant, connections, tally: Tally::default() });
        let (texts, orders) = (Arc::<Texts>::default(), watch::Sender::new(Order { below: 0, at: Instant::now() }));
        let mut clients = JoinSet::new();
        for number in 0..plan.streams {
            let manner = plan.manner(number);
            let (id, refuses) = (format!("fleet-{number}"), manner == Manner::Refusing);
            let held = Held::new(plan.variant, texts.clone(), &plan.gateway, id, refuses);
            clients.spawn(Client { number, manner, held, shared: shared.clone(), orders: orders.subscribe() }.run());
        }
        Self { shared, orders, texts, honest: plan.honest(), streams: plan.streams, _clients: clients }
    }

    /// Waits until every honest client holds everything, with a word of progress each second.
    pub async fn whole(&self) -> Result<Spread> {
        self.with_progress(self.shared.tally.all_whole(self.honest, PATIENCE)).await
    }

    /// Makes a change of one load assignment and waits until every honest client was told of it.
    pub async fn told(&self, change: impl AsyncFnOnce() -> Result<()>) -> Result<Spread> {
        self.shared.tally.begin();
        let since = Instant::now();
        change().await?;
        Ok(Spread::of(self.shared.tally.all_told(self.honest, since, PATIENCE).await?))
    }

    /// Lets so many clients reconnect at once with what they hold, and waits until each was answered.
    pub async fn reconnect(&self, count: usize) -> Result<Spread> {
        self.shared.tally.begin();
        let below = count.min(self.honest);
        self.orders.send_replace(Order { below, at: Instant::now() });
        self.with_progress(self.shared.tally.all_whole(below, PATIENCE)).await
    }

    /// The same, and in the middle of it a change of one load assignment: how long until as many clients were told of that as stayed.
    pub async fn reconnect_during(
        &self,
        count: usize,
        change: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<(Spread, Spread)> {
        let told = async {
            tokio::time::sleep(IN_THE_MIDDLE).await;
            let since = Instant::now();
            change().await?;
            self.shared.tally.all_told(self.honest.saturating_sub(count), since, PATIENCE).await
        };
        let (storm, told) = tokio::try_join!(self.reconnect(count), told)?;
        Ok((storm, Spread::of(told)))
    }

    /// For each new version of a load assignment that all honest clients were told of since the last change or storm: how long after the
    /// first of them.
    #[must_use]
    pub fn changes(&self) -> Vec<Spread> {
        self.shared.tally.told_to_all(self.honest).into_iter().map(Spread::of).collect()
    }

    /// Forgets when clients were told of what.
    pub fn forget(&self) {
        self.shared.tally.begin();
    }

    /// Every new version of a load assignment since the last change or storm: its name, and when each honest client was told.
    #[must_use]
    pub fn arrivals(&self) -> Vec<(String, Vec<Instant>)> {
        let arrivals = self.shared.tally.arrivals().into_iter();
        arrivals.map(|((name, _), times)| (self.texts.text(name), times)).collect()
    }

    /// Counts so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.shared.tally.figures()
    }

    async fn with_progress(&self, times: impl Future<Output = Result<Vec<Duration>>>) -> Result<Spread> {
        let (since, mut times) = (Instant::now(), std::pin::pin!(times));
        loop {
            tokio::select! {
                times = &mut times => return Ok(Spread::of(times?)),
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    let (figures, whole) = (self.figures(), self.shared.tally.whole_count());
                    eprintln!(
                        "{:.0?}: {} of {} streams open, {whole} whole, {} resources, {} MiB, {} failures",
                        since.elapsed(), figures.open, self.streams, figures.resources, figures.bytes >> 20, figures.failures
                    );
                    if let Some((reason, count)) = self.shared.tally.reasons().first() {
                        eprintln!("    {count} times: {reason}");
                    }
                }
            }
        }
    }
}
