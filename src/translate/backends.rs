//! Where a rule sends requests: its backends as clusters with weights.

use envoy::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3 as envoy;
use envoy_types::pb::google::protobuf::UInt32Value;

use super::endpoints::PortFacts;
use super::filters::{self, HeaderChanges};
use super::grants::{self, Grants};
use super::keys::{AppProtocol, ClusterKey};
use super::refusal::{Refusal, Unresolved};
use crate::graph::{Lens, Rows, Stop};
use crate::model::{BackendRef, Kind, ObjectKey, Rewrite, Service};

/// The lenses that backends are resolved through.
#[derive(Clone, Copy)]
pub(crate) struct Read<'s, 'p, 'g> {
    pub(crate) services: Lens<'s, Rows<ObjectKey, Service>>,
    pub(crate) ports: Lens<'p, Rows<ClusterKey, PortFacts>>,
    pub(crate) grants: Lens<'g, Grants>,
}

/// A backend that takes a share of the requests.
#[derive(Debug)]
pub(crate) struct Share {
    /// More than 0.
    weight: u32,
    /// Where it leads; `None` answers 500.
    cluster: Option<ClusterKey>,
    /// What it stands for, as part of the name of a cluster that does not exist.
    target: ObjectKey,
    request: HeaderChanges,
    response: HeaderChanges,
}

/// The backends of a rule.
#[derive(Debug, Default)]
pub(crate) struct Backends<'r> {
    /// Those that take a share of the requests.
    pub(crate) shares: Vec<Share>,
    /// `URLRewrite` of the only backend, with its field. Envoy rewrites for all clusters of a route alike.
    pub(crate) rewrite: Option<(&'r Rewrite, String)>,
}

impl Backends<'_> {
    /// Lets each backend make the rule's changes of request headers before its own, where any has some. Envoy would
    /// make the rule's after those of a backend. Leaves nothing for the rule to do then.
    pub(crate) fn take_request_changes(&mut self, of_rule: &mut HeaderChanges) {
        if self.shares.iter().any(|share| share.request != HeaderChanges::default()) {
            let of_rule = std::mem::take(of_rule);
            self.shares.iter_mut().for_each(|share| share.request = of_rule.then(&share.request));
        }
    }
}

/// Resolves the backends in the list `field` of a rule of `route`.
///
/// What leads nowhere is added to `unresolved` and takes its share as an answer of 500, as the API says. Backends
/// of weight 0 are judged too, but take no share.
///
/// # Errors
/// Within: a filter of a backend that cannot be served. Around: a look-up that has no answer yet.
pub(crate) fn resolve<'r>(
    route: &ObjectKey,
    backends: &'r [BackendRef],
    field: &str,
    read: Read<'_, '_, '_>,
    unresolved: &mut Vec<Unresolved>,
) -> Result<Result<Backends<'r>, Refusal>, Stop> {
    let mut resolved = Backends::default();
    let mut total: u32 = 0;
    for (at, backend) in backends.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let cluster = match cluster_of(route, backend, &field, read)? {
            Ok(cluster) => Some(cluster),
            Err(problem) => {
                unresolved.push(problem);
                None
            }
        };
        let filters = match filters::sort_out(&backend.filters, &format!("{field}.filters")) {
            Ok(filters) => filters,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some((_, field)) = filters.redirect {
            let message = "a redirect is the answer of a whole rule; put this filter into the rule's own";
            return Ok(Err(Refusal::unsupported(field, message)));
        }
        resolved.rewrite = match filters.rewrite {
            Some((_, field)) if backends.len() > 1 => {
                let message = "one of several backends cannot have a rewrite of its own; put this filter into the rule's \
                               own, or the backend into a rule of its own";
                return Ok(Err(Refusal::unsupported(field, message)));
            }
            rewrite => rewrite,
        };
        let Some(sum) = total.checked_add(backend.weight) else {
            let message = arcstr::format!("the weights of a rule's backends add up to at most {}", u32::MAX);
            return Ok(Err(Refusal::unsupported(format!("{field}.weight"), message)));
        };
        total = sum;
        if backend.weight > 0 {
            let (request, response) = (filters.request, filters.response);
            let share = Share { weight: backend.weight, cluster, target: backend.target.clone(), request, response };
            resolved.shares.push(share);
        }
    }
    Ok(Ok(resolved))
}

fn cluster_of(
    route: &ObjectKey,
    backend: &BackendRef,
    field: &str,
    read: Read<'_, '_, '_>,
) -> Result<Result<ClusterKey, Unresolved>, Stop> {
    let unresolved = |reason, field: String, message: arcstr::ArcStr| {
        Ok(Err(Unresolved { reason, problem: crate::model::FieldProblem::new(field, message) }))
    };
    let target = &backend.target;
    if Kind::find(&backend.group, &backend.kind) != Some(Kind::Service) {
        let message = arcstr::format!("a {} is not a backend that is served; use a Service", backend.kind);
        return unresolved("InvalidKind", format!("{field}.kind"), message);
    }
    // Before anything is said about the target: without consent not even its existence is told.
    let consent = grants::permit(read.grants, (Kind::HttpRoute, &route.namespace), (Kind::Service, target))?;
    if let Err(message) = consent {
        return unresolved("RefNotPermitted", field.to_owned(), message);
    }
    let Some(port) = backend.port else {
        return unresolved("BackendNotFound", format!("{field}.port"), "is required for a Service".into());
    };
    for protocol in AppProtocol::ALL {
        let key = ClusterKey::new(target.clone(), port, protocol);
        match read.ports.get(&key)? {
            None => {}
            // Clear text to a port that speaks TLS would only fail later, with less said.
            Some(facts) if facts.wants_tls => {
                let message = arcstr::format!(
                    "port {port} of Service {target} asks for TLS by its appProtocol; BackendTLSPolicy is not supported yet"
                );
                return unresolved("UnsupportedProtocol", field.to_owned(), message);
            }
            Some(_) => return Ok(Ok(key)),
        }
    }
    // Only an input knows what is still being looked for.
    let message = match read.services.get(target) {
        Ok(Some(service)) => match &service.unavailable {
            Some(reason) => arcstr::format!("Service {target}: {reason}"),
            None => arcstr::format!("Service {target} has no port {port} that can be routed to"),
        },
        Ok(None) => arcstr::format!("Service {target} does not exist"),
        Err(stop) => arcstr::format!("{stop}"),
    };
    unresolved("BackendNotFound", field.to_owned(), message)
}

/// The clusters that the shares lead to, in the order of the backends.
pub(crate) fn clusters(shares: &[Share]) -> impl Iterator<Item = &ClusterKey> {
    shares.iter().filter_map(|share| share.cluster.as_ref())
}

/// The shares as Envoy takes them; `None` if every request is to be answered 500.
pub(crate) fn route_action(shares: Vec<Share>) -> Option<envoy::RouteAction> {
    use envoy::route_action::{ClusterNotFoundResponseCode, ClusterSpecifier};
    if shares.iter().all(|share| share.cluster.is_none()) {
        return None;
    }
    let broken = shares.iter().any(|share| share.cluster.is_none());
    let specifier = match &*shares {
        [Share { cluster: Some(cluster), request, response, .. }]
            if *request == HeaderChanges::default() && *response == HeaderChanges::default() =>
        {
            ClusterSpecifier::Cluster(cluster.to_string())
        }
        _ => ClusterSpecifier::WeightedClusters(envoy::WeightedCluster {
            clusters: shares.into_iter().map(cluster_weight).collect(),
            ..Default::default()
        }),
    };
    // A share that leads nowhere names a cluster that never exists. Envoy answers 503 for those unless told otherwise.
    let code = if broken {
        ClusterNotFoundResponseCode::InternalServerError
    } else {
        ClusterNotFoundResponseCode::ServiceUnavailable
    };
    Some(envoy::RouteAction {
        cluster_specifier: Some(specifier),
        cluster_not_found_response_code: code.into(),
        ..Default::default()
    })
}

fn cluster_weight(share: Share) -> ClusterWeight {
    let name = match &share.cluster {
        Some(cluster) => cluster.to_string(),
        None => format!("unresolved/{}/{}", share.target.namespace, share.target.name),
    };
    ClusterWeight {
        name,
        weight: Some(UInt32Value { value: share.weight }),
        request_headers_to_add: share.request.add,
        request_headers_to_remove: share.request.remove,
        response_headers_to_add: share.response.add,
        response_headers_to_remove: share.response.remove,
        ..Default::default()
    }
}
