//! A folder read once, for `check`: objects with their places, and everything that is wrong.

use std::path::Path;
use std::time::Instant;

use super::folder::Folder;
use super::manifest::Finder;
use super::report::{FileProblem, FilesError, Origin, Severity};
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
    /// Where an object stands.
    #[must_use]
    pub fn origin(&self, at: &ObjectRef) -> Option<&Origin> {
        let found = self.objects.binary_search_by(|object| object.at.cmp(at)).ok()?;
        Some(&self.objects[found].origin)
    }

    /// Problems that were found later, in translation say, with the places of their fields; of a field that is not
    /// there, the place where it should stand. Reads the objects' files again, each once: for reports, not for hot
    /// paths.
    #[must_use]
    pub fn locate(&self, problems: impl IntoIterator<Item = Problem>) -> Vec<FileProblem> {
        let mut finder = Finder::default();
        let located = problems.into_iter().filter_map(|Problem { object, at: FieldProblem { field, message } }| {
            let place = finder.locate(self.origin(&object)?, &field);
            Some(FileProblem { place, severity: Severity::Error, object: Some(object), field, message })
        });
        located.collect()
    }
}
