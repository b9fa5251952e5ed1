//! The files of a folder: a recursive listing in path order that follows symbolic links and survives their loops.
//!
//! Hidden entries (`.git`, an editor's swap files) are not read. That also makes the folders right that Kubernetes
//! mounts from ConfigMaps and Secrets: their visible entries are links into the hidden `..data`, itself a link to a
//! hidden folder that is replaced as a whole, and each file is read once, under its visible name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::report::{FileProblem, FilesError, Place, Severity};

/// Folders within folders that are followed.
const MAX_DEPTH: usize = 32;
/// Files that a folder may have: three times what the largest budget needs in files of one pod each.
const MAX_FILES: usize = 300_000;

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the file was written so close to `now` that a later write could leave the same stamp: clocks of file
    /// systems tick every few milliseconds. A stamp from the future, where clocks differ, says nothing.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let (seconds, nanos) = self.changed;
        let changed = i128::from(seconds) * 1000 + i128::from(nanos) / 1_000_000;
        i128::try_from(now).is_ok_and(|now| now.abs_diff(changed) < 100)
    }
}

/// A folder to be watched: one that was replaced by another of the same name is another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatchedDir {
    pub(super) path: PathBuf,
    identity: (u64, u64, Option<SystemTime>),
}

impl WatchedDir {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self { path: path.to_owned(), identity: (meta.dev(), meta.ino(), meta.created().ok()) })
    }
}

/// A folder as it was listed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Its manifests, in path order.
    pub(super) files: BTreeMap<Arc<Path>, Stamp>,
    /// Where changes of it show: its folders, and those that links lead to.
    pub(super) dirs: BTreeSet<WatchedDir>,
    /// Paths that could not be looked at: what is below them is unknown, not gone.
    pub(super) unknown: Vec<Arc<Path>>,
    /// What is wrong with single entries.
    pub(super) problems: Vec<FileProblem>,
    /// Each `..data` link with where it led.
    swaps: Vec<(PathBuf, PathBuf)>,
}

impl Listing {
    /// Whether nothing can be said of this path.
    pub(super) fn is_unknown(&self, path: &Path) -> bool {
        self.unknown.iter().any(|unknown| path.starts_with(unknown))
    }

    /// Whether every `..data` still leads where it led: else what was read by this listing may be of two generations.
    pub(super) fn is_of_one_generation(&self) -> bool {
        self.swaps.iter().all(|(link, target)| fs::read_link(link).ok().as_ref() == Some(target))
    }
}

/// Lists the folder.
pub(super) fn list(root: &Path) -> Result<Listing, FilesError> {
    let meta = fs::metadata(root).map_err(|error| FilesError::new(root, &error))?;
    let seen = HashSet::from([(meta.dev(), meta.ino())]);
    let mut walk = Walk { root, listing: Listing::default(), seen };
    walk.folder(root, 0)?;
    if let Some(parent) = parent_of_link(root) {
        walk.listing.dirs.extend(WatchedDir::of(parent));
    }
    Ok(walk.listing)
}

fn parent_of_link(root: &Path) -> Option<&Path> {
    let is_link = fs::symlink_metadata(root).is_ok_and(|meta| meta.is_symlink());
    if is_link { root.parent().filter(|parent| !parent.as_os_str().is_empty()) } else { None }
}

struct Walk<'a> {
    root: &'a Path,
    listing: Listing,
    /// Folders and files by identity: each is read once, whatever number of links leads to it.
    seen: HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn folder(&mut self, dir: &Path, depth: usize) -> Result<(), FilesError> {
        if depth > MAX_DEPTH {
            let reason = format!("is nested deeper than {MAX_DEPTH} folders at {}", dir.display());
            return Err(FilesError::TooBig { dir: self.root.to_owned(), reason });
        }
        let entries = match entries(dir) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(FilesError::new(dir, &error)),
            // It went away since its parent was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.unknown(dir, &error);
                return Ok(());
            }
        };
        self.watch(dir);
        let link = dir.join("..data");
        if let Ok(target) = fs::read_link(&link) {
            self.listing.swaps.push((link, target));
        }
        for Entry { name, is_link } in entries {
            let path = dir.join(&name);
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => {
                    if self.seen.insert((meta.dev(), meta.ino())) {
                        self.folder(&path, depth + 1)?;
                    }
                }
                Ok(meta) if meta.is_file() && is_manifest(&path) => self.file(&path, &meta, is_link)?,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => self.dangling(&path, is_link),
                // A link that leads to itself says so by an error of its own.
                Err(error) if is_manifest(&path) || error.kind() == ErrorKind::PermissionDenied => {
                    self.unknown(&path, &error);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, meta: &Metadata, is_link: bool) -> Result<(), FilesError> {
        if !self.seen.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        if self.listing.files.len() >= MAX_FILES {
            let reason = format!("has more than {MAX_FILES} manifests");
            return Err(FilesError::TooBig { dir: self.root.to_owned(), reason });
        }
        if let (true, Ok(target)) = (is_link, fs::canonicalize(path)) {
            self.listing.dirs.extend(target.parent().and_then(WatchedDir::of));
        }
        self.listing.files.insert(path.into(), Stamp::of(meta));
        Ok(())
    }

    fn watch(&mut self, dir: &Path) {
        self.listing.dirs.extend(fs::canonicalize(dir).ok().and_then(|dir| WatchedDir::of(&dir)));
    }

    fn unknown(&mut self, path: &Path, error: &io::Error) {
        let path: Arc<Path> = path.into();
        let problem = FileProblem::of_file(Place::file(&path), format!("cannot be read: {error}"));
        self.listing.problems.push(problem);
        self.listing.unknown.push(path);
    }

    fn dangling(&mut self, path: &Path, is_link: bool) {
        if is_link && is_manifest(path) {
            let problem = FileProblem::of_file(Place::file(&path.into()), "is a symbolic link that leads nowhere");
            self.listing.problems.push(FileProblem { severity: Severity::Warning, ..problem });
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: OsString,
    is_link: bool,
}

/// The visible entries of a folder, sorted: which of two objects with one name has effect must not be chance.
fn entries(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            entries.push(Entry { name, is_link });
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// YAML and JSON, except the files that describe a folder to kustomize.
fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let stem = path.file_stem().and_then(|s| s.to_str());
    matches!(extension.as_deref(), Some("yaml" | "yml" | "json")) && stem != Some("kustomization")
}
