//! The `syncgate` program: everything is in the library.

use std::process::ExitCode;

use clap::Parser;

/// What a first list of a hundred thousand pods leaves free goes back to the system within seconds, by a thread of the
/// allocator's own; the C library's keeps most of it for good. Figures: `docs/operations.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match syncgate::cli::run(syncgate::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("syncgate: {error:#}");
            ExitCode::from(2)
        }
    }
}
