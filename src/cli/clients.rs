//! `syncgate clients`: the Envoys that are connected to a running process, as a table or as JSON.

use std::{fmt::Write, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{
    AdminArgs,
    status::{seconds, table},
};
use crate::proto::{Client, ClientList, ClientType, ListClientsRequest};

/// Arguments of `syncgate clients`.
#[derive(Debug, Args)]
pub struct ClientsArgs {
    /// Only Envoys of this Gateway.
    #[arg(long, short, value_name = "NAMESPACE/NAME")]
    gateway: Option<String>,

    /// Only Envoys of this node id.
    #[arg(long, short, value_name = "ID")]
    node: Option<String>,

    /// Only Envoys that refuse something.
    #[arg(long)]
    refused: bool,

    /// How it is printed; JSON says everything.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    admin: AdminArgs,
}

/// How clients are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each, and the reasons of those that refuse something.
    Table,
    /// A JSON document for each, on a line of its own.
    Json,
}

/// Prints the clients, page by page.
///
/// # Errors
/// When no process answers.
pub async fn run(args: ClientsArgs) -> anyhow::Result<ExitCode> {
    let mut server = args.admin.connect().await?;
    let mut request = ListClientsRequest {
        gateway: args.gateway.unwrap_or_default(),
        node_id: args.node.unwrap_or_default(),
        refused: args.refused,
        ..Default::default()
    };
    let mut all = Vec::new();
    let connected = loop {
        let answer = server.list_clients(request.clone()).await;
        let ClientList { clients, connected, next } = answer.map_err(|error| args.admin.explain(&error))?.into_inner();
        match args.output {
            Output::Table => all.extend(clients),
            Output::Json => super::print(&json(&clients)?)?,
        }
        if next == 0 {
            break connected;
        }
        request.after = next;
    };
    if args.output == Output::Table {
        super::print(&text(&all, connected))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json(clients: &[Client]) -> anyhow::Result<String> {
    let mut out = String::new();
    for client in clients {
        out += &serde_json::to_string(client).context("writing JSON")?;
        out.push('\n');
    }
    Ok(out)
}

fn text(clients: &[Client], connected: u64) -> String {
    if clients.is_empty() {
        return format!("no such Envoy is connected ({connected} in all)\n");
    }
    let types = columns(clients);
    let row = |client: &Client| {
        let mut row = vec![client.node_id.clone(), client.gateway.clone(), shown(&client.envoy_version)];
        row.push(client.variant.clone());
        row.extend(types.iter().map(|kind| state(client.types.get(*kind))));
        row.push(client.behind_seconds.map_or_else(|| "-".to_owned(), seconds));
        row.push(client.responses.to_string());
        row.push(bytes(client.bytes));
        row.extend([seconds(client.connected_seconds), client.peer.clone(), client.identity.clone()]);
        row
    };
    let header = [&["NODE", "GATEWAY", "ENVOY", "VARIANT"][..], &types, &LAST].concat();
    let mut out = table(&header, clients.iter().map(row));
    for client in clients {
        for (kind, of_type) in &client.types {
            if let Some(refused) = &of_type.refused {
                let (node, ago) = (&client.node_id, seconds(refused.seconds_ago));
                let _ = writeln!(out, "\n{node} refused {kind} {ago} ago: {}", refused.message.trim_end());
                if !refused.objects.is_empty() {
                    let _ = writeln!(out, "  from {}", refused.objects.join(", "));
                }
            }
        }
    }
    if connected > clients.len() as u64 {
        let _ = writeln!(out, "\n{} of {connected} Envoys", clients.len());
    }
    out
}

/// The columns of types: those that every Envoy asks for, and those that one of these does.
fn columns(clients: &[Client]) -> Vec<&'static str> {
    const ALWAYS: [&str; 5] = ["LDS", "RDS", "CDS", "EDS", "SDS"];
    const SELDOM: [&str; 4] = ["SRDS", "VHDS", "ECDS", "RTDS"];
    let is_asked_for = |kind: &&str| clients.iter().any(|client| client.types.contains_key(*kind));
    ALWAYS.into_iter().chain(SELDOM.into_iter().filter(is_asked_for)).collect()
}

/// The columns behind those of the types.
const LAST: [&str; 6] = ["BEHIND", "RESPONSES", "SENT", "SINCE", "PEER", "IDENTITY"];

fn shown(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// `synced`, how many names are open, or `REFUSED`; a dash for a type that was not asked for.
fn state(of_type: Option<&ClientType>) -> String {
    match of_type {
        None => "-".to_owned(),
        Some(of_type) if of_type.refused.is_some() => "REFUSED".to_owned(),
        Some(of_type) if of_type.settled => "synced".to_owned(),
        Some(of_type) => format!("{} open", of_type.not_acknowledged),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{} kB", count / 1_000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::NackedResponse;

    fn client() -> Client {
        let refused = NackedResponse {
            message: "no such filter\n".to_owned(),
            seconds_ago: 12.0,
            objects: vec!["Gateway demo/web".to_owned()],
            ..Default::default()
        };
        let types = [
            ("CDS".to_owned(), ClientType { settled: true, ..Default::default() }),
            ("EDS".to_owned(), ClientType { not_acknowledged: 3, ..Default::default() }),
            ("LDS".to_owned(), ClientType { refused: Some(refused), ..Default::default() }),
        ];
        Client {
            node_id: "envoy-1".to_owned(),
            gateway: "demo/web".to_owned(),
            envoy_version: "1.37.0".to_owned(),
            variant: "delta".to_owned(),
            behind_seconds: Some(12.0),
            bytes: 12_345,
            types: types.into(),
            ..Default::default()
        }
    }

    #[test]
    fn says_how_far_each_type_is_and_why_one_is_refused() {
        let text = text(&[client()], 2);
        let line = text.lines().nth(1).expect("a client");
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let states = ["envoy-1", "demo/web", "1.37.0", "delta", "REFUSED", "-", "synced", "3 open", "-", "12.0s"];
        assert_eq!(cells[..10], states, "{text}");
        assert!(line.contains("12 kB"), "{text}");
        assert!(text.contains("envoy-1 refused LDS 12.0s ago: no such filter\n  from Gateway demo/web\n"), "{text}");
        assert!(text.ends_with("\n1 of 2 Envoys\n"), "{text}");
        assert!(!text.contains("ECDS"), "nobody asks for it: {text}");
        let mut other = client();
        other.types.insert("ECDS".to_owned(), ClientType { not_acknowledged: 7, ..Default::default() });
        let text = super::text(&[other], 1);
        assert!(text.contains("ECDS") && text.contains("7 open") && !text.contains("VHDS"), "{text}");
        assert_eq!(super::text(&[], 2), "no such Envoy is connected (2 in all)\n");
    }

    #[test]
    fn json_has_a_line_for_each_client() {
        let lines = json(&[client(), client()]).unwrap();
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(
            (lines.lines().count(), &first["types"]["LDS"]["refused"]["objects"][0]),
            (2, &"Gateway demo/web".into())
        );
    }
}
