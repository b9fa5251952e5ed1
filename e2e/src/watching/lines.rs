//! The log, line by line, as `--log-format json` writes it.

use serde_json::Value;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `INFO`, `WARN`, `ERROR`.
    pub level: String,
    /// What happened.
    pub message: String,
    /// The namespace that it is about; empty if none.
    pub namespace: String,
    /// The whole line.
    pub text: String,
}

/// The lines of a log.
#[must_use]
pub fn lines(log: &str) -> Vec<Line> {
    log.lines().map(line).collect()
}

fn line(text: &str) -> Line {
    let tree: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| tree[name].as_str().unwrap_or_default().to_owned();
    Line { level: field("level"), message: field("message"), namespace: field("namespace"), text: text.to_owned() }
}
