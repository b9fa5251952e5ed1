//! The folder as a state machine: each scan compares what is there with what was believed, and says what changed.
//!
//! Synchronous, with the clock passed in. Its invariant is `doubt_keeps`: what a file said stays in effect while the
//! file is broken or unreadable, while the folder cannot be listed, and until a second look confirms that an object
//! is gone: a file that is being replaced or written in place looks empty, or missing, for a moment.
//! Work is a look at each file's stamp, and reading for those that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::manifest::{self, Found, Manifest};
use super::report::{FileProblem, FilesError, Origin, Severity};
use super::walk::{self, Listing, Stamp, WatchedDir};
use crate::model::{Event, Object, ObjectRef};

/// How long an object must be missing from its file before it counts as removed.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_millis(250);

/// Times that a folder is read again because a `..data` in it was replaced meanwhile.
const MAX_ATTEMPTS: usize = 5;

/// What one scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What changed: puts before deletes, each sorted by object.
    pub(super) events: Vec<Event>,
    /// When to look again although nothing may happen meanwhile: something is in doubt.
    pub(super) look_again: Option<Instant>,
    /// The folders to watch.
    pub(super) dirs: BTreeSet<WatchedDir>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    files: BTreeMap<Arc<Path>, FileState>,
    /// Which files hold an object; one of them has effect.
    claims: HashMap<ObjectRef, Vec<Claim>>,
    /// What has effect.
    effective: HashMap<ObjectRef, Effective>,
    /// Objects with more than one claim.
    contested: BTreeSet<ObjectRef>,
    /// What the last listing said of single entries.
    listing_problems: Vec<FileProblem>,
}

#[derive(Debug)]
struct Effective {
    object: Object,
    origin: Origin,
}

/// The order is the precedence: what is still there, in path order, in the order of its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    missing: bool,
    path: Arc<Path>,
    number: usize,
}

#[derive(Debug, Default)]
struct FileState {
    /// The stamp of what was read last; `None` asks for reading again.
    stamp: Option<Stamp>,
    /// The hash of what was read last.
    digest: Option<blake3::Hash>,
    /// What the file said when it was last whole.
    good: Manifest,
    /// Whether it ever was whole.
    ever_good: bool,
    /// Why it is broken now; empty when it is not.
    broken: Vec<FileProblem>,
    doubt: Option<Doubt>,
}

/// Objects that the file held and that it lacked at a later look.
#[derive(Debug)]
struct Doubt {
    since: Instant,
    missing: BTreeSet<ObjectRef>,
}

/// What a look at a file showed.
enum Look {
    Gone,
    Whole(Manifest),
    Broken(Vec<FileProblem>),
}

impl Folder {
    pub(super) fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            files: BTreeMap::new(),
            claims: HashMap::new(),
            effective: HashMap::new(),
            contested: BTreeSet::new(),
            listing_problems: Vec::new(),
        }
    }

    /// Looks at the folder. On an error nothing changes.
    pub(super) fn scan(&mut self, now: Instant) -> Result<Scan, FilesError> {
        for _ in 0..MAX_ATTEMPTS {
            let listing = walk::list(&self.dir)?;
            let clock = SystemTime::now();
            let looks = self.looks(&listing);
            // Else half of it may be of an old generation and half of a new one.
            if listing.is_of_one_generation() {
                return Ok(self.believe(listing, looks, now, clock));
            }
        }
        Err(FilesError::Moving(self.dir.clone()))
    }

    fn believe(&mut self, listing: Listing, looks: Vec<Looked>, now: Instant, clock: SystemTime) -> Scan {
        let mut touched = BTreeSet::new();
        let due = looks.into_iter().filter_map(|looked| self.take(looked, now, clock, &mut touched)).min();
        self.listing_problems = listing.problems;
        Scan { events: self.settle(touched), look_again: due, dirs: listing.dirs }
    }

    /// Takes a look at one file into account. Says when to look again, if something is in doubt.
    fn take(
        &mut self,
        looked: Looked,
        now: Instant,
        clock: SystemTime,
        touched: &mut BTreeSet<ObjectRef>,
    ) -> Option<Instant> {
        let Looked { path, stamp, digest, look } = looked;
        let gone = matches!(look, Some(Look::Gone));
        let file = self.files.entry(path.clone()).or_default();
        file.digest = digest;
        let mut claims = None;
        if let Some(look) = look {
            let before = file.claims(&path);
            file.take(look, now);
            claims = Some((before, file.claims(&path)));
        }
        let doubted = file.doubt.as_ref().map(|doubt| doubt.since + CONFIRM_AFTER);
        let fresh = stamp.filter(|stamp| stamp.is_fresh(clock)).map(|_| now + CONFIRM_AFTER);
        file.stamp = stamp.filter(|_| doubted.is_none() && fresh.is_none());
        if gone && doubted.is_none() {
            self.files.remove(&path);
        }
        if let Some((before, after)) = claims {
            self.claim(&path, before, after, touched);
        }
        doubted.or(fresh)
    }

    /// Looks at every file that is new, changed, in doubt or gone. Reads, and changes nothing.
    fn looks(&self, listing: &Listing) -> Vec<Looked> {
        let mut looks = Vec::new();
        for (path, stamp) in &listing.files {
            let known = self.files.get(path);
            if known.is_some_and(|file| file.stamp == Some(*stamp)) {
                continue;
            }
            match manifest::read(path) {
                Err(problem) => looks.push(Looked::without_text(path, Look::Broken(vec![problem]))),
                Ok(text) => {
                    let digest = blake3::hash(text.as_bytes());
                    let same = known.is_some_and(|file| file.digest == Some(digest) && file.doubt.is_none());
                    let look = if same { None } else { Some(look_of(path, &text)) };
                    looks.push(Looked { path: path.clone(), stamp: Some(*stamp), digest: Some(digest), look });
                }
            }
        }
        let gone = self.files.keys().filter(|path| !listing.files.contains_key(*path) && !listing.is_unknown(path));
        looks.extend(gone.map(|path| Looked::without_text(path, Look::Gone)));
        looks
    }

    /// Exchanges the claims of one file.
    fn claim(
        &mut self,
        path: &Arc<Path>,
        before: Vec<(ObjectRef, Claim)>,
        after: Vec<(ObjectRef, Claim)>,
        touched: &mut BTreeSet<ObjectRef>,
    ) {
        for (at, _) in before {
            if let Some(claims) = self.claims.get_mut(&at) {
                claims.retain(|claim| claim.path != *path);
            }
            touched.insert(at);
        }
        for (at, claim) in after {
            self.claims.entry(at.clone()).or_default().push(claim);
            touched.insert(at);
        }
    }

    /// Decides anew which claim has effect for each touched object, and says what changed by it.
    fn settle(&mut self, touched: BTreeSet<ObjectRef>) -> Vec<Event> {
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for at in touched {
            let claims = self.claims.get(&at).map(Vec::as_slice).unwrap_or_default();
            let there = claims.iter().filter(|claim| !claim.missing).count();
            if there > 1 {
                self.contested.insert(at.clone())
            } else {
                self.contested.remove(&at)
            };
            let found =
                claims.iter().min().and_then(|claim| self.files.get(&claim.path)?.good.objects.get(claim.number));
            let Some(Found { object, origin, .. }) = found else {
                self.claims.remove(&at);
                if self.effective.remove(&at).is_some() {
                    deletes.push(Event::Delete(at));
                }
                continue;
            };
            let effective = Effective { object: object.clone(), origin: origin.clone() };
            match self.effective.insert(at.clone(), effective) {
                Some(before) if before.object == *object => {}
                _ => puts.push(Event::Put(at, object.clone())),
            }
        }
        puts.extend(deletes);
        puts
    }

    /// The number of files that are there.
    pub(super) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// Every object that has effect, sorted.
    pub(super) fn objects(&self) -> BTreeMap<&ObjectRef, (&Object, &Origin)> {
        self.effective.iter().map(|(at, e)| (at, (&e.object, &e.origin))).collect()
    }

    /// The number of objects that have effect.
    pub(super) fn object_count(&self) -> usize {
        self.effective.len()
    }

    /// The number of documents of kinds that syncgate does not read.
    pub(super) fn ignored_count(&self) -> usize {
        self.files.values().map(|file| file.good.ignored).sum()
    }

    /// Why files (and folders within the folder) cannot be used at present, in path order.
    pub(super) fn broken(&self) -> Vec<FileProblem> {
        let listing = self.listing_problems.iter().filter(|p| p.severity == Severity::Error);
        let mut found: Vec<_> = listing.chain(self.files.values().flat_map(|file| &file.broken)).cloned().collect();
        found.sort();
        found
    }

    /// The number of files that are broken at present.
    pub(super) fn broken_count(&self) -> usize {
        let unlisted = self.listing_problems.iter().filter(|p| p.severity == Severity::Error).count();
        unlisted + self.files.values().filter(|file| !file.broken.is_empty()).count()
    }

    /// Whether a file is broken that never was whole: what it would say is unknown.
    pub(super) fn lacks_a_file(&self) -> bool {
        !self.listing_problems.iter().all(|p| p.severity == Severity::Warning)
            || self.files.values().any(|file| !file.broken.is_empty() && !file.ever_good)
    }

    /// Everything that is wrong, in path order.
    pub(super) fn problems(&self) -> Vec<FileProblem> {
        let mut found = self.listing_problems.clone();
        for file in self.files.values() {
            found.extend(file.broken.iter().chain(&file.good.problems).cloned());
        }
        for at in &self.contested {
            let mut claims = self.claims.get(at).cloned().unwrap_or_default();
            claims.retain(|claim| !claim.missing);
            claims.sort();
            let origin = |claim: &Claim| self.files.get(&claim.path)?.good.objects.get(claim.number).map(|f| &f.origin);
            let Some(first) = claims.first().and_then(origin) else { continue };
            found.extend(claims.iter().skip(1).filter_map(origin).map(|second| FileProblem {
                object: Some(at.clone()),
                ..FileProblem::of_file(
                    second.place.clone(),
                    format!("is defined at {first} already, which has effect; remove one of the two"),
                )
            }));
        }
        found.sort();
        found.dedup();
        found
    }
}

/// A look at one file.
struct Looked {
    path: Arc<Path>,
    /// The stamp from before it was read.
    stamp: Option<Stamp>,
    digest: Option<blake3::Hash>,
    /// `None`: it says what it said before.
    look: Option<Look>,
}

impl Looked {
    fn without_text(path: &Arc<Path>, look: Look) -> Self {
        Self { path: path.clone(), stamp: None, digest: None, look: Some(look) }
    }
}

fn look_of(path: &Arc<Path>, text: &str) -> Look {
    match manifest::parse(path, text) {
        Ok(manifest) => Look::Whole(manifest),
        Err(broken) => Look::Broken(broken),
    }
}

impl FileState {
    /// Takes a look into account: believes it, doubts it, or keeps what was good.
    fn take(&mut self, look: Look, now: Instant) {
        let manifest = match look {
            Look::Broken(problems) => {
                (self.broken, self.doubt) = (problems, None);
                return;
            }
            Look::Whole(manifest) => manifest,
            Look::Gone => Manifest::default(),
        };
        let there: BTreeSet<_> = manifest.objects.iter().map(|found| &found.at).collect();
        let held = self.good.objects.iter().map(|found| &found.at);
        let missing: BTreeSet<_> = held.filter(|at| !there.contains(at)).cloned().collect();
        let confirmed = missing.is_empty()
            || self.doubt.as_ref().is_some_and(|doubt| {
                now.saturating_duration_since(doubt.since) >= CONFIRM_AFTER && missing.is_subset(&doubt.missing)
            });
        self.broken = Vec::new();
        if confirmed {
            (self.good, self.ever_good, self.doubt) = (manifest, true, None);
            return;
        }
        let since = match &self.doubt {
            Some(doubt) if missing.is_subset(&doubt.missing) => doubt.since,
            _ => now,
        };
        self.doubt = Some(Doubt { since, missing });
    }

    fn claims(&self, path: &Arc<Path>) -> Vec<(ObjectRef, Claim)> {
        let is_missing = |at: &ObjectRef| self.doubt.as_ref().is_some_and(|doubt| doubt.missing.contains(at));
        let claim = |(number, found): (usize, &Found)| {
            (found.at.clone(), Claim { missing: is_missing(&found.at), path: path.clone(), number })
        };
        self.good.objects.iter().enumerate().map(claim).collect()
    }
}

#[cfg(test)]
mod tests;
