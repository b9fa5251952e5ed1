//! The probes' pages: a word for machines, and for people what is missing, why and for how long.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::readiness::{PartStatus, Report, State};

use super::heartbeat::Heartbeats;
use super::server::Answer;

/// Changes that are held at the door, on a page: thousands would hide the rest.
const MAX_HELD: usize = 20;

/// `/livez`.
pub(super) fn live(heartbeats: &Heartbeats) -> Answer {
    let stalled = heartbeats.stalled(Instant::now());
    if stalled.is_empty() {
        return Answer::text(StatusCode::OK, "ok\n");
    }
    let mut page = String::from("stalled\n");
    for (name, silence) in stalled {
        line(&mut page, format_args!("[-] loop {name}: no progress for {}", seconds(silence)));
    }
    Answer::text(StatusCode::SERVICE_UNAVAILABLE, page)
}

/// `/readyz`.
pub(super) fn ready(report: &Report, verbose: bool) -> Answer {
    let missing = report.parts.iter().any(|part| part.missing);
    page(if missing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, report, verbose, &[])
}

/// `/startupz`.
pub(super) fn started(report: &Report, started: bool, verbose: bool, held: &[String]) -> Answer {
    page(if started { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, report, verbose, held)
}

/// The gate, then every part, or in short only those that are missing; then what waits at the door.
fn page(status: StatusCode, report: &Report, verbose: bool, held: &[String]) -> Answer {
    let now = Instant::now();
    let age = |since: Instant| seconds(now.saturating_duration_since(since));
    let mut page = String::new();
    line(&mut page, format_args!("{} for {}", report.gate, age(report.since)));
    for part in report.parts.iter().filter(|part| verbose || part.missing) {
        let PartStatus { layer, name, state, reason, since, missing } = part;
        let mark = match (missing, state) {
            (true, _) => "[-]",
            (false, State::Ready) => "[+]",
            (false, _) => "[!]",
        };
        let colon = if reason.is_empty() { "" } else { ": " };
        line(&mut page, format_args!("{mark} {layer} {name}: {state} for {}{colon}{reason}", age(*since)));
    }
    if !held.is_empty() {
        line(&mut page, format_args!("held at the door: {}", held.len()));
        held.iter().take(MAX_HELD).for_each(|held| line(&mut page, format_args!("    {held}")));
        if held.len() > MAX_HELD {
            line(&mut page, format_args!("    and {} more: see /debug/held", held.len() - MAX_HELD));
        }
    }
    if verbose {
        page.push_str(
            "\n[+] ready  [-] missing: keeps the process from being ready  [!] in trouble, what it delivered is kept\n",
        );
    }
    Answer::text(status, page)
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
