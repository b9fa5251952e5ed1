//! The scenarios: what must hold while real traffic runs. Each is played by a test for the Envoys and variants it matters on, and by hand
//! with `syncgate-e2e scenario`.

mod changes;
mod churn;
mod clients;
mod crash;
mod identity;
mod moves;
mod refusal;
mod start;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::bed::Setup;
use crate::demo::Demo;
use crate::syncgate::{self, Variant};

/// Requests a second under which a change must go unnoticed.
const REQUIRED_RATE: f64 = 500.0;
/// Requests a second that are scheduled, above what is required because two cores carry everything.
const SCHEDULED_RATE: u32 = 600;

/// What can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// The quickstart example answers as its requests.txt says.
    Quickstart,
    /// The example with certificates by server name and a traffic split answers as its requests.txt says.
    HttpsSplit,
    /// A route is edited under load.
    EditRoute,
    /// A route moves to a Service that is written 100 ms later, and the other way round, under load.
    NewService,
    /// syncgate is killed under load; a route and an endpoint change while it is down.
    Crash,
    /// syncgate is ended with SIGTERM under load and started again.
    Rollout,
    /// A rule is put before the only rule of a route and taken away again, ten times, under load.
    MoveRules,
    /// A route is replaced by another of the same host, ten times, under load.
    ReplaceRoute,
    /// Envoy runs first; syncgate and its folder come late.
    EnvoyFirst,
    /// The folder cannot be read at first, then holds a broken file, then is whole.
    LateFolder,
    /// A minute of random changes under load (`SYNCGATE_CHURN_SECONDS`, `SYNCGATE_CHURN_SEED`).
    Churn,
    /// An Envoy with a certificate of its own, certificates that are renewed under load, and one of another namespace.
    Identity,
    /// Clients with certificates of some authorities are let in; these are replaced under load.
    Clients,
    /// Envoy refuses a response; the change is reverted, and later made again when its cause is gone.
    Nack,
}

impl Scenario {
    /// Plays it.
    pub async fn play(self, setup: &Setup) -> Result<()> {
        let start = Instant::now();
        let name = format!("{self:?}");
        let result = match self {
            Self::Quickstart => Demo::check(setup, &examples().join("quickstart")).await,
            Self::HttpsSplit => Demo::check(setup, &examples().join("https-split")).await,
            Self::EditRoute => changes::edit_route(setup).await,
            Self::NewService => changes::new_service(setup).await,
            Self::Crash => crash::crash(setup).await,
            Self::Rollout => crash::rollout(setup).await,
            Self::MoveRules => moves::move_rules(setup).await,
            Self::ReplaceRoute => moves::replace_route(setup).await,
            Self::EnvoyFirst => start::envoy_first(setup).await,
            Self::LateFolder => start::late_folder(setup).await,
            Self::Churn => churn::churn(setup).await,
            Self::Identity => identity::identity(setup).await,
            Self::Clients => clients::clients(setup).await,
            Self::Nack => refusal::nack(setup).await,
        };
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        say(&format!(
            "{name}, {}, {}: {outcome} after {:.1?}",
            setup.variant.as_str(),
            setup.envoy.display(),
            start.elapsed()
        ));
        result.with_context(|| format!("scenario {name} ({}, {})", setup.variant.as_str(), setup.envoy.display()))
    }
}

/// A line of progress on standard error; a test harness shows it only for a test that fails.
fn say(line: &str) {
    eprintln!("{line}");
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Which Envoy a test wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// `SYNCGATE_ENVOY`.
    Newest,
    /// `SYNCGATE_ENVOY_OLDEST`.
    Oldest,
}

impl Release {
    /// The program for a test. Without the variable that names it this says so and gives none, and the test counts as passed; `make e2e`
    /// always sets it.
    pub fn installed(self, test: &str) -> Result<Option<PathBuf>> {
        let variable = match self {
            Release::Newest => "SYNCGATE_ENVOY",
            Release::Oldest => "SYNCGATE_ENVOY_OLDEST",
        };
        let Some(envoy) = std::env::var_os(variable) else {
            // Past the harness, which would swallow it.
            let mut terminal = std::io::stderr();
            writeln!(terminal, "SKIPPED {test}: {variable} names no Envoy; `make e2e` fetches one and sets it")?;
            return Ok(None);
        };
        Ok(Some(envoy.into()))
    }
}

/// Plays a scenario for a test, with its files in `work`, if the Envoy is there.
pub async fn test(scenario: Scenario, release: Release, variant: Variant, work: &str) -> Result<()> {
    let Some(envoy) = release.installed(&format!("{scenario:?}"))? else { return Ok(()) };
    let setup = Setup { envoy, variant, syncgate: syncgate::built_program()?, work: work.into() };
    scenario.play(&setup).await
}

/// Declares one test for each line `name: Scenario on Release Variant;`.
#[macro_export]
macro_rules! shows {
    ($($name:ident: $scenario:ident on $release:ident $variant:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> anyhow::Result<()> {
            use $crate::{scenario, syncgate::Variant};
            let (release, variant) = (scenario::Release::$release, Variant::$variant);
            scenario::test(scenario::Scenario::$scenario, release, variant, env!("CARGO_TARGET_TMPDIR")).await
        })*
    };
}
