//! The servers that are measured, each a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use syncgate_e2e::address::Loopback;
use syncgate_e2e::certificates::Authority;
use syncgate_e2e::fleet::{self, Tls};
use syncgate_e2e::process::Process;
use syncgate_e2e::{http, wait};

use super::resources;
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(60);
/// The name in syncgate's certificate.
const NAME: &str = "syncgate.test";

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Syncgate,
    SyncgateTls,
    Peer,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Syncgate => "syncgate",
            Kind::SyncgateTls => "syncgate, mTLS",
            Kind::Peer => "go-control-plane",
        }
    }
}

/// Where everything of the benchmark is.
pub(crate) struct Place {
    pub(crate) home: PathBuf,
    pub(crate) net: Loopback,
    /// The program of the peer, if it is built.
    pub(crate) peer: Option<PathBuf>,
}

/// A running server. Ends when it is dropped.
pub(crate) struct Server {
    process: Process,
    changes: Changes,
    pub(crate) tls: Option<Tls>,
}

enum Changes {
    Folder(World),
    Order { control: SocketAddr, path: String },
}

impl Server {
    pub(crate) async fn start(kind: Kind, place: &Place) -> Result<Self> {
        match kind {
            Kind::Syncgate => syncgate(place, None).await,
            Kind::SyncgateTls => syncgate(place, Some(certificates(&place.home)?)).await,
            Kind::Peer => peer(place).await,
        }
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.pid()
    }

    /// Changes one endpoint of one load assignment.
    pub(crate) async fn change(&mut self) -> Result<()> {
        match &mut self.changes {
            Changes::Folder(world) => world.change(),
            Changes::Order { control, path } => {
                let answer = http::get(*control, "peer", path).await?;
                ensure!(answer.status == 200, "the peer says {}: {}", answer.status, answer.text());
                Ok(())
            }
        }
    }
}

/// Flags of the server, and the clients' side.
type Certificates = (Vec<String>, Tls);

fn certificates(home: &Path) -> Result<Certificates> {
    let authority = Authority::new()?;
    let ca = home.join("ca.crt");
    std::fs::write(&ca, authority.pem())?;
    let [certificate, key] = authority.certificate(NAME)?.write(home, "server")?;
    let own = authority.client("spiffe://bench/ns/demo/sa/envoy")?.write(home, "client")?.map(PathBuf::from);
    let flags = vec![
        format!("--xds-tls-certificate={certificate}"),
        format!("--xds-tls-key={key}"),
        format!("--xds-client-ca={}", ca.display()),
    ];
    Ok((flags, fleet::tls(&ca, NAME, Some((&own[0], &own[1])))?))
}

async fn syncgate(place: &Place, certificates: Option<Certificates>) -> Result<Server> {
    let (net, world) = (&place.net, World::write(&place.home, place.net.gateway())?);
    let (flags, tls) = certificates.unzip();
    let mut arguments = vec![
        "serve".to_owned(),
        format!("--files={}", world.path().display()),
        format!("--xds-address={}", net.xds()),
        format!("--health-address={}", net.health()),
        format!("--admin-address={}", net.admin()),
    ];
    arguments.extend(flags.into_iter().flatten());
    let program = Path::new(env!("CARGO_BIN_EXE_syncgate"));
    let mut process = Process::spawn("syncgate", program, arguments, &place.home.join("syncgate.log"))?;
    let health = net.health();
    let ready = async || {
        let answer = http::get(health, "syncgate", "/readyz").await?;
        ensure!(answer.status == 200, "not ready");
        Ok(())
    };
    process.wait_until("syncgate to be ready", PATIENCE, ready).await?;
    Ok(Server { process, changes: Changes::Folder(world), tls })
}

async fn peer(place: &Place) -> Result<Server> {
    let file = place.home.join("resources");
    let changing = {
        let _syncgate = syncgate(place, None).await?;
        resources::dump(place.net.xds(), &file).await?
    };
    let (xds, control) = (place.net.xds(), place.net.admin());
    let arguments = [format!("-listen={xds}"), format!("-control={control}"), format!("-resources={}", file.display())];
    let program = place.peer.as_deref().context("the peer is not built")?;
    let process = Process::spawn("peer", program, arguments, &place.home.join("peer.log"))?;
    wait::eventually("the peer to listen", PATIENCE, async || {
        tokio::net::TcpStream::connect(xds).await.map(drop).context("not yet")
    })
    .await?;
    let name: String = changing.bytes().map(|byte| format!("%{byte:02x}")).collect();
    Ok(Server { process, changes: Changes::Order { control, path: format!("/change?cluster={name}") }, tls: None })
}
