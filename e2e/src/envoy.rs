//! A real Envoy and its admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http;
use crate::process::Process;

/// A running Envoy; killed when dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
}

/// Counters and gauges by name.
pub type Stats = BTreeMap<String, u64>;

impl Envoy {
    /// Starts `program` with the text of a bootstrap, which is kept in `folder` beside the log. Two worker threads, so that a change that
    /// reaches them one after the other is seen.
    pub fn start(program: &Path, bootstrap: &str, admin: SocketAddr, folder: &Path) -> Result<Self> {
        let file: PathBuf = folder.join("envoy.yaml");
        std::fs::write(&file, bootstrap).with_context(|| format!("write {}", file.display()))?;
        let file = file.display().to_string();
        let arguments =
            ["-c", &file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "info", "--drain-time-s", "2"];
        let log = folder.join("envoy.log");
        Ok(Self { process: Process::spawn("envoy", program, arguments, &log)?, admin })
    }

    /// Where its admin interface is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The status of `/ready`: 200 only once the first whole configuration is live.
    pub async fn ready_status(&self) -> Result<u16> {
        Ok(http::get(self.admin, "envoy", "/ready").await?.status)
    }

    /// Waits until its admin interface answers, whatever it says.
    pub async fn answers(&mut self, limit: Duration) -> Result<()> {
        let admin = self.admin;
        let answers = async || http::get(admin, "envoy", "/ready").await.map(drop);
        self.process.wait_until("Envoy's admin interface", limit, answers).await
    }

    /// Waits until `/ready` is 200.
    pub async fn ready(&mut self, limit: Duration) -> Result<()> {
        let admin = self.admin;
        let ready = async || {
            let answer = http::get(admin, "envoy", "/ready").await?;
            ensure!(answer.status == 200, "/ready is {}: {}", answer.status, answer.text().trim());
            Ok(())
        };
        self.process.wait_until("Envoy to be ready", limit, ready).await
    }

    /// Counters and gauges whose name matches a regular expression.
    pub async fn stats(&self, filter: &str) -> Result<Stats> {
        let encoded: String = filter
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let answer = self.admin_get(&format!("/stats?format=json&filter={encoded}")).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let stats = answer["stats"].as_array().context("no stats in the answer")?.iter();
        Ok(stats.filter_map(|stat| Some((stat["name"].as_str()?.to_owned(), stat["value"].as_u64()?))).collect())
    }

    /// Everything that it runs, endpoints too.
    pub async fn config_dump(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.admin_get("/config_dump?include_eds").await?)?)
    }

    /// The clusters, endpoints, listeners and route configurations that it runs, by type and name.
    pub async fn running(&self) -> Result<BTreeMap<(String, String), Value>> {
        let dump = self.config_dump().await?;
        let sections = dump["configs"].as_array().context("no configs in the dump")?.iter();
        let entries = sections.flat_map(|section| {
            let of = |kind: &str, path: &'static str| {
                let entries = section[kind].as_array().into_iter().flatten();
                entries.filter_map(move |entry| entry.pointer(path)).collect::<Vec<_>>()
            };
            let clusters =
                of("dynamic_active_clusters", "/cluster").into_iter().chain(of("dynamic_warming_clusters", "/cluster"));
            let listeners = of("dynamic_listeners", "/active_state/listener");
            let endpoints = of("dynamic_endpoint_configs", "/endpoint_config");
            clusters.chain(endpoints).chain(listeners).chain(of("dynamic_route_configs", "/route_config"))
        });
        Ok(by_type_and_name(entries.cloned()))
    }

    async fn admin_get(&self, path: &str) -> Result<bytes::Bytes> {
        let answer = http::get(self.admin, "envoy", path).await?;
        if answer.status != 200 {
            bail!("Envoy's {path} is {}: {}", answer.status, answer.text());
        }
        Ok(answer.body)
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

/// Resources by type and name; those that have none of them are left out.
pub(crate) fn by_type_and_name(resources: impl IntoIterator<Item = Value>) -> BTreeMap<(String, String), Value> {
    let key = |resource: &Value| {
        let name = resource["name"].as_str().or(resource["cluster_name"].as_str());
        Some((resource["@type"].as_str()?.to_owned(), name?.to_owned()))
    };
    resources.into_iter().filter_map(|resource| Some((key(&resource)?, resource))).collect()
}
