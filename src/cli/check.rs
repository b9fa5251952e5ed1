//! `syncgate check DIR`: every problem of a folder, with file and line; or the Envoy resources it becomes.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{app::offline::Offline, files::Severity};

/// Arguments of `syncgate check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The folder of manifests.
    dir: PathBuf,

    /// Print the Envoy resources of every Gateway (secrets redacted) to standard output; problems go to standard error.
    #[arg(long, value_enum)]
    output: Option<OutputFormat>,
}

/// How a tree of values is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// YAML.
    #[default]
    Yaml,
    /// JSON, indented.
    Json,
}

impl OutputFormat {
    /// The tree as text.
    ///
    /// # Errors
    /// When the tree cannot be written in this format.
    pub fn write(self, value: &Value) -> anyhow::Result<String> {
        match self {
            OutputFormat::Yaml => serde_saphyr::to_string(value).context("writing YAML"),
            OutputFormat::Json => serde_json::to_string_pretty(value).map(|text| text + "\n").context("writing JSON"),
        }
    }
}

/// Reports the problems; exit code 1 when one of them is an error. Warnings are printed and change nothing.
///
/// # Errors
/// When the folder cannot be read at all.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let world = Offline::load(&args.dir)?;
    let problems = world.problems();
    let mut report: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    report += &format!("{}: {}; {}\n", args.dir.display(), world.summary(), verdict(errors, warnings));
    match args.output {
        Some(format) => {
            super::print(&format.write(&world.resources())?)?;
            eprint!("{report}");
        }
        None => super::print(&report)?,
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(errors: usize, warnings: usize) -> String {
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_warnings_are_counted_apart() {
        assert_eq!(verdict(0, 0), "no problems");
        assert_eq!(verdict(1, 0), "1 error");
        assert_eq!(verdict(0, 2), "2 warnings");
        assert_eq!(verdict(3, 1), "3 errors, 1 warning");
    }
}
