//! A rolling replacement: two replicas of syncgate behind one address, the newest and the oldest Envoy connected, load on both. One replica
//! after the other is replaced, and the world changes all the while: no request fails, and little is sent again.
//!
//! What it costs is printed (F44): bytes that each Envoy received, the time from a stream to its first ACK, and the time from a change to its
//! effect, through the old replicas and through the new ones.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use syncgate_e2e::http::get;
use syncgate_e2e::kube::objects::{pod, service};
use syncgate_e2e::kube::resource::PODS;
use syncgate_e2e::kube_bed::objects::{http, on_listener, route};
use syncgate_e2e::kube_bed::{KubeBed, Scope, Setup};
use syncgate_e2e::load::{Allowed, Call, Load};
use syncgate_e2e::manifests::{BACKEND_PORT, NAMESPACE, rule};
use syncgate_e2e::scenario::Release;
use syncgate_e2e::settled::PATIENCE;
use syncgate_e2e::syncgate::Variant;
use syncgate_e2e::usage::figure;
use syncgate_e2e::wait::eventually;
use tokio::time::sleep;

const GATEWAYS: [&str; 2] = ["newest", "oldest"];
/// A host whose route moves, one whose pod is replaced, and one that stands by.
const MOVING: &str = "moving.example.com";
const PODS_OF: &str = "pods.example.com";
const BYSTANDER: &str = "still.example.com";
/// Services and routes that do not change: enough that sending them again stands out.
const QUIET: u8 = 100;
/// Theirs alone.
const QUIET_LISTENER: &str = "quiet";
const QUIET_PORT: u16 = 8090;
/// Requests a second at each Gateway: scheduled, and required because two cores carry everything.
const RATE: u32 = 200;
const REQUIRED: f64 = 150.0;
/// What Envoy counts of syncgate's bytes.
const RECEIVED: &str = "cluster.syncgate.upstream_cx_rx_bytes_total";
const CONNECTED: &str = "cluster.syncgate.upstream_cx_total";
/// Of what Envoy received at first, the part that a replacement may bring: the changes, and every load assignment, which some releases of Envoy
/// want again for each cluster. All clusters once more would make it nine tenths.
const RESENT_SHARE: f64 = 0.55;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta() -> Result<()> {
    play("k8s-replacement-delta", Variant::Delta).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_of_the_world() -> Result<()> {
    play("k8s-replacement-sotw", Variant::Sotw).await
}

fn moving(to: &str) -> Value {
    on_listener(route(NAMESPACE, "moving", MOVING, &GATEWAYS, &[rule("/", to)]), "http")
}

struct Show {
    bed: KubeBed,
    moving: Allowed,
    pods: Allowed,
    loads: Vec<Load>,
    /// Who answers for the host that moves, and for the one whose pod is replaced.
    turn: (bool, bool),
}

async fn play(name: &str, variant: Variant) -> Result<()> {
    let Some(setup) = Setup::installed(name, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let mut show = begin(&setup, name, variant).await?;
    let (at_first, old_acks, old) = (show.received().await?, show.first_acks().await?, show.propagation().await?);
    for turn in ["first", "second"] {
        let replaced = show.replace().await.map_err(|reason| show.bed.with_logs(reason.context(turn)));
        for ((gateway, first), Received { bytes, connections }) in GATEWAYS.iter().zip(&at_first).zip(replaced?) {
            let share = bytes as f64 / first.bytes as f64;
            figure(&format!(
                "{name}: {turn} replacement: {gateway} received {bytes} bytes, the changes too, with {connections} new connections; \
                 at first it had received {}",
                first.bytes
            ))?;
            // State of the world repeats all clusters whenever one comes or goes.
            let resent = variant == Variant::Delta && share > RESENT_SHARE;
            ensure!(!resent, "{gateway} received {:.0} % of what it had received at first", share * 100.0);
        }
    }
    let (new_acks, new) = (show.first_acks().await?, show.propagation().await?);
    figure(&format!(
        "{name}: from a stream to its first ACK {old_acks} with the old replicas, {new_acks} with the new ones"
    ))?;
    figure(&format!(
        "{name}: from a change to its effect {old:.1?} through the old replicas, {new:.1?} through the new ones"
    ))?;
    show.bed.converged().await?;
    for (gateway, load) in GATEWAYS.iter().zip(std::mem::take(&mut show.loads)) {
        let report = load.stop().await?;
        figure(&format!("{name}: {gateway} answered {} requests, {} failed", report.sent, report.failed))?;
        report.ensure_clean(REQUIRED).map_err(|reason| show.bed.with_logs(reason))?;
    }
    Ok(())
}

async fn begin(setup: &Setup, name: &str, variant: Variant) -> Result<Show> {
    let mut bed = KubeBed::start(setup, name, Scope::Cluster).await?;
    for gateway in GATEWAYS {
        bed.gateway(gateway, &[http(QUIET_LISTENER, QUIET_PORT)]).await?;
    }
    for name in ["one", "two", "still", "pods"] {
        bed.deploy(NAMESPACE, name).await?;
    }
    bed.apply(&[
        moving("one"),
        on_listener(route(NAMESPACE, "pods", PODS_OF, &GATEWAYS, &[rule("/", "pods")]), "http"),
        on_listener(route(NAMESPACE, "still", BYSTANDER, &GATEWAYS, &[rule("/", "still")]), "http"),
    ])
    .await?;
    let quiet = (1..=QUIET).flat_map(|number| {
        let name = format!("quiet-{number}");
        let ip = std::net::Ipv4Addr::new(10, 244, 0, number).into();
        let host = format!("{name}.example.com");
        [
            service(NAMESPACE, &name, BACKEND_PORT),
            pod(NAMESPACE, &format!("{name}-0"), &name, ip, BACKEND_PORT),
            on_listener(route(NAMESPACE, &name, &host, &GATEWAYS, &[rule("/", &name)]), QUIET_LISTENER),
        ]
    });
    bed.api().create_all(quiet, 16).await?;
    bed.start_replica()?;
    bed.add_replica().await?;
    bed.start_envoy("newest", Release::Newest, variant).await?;
    bed.start_envoy("oldest", Release::Oldest, variant).await?;
    for (host, backend) in [(MOVING, "one"), (PODS_OF, "pods"), (BYSTANDER, "still")] {
        bed.answered_by(host, "/", backend).await?;
    }
    let (moves, pods) = (Allowed::only(["one"]), Allowed::only(["pods"]));
    let call = |host: &str, allowed: &Allowed| Call { host: host.into(), path: "/".into(), allowed: allowed.clone() };
    let mut loads = Vec::new();
    for gateway in GATEWAYS {
        let calls = vec![call(MOVING, &moves), call(PODS_OF, &pods), call(BYSTANDER, &Allowed::only(["still"]))];
        loads.push(bed.load(gateway, RATE, calls).await?);
    }
    // The second backend of the pods, for later.
    bed.backend("pods-b").await?;
    Ok(Show { bed, moving: moves, pods, loads, turn: (false, false) })
}

impl Show {
    /// One replica is replaced as a Deployment does it: the new one is ready before the old one is told to end. Gives what each Envoy
    /// received meanwhile.
    async fn replace(&mut self) -> Result<Vec<Received>> {
        let before = self.received().await?;
        self.bed.start_replica()?;
        // While the new one starts.
        self.route_moves().await?;
        self.bed.balanced().await?;
        let old = self.bed.retire(0)?;
        // In its lame-duck time, while it closes its streams, and after.
        self.pod_is_replaced().await?;
        self.route_moves().await?;
        self.bed.ended(old).await?;
        self.pod_is_replaced().await?;
        self.route_moves().await?;
        self.bed.balanced().await?;
        self.loads.iter().try_for_each(Load::ensure_clean_so_far)?;
        let after = self.received().await?;
        let since = |(before, after): (&Received, Received)| Received {
            bytes: after.bytes - before.bytes,
            connections: after.connections - before.connections,
        };
        Ok(before.iter().zip(after).map(since).collect())
    }

    /// The route goes to the other of two Services. Gives the time until each Envoy did so.
    async fn route_moves(&mut self) -> Result<Vec<Duration>> {
        let (old, new) = if self.turn.0 { ("two", "one") } else { ("one", "two") };
        self.turn.0 = !self.turn.0;
        self.moving.set([old, new]);
        let since = Instant::now();
        self.bed.apply(&[moving(new)]).await?;
        let took = self.first_answers(MOVING, new, since).await?;
        self.bed.answered_by(MOVING, "/", new).await?;
        self.moving.set([new]);
        Ok(took)
    }

    /// The pod is replaced by one of another address.
    async fn pod_is_replaced(&mut self) -> Result<()> {
        let (old, new) = if self.turn.1 { ("pods-b", "pods") } else { ("pods", "pods-b") };
        self.turn.1 = !self.turn.1;
        self.pods.set([old, new]);
        let number = |backend: &str| if backend == "pods" { "pods-0" } else { "pods-1" };
        let ip = self.bed.address_of(new)?;
        self.bed.api().create_with_status(&pod(NAMESPACE, number(new), "pods", ip, BACKEND_PORT)).await?;
        self.bed.api().delete(&PODS, NAMESPACE, number(old)).await?;
        self.bed.answered_by(PODS_OF, "/", new).await?;
        self.pods.set([new]);
        Ok(())
    }

    async fn first_answers(&self, host: &str, backend: &str, since: Instant) -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        for gateway in GATEWAYS {
            let at = self.bed.http(gateway)?;
            eventually(&format!("{backend} to answer at {gateway}"), PATIENCE, async || {
                let answer = get(at, host, "/").await?;
                ensure!(answer.backend() == Some(backend), "{} from {:?}", answer.status, answer.backend());
                Ok(())
            })
            .await?;
            took.push(since.elapsed());
        }
        Ok(took)
    }

    /// The median time from a change, asked of the API server, to its effect at each Envoy.
    async fn propagation(&mut self) -> Result<Vec<Duration>> {
        const ROUNDS: usize = 5;
        let mut took = vec![Vec::new(); GATEWAYS.len()];
        for _ in 0..ROUNDS {
            for (times, time) in took.iter_mut().zip(self.route_moves().await?) {
                times.push(time);
            }
            sleep(Duration::from_millis(200)).await;
        }
        let median = |mut times: Vec<Duration>| {
            times.sort();
            times[ROUNDS / 2]
        };
        Ok(took.into_iter().map(median).collect())
    }

    async fn received(&self) -> Result<Vec<Received>> {
        let mut all = Vec::new();
        for gateway in GATEWAYS {
            let stats = self.bed.envoy(gateway)?.stats("^cluster\\.syncgate\\.upstream_cx_").await?;
            let count = |name: &str| stats.get(name).copied().with_context(|| format!("Envoy does not count {name}"));
            all.push(Received { bytes: count(RECEIVED)?, connections: count(CONNECTED)? });
        }
        Ok(all)
    }

    /// Over all replicas.
    async fn first_acks(&self) -> Result<FirstAcks> {
        let mut acks = FirstAcks { streams: 0.0, seconds: 0.0 };
        for replica in self.bed.replicas() {
            let metrics = replica.syncgate.metrics().await?;
            let of = |name: &str| metrics.get(name).copied().unwrap_or_default();
            acks.streams += of("syncgate_stream_first_ack_seconds_count");
            acks.seconds += of("syncgate_stream_first_ack_seconds_sum");
        }
        ensure!(acks.streams > 0.0, "no stream had an ACK");
        Ok(acks)
    }
}

/// What an Envoy received of syncgate, and how often it connected to it.
#[derive(Debug, Clone, Copy)]
struct Received {
    bytes: u64,
    connections: u64,
}

/// Streams that had a first ACK, and the times to it together.
#[derive(Debug, Clone, Copy)]
struct FirstAcks {
    streams: f64,
    seconds: f64,
}

impl std::fmt::Display for FirstAcks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1?} ({} streams)", Duration::from_secs_f64(self.seconds / self.streams), self.streams)
    }
}
