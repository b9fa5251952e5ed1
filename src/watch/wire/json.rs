//! Answers in JSON: of custom kinds always, of Kubernetes' own where a server has no protobuf.

use serde_json::Value as Tree;

use super::envelope::{self, ADDED, BOOKMARK, DELETED, ERROR, MODIFIED, check_list, metadata, required_revision};
use super::{Change, Gone, INITIAL_EVENTS_END, Page, Pool, Status, keep, version, written_key};
use crate::model::Kind;
use crate::model::decode::TypeMeta;

/// How many objects are built under one lock of the pool.
const BATCH: usize = 128;

pub(super) fn page(kind: Kind, body: &[u8], pool: &Pool) -> Result<Page, String> {
    let tree = keep::list(kind, body)?;
    check_list(kind, tree["kind"].as_str().unwrap_or_default())?;
    let api_version = tree["apiVersion"].as_str().ok_or("has no apiVersion")?;
    // Entries of typed lists need not say their type.
    let inherited = Some(TypeMeta { api_version, kind: kind.as_str() });
    let revision = required_revision(metadata(&tree, "resourceVersion"))?;
    let trees = match tree.get("items") {
        // How Go writes a list that nobody made.
        Some(Tree::Null) => &[],
        Some(Tree::Array(items)) => items.as_slice(),
        _ => return Err("has no items".into()),
    };
    let mut items = Vec::with_capacity(trees.len());
    for batch in trees.chunks(BATCH) {
        let strings = pool.strings();
        items.extend(batch.iter().map(|tree| envelope::item(kind, tree, inherited, &strings)));
    }
    Ok(Page {
        items,
        revision,
        next: Some(metadata(&tree, "continue")).filter(|token| !token.is_empty()).map(str::to_owned),
        remaining: tree["metadata"]["remainingItemCount"].as_u64(),
    })
}

pub(super) fn change(kind: Kind, frame: &[u8], pool: &Pool) -> Result<Change, String> {
    let tree = keep::event(kind, frame)?;
    let object = &tree["object"];
    let text = |name| metadata(object, name);
    match tree["type"].as_str().unwrap_or_default() {
        ADDED | MODIFIED => Ok(Change::Put(envelope::item(kind, object, None, &pool.strings()))),
        DELETED if text("name").is_empty() => Err("does not say which object was deleted".into()),
        DELETED => Ok(Change::Delete(Gone {
            key: written_key(kind, text("namespace"), text("name"), &pool.strings()),
            version: version(text("resourceVersion")),
        })),
        BOOKMARK => Ok(Change::Bookmark {
            revision: required_revision(text("resourceVersion"))?,
            initial_events_end: object["metadata"]["annotations"][INITIAL_EVENTS_END] == "true",
        }),
        ERROR => Ok(Change::Error(Status::of_tree(object))),
        other => Err(format!("is of the unknown type {other:?}")),
    }
}
