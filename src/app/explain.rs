//! Why an object has no effect, or what it became, as text for people (invariant `explained`).
//!
//! Reads the graph only; a question may cost a scan of what is served, because people ask it, not proxies.

use std::fmt::Write;

use crate::{
    app::pipeline::Pipeline,
    model::{Kind, ObjectKey, ObjectRef},
    resource::{Resource, ResourceType},
    snapshot::Snapshot,
    translate::{Condition, Status},
};

/// Whether the object is known, and what can be said of it.
#[must_use]
pub fn explain(pipeline: &Pipeline, object: &ObjectRef) -> (bool, String) {
    let mut out = String::new();
    if !known(pipeline, object) {
        let _ = writeln!(out, "{object}: no such object was let in: check its name, its file and `syncgate check`");
        return (false, out);
    }
    let _ = writeln!(out, "{object}");
    if let Some(status) = pipeline.graph.get(pipeline.outputs.statuses, object) {
        write_status(&mut out, &status);
    }
    write_served(&mut out, pipeline, object);
    if let Some(made_of) = pipeline.graph.explain(pipeline.outputs.statuses, object) {
        out.push_str("\nits status was made of:\n");
        for line in made_of.to_string().lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    (true, out)
}

fn known(pipeline: &Pipeline, object: &ObjectRef) -> bool {
    let (graph, inputs, key) = (&pipeline.graph, &pipeline.inputs, &object.key);
    match object.kind {
        Kind::GatewayClass => graph.get(inputs.gateway_classes, key).is_some(),
        Kind::Gateway => graph.get(inputs.gateways, key).is_some(),
        Kind::HttpRoute => graph.get(inputs.routes, key).is_some(),
        Kind::ReferenceGrant => graph.get(inputs.grants, key).is_some(),
        Kind::Namespace => graph.get(inputs.namespaces, key).is_some(),
        Kind::Service => graph.get(inputs.services, key).is_some(),
        Kind::Pod => graph.get(inputs.pods, key).is_some(),
        Kind::EndpointSlice => graph.get(inputs.slices, key).is_some(),
        Kind::Secret => graph.get(inputs.secrets, key).is_some(),
    }
}

fn write_status(out: &mut String, status: &Status) {
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
        let _ = writeln!(out, "  problem: {}: {}", problem.field, problem.message);
    }
    if status.problems.is_empty() {
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

/// The resources that carry the object, Gateway by Gateway.
fn write_served(out: &mut String, pipeline: &Pipeline, object: &ObjectRef) {
    let mut served = false;
    for snapshot in pipeline.world().iter() {
        for resource in carried_by(snapshot, object) {
            if !served {
                out.push_str("\nserved as:\n");
                served = true;
            }
            let _ = writeln!(
                out,
                "  {} {} of Gateway {} ({} bytes, version {})",
                resource.kind.short(),
                resource.name,
                snapshot.gateway(),
                resource.body.len(),
                resource.version
            );
        }
    }
    if !served && matches!(object.kind, Kind::Gateway | Kind::Service | Kind::Secret) {
        let why = match object.kind {
            Kind::Service => "no route of an accepted Gateway refers to it",
            Kind::Secret => "no listener of an accepted Gateway can use it",
            _ => "no listener of it can be served",
        };
        let _ = writeln!(out, "\nnot served: {why}");
    }
}

/// Names say what a thing is, so the resources of an object are found by their names.
fn carried_by(snapshot: &Snapshot, object: &ObjectRef) -> Vec<std::sync::Arc<Resource>> {
    let all = |kind: ResourceType| snapshot.set(kind).iter().cloned();
    let named = |prefix: String, kinds: &[ResourceType]| -> Vec<_> {
        kinds.iter().flat_map(|&kind| all(kind)).filter(|r| r.name.as_str().starts_with(&prefix)).collect()
    };
    let ObjectKey { namespace, name } = &object.key;
    match object.kind {
        Kind::Gateway if snapshot.gateway() == &arcstr::format!("{}", object.key) => {
            ResourceType::ALL.into_iter().flat_map(all).collect()
        }
        Kind::Service => {
            named(format!("service/{namespace}/{name}/"), &[ResourceType::Cluster, ResourceType::ClusterLoadAssignment])
        }
        Kind::Secret => all(ResourceType::Secret).filter(|r| r.name == format!("secret/{namespace}/{name}")).collect(),
        _ => Vec::new(),
    }
}
