//! Before the first whole configuration: Envoy does not go live with a part, and the product says what it waits for.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use crate::bed::{Bed, PATIENCE, Setup};
use crate::folder::Folder;
use crate::manifests::{self, HTTP_PORT, route, rule};

/// Longer than Envoy's default `initial_fetch_timeout` of 15 s, after which it would go live with what it has.
const LONGER_THAN_FETCH: Duration = Duration::from_secs(17);
const ROUTES: usize = 30;

/// Envoy runs before syncgate does, and syncgate before its folder can be read whole.
pub(super) async fn envoy_first(setup: &Setup) -> Result<()> {
    let mut bed = Bed::new(setup, "envoy-first")?;
    bed.start_envoy().await?;
    stays_unready(&mut bed, Duration::from_secs(1)).await?;

    // The Gateway can be read, a neighbouring file cannot: nothing may be served from a half-read folder.
    bed.write_gateway(&[HTTP_PORT])?;
    bed.deploy("one").await?;
    bed.folder().write("routes.yaml", &routes())?;
    bed.folder().write_text("late.yaml", "kind: [Service\n")?;
    bed.start_syncgate()?.says(503, &["late.yaml"], PATIENCE).await?;
    stays_unready(&mut bed, LONGER_THAN_FETCH).await?;

    bed.folder().write("late.yaml", &[manifests::namespace("late")])?;
    bed.syncgate()?.ready(PATIENCE).await?;
    bed.envoy()?.ready(PATIENCE).await?;
    // Live means whole: every route answers at once, without a second try.
    for number in 0..ROUTES {
        let answer = bed.get(&host(number), "/").await?;
        let right = answer.status == 200 && answer.backend() == Some("one");
        ensure!(right, "{} answers {} {} just after Envoy became ready", host(number), answer.status, answer.text());
    }
    Ok(())
}

/// The folder is not there, then broken, then whole.
pub(super) async fn late_folder(setup: &Setup) -> Result<()> {
    let mut bed = Bed::new(setup, "late-folder")?;
    let path = bed.folder().path().to_owned();
    std::fs::remove_dir(&path)?;
    let named = path.display().to_string();
    bed.start_syncgate()?.says(503, &[&named], PATIENCE).await?;
    let livez = bed.syncgate()?.probe("/livez").await?;
    ensure!(livez.status == 200, "waiting for a folder is no reason to be restarted: /livez is {}", livez.status);
    let startupz = bed.syncgate()?.probe("/startupz").await?;
    ensure!(startupz.status == 503, "/startupz is {} before anything was ready", startupz.status);

    // It appears with a broken file in it, which is named with its line.
    let staged = Folder::create(bed.home().join("staged"))?;
    let objects = bed.backend("one").await?;
    staged.write("one.yaml", &objects)?;
    staged.write("routes.yaml", &routes())?;
    staged.write_text("broken.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: [}\n")?;
    std::fs::rename(staged.path(), &path)?;
    bed.syncgate()?.says(503, &["broken.yaml:3"], PATIENCE).await?;

    bed.folder().remove("broken.yaml")?;
    bed.write_gateway(&[HTTP_PORT])?;
    bed.syncgate()?.ready(PATIENCE).await?;
    bed.start_envoy().await?.ready(PATIENCE).await?;
    bed.answered_by(&host(0), "/", "one").await
}

fn host(number: usize) -> String {
    format!("host-{number}.example.com")
}

fn routes() -> Vec<Value> {
    (0..ROUTES).map(|number| route(&format!("route-{number}"), &host(number), &[rule("/", "one")])).collect()
}

async fn stays_unready(bed: &mut Bed, time: Duration) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        let status = bed.envoy()?.ready_status().await?;
        ensure!(status != 200, "Envoy went live after {:?} without a configuration", start.elapsed());
        let open = tokio::net::TcpStream::connect(bed.http()).await.is_ok();
        ensure!(!open, "Envoy listens after {:?} without a whole configuration", start.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
