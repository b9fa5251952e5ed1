//! What an object came to: conditions and counts as the Gateway API names them, and problems with their fields.
//!
//! The rows are read by `check` and `explain`, and by the writer of statuses. They hold no time: when a condition
//! last changed is the writer's to say.

use arcstr::ArcStr;

use crate::model::{FieldProblem, ParentRef};

/// The status of one GatewayClass, Gateway or HTTPRoute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `metadata.generation` of the object that was judged: `observedGeneration` of every condition.
    pub generation: i64,
    /// Conditions of the object itself (GatewayClass, Gateway).
    pub conditions: Vec<Condition>,
    /// One entry for each listener of a Gateway, in the order of its spec.
    pub listeners: Vec<ListenerStatus>,
    /// One entry for each `parentRefs` entry of a route that names a Gateway of ours, in the order of its spec.
    pub parents: Vec<ParentStatus>,
    /// Everything that has to be mended, each once. Empty means that all of the object has the effect it asks for.
    pub problems: Vec<FieldProblem>,
    /// Why the object has no effect although nothing has to be mended: it is another controller's.
    pub note: Option<ArcStr>,
}

impl Status {
    /// Adds a problem, once.
    pub(crate) fn problem(&mut self, problem: &FieldProblem) {
        if !self.problems.contains(problem) {
            self.problems.push(problem.clone());
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `type`, such as `Accepted`.
    pub kind: &'static str,
    /// `status`: `True` or `False`.
    pub holds: bool,
    /// `reason`, in CamelCase as the Gateway API lists it.
    pub reason: &'static str,
    /// `message`, for people.
    pub message: ArcStr,
}

impl Condition {
    /// A condition.
    pub(crate) fn new(kind: &'static str, holds: bool, reason: &'static str, message: impl Into<ArcStr>) -> Self {
        Self { kind, holds, reason, message: message.into() }
    }
}

/// The status of one listener of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerStatus {
    /// `name`.
    pub name: ArcStr,
    /// `attachedRoutes`: how many routes were accepted, also when the listener is not programmed.
    pub attached_routes: u32,
    /// Whether HTTPRoute, the one kind that is served, is among `supportedKinds`.
    pub supports_http_routes: bool,
    /// `conditions`.
    pub conditions: Vec<Condition>,
}

/// The status of a route at one of its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentStatus {
    /// `parentRef`.
    pub parent: ParentRef,
    /// `conditions`.
    pub conditions: Vec<Condition>,
}
