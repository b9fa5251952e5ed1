//! Answers of the API server as pages and as streams of changes.

use std::time::Duration;

use tokio::time::Instant;

use super::client::{Answer, Client};
use super::fault::Fault;
use super::target::{Ask, Target, versions};
use super::wire::{self, Change, Encoding, Frames, Page, Pool};

/// How one source asks: what it learned of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// The encoding that is asked for; the answer says its own.
    pub(super) encoding: Encoding,
    /// Which of the API's versions, an index of [`versions`].
    pub(super) version: usize,
    /// The server does not begin watches with the list.
    pub(super) plain: bool,
}

impl Dialect {
    /// What is tried first.
    pub(super) fn of(target: &Target) -> Self {
        Self { encoding: Encoding::of_kind(target.kind), version: 0, plain: false }
    }

    /// The API's version.
    pub(super) fn version(&self, target: &Target) -> &'static str {
        let versions = versions(target.kind);
        versions[self.version % versions.len()]
    }
}

/// A watch that was granted.
#[derive(Debug)]
pub(super) struct Stream {
    answer: Answer,
    frames: Frames,
    encoding: Encoding,
    target: Target,
    pub(super) opened: Instant,
    /// Read with the end of the list, and to be told after it.
    kept: Option<Batch>,
}

/// What one read yielded.
#[derive(Debug)]
pub(super) struct Batch {
    /// When its last byte came.
    pub(super) arrived: std::time::Instant,
    pub(super) changes: Vec<Change>,
}

/// Reads one page of a consistent list.
pub(super) async fn page(
    client: &Client,
    target: &Target,
    dialect: Dialect,
    ask: Ask<'_>,
    pool: &Pool,
) -> Result<Page, Fault> {
    let uri = target.uri(dialect.version(target), ask, 0);
    let answer = client.get(&uri, dialect.encoding.accept()).await?;
    let encoding = Encoding::of_content_type(&answer.content_type).unwrap_or(dialect.encoding);
    let body = answer.whole().await?;
    wire::page(target.kind, encoding, &body, pool).map_err(|malformed| Fault::Malformed(malformed.to_string()))
}

impl Stream {
    /// Asks for a watch.
    pub(super) async fn open(
        client: &Client,
        target: &Target,
        dialect: Dialect,
        ask: Ask<'_>,
        timeout: Duration,
    ) -> Result<Self, Fault> {
        let uri = target.uri(dialect.version(target), ask, timeout.as_secs());
        let answer = client.watch(&uri, dialect.encoding.accept()).await?;
        let encoding = Encoding::of_content_type(&answer.content_type).unwrap_or(dialect.encoding);
        let frames = Frames::new(encoding);
        Ok(Self { answer, frames, encoding, target: target.clone(), opened: Instant::now(), kept: None })
    }

    /// Gives back what was read too early.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.kept = Some(batch).filter(|batch| !batch.changes.is_empty());
    }

    /// The changes that came together. A fault at the end of the stream, or when nothing came for `patience`; may be dropped
    /// while it waits.
    pub(super) async fn next(&mut self, patience: Duration, pool: &Pool) -> Result<Batch, Fault> {
        if let Some(kept) = self.kept.take() {
            return Ok(kept);
        }
        loop {
            let Some(chunk) = self.answer.chunk(patience).await? else {
                return Err(if self.frames.is_partial() { Fault::Cut } else { Fault::Ended });
            };
            let arrived = std::time::Instant::now();
            self.frames.push(&chunk);
            let mut changes = Vec::new();
            while let Some(frame) = self.frames.next_frame().map_err(malformed)? {
                changes.push(wire::change(self.target.kind, self.encoding, &frame, pool).map_err(malformed)?);
            }
            if !changes.is_empty() {
                return Ok(Batch { arrived, changes });
            }
        }
    }
}

fn malformed(malformed: wire::Malformed) -> Fault {
    Fault::Malformed(malformed.to_string())
}
