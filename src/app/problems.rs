//! What is wrong with objects, counted by kind for the metrics: what reading the files found and what translation
//! found, each once.
//!
//! Invariant: `syncgate_problems` says for each kind what `check` would list for the same folder. What decoding found
//! travels with the object too and comes back in its status, so the two are joined as a set.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arcstr::ArcStr;
use tokio::sync::watch;

use super::pipeline::Troubled;
use crate::{
    files::Findings,
    metrics,
    model::{Kind, ObjectRef},
};

/// Counts problems when they have changed.
#[derive(Debug)]
pub struct Problems {
    findings: watch::Receiver<Arc<Findings>>,
    /// Whether translation may have found others since they were counted.
    stale: bool,
}

impl Problems {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(findings: watch::Receiver<Arc<Findings>>) -> Self {
        Self { findings, stale: true }
    }

    /// What the source found when it read the files last.
    #[must_use]
    pub fn found(&self) -> Arc<Findings> {
        self.findings.borrow().clone()
    }

    /// Statuses have changed.
    pub fn changed(&mut self) {
        self.stale = true;
    }

    /// Writes the metric, if anything has changed: the work of the problems that there are, not of all objects.
    pub fn export(&mut self, troubled: &Troubled) {
        // An error means that the source has ended; what it last found stays true.
        let found_others = self.findings.has_changed().unwrap_or(false);
        if !std::mem::take(&mut self.stale) && !found_others {
            return;
        }
        let findings = self.findings.borrow_and_update().clone();
        for (kind, problems) in count(&findings, troubled) {
            metrics::problems(kind.as_str(), problems);
        }
    }
}

/// The number of problems of each kind.
fn count(findings: &Findings, troubled: &Troubled) -> BTreeMap<Kind, usize> {
    let of_files = findings
        .problems
        .iter()
        .filter_map(|problem| problem.object.as_ref().map(|object| (object, &problem.field, &problem.message)));
    let of_statuses = troubled
        .iter()
        .flat_map(|(object, status)| status.problems.iter().map(move |at| (object, &at.field, &at.message)));
    let each: BTreeSet<(&ObjectRef, &ArcStr, &ArcStr)> = of_files.chain(of_statuses).collect();
    let mut counts = BTreeMap::from(Kind::ALL.map(|kind| (kind, 0)));
    for (object, _, _) in each {
        *counts.entry(object.kind).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::offline::Offline,
        model::{FieldProblem, ObjectKey},
        translate::Status,
    };

    #[test]
    fn what_files_and_translation_both_found_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let route = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: demo}
spec:
  parentRefs: [{name: none}]
  rules: [{matches: [{method: [GET]}]}]
";
        std::fs::write(dir.path().join("route.yaml"), route).unwrap();
        let world = Offline::load(dir.path()).unwrap();
        let findings = Findings { problems: world.found_in_files().to_vec(), ..Findings::default() };
        assert!(!findings.problems.is_empty(), "decoding says something of the method");
        let counts = count(&findings, world.troubled());
        assert_eq!(counts[&Kind::HttpRoute], world.problems().len());
        assert_eq!(counts[&Kind::Gateway], 0);
    }

    #[test]
    fn the_same_words_about_two_objects_count_twice() {
        let status = Status { problems: vec![FieldProblem::new("spec", "is wrong")], ..Status::default() };
        let at = |name| ObjectRef::new(Kind::Gateway, ObjectKey::new("demo", name));
        let troubled = Troubled::from([(at("a"), Arc::new(status.clone())), (at("b"), Arc::new(status))]);
        assert_eq!(count(&Findings::default(), &troubled)[&Kind::Gateway], 2);
    }
}
