//! temporary
use crate::model::decode::{NotDecoded, TypeMeta, decode};
use crate::model::*;
use arcstr::ArcStr;
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value as Json;
use std::time::Duration;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}
impl Encoding {
    pub fn of_kind(_: Kind) -> Self {
        Encoding::Json
    }
    pub fn accept(self, _watch: bool) -> &'static str {
        "application/json"
    }
    pub fn of_content_type(_: &str) -> Option<Self> {
        Some(Encoding::Json)
    }
}
#[derive(Debug, Default)]
pub struct Pool;
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Item>,
    pub revision: u64,
    pub next: Option<String>,
    pub remaining: Option<u64>,
}
#[derive(Debug)]
pub struct Item {
    pub key: ObjectKey,
    pub version: u64,
    pub value: Value,
}
#[derive(Debug)]
pub enum Value {
    Object(Object, Vec<FieldProblem>),
    Managed,
    Unreadable(Vec<FieldProblem>),
}
#[derive(Debug)]
pub enum Change {
    Put(Item),
    Delete(Item),
    Bookmark { revision: u64, initial_events_end: bool },
    Error(Status),
}
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    pub code: u16,
    pub reason: ArcStr,
    pub message: ArcStr,
    pub causes: Vec<(ArcStr, ArcStr)>,
    pub retry_after: Option<Duration>,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);
impl Item {
    pub fn new(key: ObjectKey, version: u64, value: Value) -> Self {
        Self { key, version, value }
    }
}
fn item(kind: Kind, tree: &Json) -> Item {
    let m = &tree["metadata"];
    let s = |v: &Json| v.as_str().unwrap_or_default().to_owned();
    let key = ObjectKey::new(s(&m["namespace"]), s(&m["name"]));
    let version = m["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0);
    let api = if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) };
    let value = match decode(tree, Some(TypeMeta { api_version: &api, kind: kind.as_str() })) {
        Ok(d) => Value::Object(d.object, d.problems),
        Err(NotDecoded::Managed(_)) => Value::Managed,
        Err(_) => Value::Unreadable(vec![]),
    };
    Item { key, version, value }
}
pub fn page(kind: Kind, _: Encoding, body: &[u8], _: &Pool) -> Result<Page, Malformed> {
    let tree: Json = serde_json::from_slice(body).map_err(|e| Malformed(e.to_string()))?;
    let m = &tree["metadata"];
    Ok(Page {
        items: tree["items"].as_array().map(|a| a.iter().map(|t| item(kind, t)).collect()).unwrap_or_default(),
        revision: m["resourceVersion"]
            .as_str()
            .and_then(|v| v.parse().ok())
            .ok_or_else(|| Malformed("no resourceVersion".into()))?,
        next: m["continue"].as_str().filter(|c| !c.is_empty()).map(str::to_owned),
        remaining: m["remainingItemCount"].as_u64(),
    })
}
pub fn change(kind: Kind, _: Encoding, frame: &[u8], _: &Pool) -> Result<Change, Malformed> {
    let tree: Json = serde_json::from_slice(frame).map_err(|e| Malformed(e.to_string()))?;
    let o = &tree["object"];
    Ok(match tree["type"].as_str() {
        Some("ADDED" | "MODIFIED") => Change::Put(item(kind, o)),
        Some("DELETED") => Change::Delete(item(kind, o)),
        Some("BOOKMARK") => Change::Bookmark {
            revision: o["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0),
            initial_events_end: o["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true",
        },
        Some("ERROR") => Change::Error(status_of(o)),
        _ => return Err(Malformed("?".into())),
    })
}
fn status_of(o: &Json) -> Status {
    let s = |v: &Json| ArcStr::from(v.as_str().unwrap_or_default());
    Status {
        code: o["code"].as_u64().unwrap_or(0) as u16,
        reason: s(&o["reason"]),
        message: s(&o["message"]),
        causes: o["details"]["causes"]
            .as_array()
            .map(|a| a.iter().map(|c| (s(&c["reason"]), s(&c["message"]))).collect())
            .unwrap_or_default(),
        retry_after: None,
    }
}
pub fn status(_: &str, code: u16, body: &[u8]) -> Status {
    let tree: Json = serde_json::from_slice(body).unwrap_or_default();
    Status { code, ..status_of(&tree) }
}
#[derive(Debug)]
pub struct Frames(BytesMut);
impl Frames {
    pub fn new(_: Encoding) -> Self {
        Self(BytesMut::new())
    }
    pub fn push(&mut self, chunk: &[u8]) {
        self.0.extend_from_slice(chunk);
    }
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(at) = self.0.iter().position(|b| *b == b'\n') else { return Ok(None) };
        let frame = self.0.split_to(at).freeze();
        self.0.advance(1);
        Ok(Some(frame))
    }
    pub fn is_partial(&self) -> bool {
        !self.0.is_empty()
    }
}
