//! What is said of files: where an object stands, and what is wrong with it or with its file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arcstr::ArcStr;

use super::yaml::Mark;
use crate::model::ObjectRef;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file, below the folder as it was named to us.
    pub path: Arc<Path>,
    /// The line, from 1; 0 means the file as a whole.
    pub line: u32,
    /// The column, from 1; 0 means the line as a whole.
    pub column: u32,
}

impl Place {
    pub(super) fn file(path: &Arc<Path>) -> Self {
        Self { path: path.clone(), line: 0, column: 0 }
    }

    pub(super) fn at(path: &Arc<Path>, mark: Mark) -> Self {
        Self { path: path.clone(), line: mark.line, column: mark.column }
    }
}

impl fmt::Display for Place {
    /// `routes.yaml:12:5`, as editors and terminals understand it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match (self.line, self.column) {
            (0, _) => Ok(()),
            (line, 0) => write!(f, ":{line}"),
            (line, column) => write!(f, ":{line}:{column}"),
        }
    }
}

/// Where an object stands: enough to find each of its fields again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Where the object begins.
    pub place: Place,
    /// Its document in the file, from 0; documents without content do not count.
    pub(super) document: usize,
    /// Its position in a `List`.
    pub(super) item: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.place.path.display(), self.place.line)
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Something written has no effect that should have one.
    Error,
    /// Something is probably not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// A problem of a file or of an object in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileProblem {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// The object, when it is known which.
    pub object: Option<ObjectRef>,
    /// The field of the object, as [`FieldProblem`](crate::model::FieldProblem) spells it; may be empty.
    pub field: ArcStr,
    /// What is wrong and how to mend it: a lower-case fragment.
    pub message: ArcStr,
}

impl FileProblem {
    /// An error of a file, at a place in it.
    pub(super) fn of_file(place: Place, message: impl Into<ArcStr>) -> Self {
        Self { place, severity: Severity::Error, object: None, field: ArcStr::new(), message: message.into() }
    }
}

impl fmt::Display for FileProblem {
    /// `routes.yaml:12:5: error: HTTPRoute shop/cart: spec.rules[0].matches: has 70 entries; …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.place, self.severity)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a folder could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// There is nothing of this name.
    #[error("the folder {} does not exist", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Its rights, or those of a folder above it, keep us out.
    #[error("no permission to read the folder {}", .0.display())]
    Denied(PathBuf),
    /// It has more files or is deeper than any folder of manifests.
    #[error("the folder {} {reason}", dir.display())]
    TooBig {
        /// The folder.
        dir: PathBuf,
        /// Which bound it exceeds.
        reason: String,
    },
    /// It changed each time it was read.
    #[error("the folder {} did not stand still while it was read", .0.display())]
    Moving(PathBuf),
    /// Anything else the operating system said.
    #[error("cannot read the folder {}: {reason}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the operating system said.
        reason: String,
    },
}

impl FilesError {
    pub(super) fn new(dir: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => FilesError::Missing(dir.to_owned()),
            std::io::ErrorKind::NotADirectory => FilesError::NotAFolder(dir.to_owned()),
            std::io::ErrorKind::PermissionDenied => FilesError::Denied(dir.to_owned()),
            _ => FilesError::Io { dir: dir.to_owned(), reason: error.to_string() },
        }
    }
}
