//! Matches of a route that no request reaches, because an equal match comes first: the Gateway API gives such a route no
//! condition, and its author no clue.

use crate::{
    app::pipeline::Pipeline,
    model::{HttpRoute, Kind, ObjectKey, ObjectRef, RouteMatch},
};

use super::lines;

/// Lists the matches that are hidden, each with the route that hides it.
pub(super) fn matches(out: &mut String, pipeline: &Pipeline, key: &ObjectKey, route: &HttpRoute) {
    let others: Vec<(&ObjectKey, &HttpRoute)> = pipeline
        .graph
        .iter(pipeline.inputs.routes)
        .map(|(other, value)| (other, value.as_ref()))
        .filter(|(other, value)| (value.meta.created, *other) < (route.meta.created, key) && covers(value, route))
        .filter(|(other, _)| is_accepted(pipeline, other))
        .collect();
    let mut hidden = Vec::new();
    for (rule, each) in route.rules.iter().enumerate() {
        for (at, matched) in each.matches.iter().enumerate() {
            let field = format!("spec.rules[{rule}].matches[{at}]");
            if route.rules.iter().take(rule).any(|earlier| earlier.matches.contains(matched)) {
                hidden.push(format!("{field}: an earlier rule of this route has an equal match"));
            } else if let Some((winner, _)) = others.iter().find(|(_, other)| has(other, matched)) {
                hidden.push(format!(
                    "{field}: HTTPRoute {winner} has an equal match and comes first: it is older, or before it by name"
                ));
            }
        }
    }
    if !hidden.is_empty() {
        lines::list(out, "no request reaches", "", hidden);
    }
}

/// Whether every host and every parent of `route` is one of `other` too.
fn covers(other: &HttpRoute, route: &HttpRoute) -> bool {
    let hosts = if route.hostnames.is_empty() {
        other.hostnames.is_empty()
    } else {
        route.hostnames.iter().all(|host| other.hostnames.contains(host))
    };
    hosts && route.parents.iter().all(|parent| other.parents.contains(parent))
}

fn has(route: &HttpRoute, matched: &RouteMatch) -> bool {
    route.rules.iter().any(|rule| rule.problems.is_empty() && rule.matches.contains(matched))
}

fn is_accepted(pipeline: &Pipeline, route: &ObjectKey) -> bool {
    let object = ObjectRef::new(Kind::HttpRoute, route.clone());
    let status = pipeline.graph.get(pipeline.outputs.statuses, &object);
    status.is_some_and(|status| {
        let mut conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
        conditions.any(|condition| condition.kind == "Accepted" && condition.holds)
    })
}
