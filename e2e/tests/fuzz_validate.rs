//! Random routes, a bounded number of them: Envoy's validator accepts whatever syncgate makes of them. `make fuzz-validate` goes on for longer
//! (`SYNCGATE_FUZZ_SECONDS`), from a seed of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use syncgate_e2e::fuzz::{self, Until};
use syncgate_e2e::scenario::{Release, setup};
use syncgate_e2e::syncgate::Variant;

/// The seed of every bounded run, so that `make test` tests the same today and tomorrow.
const SEED: u64 = 1;
const BATCHES: u32 = 30;

async fn play(release: Release) -> Result<()> {
    let Some(mut setup) = setup("fuzz_validate", release, Variant::Delta, env!("CARGO_TARGET_TMPDIR"))? else {
        return Ok(());
    };
    setup.work.push(format!("{release:?}"));
    match std::env::var("SYNCGATE_FUZZ_SECONDS") {
        Ok(seconds) => {
            let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            fuzz::run(&setup, seed, Until::Elapsed(Duration::from_secs(seconds.parse()?))).await
        }
        Err(_) => fuzz::run(&setup, SEED, Until::Batches(BATCHES)).await,
    }
}

#[tokio::test]
async fn the_newest_envoy_accepts_what_any_route_becomes() -> Result<()> {
    play(Release::Newest).await
}

#[tokio::test]
async fn the_oldest_envoy_accepts_what_any_route_becomes() -> Result<()> {
    play(Release::Oldest).await
}
