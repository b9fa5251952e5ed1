//! What both encodings share: an object's tree becomes an item, an event's type becomes a change.

use serde_json::Value as Tree;

use super::{Item, Value, pool, revision, version, written_key};
use crate::model::decode::{self, NotDecoded, TypeMeta};
use crate::model::{FieldProblem, Kind};

/// The types of events.
pub(super) const ADDED: &str = "ADDED";
pub(super) const MODIFIED: &str = "MODIFIED";
pub(super) const DELETED: &str = "DELETED";
pub(super) const BOOKMARK: &str = "BOOKMARK";
pub(super) const ERROR: &str = "ERROR";

/// Decodes one object of a list or an event about `kind`.
pub(super) fn item(kind: Kind, tree: &Tree, inherited: Option<TypeMeta<'_>>, strings: &pool::Strings<'_>) -> Item {
    let text = |name| metadata(tree, name);
    let (key, value) = match decode::decode_with(tree, inherited, strings) {
        Ok(decoded) if decoded.at.kind == kind => (decoded.at.key, Value::Object(decoded.object, decoded.problems)),
        Err(NotDecoded::Managed(at)) if at.kind == kind => (at.key, Value::Managed),
        other => (
            written_key(kind, text("namespace"), text("name"), strings),
            Value::Unreadable(match other {
                Err(NotDecoded::NoIdentity(problems)) => problems,
                Err(NotDecoded::Unsupported(problem)) => vec![problem],
                Ok(_) | Err(NotDecoded::Managed(_) | NotDecoded::Ignored) => vec![other_kind(kind)],
            }),
        ),
    };
    Item { key, version: version(text("resourceVersion")), value }
}

fn other_kind(kind: Kind) -> FieldProblem {
    FieldProblem::new("kind", format!("must be {kind}, which was asked for; the object has no effect"))
}

/// A field of an object's metadata that is a string; empty if it is not there.
pub(super) fn metadata<'t>(tree: &'t Tree, name: &str) -> &'t str {
    tree["metadata"][name].as_str().unwrap_or_default()
}

/// The revision of a list or a bookmark; a watch cannot begin without.
pub(super) fn required_revision(text: &str) -> Result<u64, String> {
    revision(text).ok_or_else(|| format!("has {text:?} as metadata.resourceVersion, which must be a number"))
}

/// Checks that an answer to a LIST of `kind` says to be one.
pub(super) fn check_list(kind: Kind, said: &str) -> Result<(), String> {
    if said.strip_suffix("List") == Some(kind.as_str()) {
        return Ok(());
    }
    Err(format!("is a {said:?}, not the {kind}List that was asked for"))
}
