//! What Envoy refuses. It applies the good part of a response that it refuses, so from then on nobody knows what it holds of it; what it runs
//! must be right again as soon as the cause is gone.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::say;
use crate::bed::{Bed, PATIENCE, Setup};
use crate::certificates::Authority;
use crate::http::{self, Connection};
use crate::manifests::{self, HTTP_PORT, NAMESPACE, route, rule};
use crate::wait::eventually;

const GOOD_PORT: u16 = 8090;
/// Taken by another program, which only Envoy can find out.
const TAKEN_PORT: u16 = 8091;
const HTTPS_PORT: u16 = 8443;
const HOST: &str = "shop.example.com";
const OTHER_HOST: &str = "blog.example.com";

/// A listener that is changed and one that cannot be opened in one response, refused; then the change is reverted; then the cause is gone
/// and the change is made again.
pub(super) async fn nack(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "nack", &[HTTP_PORT])?;
    bed.deploy("one").await?;
    let authority = Authority::new()?;
    bed.folder().write("certificate.yaml", &[authority.secret(NAMESPACE, "certificate", HOST)?])?;
    bed.folder().write("route.yaml", &[route("shop", HOST, &[rule("/", "one")])])?;
    let (before, after) = (gateway(&bed, &[], &[HOST]), gateway(&bed, &[GOOD_PORT, TAKEN_PORT], &[HOST, OTHER_HOST]));
    bed.folder().write("gateway.yaml", &before)?;
    bed.start().await?;
    bed.answered_by(HOST, "/", "one").await?;
    let at = |bed: &Bed, port| SocketAddr::new(bed.http().ip(), port);
    let taken = TcpListener::bind(at(&bed, TAKEN_PORT)).context("take a port")?;

    for round in 1..=2 {
        bed.folder().write("gateway.yaml", &after)?;
        refused(&mut bed, round).await.map_err(|reason| bed.with_logs(reason))?;
        bed.answered_by(HOST, "/", "one").await?;
        bed.folder().write("gateway.yaml", &before)?;
        bed.converged().await.context("after the change that was refused was reverted")?;
        bed.answered_by(HOST, "/", "one").await?;
    }

    drop(taken);
    bed.folder().write("gateway.yaml", &after)?;
    bed.converged().await.context("after the cause of the refusal was gone")?;
    for port in [GOOD_PORT, TAKEN_PORT] {
        let answer = http::get(at(&bed, port), HOST, "/").await.with_context(|| format!("port {port}"))?;
        ensure!(answer.backend() == Some("one"), "port {port}: {} {}", answer.status, answer.text());
    }
    let mut secure = Connection::open_tls(at(&bed, HTTPS_PORT), HOST, authority.roots()?).await?;
    ensure!(secure.get(HOST, "/").await?.backend() == Some("one"), "HTTPS is not answered");
    Ok(())
}

/// The class, the namespace and a Gateway with these HTTP ports besides the usual one, and these hosts on one HTTPS port: each host more is a
/// change of that port's listener.
fn gateway(bed: &Bed, ports: &[u16], hosts: &[&str]) -> [Value; 3] {
    let http = [&[HTTP_PORT], ports].concat();
    let mut gateway = manifests::gateway(bed.http().ip(), &http);
    let https = hosts.iter().map(|host| {
        json!({
            "name": host.replace('.', "-"), "port": HTTPS_PORT, "protocol": "HTTPS", "hostname": host,
            "tls": {"certificateRefs": [{"name": "certificate"}]},
        })
    });
    if let Some(listeners) = gateway["spec"]["listeners"].as_array_mut() {
        listeners.extend(https);
    }
    [manifests::gateway_class(), manifests::namespace(NAMESPACE), gateway]
}

/// Waits until Envoy has refused at least `times` responses of listeners.
async fn refused(bed: &mut Bed, times: u64) -> Result<()> {
    let envoy = bed.envoy()?;
    let counted = async || {
        let stats = envoy.stats(r"^listener_manager\.lds\.update_rejected$").await?;
        let count = stats.values().sum::<u64>();
        ensure!(count >= times, "it has refused {count}");
        Ok(count)
    };
    let count = eventually("Envoy to refuse the listener on a taken port", PATIENCE, counted).await?;
    say(&format!("nack: refused {count} times by round {times}"));
    let syncgate = bed.syncgate()?;
    eventually("the refusal to name the port of the Gateway", PATIENCE, async || {
        let page = syncgate.debug("/debug/clients?refused").await?;
        let objects = &page["clients"][0]["types"]["LDS"]["refused"]["objects"];
        ensure!(*objects == json!([format!("Gateway {} port {TAKEN_PORT}", manifests::GATEWAY)]), "{page}");
        Ok(())
    })
    .await
}
