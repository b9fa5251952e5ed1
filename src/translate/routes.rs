//! Routes, compiled: each match of each rule encoded once, whatever the number of Gateways and host names it serves.

use std::sync::Arc;

use arcstr::ArcStr;
use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3 as envoy;

use super::backends::{self, Backends};
use super::endpoints::PortFacts;
use super::filters;
use super::grants::Grants;
use super::keys::ClusterKey;
use super::names::route_name;
use super::precedence::MatchOrder;
use super::refusal::{Refusal, Unresolved};
use super::rule_action::{Location, RuleAction, rule_action};
use super::rule_match::route_match;
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{FieldProblem, HttpRoute, ObjectKey, PathMatch, RouteMatch, RouteRule, Service};
use crate::resource::encode;

/// A route as far as it does not depend on where it attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// `creationTimestamp`, in seconds.
    pub(crate) created: i64,
    /// Every match of every rule that is served, in their order.
    pub(crate) matches: Vec<CompiledMatch>,
    /// The clusters it sends requests to; sorted, without duplicates.
    pub(crate) clusters: Arc<[ClusterKey]>,
    /// How many rules there are.
    pub(crate) rules: usize,
    /// The rules that are not served as they are written, one entry for each.
    pub(crate) refused: Vec<Refusal>,
    /// The backends that lead nowhere.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// One match of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompiledMatch {
    /// How much it says.
    pub(crate) order: MatchOrder,
    /// The position of the rule and of the match in it.
    pub(crate) position: (u32, u32),
    /// The Envoy routes, each an encoded `Route`.
    pub(crate) routes: Vec<Bytes>,
    /// What a redirect's port depends on, which is added where the route attaches; `None` if it is no redirect.
    pub(crate) location: Option<Location>,
    /// The clusters it sends requests to; sorted, without duplicates.
    pub(crate) clusters: Arc<[ClusterKey]>,
    /// Whether it takes every request.
    pub(crate) catches_all: bool,
}

/// Route → its encoded matches.
pub(crate) fn compile(
    key: &ObjectKey,
    route: &Arc<HttpRoute>,
    services: Lens<'_, Rows<ObjectKey, Service>>,
    ports: Lens<'_, Rows<ClusterKey, PortFacts>>,
    grants: Lens<'_, Grants>,
    out: &mut Out<ObjectKey, Compiled>,
) -> Result<(), Stop> {
    let read = backends::Read { services, ports, grants };
    let mut compiled = Compiled {
        created: route.meta.created,
        matches: Vec::new(),
        clusters: Arc::default(),
        rules: route.rules.len(),
        refused: Vec::new(),
        unresolved: Vec::new(),
    };
    if let ([], Some(problem)) = (&*route.rules, route.problems.first()) {
        // Nothing is left of it, so the problem is that of all its rules.
        compiled.refused.push(problem.clone().into());
    }
    for (at, rule) in route.rules.iter().enumerate() {
        compile_rule(key, rule, at, read, &mut compiled)?;
    }
    compiled.clusters = cluster_set(compiled.matches.iter().flat_map(|matched| matched.clusters.iter()));
    out.put(key.clone(), compiled);
    Ok(())
}

/// A rule whose matches cannot be served is dropped. One whose matches can, but whose filters cannot, answers 500: if
/// it were dropped, a less specific rule would answer its requests without what the filters were to do.
fn compile_rule(
    key: &ObjectKey,
    rule: &RouteRule,
    at: usize,
    read: backends::Read<'_, '_, '_>,
    compiled: &mut Compiled,
) -> Result<(), Stop> {
    let field = format!("spec.rules[{at}]");
    let in_matches = |problem: &&FieldProblem| problem.field.starts_with(&*format!("{field}.matches"));
    if let Some(problem) = rule.problems.iter().find(in_matches) {
        compiled.refused.push(problem.clone().into());
        return Ok(());
    }
    let matched: Result<Vec<envoy::RouteMatch>, FieldProblem> = rule
        .matches
        .iter()
        .enumerate()
        .map(|(nth, matched)| route_match(matched, &format!("{field}.matches[{nth}]")))
        .collect();
    let matched = match matched {
        Ok(matched) => matched,
        Err(problem) => {
            compiled.refused.push(problem.into());
            return Ok(());
        }
    };
    let served = match rule.problems.first() {
        Some(problem) => Err(problem.clone().into()),
        None => {
            let list = format!("{field}.backendRefs");
            let backends = backends::resolve(key, &rule.backends, &list, read, &mut compiled.unresolved)?;
            serve(key, rule, at, &matched, backends)
        }
    };
    let matches = served.or_else(|refusal| {
        compiled.refused.push(refusal);
        encode_matches(key, rule, at, &matched, &Served { action: RuleAction::Error, ..Served::default() })
    });
    compiled.matches.extend(matches.unwrap_or_default());
    Ok(())
}

/// What a rule does, with what it does to headers.
struct Served {
    action: RuleAction,
    request: filters::HeaderChanges,
    response: filters::HeaderChanges,
    clusters: Arc<[ClusterKey]>,
}

impl Default for Served {
    fn default() -> Self {
        Self {
            action: RuleAction::Error,
            request: filters::HeaderChanges::default(),
            response: filters::HeaderChanges::default(),
            clusters: Arc::default(),
        }
    }
}

fn serve(
    key: &ObjectKey,
    rule: &RouteRule,
    at: usize,
    matched: &[envoy::RouteMatch],
    backends: Result<Backends<'_>, Refusal>,
) -> Result<Vec<CompiledMatch>, Refusal> {
    let mut backends = backends?;
    let field = format!("spec.rules[{at}]");
    let mut filters = filters::sort_out(&rule.filters, &format!("{field}.filters"))?;
    backends.take_request_changes(&mut filters.request);
    let clusters = cluster_set(backends::clusters(&backends.shares));
    let action = rule_action(rule, &filters, backends, &field)?;
    let forwards = matches!(action, RuleAction::Forward(..));
    let served = Served {
        clusters: if forwards { clusters } else { Arc::default() },
        request: std::mem::take(&mut filters.request),
        response: std::mem::take(&mut filters.response),
        action,
    };
    encode_matches(key, rule, at, matched, &served)
}

fn encode_matches(
    key: &ObjectKey,
    rule: &RouteRule,
    at: usize,
    matched: &[envoy::RouteMatch],
    served: &Served,
) -> Result<Vec<CompiledMatch>, Refusal> {
    let name = route_name(key, rule.name.as_ref());
    let mut compiled = Vec::with_capacity(matched.len());
    for (nth, (matched, source)) in matched.iter().zip(&rule.matches).enumerate() {
        let routes = served
            .action
            .routes(matched.clone())
            .map_err(|why| Refusal::incompatible(format!("spec.rules[{at}].matches[{nth}].path.type"), why))?;
        let encoded = routes.into_iter().map(|(matched, action)| {
            encode::message(&envoy::Route {
                name: name.clone(),
                r#match: Some(matched),
                action: Some(action),
                request_headers_to_add: served.request.add.clone(),
                request_headers_to_remove: served.request.remove.clone(),
                response_headers_to_add: served.response.add.clone(),
                response_headers_to_remove: served.response.remove.clone(),
                ..Default::default()
            })
        });
        compiled.push(CompiledMatch {
            order: MatchOrder::of(source),
            position: (position(at), position(nth)),
            routes: encoded.collect(),
            location: served.action.location(),
            clusters: served.clusters.clone(),
            catches_all: catches_all(source),
        });
    }
    Ok(compiled)
}

/// Whether a match leaves no request to those behind it.
fn catches_all(matched: &RouteMatch) -> bool {
    let RouteMatch { path, headers, query, method } = matched;
    matches!(path, PathMatch::Prefix(prefix) if prefix == "/")
        && headers.is_empty()
        && query.is_empty()
        && method.is_none()
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn cluster_set<'c>(clusters: impl Iterator<Item = &'c ClusterKey>) -> Arc<[ClusterKey]> {
    let set: std::collections::BTreeSet<&ClusterKey> = clusters.collect();
    set.into_iter().cloned().collect()
}

/// Every problem of the route that is found without knowing where it attaches, in the order of the rules.
pub(crate) fn problems<'c>(route: &'c HttpRoute, compiled: &'c Compiled) -> impl Iterator<Item = &'c FieldProblem> {
    let decoded = route.problems.iter().chain(route.rules.iter().flat_map(|rule| rule.problems.iter()));
    let refused = compiled.refused.iter().map(|refusal| &refusal.problem);
    decoded.chain(refused).chain(compiled.unresolved.iter().map(|unresolved| &unresolved.problem))
}

/// What the message of a refused rule says.
pub(crate) fn message(problem: &FieldProblem) -> ArcStr {
    arcstr::format!("{}: {}", problem.field, problem.message)
}
