//! What one user asked of the API server, from its audit log.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::kube::audit::Audit;

/// The namespaced kinds that syncgate reads.
const NAMESPACED: [&str; 8] =
    ["gateways", "httproutes", "referencegrants", "services", "pods", "endpointslices", "secrets", "configmaps"];

/// The requests of one user, each once.
#[derive(Debug, Clone)]
pub struct Requests(Vec<Audit>);

impl Requests {
    /// Those of `user` among the events. A watch counts when its answer begins.
    #[must_use]
    pub fn of(user: &str, events: &[Audit]) -> Self {
        let answered = |event: &Audit| if event.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        let is_first = |event: &&Audit| event.user == user && event.stage == answered(event);
        Self(events.iter().filter(is_first).cloned().collect())
    }

    /// Those that came at that time or later.
    #[must_use]
    pub fn since(&self, time: &str) -> Self {
        Self(self.0.iter().filter(|event| event.received.as_str() >= time).cloned().collect())
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those into one namespace, and those about the Namespace itself.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let about = |event: &&Audit| event.namespace == namespace || event.uri.contains(&format!("/{namespace}"));
        Self(self.0.iter().filter(about).cloned().collect())
    }

    /// Those that read all objects of a kind, by kind and namespace: lists (not those of one object, which ask for the revision), and
    /// watches that begin with all of them.
    #[must_use]
    pub fn reads(&self) -> BTreeMap<(String, String), usize> {
        let mut reads = BTreeMap::new();
        for event in self.0.iter().filter(|event| is_read(event)) {
            *reads.entry((event.resource.clone(), event.namespace.clone())).or_default() += 1;
        }
        reads
    }

    /// By verb, kind, namespace and status, for a message.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<String, usize> {
        let mut summary = BTreeMap::new();
        for event in &self.0 {
            let how = match event.verb.as_str() {
                "watch" if event.uri.contains("sendInitialEvents=true") => "watch from a list of",
                "list" if !is_read(event) => "revision by list of",
                verb => verb,
            };
            let key = format!("{how} {} in {:?}: {}", event.resource, event.namespace, event.code);
            *summary.entry(key).or_default() += 1;
        }
        summary
    }

    /// Fails when a namespaced kind was asked for in all namespaces at once (F6).
    pub fn ensure_nothing_wide(&self) -> Result<()> {
        let wide = self.0.iter().find(|event| {
            let asks = ["list", "watch", "deletecollection"].contains(&event.verb.as_str());
            asks && event.namespace.is_empty() && NAMESPACED.contains(&event.resource.as_str())
        });
        ensure!(wide.is_none(), "in namespaced scope all namespaces were asked for: {wide:?}");
        Ok(())
    }
}

fn is_read(event: &Audit) -> bool {
    match event.verb.as_str() {
        "list" => !event.uri.contains("limit=1&") && !event.uri.ends_with("limit=1"),
        "watch" => event.uri.contains("sendInitialEvents=true"),
        _ => false,
    }
}
