//! What the server says when it refuses: a `metav1.Status` in either encoding, or whatever stands between.

use std::time::Duration;

use arcstr::ArcStr;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value as Tree;

use super::messages;
use super::protobuf::Unknown;

/// Longer texts are cut: they end in logs, statuses and metrics.
const MAX_TEXT: usize = 1024;
/// More causes are not kept.
const MAX_CAUSES: usize = 16;

/// The answer to a request that failed, or the end of a watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status, or what the event says in its place: 410 when a revision is too old.
    pub code: u16,
    /// The server's word for it, such as `Expired`, `NotFound` or `Forbidden`; empty when it has none.
    pub reason: ArcStr,
    /// What it says to people.
    pub message: ArcStr,
    /// What it was caused by: words such as `ResourceVersionTooLarge`, each with what it says to people.
    pub causes: Vec<(ArcStr, ArcStr)>,
    /// When to ask again. The `Retry-After` header may say so too.
    pub retry_after: Option<Duration>,
}

/// Reads the body of an answer that is an error: a Status in either encoding, told apart by its first bytes, or else
/// the text of a proxy. Never fails.
#[must_use]
pub fn status(code: u16, body: &Bytes) -> Status {
    let said = match Unknown::read(body) {
        Ok(object) => object.status(),
        Err(_) => of_json(body),
    };
    Status { code, ..said.unwrap_or_else(|| of_text(code, body)) }
}

impl Status {
    pub(super) fn of_tree(tree: &Tree) -> Self {
        let word = |tree: &Tree, name: &str| text(tree[name].as_str().unwrap_or_default());
        let causes = tree["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let cause = |cause| (word(cause, "reason"), word(cause, "message"));
        Self {
            code: tree["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
            reason: word(tree, "reason"),
            message: word(tree, "message"),
            causes: causes.iter().take(MAX_CAUSES).map(cause).collect(),
            retry_after: seconds(tree["details"]["retryAfterSeconds"].as_i64().unwrap_or_default()),
        }
    }

    pub(super) fn of_message(message: &messages::Status) -> Self {
        let word = |bytes: &Bytes| text(&super::tree::text(bytes));
        let details = message.details.as_ref();
        let cause = |cause: &messages::StatusCause| (word(&cause.reason), word(&cause.message));
        Self {
            code: u16::try_from(message.code).unwrap_or_default(),
            reason: word(&message.reason),
            message: word(&message.message),
            causes: details.iter().flat_map(|details| &details.causes).take(MAX_CAUSES).map(cause).collect(),
            retry_after: seconds(details.map_or(0, |details| details.retry_after_seconds.into())),
        }
    }
}

fn of_json(body: &[u8]) -> Option<Status> {
    let tree: Tree = serde_json::from_slice(body).ok()?;
    (tree["kind"] == "Status").then(|| Status::of_tree(&tree))
}

/// The first line of a text that has letters, without markup and control characters; else what HTTP calls the code.
fn of_text(code: u16, body: &[u8]) -> Status {
    let head = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_TEXT)]);
    let mut lines = head.lines().map(printable).filter(|line| line.chars().any(char::is_alphabetic));
    let message = lines.next().unwrap_or_else(|| {
        StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default().to_owned()
    });
    Status { code, message: text(message.trim()), ..Status::default() }
}

fn printable(line: &str) -> String {
    let mut in_tag = false;
    let letters = line.chars().filter(|letter| match letter {
        '<' => {
            in_tag = true;
            false
        }
        '>' => !std::mem::take(&mut in_tag),
        letter => !in_tag && !letter.is_control(),
    });
    letters.collect()
}

fn text(text: &str) -> ArcStr {
    let fits = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end));
    text[..fits.unwrap_or_default()].into()
}

fn seconds(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}
