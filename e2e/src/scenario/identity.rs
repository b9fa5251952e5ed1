//! Who an Envoy is, by its certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{REQUIRED_RATE, SCHEDULED_RATE};
use crate::bed::{Bed, PATIENCE, Setup};
use crate::certificates::Authority;
use crate::load::{Allowed, Call};
use crate::manifests::{self, HTTP_PORT, NAMESPACE, rule};
use crate::wait::eventually;

const HOST: &str = "shop.example.com";
/// How long an Envoy that may have nothing is watched.
const WATCHED: Duration = Duration::from_secs(3);

/// An Envoy shows the certificate of a ServiceAccount in the Gateway's namespace and is served; syncgate's certificates are renewed while
/// it runs, then its own, and syncgate is started again: what is new on both sides is all that they have. Then one comes whose
/// certificate is of another namespace.
pub(super) async fn identity(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "identity", &[HTTP_PORT])?;
    bed.deploy("old").await?;
    bed.deploy("new").await?;
    write_route(&bed, "old")?;
    let (home, host, authority) = (bed.home().to_owned(), bed.xds().ip().to_string(), Authority::new()?);
    let authorities = home.join("ca.crt").display().to_string();
    std::fs::write(&authorities, authority.pem())?;
    let [certificate, key] = authority.certificate(&host)?.write(&home, "server")?;
    let flags = [("tls-certificate", &certificate), ("tls-key", &key), ("client-ca", &authorities)];
    let flags = flags.map(|(flag, file)| format!("--xds-{flag}={file}"));
    bed.start_syncgate_with(flags.to_vec())?.ready(PATIENCE).await?;

    let own = Files::new(&home, "own")?;
    own.renew(&authority, NAMESPACE)?;
    let own_flags = own.flags(&bed).await?;
    bed.start_envoy_with(&own_flags).await?.ready(PATIENCE).await?;
    bed.answered_by(HOST, "/", "old").await?;
    let allowed = Allowed::only(["old"]);
    let load = bed.load(SCHEDULED_RATE, vec![Call { host: HOST.into(), path: "/".into(), allowed: allowed.clone() }]);
    let load = load.await?;
    let renewed = Authority::new()?;
    std::fs::write(&authorities, renewed.pem())?;
    renewed.certificate(&host)?.write(&home, "server")?;
    eventually("the renewed certificates to be in use", PATIENCE, async || {
        let reloads = bed.metric("syncgate_tls_reloads_total{outcome=\"used\"}").await?;
        ensure!(reloads >= 1.0, "not read yet");
        Ok(())
    })
    .await?;
    allowed.set(["old", "new"]);
    write_route(&bed, "new")?;
    bed.answered_by(HOST, "/", "new").await?;
    let connections = bed.envoy()?.stats("^cluster[.]syncgate[.]upstream_cx_total$").await?;
    ensure!(connections.values().sum::<u64>() == 1, "the stream did not outlive the renewal: {connections:?}");

    own.renew(&renewed, NAMESPACE)?;
    bed.syncgate()?.kill().await?;
    bed.start_syncgate_with(flags.to_vec())?.ready(PATIENCE).await?;
    write_route(&bed, "old")?;
    bed.answered_by(HOST, "/", "old").await?;
    load.stop().await?.ensure_clean(REQUIRED_RATE).map_err(|reason| bed.with_logs(reason))?;

    let foreign = Files::new(&home, "foreign")?;
    foreign.renew(&renewed, "elsewhere")?;
    let foreign_flags = foreign.flags(&bed).await?;
    bed.start_envoy_with(&foreign_flags).await?;
    sleep(WATCHED).await;
    let envoy = bed.envoy()?;
    ensure!(envoy.ready_status().await? != 200, "an Envoy of another namespace is ready");
    ensure!(envoy.running().await?.is_empty(), "an Envoy of another namespace has a configuration");
    let refused = bed.metric("syncgate_streams_unserved_total{reason=\"foreign_gateway\"}").await?;
    ensure!(refused >= 1.0, "no refusal was counted");
    Ok(())
}

/// A folder with an Envoy's certificate and the authorities that it believes.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(home: &Path, name: &str) -> Result<Self> {
        let folder = home.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Puts in place a certificate for a ServiceAccount of this namespace, and who signed it, by moving them there, as a kubelet does.
    fn renew(&self, authority: &Authority, namespace: &str) -> Result<()> {
        let made = self.folder.join("made");
        std::fs::create_dir_all(&made)?;
        let uri = format!("spiffe://cluster.local/ns/{namespace}/sa/envoy");
        authority.client(&uri)?.write(&made, "tls").context("the client's certificate")?;
        std::fs::write(made.join("ca.crt"), authority.pem())?;
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            std::fs::rename(made.join(file), self.folder.join(file)).with_context(|| format!("move {file}"))?;
        }
        Ok(())
    }

    /// The flags of a bootstrap that finds them by secrets, whose files are written too.
    async fn flags(&self, bed: &Bed) -> Result<Vec<String>> {
        let at = |file: &str| self.folder.join(file).display().to_string();
        let files = [("xds-ca", "ca.crt"), ("client-certificate", "tls.crt"), ("client-key", "tls.key")];
        let secrets = ["certificate-secret", "authorities-secret"];
        let mut flags: Vec<String> = files.iter().map(|(flag, file)| format!("--{flag}={}", at(file))).collect();
        flags.extend(secrets.iter().map(|secret| format!("--{secret}={}", at(&format!("{secret}.yaml")))));
        for secret in secrets {
            let print = [&flags[..], &[format!("--print={secret}")]].concat();
            std::fs::write(at(&format!("{secret}.yaml")), bed.bootstrap(&print).await?)?;
        }
        Ok(flags)
    }
}

fn write_route(bed: &Bed, backend: &str) -> Result<()> {
    bed.folder().write("route.yaml", &[manifests::route("shop", HOST, &[rule("/", backend)])])
}
