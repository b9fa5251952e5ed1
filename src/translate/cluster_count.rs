//! The set of clusters that many members name, kept while members come and go.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::keys::ClusterKey;

/// How often each cluster is named, and the set of those named at all, made anew only when it changes.
#[derive(Debug, Default)]
pub(crate) struct ClusterCount {
    counts: BTreeMap<ClusterKey, usize>,
    set: Option<Arc<[ClusterKey]>>,
}

impl ClusterCount {
    /// Counts a member's clusters `after` instead of those `before`; both sorted. Touches only what differs.
    pub(crate) fn replace(&mut self, before: Option<&Arc<[ClusterKey]>>, after: Option<&Arc<[ClusterKey]>>) {
        if let (Some(before), Some(after)) = (before, after)
            && Arc::ptr_eq(before, after)
        {
            return;
        }
        let (before, after) = (slice(before), slice(after));
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            match (old.peek(), new.peek()) {
                (Some(gone), Some(come)) if gone == come => {
                    old.next();
                    new.next();
                }
                (Some(gone), come) if come.is_none_or(|come| gone < come) => {
                    self.remove(gone);
                    old.next();
                }
                (_, Some(come)) => {
                    self.add(come);
                    new.next();
                }
                (_, None) => return,
            }
        }
    }

    /// The clusters named, sorted.
    pub(crate) fn set(&mut self) -> Arc<[ClusterKey]> {
        self.set.get_or_insert_with(|| self.counts.keys().cloned().collect()).clone()
    }

    fn add(&mut self, cluster: &ClusterKey) {
        match self.counts.entry(cluster.clone()) {
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(count) => {
                count.insert(1);
                self.set = None;
            }
        }
    }

    fn remove(&mut self, cluster: &ClusterKey) {
        let Some(count) = self.counts.get_mut(cluster) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(cluster);
            self.set = None;
        }
    }
}

fn slice(clusters: Option<&Arc<[ClusterKey]>>) -> &[ClusterKey] {
    clusters.map_or(&[], |clusters| clusters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectKey;
    use crate::translate::keys::AppProtocol;

    fn clusters(ports: &[u16]) -> Arc<[ClusterKey]> {
        let key = |port: &u16| ClusterKey::new(ObjectKey::new("ns", "s"), *port, AppProtocol::Http);
        ports.iter().map(key).collect()
    }

    #[test]
    fn the_set_is_what_members_name_and_is_shared_while_it_stays() {
        let mut count = ClusterCount::default();
        let (one, two) = (clusters(&[1, 3, 5]), clusters(&[2, 3]));
        count.replace(None, Some(&one));
        count.replace(None, Some(&two));
        assert_eq!(count.set(), clusters(&[1, 2, 3, 5]));
        let moved = clusters(&[3, 4, 5]);
        count.replace(Some(&one), Some(&moved));
        assert_eq!(count.set(), clusters(&[2, 3, 4, 5]));
        let set = count.set();
        let third = clusters(&[4]);
        count.replace(None, Some(&third));
        assert!(Arc::ptr_eq(&set, &count.set()), "another mention changes nothing");
        count.replace(Some(&moved), None);
        count.replace(Some(&two), None);
        assert_eq!(count.set(), third);
    }
}
