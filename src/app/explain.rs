//! Why an object has no effect, or what it became, as text for people (invariant `explained`).
//!
//! Reads the graph only; a question may cost a scan of what is served, because people ask it, not proxies.

mod backends;
mod found;
mod hidden;
mod lines;
mod references;
mod served;

use std::fmt::Write;

use crate::{
    app::pipeline::Pipeline,
    files::FileProblem,
    model::{Kind, ObjectRef},
    translate::{Condition, Status},
};

/// Whether the object is known, and what can be said of it; `problems` are those that reading the files found.
#[must_use]
pub fn explain(pipeline: &Pipeline, problems: &[FileProblem], object: &ObjectRef) -> (bool, String) {
    let mut out = format!("{object}\n");
    let status = pipeline.graph.get(pipeline.outputs.statuses, object);
    if let Some(status) = &status {
        write_status(&mut out, status, found::is_flawless(problems, object));
    }
    found::of_object(&mut out, problems, object, status.as_deref());
    if write_kind(&mut out, pipeline, object).is_none() {
        let mut unknown =
            format!("{object}: no such object was let in: check its name, its file and `syncgate check`\n");
        found::of_files(&mut unknown, problems);
        return (false, unknown);
    }
    served::served(&mut out, pipeline, object, status.as_deref());
    if let Some(made_of) = pipeline.graph.explain(pipeline.outputs.statuses, object) {
        out.push_str("\nits status was made of:\n");
        for line in made_of.to_string().lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    (true, out)
}

/// What is particular to the kind. `None` when there is no such object.
fn write_kind(out: &mut String, pipeline: &Pipeline, object: &ObjectRef) -> Option<()> {
    let (graph, inputs, key) = (&pipeline.graph, &pipeline.inputs, &object.key);
    match object.kind {
        Kind::GatewayClass => {
            graph.get(inputs.gateway_classes, key)?;
            references::referrers(out, pipeline, object);
        }
        Kind::Gateway => {
            graph.get(inputs.gateways, key)?;
        }
        Kind::HttpRoute => hidden::matches(out, pipeline, key, &*graph.get(inputs.routes, key)?),
        Kind::ReferenceGrant => references::grant(out, pipeline, key, &*graph.get(inputs.grants, key)?),
        Kind::Namespace => references::namespace(out, pipeline, &key.name, &*graph.get(inputs.namespaces, key)?),
        Kind::Service => backends::service(out, pipeline, key, &*graph.get(inputs.services, key)?),
        Kind::Pod => backends::pod(out, pipeline, key, &*graph.get(inputs.pods, key)?),
        Kind::EndpointSlice => backends::slice(out, pipeline, key, &*graph.get(inputs.slices, key)?),
        Kind::Secret => {
            lines::unavailable(out, graph.get(inputs.secrets, key)?.unavailable.as_ref());
            references::referrers(out, pipeline, object);
        }
        Kind::ConfigMap => {
            lines::unavailable(out, graph.get(inputs.config_maps, key)?.authorities.as_ref().err());
            references::referrers(out, pipeline, object);
        }
    }
    Some(())
}

fn write_status(out: &mut String, status: &Status, flawless: bool) {
    write_conditions(out, "", &status.conditions);
    for listener in &status.listeners {
        let _ = writeln!(out, "  listener {}: {} routes attached", listener.name, listener.attached_routes);
        write_conditions(out, "  ", &listener.conditions);
    }
    for parent in &status.parents {
        let section = parent.parent.section.as_ref().map(|name| format!(", listener {name}")).unwrap_or_default();
        let _ = writeln!(out, "  parent Gateway {}{section}:", parent.parent.target);
        write_conditions(out, "  ", &parent.conditions);
    }
    for problem in &status.problems {
        let _ = writeln!(out, "  problem: {}", found::text(&problem.field, &problem.message));
    }
    if let Some(note) = &status.note {
        let _ = writeln!(out, "  no effect: {note}");
    } else if status.problems.is_empty() && flawless {
        out.push_str("  no problems\n");
    }
}

fn write_conditions(out: &mut String, indent: &str, conditions: &[Condition]) {
    for condition in conditions {
        let holds = if condition.holds { "True" } else { "False" };
        let _ = write!(out, "{indent}  {}: {holds} ({})", condition.kind, condition.reason);
        let _ = if condition.message.is_empty() { writeln!(out) } else { writeln!(out, ": {}", condition.message) };
    }
}

#[cfg(test)]
mod tests;
