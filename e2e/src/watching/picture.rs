//! One look at `/debug/sources`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// A source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `synced`, `stale`, …
    pub state: String,
    /// Why.
    pub reason: String,
    /// What it holds.
    pub rows: u64,
}

/// A watched namespace, in namespaced scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// `active`, `gone`, …
    pub state: String,
    /// Why.
    pub reason: String,
}

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// By name, such as `Pod in shop`; without those on demand.
    pub sources: BTreeMap<String, Source>,
    /// By name.
    pub namespaces: BTreeMap<String, Life>,
}

impl Picture {
    /// Reads the page.
    pub fn of(page: &Value) -> Result<Self> {
        let text = |tree: &Value, field: &str| -> Result<String> {
            Ok(tree[field].as_str().with_context(|| format!("no {field} in {tree}"))?.to_owned())
        };
        let mut picture = Self::default();
        for source in page["sources"].as_array().context("no sources on the page")? {
            if source["on_demand"] == true {
                continue;
            }
            let rows = source["rows"].as_u64().context("no rows")?;
            let seen = Source { state: text(source, "state")?, reason: text(source, "reason")?, rows };
            picture.sources.insert(text(source, "source")?, seen);
        }
        for namespace in page["namespaces"].as_array().context("no namespaces on the page")? {
            let seen = Life { state: text(namespace, "state")?, reason: text(namespace, "reason")? };
            picture.namespaces.insert(text(namespace, "namespace")?, seen);
        }
        Ok(picture)
    }

    /// The sources of one namespace, in namespaced scope, by kind.
    pub fn within(&self, namespace: &str) -> impl Iterator<Item = (&str, &Source)> {
        let end = format!(" in {namespace}");
        self.sources.iter().filter_map(move |(name, source)| Some((name.strip_suffix(&end)?, source)))
    }

    /// What a namespace holds, in namespaced scope, by kind; nothing for kinds without a row.
    #[must_use]
    pub fn rows(&self, namespace: &str) -> BTreeMap<String, u64> {
        let within = self.within(namespace).filter(|(_, source)| source.rows > 0);
        within.map(|(kind, source)| (kind.to_owned(), source.rows)).collect()
    }

    /// What all sources hold, by kind; nothing for kinds without a row.
    #[must_use]
    pub fn all_rows(&self) -> BTreeMap<String, u64> {
        let mut rows = BTreeMap::new();
        for (name, source) in self.sources.iter().filter(|(_, source)| source.rows > 0) {
            let kind = name.split(' ').next().unwrap_or_default();
            *rows.entry(kind.to_owned()).or_default() += source.rows;
        }
        rows
    }
}
