//! Notices that something in a folder changed, and when; what changed is found out by looking.

use std::collections::BTreeSet;
use std::time::Instant;

use notify::event::{AccessKind, AccessMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::walk::WatchedDir;

/// The operating system's notifications for a changing set of folders. Bounded: one pending notice stands for all.
pub(super) struct Notices {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<WatchedDir>,
}

/// Whether every folder is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Changes are noticed.
    Full,
    /// Some are not: the reason.
    Partial(String),
}

impl Notices {
    /// Notices and the channel on which each burst's first one arrives.
    pub(super) fn new() -> (Self, mpsc::Receiver<Instant>) {
        let (sender, receiver) = mpsc::channel(1);
        let tell = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(&event)) {
                // Full means that a notice is pending already.
                let _ = sender.try_send(Instant::now());
            }
        };
        let watcher = RecommendedWatcher::new(tell, Config::default()).ok();
        (Self { watcher, watched: BTreeSet::new() }, receiver)
    }

    /// Watches exactly these folders. Says whether one was added: what changed in it before that was not noticed.
    pub(super) fn watch(&mut self, dirs: &BTreeSet<WatchedDir>) -> (bool, Coverage) {
        let Some(watcher) = &mut self.watcher else {
            return (false, Coverage::Partial("the operating system gives no notifications".into()));
        };
        for gone in self.watched.difference(dirs) {
            // It is usually gone from the file system too, and its watch with it.
            let _ = watcher.unwatch(&gone.path);
        }
        self.watched.retain(|dir| dirs.contains(dir));
        let (mut added, mut coverage) = (false, Coverage::Full);
        for dir in dirs {
            if self.watched.contains(dir) {
                continue;
            }
            match watcher.watch(&dir.path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    added = true;
                    self.watched.insert(dir.clone());
                }
                Err(error) => coverage = Coverage::Partial(error.to_string()),
            }
        }
        (added, coverage)
    }
}

/// Whether an event may be a change. Reading, which we do ourselves, is none; an error or a lost event may be one.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
