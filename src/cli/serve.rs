//! `syncgate serve`: validation, logging, then the application until it is told to stop.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::{
    app,
    config::{LogFormat, ServeArgs},
};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A configuration that cannot work, or an address that cannot be bound.
pub fn run(args: ServeArgs, format: LogFormat, filter: &str) -> anyhow::Result<ExitCode> {
    let config = args.validate()?;
    init_logging(format, filter)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(app::serve(config))?;
    Ok(ExitCode::SUCCESS)
}

fn init_logging(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("--log {filter:?} must be a level or directives such as info,syncgate::xds=debug"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
