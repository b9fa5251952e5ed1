//! Object metadata: labels, selectors, age.

use std::sync::Arc;

use arcstr::ArcStr;

/// A label set: sorted pairs, shared, because thousands of pods carry the same one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(ArcStr, ArcStr)]>);

impl Labels {
    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&ArcStr> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|at| &self.0[at].1)
    }

    /// The pairs in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &(ArcStr, ArcStr)> {
        self.0.iter()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether somebody else holds this set too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether every pair of `selector` is among these labels.
    #[must_use]
    pub fn contains_all(&self, selector: &Labels) -> bool {
        selector.iter().all(|(k, v)| self.get(k) == Some(v))
    }
}

impl FromIterator<(ArcStr, ArcStr)> for Labels {
    /// Sorts by key; of two pairs with one key the last wins.
    fn from_iter<T: IntoIterator<Item = (ArcStr, ArcStr)>>(pairs: T) -> Self {
        let sorted: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

/// What every object carries besides its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.generation`; 0 when absent (files). Part of status only.
    pub generation: i64,
    /// `metadata.creationTimestamp` in seconds since 1970; 0 when absent (files). Decides between routes with equal matches.
    pub created: i64,
    /// `metadata.labels`.
    pub labels: Labels,
}

/// A `metav1.LabelSelector`. An empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// `matchLabels`.
    pub match_labels: Labels,
    /// `matchExpressions`.
    pub match_expressions: Vec<Requirement>,
}

/// One `matchExpressions` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: ArcStr,
    /// The operator.
    pub operator: SelectorOperator,
    /// The values, for `In` and `NotIn`.
    pub values: Vec<ArcStr>,
}

/// The operator of a [`Requirement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectorOperator {
    /// The label's value is one of the values.
    In,
    /// The label is absent or its value is none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// An operator unknown to this release: matches nothing.
    Unknown(ArcStr),
}

impl LabelSelector {
    /// Whether the labels satisfy every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        labels.contains_all(&self.match_labels)
            && self.match_expressions.iter().all(|r| {
                let value = labels.get(&r.key);
                match &r.operator {
                    SelectorOperator::In => value.is_some_and(|v| r.values.contains(v)),
                    SelectorOperator::NotIn => value.is_none_or(|v| !r.values.contains(v)),
                    SelectorOperator::Exists => value.is_some(),
                    SelectorOperator::DoesNotExist => value.is_none(),
                    SelectorOperator::Unknown(_) => false,
                }
            })
    }
}
