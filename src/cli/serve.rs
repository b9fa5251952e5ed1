//! `syncgate serve`: validation, logging, then the application until it is told to stop.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{
    app,
    config::{LogFormat, ServeArgs},
};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A configuration that cannot work, or an address that cannot be bound.
pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let (format, filter) = (args.log_format, log_filter(&args.log)?);
    let config = args.validate()?;
    init_logging(format, filter);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(app::serve(config));
    // A thread that hangs in a system call, on a dead network file system say, must not keep the process alive.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

fn init_logging(format: LogFormat, filter: EnvFilter) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// A word that is no level would be taken for the name of a module, and `--log inof` would mean silence.
fn log_filter(text: &str) -> anyhow::Result<EnvFilter> {
    let expected = || format!("--log {text:?} must be a level or directives such as info,syncgate::xds=debug");
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    if let Some(word) = text.split(',').map(str::trim).find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        return Err(anyhow::anyhow!("{word:?} is not a level").context(expected()));
    }
    // The watcher of folders warns of each folder that goes before its watch does: at every swap of a ConfigMap. What
    // is named later wins.
    EnvFilter::try_new(format!("notify=error,{text}")).with_context(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_directives() {
        for good in ["info", "WARN", "off", "info,syncgate::xds=debug", "syncgate=trace, warn"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["inof", "", "==", "info,syncgate::xds", "syncgate=loud"] {
            let said = format!("{:#}", log_filter(bad).expect_err(bad));
            assert!(said.contains("must be a level or directives"), "{said}");
        }
    }
}
