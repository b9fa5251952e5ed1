//! Instruction counts by valgrind: the same binary and input give the same count, whatever else the machine does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use super::world::Case;

/// What one change costs in instructions.
#[derive(Debug)]
pub(crate) struct Profile {
    /// All of them.
    pub(crate) total: u64,
    /// By stage.
    pub(crate) stages: BTreeMap<&'static str, u64>,
}

impl Profile {
    /// Runs this program under callgrind for `changes` changes; `None` where valgrind is not to be had.
    pub(crate) fn of(case: Case, size: usize, changes: u64) -> Option<Self> {
        let out = std::env::temp_dir().join(format!("syncgate-bench-{}-{size}.out", std::process::id()));
        let profile = record(case, size, &out).and_then(|()| read(&out, changes));
        let _ = std::fs::remove_file(&out);
        profile
    }
}

/// Counts only what happens inside `Rig::one_change`.
fn record(case: Case, size: usize, out: &Path) -> Option<()> {
    let program: PathBuf = std::env::current_exe().ok()?;
    let run = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=*one_change*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["--case", case.name(), "--size", &size.to_string()])
        .output();
    run.ok()?.status.success().then_some(())
}

fn read(out: &Path, changes: u64) -> Option<Profile> {
    let mut annotate = Command::new("callgrind_annotate");
    let report = annotate.args(["--threshold=100", "--inclusive=yes", "--auto=no"]).arg(out).output().ok()?;
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let (mut total, mut stages) = (0, BTreeMap::new());
    for (count, name) in report.lines().filter_map(row) {
        if name == "PROGRAM TOTALS" {
            total = count / changes;
        }
        for (function, stage) in STAGES {
            if name.contains(function) {
                // Inlining lists a function more than once; the largest count is all of it.
                let spent: &mut u64 = stages.entry(stage).or_default();
                *spent = (*spent).max(count / changes);
            }
        }
    }
    (total > 0).then_some(Profile { total, stages })
}

/// The functions that the stages begin with.
const STAGES: [(&str, &str); 3] = [
    ("pipeline::Pipeline::apply", "epoch and snapshot"),
    ("session::Session::on_snapshot", "session"),
    ("wire::encode", "response, by its bytes"),
];

/// `1,234 (5.6%)  file:function [object]` → the count and the rest.
fn row(line: &str) -> Option<(u64, &str)> {
    let (count, rest) = line.trim_start().split_once(" (")?;
    let (_, name) = rest.split_once("%)")?;
    Some((count.replace(',', "").parse().ok()?, name.trim()))
}
