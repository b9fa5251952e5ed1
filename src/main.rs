//! The `syncgate` program: everything is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match syncgate::cli::run(syncgate::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("syncgate: {error:#}");
            ExitCode::from(2)
        }
    }
}
