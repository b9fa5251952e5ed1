//! The server's audit log: what a client really asked, of which namespaces, and what it was told.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

/// One event. A watch has two: at the start of its response and at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The user's name.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// The plural name of the kind, or empty for a URL that names none.
    pub resource: String,
    /// Such as `status`, or empty.
    pub subresource: String,
    /// The API group, empty for the core one.
    pub api_group: String,
    /// The namespace, empty for all of them and for kinds that have none.
    pub namespace: String,
    /// The name of the object, empty for lists and watches of more than one.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The status of the response.
    pub code: u16,
    /// `ResponseStarted` (watches only), `ResponseComplete` or `Panic`.
    pub stage: String,
    /// When the request came, in RFC 3339 with microseconds in UTC: texts compare as times do.
    pub received: String,
    /// When the stage was reached.
    pub timestamp: String,
}

impl Audit {
    fn parse(line: &str) -> Result<Self> {
        let event: Value = serde_json::from_str(line).with_context(|| format!("audit event {line}"))?;
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
        Ok(Self {
            user: text("/user/username"),
            user_agent: text("/userAgent"),
            verb: text("/verb"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
            api_group: text("/objectRef/apiGroup"),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            uri: text("/requestURI"),
            code: u16::try_from(code)?,
            stage: text("/stage"),
            received: text("/requestReceivedTimestamp"),
            timestamp: text("/stageTimestamp"),
        })
    }
}

/// The log. An event is there a moment after its response, so whoever looks for one waits.
#[derive(Debug, Clone)]
pub struct AuditLog(PathBuf);

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl AuditLog {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The end of the log now.
    pub fn mark(&self) -> Result<Mark> {
        match std::fs::metadata(&self.0) {
            Ok(found) => Ok(Mark(found.len())),
            // The server makes the file with its first event.
            Err(reason) if reason.kind() == ErrorKind::NotFound => Ok(Mark(0)),
            Err(reason) => Err(reason).with_context(|| format!("look at {}", self.0.display())),
        }
    }

    /// All events.
    pub fn all(&self) -> Result<Vec<Audit>> {
        self.since(Mark(0))
    }

    /// The events after a mark.
    pub fn since(&self, mark: Mark) -> Result<Vec<Audit>> {
        let mut file = match File::open(&self.0) {
            Ok(file) => file,
            Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(reason) => return Err(reason).with_context(|| format!("open {}", self.0.display())),
        };
        file.seek(SeekFrom::Start(mark.0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("read {}", self.0.display()))?;
        // The last line may be half written.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        std::str::from_utf8(&bytes[..whole])?.lines().map(Audit::parse).collect()
    }
}
