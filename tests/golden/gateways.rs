//! Whole manifests in; the resources and statuses of every Gateway out.

use std::fmt::Write as _;

use syncgate::graph::GraphBuilder;
use syncgate::model::Kind;
use syncgate::model::decode::Decoded;
use syncgate::render;
use syncgate::resource::ResourceType;
use syncgate::translate::{self, Condition, Status};

use crate::harness;

#[test]
fn gateways_are_as_the_golden_files_say() {
    harness::check("gateways", translate);
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    for case in harness::cases("gateways") {
        let mut objects = harness::objects(&case.join("input.yaml"));
        let forwards = translate(&objects);
        objects.reverse();
        assert_eq!(forwards, translate(&objects), "{}", case.display());
    }
}

fn translate(objects: &[Decoded]) -> String {
    let mut builder = GraphBuilder::new();
    let (inputs, outputs) = translate::build(&mut builder);
    let mut graph = builder.build();
    for decoded in objects {
        graph.epoch(|batch| inputs.put(batch, &decoded.at.key, &decoded.object));
    }
    graph.epoch(|batch| Kind::ALL.into_iter().for_each(|kind| inputs.complete(batch, kind)));
    let mut out = String::new();
    for (object, status) in graph.iter(outputs.statuses) {
        write_status(&mut out, &object.to_string(), status);
    }
    let mut rows: Vec<_> = graph.iter(outputs.resources).collect();
    rows.sort_by_key(|(key, _)| (*key).clone());
    for (key, resource) in rows {
        let is_shown = matches!(key.kind, ResourceType::Listener | ResourceType::RouteConfiguration);
        if is_shown || key.name.starts_with("clients/") {
            writeln!(out, "--- # of Gateway {}", key.gateway).expect("strings can be written");
            out += &render::yaml([&**resource]);
            resource.refs.iter().for_each(|to| writeln!(out, "# names {to}").expect("strings can be written"));
        } else {
            // What they hold is the business of the cases of endpoints; a Secret's bytes are redacted anyway.
            writeln!(out, "# of Gateway {}: {} {}", key.gateway, key.kind, key.name).expect("strings can be written");
        }
    }
    out
}

fn write_status(out: &mut String, object: &str, status: &Status) {
    let mut line = |indent: usize, text: String| {
        writeln!(out, "# {:indent$}{text}", "").expect("strings can be written");
    };
    line(0, format!("{object} (generation {})", status.generation));
    status.note.iter().for_each(|note| line(2, format!("note: {note}")));
    status.conditions.iter().for_each(|c| line(2, condition(c)));
    for listener in &status.listeners {
        let kinds = if listener.supports_http_routes { "HTTPRoute" } else { "nothing" };
        line(2, format!("listener {}: {} routes, takes {kinds}", listener.name, listener.attached_routes));
        listener.conditions.iter().for_each(|c| line(4, condition(c)));
    }
    for parent in &status.parents {
        let section = parent.parent.section.as_deref().unwrap_or("*");
        line(2, format!("parent {} listener {section}", parent.parent.target));
        parent.conditions.iter().for_each(|c| line(4, condition(c)));
    }
    status.problems.iter().for_each(|p| line(2, format!("problem: {}: {}", p.field, p.message)));
}

fn condition(condition: &Condition) -> String {
    let holds = if condition.holds { "True" } else { "False" };
    let message = if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
    format!("{} {holds} {}{message}", condition.kind, condition.reason)
}
