//! The running source.

use std::path::PathBuf;
use std::time::Duration;

use super::report::FileProblem;

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

pub fn run() {}
