//! The Service ports that waiting changes lead to: the graph derives endpoints only where something leads, so it is told.
//!
//! All ports of a change count for as long as it waits, whatever it waits for: if only the one that it lacks now did, two of
//! them could take turns for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::PortRef;

use super::table::Facts;

/// How many waiting changes lead to each Service port.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    counts: BTreeMap<PortRef, usize>,
    /// What the graph was told.
    told: BTreeSet<PortRef>,
    /// Where that may have changed.
    touched: BTreeSet<PortRef>,
}

impl Awaited {
    /// A change waits that makes an object this.
    pub(super) fn add(&mut self, facts: Option<&Facts>) {
        for port in facts.into_iter().flat_map(ports) {
            *self.counts.entry(port.clone()).or_default() += 1;
            self.touched.insert(port);
        }
    }

    /// It does not any more.
    pub(super) fn remove(&mut self, facts: Option<&Facts>) {
        for port in facts.into_iter().flat_map(ports) {
            if let Some(count) = self.counts.get_mut(&port) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&port);
                }
            }
            self.touched.insert(port);
        }
    }

    /// What is different from what was told last.
    pub(super) fn news(&mut self) -> impl Iterator<Item = (PortRef, bool)> {
        let Self { counts, told, touched } = self;
        std::mem::take(touched).into_iter().filter_map(|port| {
            let waits = counts.contains_key(&port);
            let is_news = if waits { told.insert(port.clone()) } else { told.remove(&port) };
            is_news.then_some((port, waits))
        })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.told.is_empty() && self.touched.is_empty()
    }
}

fn ports(facts: &Facts) -> impl Iterator<Item = PortRef> {
    let led_to = facts.references.iter();
    led_to.filter_map(|to| Some(PortRef { service: to.target.key.clone(), port: to.port? }))
}
