//! Whom an HTTPS port lets in.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bed::{Bed, PATIENCE, Setup};
use crate::certificates::{Authority, Certified};
use crate::http::{Answer, Connection};
use crate::load::{Allowed, Call, Load, Plan, Tls};
use crate::manifests::{self, HTTP_PORT, NAMESPACE, route, rule};
use crate::wait::eventually;

const HTTPS_PORT: u16 = 8443;
const HOST: &str = "shop.example.com";
/// Requests a second of each load: two run at once, with TLS.
const RATE: u32 = 200;
const REQUIRED: f64 = 150.0;
/// How long a load goes on after the change that must not be noticed.
const LONGER: Duration = Duration::from_secs(1);

/// The folder's world, and whom its server certificate is from.
struct World {
    bed: Bed,
    server: Authority,
}

/// Clients of one authority are let in, others and those without a certificate are not; the authority is replaced under load, without a
/// connection that has to be opened again; without any authority nobody is let in, and with `AllowInsecureFallback` everybody.
pub(super) async fn clients(setup: &Setup) -> Result<()> {
    let mut bed = Bed::new(setup, "clients")?;
    bed.deploy("one").await?;
    let mut world = World { server: Authority::new()?, bed };
    let (ours, renewed, foreign) = (Authority::new()?, Authority::new()?, Authority::new()?);
    let [our_client, renewed_client, stranger] = [&ours, &renewed, &foreign].map(|from| from.client("spiffe://a/b"));
    let (our_client, renewed_client, stranger) = (our_client?, renewed_client?, stranger?);
    world.write("AllowValidOnly")?;
    world.trust(&[&ours])?;
    world.bed.start().await?;
    world.lets_in(Some(&our_client)).await?;
    world.keeps_out(None, "fail_verify_no_cert").await?;
    world.keeps_out(Some(&stranger), "fail_verify_error").await?;

    let old = world.load(&our_client).await?;
    world.trust(&[&ours, &renewed])?;
    world.lets_in(Some(&renewed_client)).await?;
    let new = world.load(&renewed_client).await?;
    world.trust(&[&renewed])?;
    world.keeps_out(Some(&our_client), "fail_verify_error").await?;
    sleep(LONGER).await;
    // None of the old load's connections could have been opened again.
    for load in [old, new] {
        load.stop().await?.ensure_clean(REQUIRED).map_err(|reason| world.bed.with_logs(reason))?;
    }

    world.bed.folder().remove("clients.yaml")?;
    eventually("nobody to be let in", PATIENCE, async || {
        ensure!(world.get(Some(&renewed_client)).await.is_err(), "still let in");
        Ok(())
    })
    .await?;
    world.trust(&[&ours])?;
    world.write("AllowInsecureFallback")?;
    for client in [None, Some(&stranger), Some(&our_client)] {
        world.lets_in(client).await?;
    }
    world.bed.converged().await
}

impl World {
    /// The class, the namespace, a Gateway with an HTTPS port, the certificate of its own, and a route.
    fn write(&self, mode: &str) -> Result<()> {
        let mut gateway = manifests::gateway(self.bed.http().ip(), &[HTTP_PORT]);
        gateway["spec"]["tls"] = frontend(mode);
        if let Some(listeners) = gateway["spec"]["listeners"].as_array_mut() {
            listeners.push(json!({
                "name": "https", "port": HTTPS_PORT, "protocol": "HTTPS",
                "tls": {"certificateRefs": [{"name": "certificate"}]},
            }));
        }
        let objects = [manifests::gateway_class(), manifests::namespace(NAMESPACE), gateway];
        self.bed.folder().write("gateway.yaml", &objects)?;
        self.bed.folder().write("certificate.yaml", &[self.server.secret(NAMESPACE, "certificate", HOST)?])?;
        self.bed.folder().write("route.yaml", &[route("shop", HOST, &[rule("/", "one")])])
    }

    /// From now on clients of these authorities are let in.
    fn trust(&self, authorities: &[&Authority]) -> Result<()> {
        self.bed.folder().write("clients.yaml", &[Authority::config_map(NAMESPACE, "clients", authorities)])
    }

    fn https(&self) -> SocketAddr {
        (self.bed.http().ip(), HTTPS_PORT).into()
    }

    /// One request on a connection of its own.
    async fn get(&self, client: Option<&Certified>) -> Result<Answer> {
        let mut open = Connection::open_tls_as(self.https(), HOST, self.server.roots()?, client).await?;
        open.get(HOST, "/").await
    }

    async fn lets_in(&self, client: Option<&Certified>) -> Result<()> {
        let let_in = eventually("a client to be let in", PATIENCE, async || {
            let answer = self.get(client).await?;
            ensure!(answer.backend() == Some("one"), "{} {}", answer.status, answer.text());
            Ok(())
        });
        let_in.await.map_err(|reason| self.bed.with_logs(reason))
    }

    /// Waits until a client is kept out, for the reason that Envoy counts under this name.
    async fn keeps_out(&mut self, client: Option<&Certified>, counter: &str) -> Result<()> {
        let pattern = format!(r"^listener\..*\.ssl\.{counter}$");
        let before: u64 = self.bed.envoy()?.stats(&pattern).await?.values().sum();
        let kept_out = eventually("a client to be kept out", PATIENCE, async || {
            let answer = self.get(client).await;
            ensure!(answer.is_err(), "let in: {answer:?}");
            Ok(())
        });
        kept_out.await.map_err(|reason| self.bed.with_logs(reason))?;
        let after: u64 = self.bed.envoy()?.stats(&pattern).await?.values().sum();
        ensure!(after > before, "kept out for another reason than {counter}, which Envoy counted {after} times");
        Ok(())
    }

    async fn load(&self, client: &Certified) -> Result<Load> {
        let calls = vec![Call { host: HOST.into(), path: "/".into(), allowed: Allowed::only(["one"]) }];
        let tls = Tls { server_name: HOST.to_owned(), roots: self.server.roots()?, own: Some(client.clone()) };
        Load::start(Plan { target: self.https(), tls: Some(tls), rate: RATE, connections: 4, calls }).await
    }
}

fn frontend(mode: &str) -> Value {
    let authorities = json!([{"group": "", "kind": "ConfigMap", "name": "clients"}]);
    json!({"frontend": {"default": {"validation": {"mode": mode, "caCertificateRefs": authorities}}}})
}
