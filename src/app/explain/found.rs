//! What reading the files found wrong: with the object itself, or with files in which it may stand.
//!
//! Invariant: what `check` says of an object is said here too, also of kinds that have no status.

use std::fmt::Write;

use super::lines::list;
use crate::{files::FileProblem, model::ObjectRef, translate::Status};

/// Whether nothing was found wrong with the object when it was read.
pub(super) fn is_flawless(problems: &[FileProblem], object: &ObjectRef) -> bool {
    of(problems, object).next().is_none()
}

/// What was found wrong with the object, but for what its status says already.
pub(super) fn of_object(out: &mut String, problems: &[FileProblem], object: &ObjectRef, status: Option<&Status>) {
    let said = |problem: &FileProblem| {
        let mut said = status.iter().flat_map(|status| &status.problems);
        said.any(|at| (&at.field, &at.message) == (&problem.field, &problem.message))
    };
    for problem in of(problems, object).filter(|problem| !said(problem)) {
        let _ = writeln!(out, "  problem: {} (at {})", text(&problem.field, &problem.message), problem.place);
    }
}

/// The files that could not be read: an object that is not there may stand in one of them.
pub(super) fn of_files(out: &mut String, problems: &[FileProblem]) {
    let files: Vec<_> = problems.iter().filter(|problem| problem.object.is_none()).collect();
    if !files.is_empty() {
        list(out, "these files have problems of their own", "", files);
    }
}

/// Field and message, as every problem is written.
pub(super) fn text(field: &str, message: &str) -> String {
    if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") }
}

fn of<'a>(problems: &'a [FileProblem], object: &'a ObjectRef) -> impl Iterator<Item = &'a FileProblem> {
    problems.iter().filter(move |problem| problem.object.as_ref() == Some(object))
}
