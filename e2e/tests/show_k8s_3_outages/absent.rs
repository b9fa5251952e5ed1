//! The API server, or Gateway API's CRDs, are absent when syncgate starts: it waits, says why, and is ready soon after they came.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use syncgate_e2e::address::Loopback;
use syncgate_e2e::kube::{self, ControlPlane, Options};
use syncgate_e2e::rbac;
use syncgate_e2e::syncgate::{Addresses, Source, Syncgate, built_program};
use syncgate_e2e::usage::figure;
use tokio::time::sleep;

/// From the return of what was missing to readiness.
const SOON: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits: longer than a back-off of several steps would have been short.
const ABSENT: Duration = Duration::from_secs(8);
/// What is said of each.
const NO_SERVER: &str = "the API server cannot be reached";
const NO_CRDS: &str = "install the CRDs of the Gateway API";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_and_the_crds_are_absent_at_the_start() -> Result<()> {
    let Some(folder) = kube::installed("absent_at_the_start")? else { return Ok(()) };
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("k8s-absent");
    let mut options = Options::new(folder, &home);
    options.crds = false;
    options.identities = vec![rbac::USER.to_owned()];
    let mut plane = ControlPlane::start(options).await?;
    for object in rbac::cluster()? {
        plane.api().create(&object).await?;
    }
    plane.stop_server().await?;
    let net = Loopback::claim()?;

    let mut first = start(&plane, &net, 10, &home)?;
    waits(&mut first, NO_SERVER).await?;
    plane.start_server().await?;
    let back = Instant::now();
    says(&mut first, NO_CRDS, SOON).await?;
    figure(&format!("absent server: what is missing beside it was named after {:.2?}", back.elapsed()))?;
    waits(&mut first, NO_CRDS).await?;
    plane.apply_crds().await?;
    ready_soon(&mut first, "absent CRDs").await?;

    plane.kill_server().await?;
    let mut second = start(&plane, &net, 11, &home)?;
    waits(&mut second, NO_SERVER).await?;
    plane.start_server().await?;
    ready_soon(&mut second, "absent server").await
}

fn start(plane: &ControlPlane, net: &Loopback, host: u8, home: &Path) -> Result<Syncgate> {
    let kubeconfig = home.join("syncgate.kubeconfig");
    plane.identity(rbac::USER)?.kubeconfig(&kubeconfig)?;
    let host = net.host(host);
    let at = Addresses { xds: (host, 18000).into(), health: (host, 8081).into(), admin: (host, 19000).into() };
    let log = home.join(format!("syncgate-{host}.log"));
    Syncgate::start(&built_program()?, &Source::Kubernetes { kubeconfig, flags: Vec::new() }, at, &log)
}

/// It is not ready and says why, for as long as it has to.
async fn waits(syncgate: &mut Syncgate, why: &str) -> Result<()> {
    says(syncgate, why, PATIENCE).await?;
    sleep(ABSENT).await;
    says(syncgate, why, SOON).await
}

/// At both probes.
async fn says(syncgate: &mut Syncgate, why: &str, limit: Duration) -> Result<()> {
    syncgate.says(503, &[why], limit).await?;
    let startup = syncgate.probe("/startupz?verbose").await?;
    ensure!(
        startup.status == 503 && startup.text().contains(why),
        "/startupz is {}: {}",
        startup.status,
        startup.text()
    );
    Ok(())
}

async fn ready_soon(syncgate: &mut Syncgate, what: &str) -> Result<()> {
    let since = Instant::now();
    syncgate.ready(PATIENCE).await?;
    let took = since.elapsed();
    figure(&format!("{what}: ready {took:.2?} after it came"))?;
    ensure!(took < SOON, "{what}: ready only {took:?} after it came; its log ends:\n{}", syncgate.log_tail());
    Ok(())
}
