//! From references to wants: pure, on the coverage and what is known of the grants.
//!
//! Invariant: nothing is wanted that nobody consented to. Consent of a namespace that is not read as a whole has to be
//! read itself, and is therefore wanted first.

use std::collections::BTreeSet;

use arcstr::ArcStr;

use crate::model::{Coverage, Kind, ObjectRef, Want};

use super::table::{Facts, Reference, View};

/// What one referrer's references need to have read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) wants: BTreeSet<Want>,
    /// The namespaces whose grants decide what is wanted.
    pub(super) consents: BTreeSet<ArcStr>,
}

/// What has to be read for one reference, in this order.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) grants: Option<Want>,
    pub(super) target: Option<Want>,
}

impl Path {
    /// Each step.
    pub(super) fn steps(self) -> impl Iterator<Item = Want> {
        self.grants.into_iter().chain(self.target)
    }
}

/// What has to be read for a reference.
pub(super) fn path(coverage: &Coverage, Reference { target, .. }: &Reference) -> Path {
    let namespace = &target.key.namespace;
    if target.kind.is_cluster_scoped() || coverage.includes(namespace) {
        let on_demand = coverage.on_demand.contains(&target.kind);
        return Path { grants: None, target: on_demand.then(|| Want::Object(target.clone())) };
    }
    let wanted = match target.kind {
        Kind::Service => Want::Backend(target.key.clone()),
        kind if kind.is_by_object() => Want::Object(target.clone()),
        // A parent elsewhere is read with its namespace or not at all.
        _ => return Path { grants: None, target: None },
    };
    Path { grants: Some(Want::Grants(namespace.clone())), target: Some(wanted) }
}

impl Needs {
    /// Adds what the references of `facts` need, with the grants that are in `view`.
    pub(super) fn add(
        &mut self,
        coverage: &Coverage,
        view: &impl View,
        (referrer, facts): (&ObjectRef, &Facts),
        is_answered: impl Fn(&Want) -> bool,
    ) {
        // What is outside is on its way out itself, and the secrets of others' Gateways are not ours to read.
        if !coverage.includes(&referrer.key.namespace) || (referrer.kind == Kind::Gateway && !is_ours(facts, view)) {
            return;
        }
        for reference in &facts.references {
            let Path { grants, target: Some(target) } = path(coverage, reference) else { continue };
            if reference.by_consent {
                self.consents.insert(reference.target.key.namespace.clone());
            }
            let consent_is_known = grants.as_ref().is_none_or(&is_answered);
            self.wants.extend(grants);
            if consent_is_known && view.permits(referrer, reference) {
                self.wants.insert(target);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty() && self.consents.is_empty()
    }
}

/// Whether a Gateway's class is there and ours.
fn is_ours(gateway: &Facts, view: &impl View) -> bool {
    let mut classes = gateway.references.iter().filter(|reference| reference.target.kind == Kind::GatewayClass);
    classes.any(|reference| view.facts(&reference.target).is_some_and(|class| class.is_ours))
}
