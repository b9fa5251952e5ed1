//! One file's content: its objects, or why it is broken.
//!
//! A file is **broken** when it cannot be said which objects it holds: it is no YAML, or one of its documents has no
//! identity. Then none of it is used, because a half-written file looks just like that. An object that is known but
//! has bad fields does not break its file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arcstr::ArcStr;
use serde_json::Value;

use super::report::{FileProblem, Origin, Place, Severity};
use super::yaml::{self, Document, Mark, Marks};
use crate::model::decode::{NotDecoded, TypeMeta, decode, list_items};
use crate::model::{FieldProblem, Object, ObjectRef};

/// The largest file that is read, in bytes: ten times what Kubernetes stores in one object.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// An object as it stands in a file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) at: ObjectRef,
    pub(super) object: Object,
    pub(super) origin: Origin,
}

/// What a whole file says.
#[derive(Debug, Clone, Default)]
pub(super) struct Manifest {
    pub(super) objects: Vec<Found>,
    /// Of its objects and documents; none of them breaks the file.
    pub(super) problems: Vec<FileProblem>,
    /// Documents of kinds that syncgate does not read.
    pub(super) ignored: usize,
}

/// Reads a file as text.
pub(super) fn read(path: &Arc<Path>) -> Result<String, FileProblem> {
    let fail = |reason: String| FileProblem::of_file(Place::file(path), reason);
    let file = File::open(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| fail(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(format!("is larger than {} MiB; split it", MAX_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|b| **b == b'\n').count();
        let column = 1 + good.iter().rev().take_while(|b| **b != b'\n').count();
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mark = Mark { line: small(line), column: small(column) };
        FileProblem::of_file(Place::at(path, mark), "is not UTF-8 text")
    })
}

/// Understands a file's text; `Err` says why it is broken, and has at least one entry.
pub(super) fn parse(path: &Arc<Path>, text: &str) -> Result<Manifest, Vec<FileProblem>> {
    let documents = yaml::parse(text).map_err(|e| vec![FileProblem::of_file(Place::at(path, e.at), e.reason)])?;
    let mut reader = Reader { path, manifest: Manifest::default(), broken: Vec::new() };
    for (number, document) in documents.iter().enumerate() {
        reader.document(number, document);
    }
    if reader.broken.is_empty() { Ok(reader.manifest) } else { Err(reader.broken) }
}

/// Finds fields of objects in their files, each of which it reads again once.
#[derive(Default)]
pub(super) struct Finder {
    /// The documents of each file asked for; none of a file that cannot be read any more.
    files: HashMap<Arc<Path>, Vec<Document>>,
}

impl Finder {
    /// The place of a field of an object; the object's own place when its file has changed too much.
    pub(super) fn locate(&mut self, origin: &Origin, field: &str) -> Place {
        let path = &origin.place.path;
        let documents = self.files.entry(Arc::clone(path)).or_insert_with(|| {
            let text = read(path).unwrap_or_default();
            yaml::parse(&text).unwrap_or_default()
        });
        let found = || {
            let document = documents.get(origin.document)?;
            let marks = match origin.item {
                None => &document.marks,
                Some(item) => document.marks.field("items")?.item(item)?,
            };
            Some(Place::at(path, marks.find(field)))
        };
        found().unwrap_or_else(|| origin.place.clone())
    }
}

struct Reader<'a> {
    path: &'a Arc<Path>,
    manifest: Manifest,
    broken: Vec<FileProblem>,
}

impl Reader<'_> {
    fn document(&mut self, number: usize, document: &Document) {
        let Some((items, inherited)) = list_items(&document.tree) else {
            return self.object(&document.tree, &document.marks, None, (number, None));
        };
        let marks = document.marks.field("items");
        for (at, item) in items.iter().enumerate() {
            let marks = marks.and_then(|list| list.item(at)).unwrap_or(&document.marks);
            self.object(item, marks, inherited, (number, Some(at)));
        }
    }

    fn object(&mut self, tree: &Value, marks: &Marks, inherited: Option<TypeMeta<'_>>, at: (usize, Option<usize>)) {
        let problem = |severity, object: Option<&ObjectRef>, problem: &FieldProblem| FileProblem {
            place: Place::at(self.path, marks.find(&problem.field)),
            severity,
            object: object.cloned(),
            field: problem.field.clone(),
            message: problem.message.clone(),
        };
        match decode(tree, inherited) {
            Ok(decoded) => {
                let problems = decoded.problems.iter().map(|p| problem(Severity::Error, Some(&decoded.at), p));
                self.manifest.problems.extend(problems);
                let place = Place::at(self.path, marks.start());
                let origin = Origin { place, document: at.0, item: at.1 };
                self.manifest.objects.push(Found { at: decoded.at, object: decoded.object, origin });
            }
            Err(NotDecoded::Ignored | NotDecoded::Managed(_)) => self.manifest.ignored += 1,
            Err(NotDecoded::Unsupported(reason)) => {
                self.manifest.ignored += 1;
                self.manifest.problems.push(problem(Severity::Warning, None, &reason));
            }
            Err(NotDecoded::NoIdentity(reasons)) => {
                let reasons = reasons.iter().map(|p| problem(Severity::Error, None, p));
                self.broken.extend(reasons);
                if self.broken.is_empty() {
                    let place = Place::at(self.path, marks.start());
                    self.broken.push(FileProblem::of_file(place, ArcStr::from("is not an object of Kubernetes")));
                }
            }
        }
    }
}
