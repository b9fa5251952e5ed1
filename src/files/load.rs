//! A folder read once, for `check`: objects with their places, and everything that is wrong.

use std::path::Path;
use std::time::Instant;

use super::folder::Folder;
use super::manifest;
use super::report::{FileProblem, FilesError, Origin, Place, Severity};
use crate::model::{FieldProblem, Object, ObjectRef, Problem};

/// A folder's content.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The objects that have effect, sorted by kind, namespace and name.
    pub objects: Vec<LoadedObject>,
    /// Everything that is wrong, in order of file and line.
    pub problems: Vec<FileProblem>,
    /// The number of files read, broken ones included.
    pub files: usize,
    /// The number of documents of kinds that syncgate does not read.
    pub ignored: usize,
}

/// An object with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedObject {
    /// Kind, namespace and name.
    pub at: ObjectRef,
    /// The value.
    pub object: Object,
    /// Where it stands.
    pub origin: Origin,
}

/// Reads the folder once. Bad files and objects are problems of the result; only a folder that cannot be read at all
/// is an error.
pub fn load(dir: impl AsRef<Path>) -> Result<Loaded, FilesError> {
    let mut folder = Folder::new(dir.as_ref());
    folder.scan(Instant::now())?;
    let object = |(at, (object, origin)): (&ObjectRef, (&Object, &Origin))| LoadedObject {
        at: at.clone(),
        object: object.clone(),
        origin: origin.clone(),
    };
    Ok(Loaded {
        objects: folder.objects().into_iter().map(object).collect(),
        problems: folder.problems(),
        files: folder.file_count(),
        ignored: folder.ignored_count(),
    })
}

impl Loaded {
    /// Whether anything is an error, not a mere warning.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Where an object stands.
    #[must_use]
    pub fn origin(&self, at: &ObjectRef) -> Option<&Origin> {
        let found = self.objects.binary_search_by(|object| object.at.cmp(at)).ok()?;
        Some(&self.objects[found].origin)
    }

    /// The place of an object's field; of a field that is not there, the place where it should stand. Reads the
    /// object's file again: for reports, not for hot paths.
    #[must_use]
    pub fn place(&self, at: &ObjectRef, field: &str) -> Option<Place> {
        self.origin(at).map(|origin| manifest::locate(origin, field))
    }

    /// A problem that was found later, in translation say, with its file and line.
    #[must_use]
    pub fn locate(&self, problem: &Problem) -> Option<FileProblem> {
        let Problem { object, at: FieldProblem { field, message } } = problem;
        let place = self.place(object, field)?;
        Some(FileProblem {
            place,
            severity: Severity::Error,
            object: Some(object.clone()),
            field: field.clone(),
            message: message.clone(),
        })
    }
}
