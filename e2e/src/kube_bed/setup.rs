//! What a bed on Kubernetes is made with: programs, and which namespaces are watched with which rights.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::scenario::Release;
use crate::{kube, rbac, syncgate};

/// The programs, and where logs are kept.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The folder of Kubernetes and of Gateway API's CRDs.
    pub kube: PathBuf,
    /// The newest supported Envoy.
    pub newest: PathBuf,
    /// The oldest.
    pub oldest: PathBuf,
    /// The program under test.
    pub syncgate: PathBuf,
    /// Where scenarios keep their files.
    pub work: PathBuf,
}

impl Setup {
    /// Everything for a test. What is missing is said, and the test counts as passed; `make e2e` has everything.
    pub fn installed(test: &str, work: &str) -> Result<Option<Self>> {
        let Some(kube) = kube::installed(test)? else { return Ok(None) };
        let Some(newest) = Release::Newest.installed(test)? else { return Ok(None) };
        let Some(oldest) = Release::Oldest.installed(test)? else { return Ok(None) };
        Ok(Some(Self { kube, newest, oldest, syncgate: syncgate::built_program()?, work: work.into() }))
    }

    /// An Envoy.
    #[must_use]
    pub fn envoy(&self, release: Release) -> &Path {
        match release {
            Release::Newest => &self.newest,
            Release::Oldest => &self.oldest,
        }
    }
}

/// Which namespaces are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Cluster,
    /// These, and references may lead into those.
    Names {
        /// By name.
        watched: Vec<&'static str>,
        /// Foreign ones.
        foreign: Vec<&'static str>,
    },
    /// Those with this label, which the bed gives to every namespace.
    Selector(&'static str),
    /// As a file says, which may change; every namespace may be watched.
    File(PathBuf),
}

impl Scope {
    /// For syncgate.
    pub(super) fn flags(&self) -> Vec<String> {
        let namespaced = "--watch-scope=namespaces".to_owned();
        match self {
            Scope::Cluster => Vec::new(),
            Scope::Names { watched, foreign } => vec![
                namespaced,
                format!("--watch-namespaces={}", watched.join(",")),
                format!("--foreign-namespaces={}", foreign.join(",")),
            ],
            Scope::Selector(label) => vec![namespaced, format!("--watch-selector={label}")],
            Scope::File(file) => vec![namespaced, format!("--watch-file={}", file.display())],
        }
    }

    /// Of a namespace.
    pub(super) fn labels(&self) -> Value {
        match self {
            Scope::Selector(label) => json!({(*label): ""}),
            _ => json!({}),
        }
    }

    /// What syncgate may read that lies in no watched namespace.
    pub(super) fn grants(&self) -> Result<Vec<Value>> {
        match self {
            Scope::Cluster => rbac::cluster(),
            Scope::Names { .. } | Scope::File(_) => Ok(Vec::new()),
            Scope::Selector(_) => Ok([rbac::selector()?, rbac::outside()?].concat()),
        }
    }

    /// What it may read in one of them.
    pub(super) fn grants_in(&self, namespace: &str) -> Result<Vec<Value>> {
        match self {
            Scope::Cluster => Ok(Vec::new()),
            Scope::Names { foreign, .. } if foreign.contains(&namespace) => rbac::foreign(namespace),
            Scope::Names { .. } | Scope::File(_) => rbac::namespaced(namespace),
            Scope::Selector(_) => rbac::inside(namespace),
        }
    }
}
