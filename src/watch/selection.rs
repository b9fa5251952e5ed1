//! Which namespaces are watched: by name, by label selector, or both; from flags or from a file that may change (F21, F22).

mod follow;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arcstr::ArcStr;
use serde::Deserialize;

use crate::model::{LabelSelector, Labels, Requirement, SelectorOperator};

pub(super) use follow::follow;

/// The namespaces that are watched, and those that may be read on demand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// By name.
    pub names: BTreeSet<ArcStr>,
    /// By label, beside those by name.
    pub selector: Option<LabelSelector>,
    /// Namespaces outside of these into which references may lead: names, `prefix-*`, or `*` for all.
    pub foreign: BTreeSet<ArcStr>,
}

/// Why a selection cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The file cannot be read.
    #[error("{file}: {reason}", file = .0.display(), reason = .1)]
    File(PathBuf, String),
    /// A name that no namespace can have.
    #[error("{0:?} is no name of a namespace: lower-case letters, digits and '-', at most 63")]
    Name(String),
    /// A selector that cannot be read.
    #[error(
        "the label selector {selector:?} cannot be read: {reason}; write it as `team=shop,env in (prod,stage),!paused`"
    )]
    Selector {
        /// What was written.
        selector: String,
        /// What is wrong.
        reason: String,
    },
}

/// The file's form.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    namespaces: Vec<String>,
    selector: Option<String>,
    foreign_namespaces: Vec<String>,
}

impl Selection {
    /// A selection from what was written.
    ///
    /// # Errors
    /// A name or a selector that cannot be read.
    pub fn new(names: &[String], selector: Option<&str>, foreign: &[String]) -> Result<Self, SelectionError> {
        let checked = |name: &String| {
            let fits = !name.is_empty()
                && name.len() <= 63
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if fits { Ok(ArcStr::from(name)) } else { Err(SelectionError::Name(name.clone())) }
        };
        let pattern = |name: &String| match name.strip_suffix('*') {
            Some("") => Ok(ArcStr::from(name)),
            Some(prefix) => checked(&prefix.to_owned()).map(|_| ArcStr::from(name)),
            None => checked(name),
        };
        Ok(Self {
            names: names.iter().map(checked).collect::<Result<_, _>>()?,
            selector: selector.map(parse_selector).transpose()?,
            foreign: foreign.iter().map(pattern).collect::<Result<_, _>>()?,
        })
    }

    /// Reads a selection from a file with `namespaces`, `selector` and `foreignNamespaces`, each optional.
    ///
    /// # Errors
    /// A file that cannot be read, or that says something else.
    pub fn read(file: &Path) -> Result<Self, SelectionError> {
        let refused = |reason: String| SelectionError::File(file.to_owned(), reason);
        let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        let written: Written = if text.trim().is_empty() {
            Written::default()
        } else {
            serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))?
        };
        let made = Self::new(&written.namespaces, written.selector.as_deref(), &written.foreign_namespaces);
        made.map_err(|error| refused(error.to_string()))
    }

    /// Whether no namespace can be selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.selector.is_none()
    }

    /// Whether everything that `other` selects or allows is selected or allowed here too.
    fn is_wider_than(&self, other: &Self) -> bool {
        self.names.is_superset(&other.names)
            && self.foreign.is_superset(&other.foreign)
            && (other.selector.is_none() || self.selector == other.selector)
    }

    /// Whether references may lead into this namespace though it is not watched.
    #[must_use]
    pub fn allows_foreign(&self, namespace: &str) -> bool {
        self.foreign.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => namespace.starts_with(prefix),
            None => pattern == namespace,
        })
    }
}

/// A label selector as `kubectl -l` takes it.
fn parse_selector(text: &str) -> Result<LabelSelector, SelectionError> {
    let refused = |reason: String| SelectionError::Selector { selector: text.to_owned(), reason };
    let (mut equal, mut expressions) = (Vec::new(), Vec::new());
    for part in split(text) {
        let part = part.trim();
        match parse_requirement(part).map_err(refused)? {
            Requirement { key, operator: SelectorOperator::In, mut values }
                if values.len() == 1 && !part.contains('(') =>
            {
                equal.extend(values.pop().map(|value| (key, value)));
            }
            other => expressions.push(other),
        }
    }
    let match_labels: Labels = equal.into_iter().collect();
    Ok(LabelSelector { match_labels, match_expressions: expressions })
}

/// At the commas that are not between parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(part: &str) -> Result<Requirement, String> {
    let made = |key: &str, operator, values: Vec<&str>| {
        let key = key.trim();
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        if key.is_empty() || !letters(key) {
            return Err(format!("{key:?} is no label"));
        }
        if let Some(bad) = values.iter().find(|value| !letters(value)) {
            return Err(format!("{bad:?} is no label's value"));
        }
        Ok(Requirement { key: key.into(), operator, values: values.into_iter().map(ArcStr::from).collect() })
    };
    if let Some((key, list)) = part.split_once('(') {
        let list = list.strip_suffix(')').ok_or("a parenthesis is not closed")?;
        let values = list.split(',').map(str::trim).collect();
        let words: Vec<_> = key.split_whitespace().collect();
        return match words.as_slice() {
            [key, "in"] => made(key, SelectorOperator::In, values),
            [key, "notin"] => made(key, SelectorOperator::NotIn, values),
            _ => Err(format!("{part:?} is neither `key in (…)` nor `key notin (…)`")),
        };
    }
    if let Some(key) = part.strip_prefix('!') {
        return made(key, SelectorOperator::DoesNotExist, Vec::new());
    }
    if let Some((key, value)) = part.split_once("!=") {
        return made(key, SelectorOperator::NotIn, vec![value.trim()]);
    }
    if let Some((key, value)) = part.split_once('=') {
        return made(key, SelectorOperator::In, vec![value.trim_start_matches('=').trim()]);
    }
    made(part, SelectorOperator::Exists, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| (ArcStr::from(*key), ArcStr::from(*value))).collect()
    }

    #[test]
    fn a_selector_means_what_kubectl_means() {
        let selector = parse_selector("team=shop, env in (prod, stage),!paused,tier!=db,named").unwrap();
        let good = [("team", "shop"), ("env", "stage"), ("named", "")];
        assert!(selector.matches(&labels(&good)));
        for (key, value) in [("team", "x"), ("env", "dev"), ("paused", ""), ("tier", "db")] {
            let other: Vec<_> = good.iter().copied().filter(|(k, _)| *k != key).chain([(key, value)]).collect();
            assert!(!selector.matches(&labels(&other)), "{key}={value}");
        }
        assert!(!selector.matches(&labels(&good[..2])));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_the_remedy() {
        for bad in ["", "a in (b", "a within (b)", "a=b c", "=x", "a,,b"] {
            let error = parse_selector(bad).expect_err(bad).to_string();
            assert!(error.contains("write it as"), "{error}");
        }
        let error = Selection::new(&["Shop".to_owned()], None, &[]).unwrap_err();
        assert!(error.to_string().contains("\"Shop\" is no name of a namespace"), "{error}");
    }

    #[test]
    fn foreign_namespaces_are_names_and_prefixes() {
        let selection = Selection::new(&[], None, &["shared".to_owned(), "team-*".to_owned()]).unwrap();
        assert!(selection.allows_foreign("shared") && selection.allows_foreign("team-a"));
        assert!(!selection.allows_foreign("shared2") && !selection.allows_foreign("other"));
        assert!(Selection::new(&[], None, &["*".to_owned()]).unwrap().allows_foreign("any"));
    }

    #[test]
    fn a_file_says_the_same_and_unknown_fields_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("selection.yaml");
        std::fs::write(&file, "namespaces: [a, b]\nselector: team=shop\nforeignNamespaces: ['*']\n").unwrap();
        let read = Selection::read(&file).unwrap();
        assert_eq!(read, Selection::new(&["a".into(), "b".into()], Some("team=shop"), &["*".into()]).unwrap());
        std::fs::write(&file, "namespace: [a]\n").unwrap();
        assert!(Selection::read(&file).unwrap_err().to_string().contains("selection.yaml"));
        std::fs::write(&file, "").unwrap();
        assert_eq!(Selection::read(&file).unwrap(), Selection::default());
    }
}
