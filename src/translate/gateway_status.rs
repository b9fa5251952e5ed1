//! The statuses of GatewayClasses and Gateways, with those of a Gateway's listeners.

use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;

use super::attachment::{Attached, ListenerKey};
use super::gateways::{Accepted, AcceptedListener, address_problem};
use super::names::PortKey;
use super::ports::{Bound, BoundListener};
use super::status::{Condition, ListenerStatus, Status};
use crate::graph::{Fold, Lens, Member, Out, Rows, Stop};
use crate::model::{CONTROLLER, FieldProblem, Gateway, GatewayClass, Kind, ObjectKey, ObjectRef};

/// A route accepted by a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Attachment {
    pub(crate) listener: ListenerKey,
    route: ObjectKey,
}

/// An attachment has no content beside its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark;

/// Attached route → the listeners that count it.
pub(crate) fn attachments(
    route: &ObjectKey,
    attached: &Arc<Attached>,
    out: &mut Out<Attachment, Mark>,
) -> Result<(), Stop> {
    for listener in &attached.counted {
        out.put(Attachment { listener: listener.clone(), route: route.clone() }, Mark);
    }
    Ok(())
}

/// How many routes each listener of a Gateway has accepted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    members: std::collections::BTreeSet<Attachment>,
    counts: BTreeMap<ArcStr, u32>,
}

impl Fold<ObjectKey> for Counts {
    type Row = BTreeMap<ArcStr, u32>;

    fn row(&mut self, _: &ObjectKey) -> Option<Self::Row> {
        Some(self.counts.clone())
    }
}

impl Member<Attachment, Mark> for Counts {
    fn put(&mut self, key: &Attachment, _: &Arc<Mark>) {
        if self.members.insert(key.clone()) {
            *self.counts.entry(key.listener.name.clone()).or_default() += 1;
        }
    }

    fn del(&mut self, key: &Attachment, _: &Arc<Mark>) {
        if self.members.remove(key) {
            self.counts.entry(key.listener.name.clone()).and_modify(|count| *count -= 1);
            self.counts.retain(|_, count| *count > 0);
        }
    }
}

/// GatewayClass → its status.
pub(crate) fn of_class(
    key: &ObjectKey,
    class: &Arc<GatewayClass>,
    out: &mut Out<ObjectRef, Status>,
) -> Result<(), Stop> {
    let mut status = Status { generation: class.meta.generation, ..Status::default() };
    class.problems.iter().for_each(|problem| status.problem(problem));
    if class.is_ours() {
        status.conditions.push(Condition::new("Accepted", true, "Accepted", ""));
    } else {
        status.note = Some(not_our_class(&key.name, class));
    }
    out.put(ObjectRef::new(Kind::GatewayClass, key.clone()), status);
    Ok(())
}

fn not_our_class(name: &str, class: &GatewayClass) -> ArcStr {
    arcstr::format!("GatewayClass {name} is of controller `{}`; ours is `{CONTROLLER}`", class.controller)
}

/// Gateway → its status.
pub(crate) fn of_gateway(
    key: &ObjectKey,
    gateway: &Arc<Gateway>,
    classes: Lens<'_, Rows<ObjectKey, GatewayClass>>,
    accepted: Lens<'_, Rows<ObjectKey, Accepted>>,
    ports: Lens<'_, Rows<PortKey, Bound>>,
    counts: Lens<'_, Rows<ObjectKey, BTreeMap<ArcStr, u32>>>,
    out: &mut Out<ObjectRef, Status>,
) -> Result<(), Stop> {
    let mut status = Status { generation: gateway.meta.generation, ..Status::default() };
    if let Some(accepted) = accepted.get(key)? {
        gateway.problems.iter().chain(gateway.frontend.problems()).for_each(|problem| status.problem(problem));
        let counts = counts.get(key)?;
        let mut served = 0;
        for (at, listener) in accepted.listeners.iter().enumerate() {
            let port = ports.get(&PortKey { gateway: key.clone(), port: listener.port })?;
            let bound = port.as_ref().and_then(|port| port.verdicts.get(&listener.name));
            let bound = bound.filter(|_| listener.refusal.is_none());
            served += usize::from(bound.is_some_and(|bound| bound.programmed));
            gateway.listeners[at].problems.iter().for_each(|problem| status.problem(problem));
            let attached = counts.as_ref().and_then(|counts| counts.get(&listener.name)).copied();
            let judged = of_listener(at, listener, bound, attached.unwrap_or_default(), &mut status);
            status.listeners.push(judged);
        }
        status.conditions = conditions(gateway, &status, served);
    } else {
        match classes.get(&ObjectKey::cluster(gateway.class.clone()))? {
            Some(class) => status.note = Some(not_our_class(&gateway.class, &class)),
            None => {
                let message = arcstr::format!("GatewayClass {} does not exist", gateway.class);
                status.problem(&FieldProblem::new("spec.gatewayClassName", message));
            }
        }
    }
    out.put(ObjectRef::new(Kind::Gateway, key.clone()), status);
    Ok(())
}

/// The conditions of the Gateway itself, of which `served` listeners are served.
fn conditions(gateway: &Gateway, status: &Status, served: usize) -> Vec<Condition> {
    let all = status.listeners.len();
    let count = arcstr::format!("{served} of {all} listeners are served");
    let unresolved = |listener: &&ListenerStatus| {
        listener.conditions.iter().any(|condition| condition.kind == "ResolvedRefs" && !condition.holds)
    };
    let accepted = match address_problem(gateway) {
        Some(problem) => Condition::new("Accepted", false, "UnsupportedAddress", problem.message.clone()),
        None if served == all && all > 0 => Condition::new("Accepted", true, "Accepted", ""),
        None => Condition::new("Accepted", served > 0, "ListenersNotValid", count.clone()),
    };
    let programmed = match served {
        0 => Condition::new("Programmed", false, "Invalid", count),
        _ => Condition::new("Programmed", true, "Programmed", ""),
    };
    let resolved = match status.listeners.iter().find(unresolved) {
        None => Condition::new("ResolvedRefs", true, "ResolvedRefs", ""),
        Some(listener) => {
            let message = arcstr::format!("see listener `{}`", listener.name);
            Condition::new("ResolvedRefs", false, "ListenersNotResolved", message)
        }
    };
    let insecure = gateway.frontend.is_insecure().then(|| {
        let message =
            "`AllowInsecureFallback` lets in clients without a valid certificate; `AllowValidOnly` keeps them out";
        Condition::new("InsecureFrontendValidationMode", true, "ConfigurationChanged", message)
    });
    [accepted, programmed, resolved].into_iter().chain(insecure).collect()
}

fn of_listener(
    at: usize,
    listener: &AcceptedListener,
    bound: Option<&BoundListener>,
    attached_routes: u32,
    status: &mut Status,
) -> ListenerStatus {
    let mut conditions = Vec::with_capacity(4);
    match &listener.refusal {
        None => {
            conditions.push(match bound.and_then(|bound| bound.refused.as_ref()) {
                Some(refused) => Condition::new("Accepted", false, refused.reason, refused.problem.message.clone()),
                None => Condition::new("Accepted", true, "Accepted", ""),
            });
            conditions.push(Condition::new("Conflicted", false, "NoConflicts", ""));
        }
        Some(refusal) => {
            status.problem(&refusal.problem);
            let message = &refusal.problem.message;
            conditions.push(Condition::new("Accepted", false, refusal.reason, message.clone()));
            conditions.push(match refusal.condition {
                "Conflicted" => Condition::new("Conflicted", true, refusal.reason, message.clone()),
                _ => Condition::new("Conflicted", false, "NoConflicts", ""),
            });
        }
    }
    conditions.push(resolved(at, listener, bound, status));
    conditions.push(match bound {
        Some(bound) if bound.programmed => Condition::new("Programmed", true, "Programmed", ""),
        _ => Condition::new("Programmed", false, "Invalid", "the listener is not served; see its other conditions"),
    });
    ListenerStatus {
        name: listener.name.clone(),
        attached_routes,
        supports_http_routes: listener.takes_http_routes(),
        conditions,
    }
}

/// Whether the listener's route kinds, its certificates and the authorities of its clients lead to something.
fn resolved(at: usize, listener: &AcceptedListener, bound: Option<&BoundListener>, status: &mut Status) -> Condition {
    let mut unresolved = None;
    for (nth, kind) in listener.allowed.kinds.iter().enumerate() {
        if Kind::find(&kind.group, &kind.kind) != Some(Kind::HttpRoute) {
            let field = format!("spec.listeners[{at}].allowedRoutes.kinds[{nth}]");
            let problem = FieldProblem::new(field, arcstr::format!("{} is not served; HTTPRoute is", kind.kind));
            status.problem(&problem);
            unresolved.get_or_insert(("InvalidRouteKinds", problem.message));
        }
    }
    for reference in bound.into_iter().flat_map(|bound| &bound.unresolved) {
        status.problem(&reference.problem);
        unresolved.get_or_insert((reference.reason, reference.problem.message.clone()));
    }
    match unresolved {
        None => Condition::new("ResolvedRefs", true, "ResolvedRefs", ""),
        Some((reason, message)) => Condition::new("ResolvedRefs", false, reason, message),
    }
}
