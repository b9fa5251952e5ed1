//! The main job, live: the programs behind an example's pods, syncgate on its manifests, and an Envoy in front.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::RootCertStore;

use crate::address::Loopback;
use crate::backend::Backend;
use crate::bed::{PATIENCE, Setup};
use crate::certificates::Authority;
use crate::envoy::Envoy;
use crate::example::{Example, Expected, Request};
use crate::folder::Folder;
use crate::http::{Answer, Connection};
use crate::syncgate::{self, Addresses, Source, Syncgate};
use crate::wait::eventually;

/// Requests over which a share is measured, and by how many percent it may be off: four standard deviations of a 50 % share.
const SHARE_SAMPLE: u32 = 1000;
const SHARE_TOLERANCE: f64 = 6.5;

/// Where one demo runs.
#[derive(Debug)]
struct Place {
    /// Listeners and backends.
    address: IpAddr,
    syncgate: Addresses,
    envoy_admin: SocketAddr,
    /// Keeps the addresses ours.
    _claim: Option<Loopback>,
}

impl Place {
    /// The addresses that the manifests and the documentation name, so that they can be typed.
    fn documented() -> Self {
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let at = |port| SocketAddr::from((address, port));
        let syncgate = Addresses { xds: at(18000), health: at(8081), admin: at(19000) };
        Self { address, syncgate, envoy_admin: at(19001), _claim: None }
    }

    /// Addresses of its own, so that a check disturbs nothing that runs on this machine and is disturbed by nothing.
    fn own() -> Result<Self> {
        let net = Loopback::claim()?;
        let syncgate = Addresses { xds: net.xds(), health: net.health(), admin: net.admin() };
        Ok(Self { address: net.gateway(), syncgate, envoy_admin: net.envoy_admin(), _claim: Some(net) })
    }
}

/// A running demo; dropping it ends everything.
#[derive(Debug)]
pub struct Demo {
    example: Example,
    place: Place,
    folder: Folder,
    home: PathBuf,
    authority: Authority,
    _backends: Vec<Backend>,
    syncgate: Syncgate,
    envoy: Envoy,
}

impl Demo {
    /// Starts an example on the documented addresses and waits until Envoy is ready.
    pub async fn start(setup: &Setup, example: &Path) -> Result<Self> {
        Self::start_at(setup, example, Place::documented()).await
    }

    /// Starts an example on addresses of its own and asserts every line of its `requests.txt`.
    pub async fn check(setup: &Setup, example: &Path) -> Result<()> {
        let demo = Self::start_at(setup, example, Place::own()?).await?;
        demo.assert_requests().await.map_err(|reason| {
            reason.context(format!(
                "--- syncgate\n{}\n--- envoy\n{}\n---",
                demo.syncgate.log_tail(),
                demo.envoy.log_tail()
            ))
        })
    }

    async fn start_at(setup: &Setup, folder: &Path, place: Place) -> Result<Self> {
        let example = Example::load(folder, place.address)?;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let home = setup.work.join(format!("{name}-{}", place.address));
        if home.exists() {
            std::fs::remove_dir_all(&home).with_context(|| format!("empty {}", home.display()))?;
        }
        let manifests = Folder::create(home.join("manifests"))?;
        for (name, text) in &example.manifests {
            manifests.write_text(name, text)?;
        }
        let authority = Authority::new()?;
        std::fs::write(home.join("ca.pem"), authority.pem())?;
        if !example.missing_secrets.is_empty() {
            let secret = |missing: &crate::example::MissingSecret| {
                authority.secret(&missing.namespace, &missing.name, &missing.host)
            };
            let secrets: Result<Vec<_>> = example.missing_secrets.iter().map(secret).collect();
            manifests.write("certificates.yaml", &secrets?)?;
        }
        let mut backends = Vec::new();
        for (name, address) in &example.pods {
            backends.push(Backend::start(name, *address).await?);
        }
        let log = home.join("syncgate.log");
        let mut syncgate =
            Syncgate::start(&setup.syncgate, &Source::Folder(manifests.path().to_owned()), place.syncgate, &log)?;
        syncgate.ready(PATIENCE).await?;
        let admin = place.envoy_admin;
        let bootstrap =
            syncgate::bootstrap(&setup.syncgate, &example.gateway, place.syncgate.xds, setup.variant, admin).await?;
        let mut envoy = Envoy::start(&setup.envoy, &bootstrap, admin, &home)?;
        envoy.ready(PATIENCE).await?;
        Ok(Self { example, place, folder: manifests, home, authority, _backends: backends, syncgate, envoy })
    }

    /// Prints what can be tried.
    pub fn explain(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "\nEverything runs. Try:\n")?;
        for request in &self.example.requests {
            writeln!(out, "  {}", self.curl(request))?;
            writeln!(out, "      -> {}", request.expected)?;
        }
        let health = self.place.syncgate.health;
        writeln!(out, "\nEdit the manifests and ask again:  {}", self.folder.path().display())?;
        writeln!(out, "Is it ready, and why (not):        curl 'http://{health}/readyz?verbose'")?;
        writeln!(out, "Envoy's admin interface:           http://{}", self.envoy.admin())?;
        writeln!(out, "Logs:                              {}", self.home.display())?;
        writeln!(out, "\nCtrl-C stops all.")?;
        Ok(())
    }

    fn curl(&self, request: &Request) -> String {
        let mut line = "curl ".to_owned();
        if request.tls {
            line += &format!("--cacert {} ", self.home.join("ca.pem").display());
        }
        for (name, value) in &request.headers {
            line += &format!("-H '{name}: {value}' ");
        }
        let scheme = if request.tls { "https" } else { "http" };
        let Request { host, port, path, .. } = request;
        line + &format!("--resolve {host}:{port}:{} '{scheme}://{host}:{port}{path}'", self.place.address)
    }

    async fn assert_requests(&self) -> Result<()> {
        for request in &self.example.requests {
            // Envoy's workers take a new listener up one after the other.
            let what = format!("{request} to give {}", request.expected);
            eventually(&what, PATIENCE.min(Duration::from_secs(5)), async || self.assert_once(request).await).await?;
            if let Expected::Answer { pods, .. } = &request.expected
                && pods.values().any(Option::is_some)
            {
                self.assert_shares(request, pods).await?;
            }
        }
        Ok(())
    }

    async fn assert_once(&self, request: &Request) -> Result<()> {
        let answer = self.ask(request).await;
        match (&request.expected, answer) {
            // A client that was shown another host's certificate ends the handshake too.
            (Expected::Refused, Err(reason)) if format!("{reason:#}").contains("certificate") => Err(reason),
            (Expected::Refused, Err(_)) => Ok(()),
            (Expected::Refused, Ok(answer)) => bail!("answered with {}", answer.status),
            (Expected::Answer { .. }, Err(reason)) => Err(reason),
            (Expected::Answer { status, pods }, Ok(answer)) => {
                let backend = answer.backend().unwrap_or("nobody");
                ensure!(answer.status == *status, "status {} from {backend}: {}", answer.status, answer.text().trim());
                ensure!(pods.is_empty() || pods.contains_key(backend), "answered by {backend}");
                Ok(())
            }
        }
    }

    async fn assert_shares(&self, request: &Request, pods: &BTreeMap<String, Option<u32>>) -> Result<()> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let mut connection = self.connect(request).await?;
        for _ in 0..SHARE_SAMPLE {
            let answer = connection.get_with(&request.authority(), &request.path, &request.headers).await?;
            *counts.entry(answer.backend().unwrap_or("nobody").to_owned()).or_default() += 1;
        }
        for (pod, share) in pods {
            let measured = f64::from(counts.get(pod).copied().unwrap_or_default()) * 100.0 / f64::from(SHARE_SAMPLE);
            if let Some(share) = share {
                let off = (measured - f64::from(*share)).abs();
                ensure!(
                    off <= SHARE_TOLERANCE,
                    "{request}: {pod} has {measured:.1} % instead of {share} %: {counts:?}"
                );
            }
        }
        Ok(())
    }

    async fn ask(&self, request: &Request) -> Result<Answer> {
        self.connect(request).await?.get_with(&request.authority(), &request.path, &request.headers).await
    }

    async fn connect(&self, request: &Request) -> Result<Connection> {
        let to = SocketAddr::from((self.place.address, request.port));
        if !request.tls {
            return Connection::open(to).await;
        }
        // Only the demo's authority is trusted, and its certificates hold one host each: another listener's would fail.
        let roots: RootCertStore = self.authority.roots()?;
        Connection::open_tls(to, &request.host, roots).await
    }
}

/// Starts an example, says what can be tried and waits for Ctrl-C.
pub async fn live(setup: &Setup, example: &Path, out: &mut impl Write) -> Result<()> {
    let start = Instant::now();
    let demo = Demo::start(setup, example).await?;
    writeln!(
        out,
        "{} is live after {:.1?}: Envoy's first configuration was whole.",
        demo.example.gateway,
        start.elapsed()
    )?;
    demo.explain(out)?;
    tokio::signal::ctrl_c().await?;
    writeln!(out, "\nStopping.")?;
    Ok(())
}
