//! The running source: notices, looks, and what they mean for readiness.
//!
//! Invariant: the folder is looked at again for every notice, at every doubt's time, and every `rescan` whatever
//! happens; and nothing but a look that succeeded changes what the source said.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::folder::{Folder, Scan};
use super::notice::{Coverage, Notices};
use super::report::{FileProblem, FilesError};
use crate::metrics;
use crate::model::{Delta, Event, Kind};
use crate::readiness::Part;

/// The source's name in metrics, and the name to register its part of readiness under.
pub const SOURCE: &str = "files";

/// A burst of changes is over when nothing was noticed for this long.
const QUIET: Duration = Duration::from_millis(20);
/// A burst that does not end is looked at after this long.
const BURST: Duration = Duration::from_millis(200);
/// How often a folder that cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the folder is looked at when the operating system does not notify us of all of it.
const POLL: Duration = Duration::from_secs(2);
/// Files named in the log at once.
const LOGGED: usize = 10;

/// What a broken file does at start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBrokenFile {
    /// The source is not ready until the file is mended or removed: what it would say is unknown.
    #[default]
    Wait,
    /// The file is left out, and reported.
    Skip,
}

/// How to read a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// The folder; its subfolders are read too.
    pub dir: PathBuf,
    /// What a broken file does at start. Later it always keeps what it last said.
    pub on_broken: OnBrokenFile,
    /// How often the folder is looked at although no change was noticed: notifications can be lost.
    pub rescan: Duration,
}

impl FilesConfig {
    /// A folder with the defaults: broken files keep the source not ready, a look every 30 s.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), on_broken: OnBrokenFile::default(), rescan: Duration::from_secs(30) }
    }
}

/// What a folder holds at present, for readers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The number of files, broken ones included.
    pub files: usize,
    /// The number of objects that have effect.
    pub objects: usize,
    /// The number of documents of kinds that syncgate does not read.
    pub ignored: usize,
    /// The number of broken files.
    pub broken: usize,
    /// Everything that is wrong, in order of file and line.
    pub problems: Vec<FileProblem>,
}

/// Reads the folder until `shutdown`: hands each batch of changes to `sink`, reports itself as `part` of readiness and
/// publishes what it found to `findings`. The first batch ends with [`Event::Listed`] of every kind: at start when the
/// folder was read whole (an empty folder is whole), see [`OnBrokenFile`].
pub async fn run(
    config: FilesConfig,
    sink: impl Fn(Delta) + Send,
    part: Part,
    findings: watch::Sender<Arc<Findings>>,
    shutdown: impl Future<Output = ()> + Send,
) {
    part.waiting(format!("the folder {} is being read", config.dir.display()));
    let (notices, changes) = Notices::new();
    let mut source = Source {
        eyes: Some(Eyes { folder: Folder::new(&config.dir), notices }),
        outlook: Outlook { began: Instant::now(), listed: false, failure: None, broken: Vec::new() },
        config,
        sink,
        part,
        findings,
        changes,
        next: Instant::now(),
    };
    let mut shutdown = pin!(shutdown);
    loop {
        let arrived = tokio::select! {
            biased;
            () = &mut shutdown => return,
            arrived = source.next_occasion() => arrived,
        };
        if !source.look(arrived).await {
            return;
        }
    }
}

struct Source<S> {
    config: FilesConfig,
    sink: S,
    part: Part,
    findings: watch::Sender<Arc<Findings>>,
    changes: mpsc::Receiver<Instant>,
    /// When to look although nothing was noticed.
    next: Instant,
    /// Out while a look is under way on a thread that may block.
    eyes: Option<Eyes>,
    outlook: Outlook,
}

/// What was last said to the world.
struct Outlook {
    began: Instant,
    /// Whether the first list was whole.
    listed: bool,
    failure: Option<FilesError>,
    broken: Vec<FileProblem>,
}

/// The part that does the blocking work.
struct Eyes {
    folder: Folder,
    notices: Notices,
}

/// What a look yielded.
struct Seen {
    eyes: Eyes,
    scan: Result<Scan, FilesError>,
    coverage: Coverage,
    took: Duration,
}

impl Eyes {
    fn look(mut self) -> Seen {
        let started = Instant::now();
        let mut scan = self.folder.scan(started);
        let mut coverage = Coverage::Full;
        if let Ok(found) = &mut scan {
            let (added, covered) = self.notices.watch(&found.dirs);
            coverage = covered;
            if added {
                // What happened before the new watches stood was not noticed: one more look follows at once.
                found.look_again = Some(started);
            }
        }
        Seen { eyes: self, scan, coverage, took: started.elapsed() }
    }
}

impl<S: Fn(Delta)> Source<S> {
    /// Waits until there is reason to look, and returns when that reason came up.
    async fn next_occasion(&mut self) -> Instant {
        let due = tokio::time::Instant::from_std(self.next);
        let first = tokio::select! {
            biased;
            change = self.changes.recv() => change,
            () = sleep_until(due) => None,
        };
        let Some(first) = first else {
            // Without notices (their sender is gone) the clock is all there is.
            sleep_until(due).await;
            return Instant::now();
        };
        let end = tokio::time::Instant::from_std(first + BURST);
        while let Ok(Some(_)) = timeout_at(end.min(tokio::time::Instant::now() + QUIET), self.changes.recv()).await {
            if tokio::time::Instant::now() >= end {
                break;
            }
        }
        first
    }

    /// Looks once. False when that is no longer possible.
    async fn look(&mut self, arrived: Instant) -> bool {
        let Some(eyes) = self.eyes.take() else { return false };
        let Ok(seen) = tokio::task::spawn_blocking(move || eyes.look()).await else { return false };
        let Seen { eyes, scan, coverage, took } = seen;
        let now = Instant::now();
        let idle = match &coverage {
            Coverage::Full => self.config.rescan,
            Coverage::Partial(_) => self.config.rescan.min(POLL),
        };
        match scan {
            Err(error) => {
                self.next = now + RETRY;
                self.failed(error);
            }
            Ok(scan) => {
                self.next = scan.look_again.unwrap_or(now + idle).min(now + idle);
                self.succeeded(arrived, scan.events, &eyes.folder, &coverage, took);
            }
        }
        self.eyes = Some(eyes);
        true
    }

    fn failed(&mut self, error: FilesError) {
        if self.outlook.listed {
            self.part.stale(format!("{error}; what it held stays in effect"));
        } else {
            self.part.failed(format!("{error}; it is tried again every second"));
        }
        if self.outlook.failure.as_ref() != Some(&error) {
            warn!(%error, "the folder cannot be read");
        }
        self.outlook.failure = Some(error);
    }

    fn succeeded(
        &mut self,
        arrived: Instant,
        mut events: Vec<Event>,
        folder: &Folder,
        coverage: &Coverage,
        took: Duration,
    ) {
        if self.outlook.failure.take().is_some() {
            info!(folder = %self.config.dir.display(), "the folder can be read again");
        }
        let whole = self.config.on_broken == OnBrokenFile::Skip || !folder.lacks_a_file();
        let lists = whole && !self.outlook.listed;
        if lists {
            events.extend(Kind::ALL.map(Event::Listed));
        }
        self.publish(folder, took, !events.is_empty());
        self.log_broken(folder.broken());
        if !events.is_empty() {
            debug!(events = events.len(), ?took, "the folder changed");
            (self.sink)(Delta::new(arrived, events));
        }
        if lists {
            self.outlook.listed = true;
            let after = self.outlook.began.elapsed();
            metrics::source_synced(SOURCE, after);
            info!(
                folder = %self.config.dir.display(),
                files = folder.file_count(),
                objects = folder.object_count(),
                ignored = folder.ignored_count(),
                ?after,
                "the folder is read"
            );
            if let Coverage::Partial(reason) = coverage {
                warn!(%reason, every = ?POLL, "changes of the folder are not notified, it is looked at instead");
            }
        }
        match self.outlook.broken.first() {
            Some(first) if !self.outlook.listed => self.part.failed(format!(
                "{first}; {} broken, mend or remove them or start with --on-broken-file=skip",
                folder.broken_count()
            )),
            _ => self.part.ready(),
        }
    }

    /// Tells readers, metrics and the log what the folder holds, when that changed.
    fn publish(&self, folder: &Folder, took: Duration, changed: bool) {
        let findings = Findings {
            files: folder.file_count(),
            objects: folder.object_count(),
            ignored: folder.ignored_count(),
            broken: folder.broken_count(),
            problems: folder.problems(),
        };
        let before = self.findings.borrow().clone();
        if *before == findings && !changed {
            return;
        }
        metrics::files_reloaded(findings.files, findings.broken, took);
        match findings.problems.first() {
            Some(first) if before.problems != findings.problems => {
                warn!(count = findings.problems.len(), %first, "manifests have problems; `syncgate check` lists them");
            }
            None if !before.problems.is_empty() => info!("manifests have no problems any more"),
            _ => {}
        }
        self.findings.send_replace(Arc::new(findings));
    }

    /// One line for each file that breaks, and one when all are whole again.
    fn log_broken(&mut self, broken: Vec<FileProblem>) {
        if broken == self.outlook.broken {
            return;
        }
        let new = broken.iter().filter(|problem| !self.outlook.broken.contains(problem));
        for problem in new.take(LOGGED) {
            warn!(%problem, "a file is broken; what it said before, if anything, stays in effect");
        }
        if broken.is_empty() {
            info!("no file is broken any more");
        }
        self.outlook.broken = broken;
    }
}
