//! `syncgate check DIR`: every problem of a folder, with file and line; or the Envoy resources it becomes.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::app::offline::Offline;

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

/// Reports the problems; exit code 1 when there is one.
///
/// # Errors
/// When the folder cannot be read at all.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let world = Offline::load(&args.dir)?;
    let problems = world.problems();
    let mut report: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    report += &format!("{}: {}; {}\n", args.dir.display(), world.summary(), count(problems.len()));
    match args.output {
        Some(format) => {
            super::print(&format.write(&world.resources())?)?;
            eprint!("{report}");
        }
        None => super::print(&report)?,
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(problems: usize) -> String {
    match problems {
        0 => "no problems".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}
