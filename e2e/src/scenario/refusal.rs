//! What Envoy refuses. It applies the good part of a response that it refuses, so from then on nobody knows what it holds of it; what it runs
//! must be right again as soon as the cause is gone.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};

use super::say;
use crate::bed::{Bed, PATIENCE, Setup};
use crate::http;
use crate::manifests::{HTTP_PORT, route, rule};
use crate::wait::eventually;

const GOOD_PORT: u16 = 8090;
/// Taken by another program, which only Envoy can find out.
const TAKEN_PORT: u16 = 8091;
const HOST: &str = "shop.example.com";

/// A good and a bad listener in one response, refused; then the change is reverted; then the cause is gone and it is made again.
pub(super) async fn nack(setup: &Setup) -> Result<()> {
    let mut bed = Bed::with_gateway(setup, "nack", &[HTTP_PORT])?;
    bed.deploy("one").await?;
    bed.folder().write("route.yaml", &[route("shop", HOST, &[rule("/", "one")])])?;
    bed.start().await?;
    bed.answered_by(HOST, "/", "one").await?;
    let at = |bed: &Bed, port| SocketAddr::new(bed.http().ip(), port);
    let taken = TcpListener::bind(at(&bed, TAKEN_PORT)).context("take a port")?;

    for round in 1..=2 {
        bed.write_gateway(&[HTTP_PORT, GOOD_PORT, TAKEN_PORT])?;
        refused(&mut bed, round).await.map_err(|reason| bed.with_logs(reason))?;
        bed.answered_by(HOST, "/", "one").await?;
        bed.write_gateway(&[HTTP_PORT])?;
        bed.converged().await.context("after the change that was refused was reverted")?;
        bed.answered_by(HOST, "/", "one").await?;
    }

    drop(taken);
    bed.write_gateway(&[HTTP_PORT, GOOD_PORT, TAKEN_PORT])?;
    bed.converged().await.context("after the cause of the refusal was gone")?;
    for port in [GOOD_PORT, TAKEN_PORT] {
        let answer = http::get(at(&bed, port), HOST, "/").await.with_context(|| format!("port {port}"))?;
        ensure!(answer.backend() == Some("one"), "port {port}: {} {}", answer.status, answer.text());
    }
    Ok(())
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
    Ok(())
}
