//! The log, line by line, as `--log-format json` writes it.

use serde_json::Value;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `INFO`, `WARN`, `ERROR`.
    pub level: String,
    /// What happened.
    pub message: String,
    /// The whole line.
    pub text: String,
}

impl Line {
    /// Whether it is about this: a namespace, a source.
    #[must_use]
    pub fn names(&self, what: &str) -> bool {
        // Names of the tests are no parts of each other.
        self.text.contains(what)
    }
}

/// The lines of a log.
#[must_use]
pub fn lines(log: &str) -> Vec<Line> {
    log.lines().map(line).collect()
}

fn line(text: &str) -> Line {
    let tree: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |tree: &Value, name: &str| tree[name].as_str().unwrap_or_default().to_owned();
    let message = [&tree["fields"], &tree].map(|tree| field(tree, "message")).into_iter().find(|text| !text.is_empty());
    Line { level: field(&tree, "level"), message: message.unwrap_or_default(), text: text.to_owned() }
}
