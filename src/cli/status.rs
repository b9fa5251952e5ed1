//! `syncgate status`: what a running process waits for and serves, as tables.

use std::{fmt::Write, process::ExitCode};

use clap::Args;

use super::AdminArgs;
use crate::proto::{
    GetSyncStatusRequest, Part, Publication, Refusal, Source, SyncStatus, WatchedNamespace, part::State,
};

/// Arguments of `syncgate status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,

    /// Also show each collection of the graph.
    #[arg(long, short)]
    collections: bool,

    /// Also show the sources of Kubernetes that are in sync and the namespaces that are active; others are always shown.
    #[arg(long, short)]
    sources: bool,
}

/// Prints the status; exit code 1 while the process is not ready.
///
/// # Errors
/// When no process answers.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let answer = args.admin.connect().await?.get_sync_status(GetSyncStatusRequest {}).await;
    let status = answer.map_err(|error| args.admin.explain(&error))?.into_inner();
    super::print(&text(&status, args.collections, args.sources))?;
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(status: &SyncStatus, collections: bool, sources: bool) -> String {
    let mut out = format!("syncgate {}: {}\n\n", status.version, if status.ready { "ready" } else { "NOT READY" });
    // Dozens of parts that are ready tell nobody anything.
    let is_quiet = |part: &Part| part.state() == State::Ready && part.name.starts_with("collection/");
    let shown = status.parts.iter().filter(|part| collections || !is_quiet(part));
    out += &table(&["PART", "STATE", "SINCE", "REASON"], shown.map(part_row));
    let quiet = status.parts.iter().filter(|part| is_quiet(part)).count();
    if quiet > 0 && !collections {
        let _ = writeln!(out, "and {quiet} collections, ready (--collections shows them)");
    }
    if !status.file_problems.is_empty() {
        out += "\nfiles that have problems (a broken file keeps its last good objects):\n";
        for problem in &status.file_problems {
            let _ = writeln!(out, "  {problem}");
        }
    }
    out += &sources_text(status, sources);
    if let Some(publication) = &status.publication {
        out += &publication_text(publication);
    }
    out += &refusals_text(&status.refusals);
    if collections {
        out.push('\n');
        let header = ["COLLECTION", "COMPLETE", "ROWS", "COMPUTED", "UNCHANGED", "PENDING", "FAULTS", "SCANS", "TIME"];
        out += &table(
            &header,
            status.collections.iter().map(|c| {
                let numbers = [c.rows, c.recomputed, c.unchanged, c.pending, c.faults, c.scans].map(|n| n.to_string());
                let complete = if c.complete { "yes" } else { "no" }.to_owned();
                [vec![c.name.clone(), complete], numbers.to_vec(), vec![format!("{:.3}s", c.seconds)]].concat()
            }),
        );
    }
    out
}

/// Namespaces and sources; in short only those that are not as they should be.
fn sources_text(status: &SyncStatus, all: bool) -> String {
    let mut out = String::new();
    let namespaces: Vec<_> = status.namespaces.iter().filter(|n| all || n.state != "active").collect();
    if !namespaces.is_empty() {
        let row =
            |n: &&WatchedNamespace| vec![n.name.clone(), n.state.clone(), seconds(n.since_seconds), n.reason.clone()];
        out.push('\n');
        out += &table(&["NAMESPACE", "STATE", "SINCE", "REASON"], namespaces.iter().map(row));
    }
    let shown: Vec<_> = status.sources.iter().filter(|s| all || s.state != "synced").collect();
    if !shown.is_empty() {
        let row = |s: &&Source| {
            let demanded = if s.on_demand { " (on demand)" } else { "" };
            let name = format!("{}{demanded}", s.name);
            vec![name, s.state.clone(), s.rows.to_string(), seconds(s.since_seconds), s.reason.clone()]
        };
        out.push('\n');
        out += &table(&["SOURCE", "STATE", "ROWS", "SINCE", "REASON"], shown.iter().map(row));
    }
    let quiet = status.sources.len() - shown.len();
    if quiet > 0 {
        let rows: u64 = status.sources.iter().map(|source| source.rows).sum();
        let _ = writeln!(out, "\n{quiet} sources in sync, {rows} objects in all (--sources shows them)");
    }
    out
}

fn part_row(part: &Part) -> Vec<String> {
    let state = match part.state() {
        State::Unspecified => "unknown",
        State::Waiting => "waiting",
        State::Ready => "ready",
        State::Stale => "stale",
        State::Failed => "FAILED",
    };
    vec![part.name.clone(), state.to_owned(), seconds(part.since_seconds), part.reason.clone()]
}

fn publication_text(publication: &Publication) -> String {
    if !publication.published {
        return format!("\nnothing is published yet (epochs so far: {})\n", publication.epochs);
    }
    let mut out = String::new();
    let _ =
        writeln!(out, "\npublished {} ago (epochs so far: {})", seconds(publication.age_seconds), publication.epochs);
    if publication.gateways.is_empty() {
        out += "no Gateway is served: there is none of a GatewayClass with `controllerName: syncgate.dev/controller`\n";
        return out;
    }
    let header = ["GATEWAY", "CLIENTS", "LISTENERS", "ROUTES", "CLUSTERS", "ASSIGNMENTS", "SECRETS", "VERSION"];
    out += &table(
        &header,
        publication.gateways.iter().map(|g| {
            let counts = [g.clients, g.listeners, g.route_configurations, g.clusters, g.load_assignments, g.secrets];
            let mut row = vec![g.name.clone()];
            row.extend(counts.map(|n| n.to_string()));
            row.push(g.version.clone());
            row
        }),
    );
    out
}

/// What Envoys refuse, with the objects that it comes from.
fn refusals_text(refusals: &[Refusal]) -> String {
    let mut out = String::new();
    for refusal in refusals {
        let Refusal { gateway, r#type: kind, message, objects, clients, since_seconds } = refusal;
        let (since, message) = (seconds(*since_seconds), message.trim_end());
        let (envoys, refuse) = if *clients == 1 { ("Envoy", "refuses") } else { ("Envoys", "refuse") };
        let _ = writeln!(out, "\n{clients} {envoys} of {gateway} {refuse} {kind} (for {since}): {message}");
        let _ = writeln!(
            out,
            "  from {}",
            if objects.is_empty() { "nothing known".to_owned() } else { objects.join(", ") }
        );
    }
    if !refusals.is_empty() {
        out += "\nsyncgate clients --refused says which Envoys\n";
    }
    out
}

/// Columns as wide as their widest cell.
pub(super) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![header.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

/// A length of time as people say it.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = std::time::Duration::from_secs(std::time::Duration::from_secs_f64(seconds.min(1e9)).as_secs());
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Gateway;

    #[test]
    fn says_what_it_waits_for() {
        let part = Part {
            name: "source/files".to_owned(),
            state: State::Failed.into(),
            reason: "conf: permission denied".to_owned(),
            since_seconds: 75.4,
        };
        let status =
            SyncStatus { parts: vec![part], publication: Some(Publication::default()), ..SyncStatus::default() };
        let text = text(&status, true, false);
        assert!(text.contains("NOT READY"), "{text}");
        assert!(text.contains("source/files  FAILED  1m 15s  conf: permission denied"), "{text}");
        assert!(text.contains("nothing is published yet"), "{text}");
    }

    #[test]
    fn says_which_files_are_broken() {
        let problem = "conf/a.yaml:1:4: error: unclosed bracket '['".to_owned();
        let text =
            text(&SyncStatus { ready: true, file_problems: vec![problem], ..SyncStatus::default() }, false, false);
        assert!(text.contains("\n  conf/a.yaml:1:4: error: unclosed bracket '['\n"), "{text}");
    }

    #[test]
    fn says_which_sources_are_in_trouble_and_counts_the_others() {
        let source = |name: &str, state: &str| Source {
            name: name.to_owned(),
            state: state.to_owned(),
            reason: if state == "synced" { String::new() } else { "no right to list".to_owned() },
            rows: 3,
            ..Source::default()
        };
        let sources = vec![source("Pod in shop", "denied"), source("Service in shop", "synced")];
        let status = SyncStatus { sources, ..SyncStatus::default() };
        let short = text(&status, false, false);
        assert!(short.contains("Pod in shop  denied  3     0.0s   no right to list"), "{short}");
        assert!(short.contains("1 sources in sync, 6 objects in all"), "{short}");
        assert!(text(&status, false, true).contains("Service in shop  synced"));
    }

    #[test]
    fn says_what_envoys_refuse_and_where_it_comes_from() {
        let refusal = Refusal {
            gateway: "demo/web".to_owned(),
            r#type: "LDS".to_owned(),
            message: "no such filter\n".to_owned(),
            objects: vec!["Gateway demo/web".to_owned()],
            clients: 3,
            since_seconds: 75.0,
        };
        let text = text(&SyncStatus { ready: true, refusals: vec![refusal], ..SyncStatus::default() }, false, false);
        let expected = "3 Envoys of demo/web refuse LDS (for 1m 15s): no such filter\n  from Gateway demo/web\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn says_what_it_serves() {
        let gateways = vec![Gateway { name: "demo/web".to_owned(), listeners: 2, ..Gateway::default() }];
        let publication = Publication { published: true, gateways, ..Publication::default() };
        let text =
            text(&SyncStatus { ready: true, publication: Some(publication), ..SyncStatus::default() }, false, false);
        assert!(text.contains("demo/web  0        2"), "{text}");
        assert!(!text.contains("COLLECTION"), "{text}");
    }
}
