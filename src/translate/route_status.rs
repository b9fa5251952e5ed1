//! The status of a route: a verdict for each parent, and everything that has to be mended.

use std::sync::Arc;

use arcstr::ArcStr;

use super::attachment::{Attached, Verdict};
use super::routes::{self, Compiled};
use super::status::{Condition, ParentStatus, Status};
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{FieldProblem, HttpRoute, Kind, ObjectKey, ObjectRef};

/// Route → its status.
pub(crate) fn of_route(
    key: &ObjectKey,
    route: &Arc<HttpRoute>,
    attached: Lens<'_, Rows<ObjectKey, Attached>>,
    compiled: Lens<'_, Rows<ObjectKey, Compiled>>,
    out: &mut Out<ObjectRef, Status>,
) -> Result<(), Stop> {
    let mut status = Status { generation: route.meta.generation, ..Status::default() };
    match (attached.get(key)?, compiled.get(key)?) {
        (Some(attached), Some(compiled)) => {
            parents(&mut status, &attached, &compiled);
            attached.problems.iter().for_each(|problem| status.problem(problem));
            routes::problems(route, &compiled).for_each(|problem| status.problem(problem));
        }
        // Its transform stopped: what it refers to is not known yet. The graph's own `explain` names it.
        _ => status.problem(&FieldProblem::new("", "something that it refers to is not known yet")),
    }
    out.put(ObjectRef::new(Kind::HttpRoute, key.clone()), status);
    Ok(())
}

fn parents(status: &mut Status, attached: &Attached, compiled: &Compiled) {
    if attached.parents.is_empty() {
        status.problem(&FieldProblem::new("spec.parentRefs", "the route names no Gateway, so it has no effect"));
    }
    for (at, parent) in attached.parents.iter().enumerate() {
        let field = format!("spec.parentRefs[{at}]");
        match &parent.verdict {
            Verdict::NotOurs(message) => status.note = Some(message.clone()),
            Verdict::Missing(message) => status.problem(&FieldProblem::new(field, message.clone())),
            Verdict::Refused(reason, message) => {
                status.problem(&FieldProblem::new(field, message.clone()));
                let conditions = vec![Condition::new("Accepted", false, reason, message.clone()), resolved(compiled)];
                status.parents.push(ParentStatus { parent: parent.reference.clone(), conditions });
            }
            Verdict::Accepted => {
                let mut conditions = accepted(compiled);
                conditions.push(resolved(compiled));
                status.parents.push(ParentStatus { parent: parent.reference.clone(), conditions });
            }
        }
    }
    let taken = attached.parents.iter().any(|parent| parent.verdict == Verdict::Accepted);
    if taken && attached.places.is_empty() {
        let message = "no listener serves the route: those that accepted it are refused themselves, or a more specific \
                       listener has all of its host names";
        status.problem(&FieldProblem::new("spec.parentRefs", message));
    }
}

/// What a Gateway that took the route says of its rules.
fn accepted(compiled: &Compiled) -> Vec<Condition> {
    let Some(first) = compiled.refused.first() else {
        return vec![Condition::new("Accepted", true, "Accepted", "")];
    };
    let dropped: Vec<ArcStr> = compiled.refused.iter().map(|refusal| routes::message(&refusal.problem)).collect();
    let message = format!("Dropped Rule: {}", dropped.join("; "));
    if compiled.refused.len() >= compiled.rules {
        return vec![Condition::new("Accepted", false, first.reason, message)];
    }
    vec![
        Condition::new("Accepted", true, "Accepted", ""),
        Condition::new("PartiallyInvalid", true, first.reason, message),
    ]
}

fn resolved(compiled: &Compiled) -> Condition {
    match compiled.unresolved.first() {
        None => Condition::new("ResolvedRefs", true, "ResolvedRefs", ""),
        Some(first) => {
            let all: Vec<ArcStr> =
                compiled.unresolved.iter().map(|unresolved| routes::message(&unresolved.problem)).collect();
            Condition::new("ResolvedRefs", false, first.reason, all.join("; "))
        }
    }
}
