//! The selection of namespaces and the rights on them change while a route leads into another namespace and carries traffic: that one is read
//! because of the reference, then watched, then foreign again. No request fails, nothing is left behind, and what is missing is named.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use syncgate_e2e::kube_bed::objects::{grant, route, rule_into};
use syncgate_e2e::kube_bed::{KubeBed, Scope, Setup};
use syncgate_e2e::load::{Allowed, Call, Load};
use syncgate_e2e::manifests::NAMESPACE;
use syncgate_e2e::rbac;
use syncgate_e2e::scenario::Release;
use syncgate_e2e::syncgate::Variant;
use syncgate_e2e::wait::eventually;
use syncgate_e2e::watching::picture::Picture;
use tokio::time::sleep;

const NAME: &str = "k8s-scopes";
const HOST: &str = "shop.example.com";
const GATEWAY: &str = "web";
const OTHER: &str = "other";
const RATE: u32 = 200;
const REQUIRED: f64 = 150.0;
/// What nothing refers to is read for a minute more; rights are asked for twice a minute.
const PATIENCE: Duration = Duration::from_secs(90);

const FOREIGN: &str = "namespaces: [demo]\nforeignNamespaces: [other]\n";
const WATCHED: &str = "namespaces: [demo, other]\n";
const LABELLED: &str = "namespaces: [demo, other]\nselector: team=nobody\n";

struct Show<'a> {
    bed: KubeBed,
    file: &'a Path,
    load: Load,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_selection_changes_under_load() -> Result<()> {
    let Some(setup) = Setup::installed(NAME, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let file = setup.work.join("k8s-scopes-watch.yaml");
    std::fs::write(&file, FOREIGN).with_context(|| format!("write {}", file.display()))?;
    let mut bed = KubeBed::start(&setup, NAME, Scope::File(file.clone())).await?;
    bed.namespace(OTHER).await?;
    bed.gateway(GATEWAY, &[]).await?;
    bed.deploy(OTHER, "foreign").await?;
    bed.apply(&[grant(OTHER, NAMESPACE), route(NAMESPACE, "shop", HOST, &[GATEWAY], &[rule_into(OTHER, "foreign")])])
        .await?;
    bed.add_replica().await?;
    bed.start_envoy(GATEWAY, Release::Newest, Variant::Delta).await?;
    bed.answered_by(HOST, "/", "foreign").await?;
    let calls = vec![Call { host: HOST.into(), path: "/".into(), allowed: Allowed::only(["foreign"]) }];
    let load = bed.load(GATEWAY, RATE, calls).await?;
    let mut show = Show { bed, file: &file, load };
    show.play().await.map_err(|reason| show.bed.with_logs(reason))?;
    let report = show.load.stop().await?;
    eprintln!("{NAME}: {report}");
    report.ensure_clean(REQUIRED).map_err(|reason| show.bed.with_logs(reason))
}

impl Show<'_> {
    async fn play(&mut self) -> Result<()> {
        self.select(WATCHED)?;
        self.sees("the other namespace to be watched", |picture| {
            let active = picture.namespaces.get(OTHER).is_some_and(|life| life.state == "active");
            active && picture.within(OTHER).filter(|(_, source)| source.state == "synced").count() == 6
        })
        .await?;

        self.select(LABELLED)?;
        self.says("no right to list and watch namespaces; grant it in a ClusterRole").await?;
        self.bed.apply(&rbac::selector()?).await?;
        self.sees("all Namespaces to be seen", |picture| {
            picture.sources.get("Namespace").is_some_and(|source| source.state == "synced")
        })
        .await?;

        self.select("")?;
        self.says("the file selects no namespace, and the last selection stays in effect").await?;
        self.select(WATCHED)?;
        eventually("what was read for the reference to end", PATIENCE, async || {
            let page = self.bed.replicas()[0].syncgate.debug("/debug/sources").await?;
            let sources = page["sources"].as_array().context("no sources")?;
            let demanded = sources.iter().find(|source| source["on_demand"] == true);
            ensure!(demanded.is_none(), "{demanded:?}");
            Ok(())
        })
        .await?;
        self.calm("watched").await?;

        self.select(FOREIGN)?;
        self.sees("the other namespace to be foreign again", |picture| {
            !picture.namespaces.contains_key(OTHER) && picture.within(OTHER).count() == 0
        })
        .await?;
        self.calm("foreign again").await?;
        self.bed.converged().await
    }

    fn select(&self, text: &str) -> Result<()> {
        std::fs::write(self.file, text).with_context(|| format!("write {}", self.file.display()))
    }

    async fn sees(&self, what: &str, is_so: impl Fn(&Picture) -> bool) -> Result<()> {
        eventually(what, PATIENCE, async || {
            let picture = Picture::of(&self.bed.replicas()[0].syncgate.debug("/debug/sources").await?)?;
            ensure!(is_so(&picture), "{picture:#?}");
            Ok(())
        })
        .await
    }

    /// Readiness says so, and the process is ready.
    async fn says(&self, words: &str) -> Result<()> {
        eventually(words, PATIENCE, async || {
            let answer = self.bed.replicas()[0].syncgate.probe("/readyz?verbose").await?;
            ensure!(answer.status == 200 && answer.text().contains(words), "{}", answer.text());
            Ok(())
        })
        .await
    }

    async fn calm(&self, what: &str) -> Result<()> {
        sleep(Duration::from_secs(1)).await;
        self.load.ensure_clean_so_far().with_context(|| what.to_owned())
    }
}
