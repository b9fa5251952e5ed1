//! Where a route attaches: to which listeners of which Gateways, and under which host names.
//!
//! Each host name of a request belongs to one listener of its port, the most specific one (listener isolation). So
//! a route's host name that a more specific listener covers is left out of the less specific one's routes.

use std::sync::Arc;

use arcstr::ArcStr;

use super::gateways::{Accepted, AcceptedListener};
use super::hostname::{Hostname, Specificity};
use super::names::{PortKey, TableKey};
use crate::graph::{Lens, Out, Rows, Stop};
use crate::model::{FieldProblem, FromNamespaces, Gateway, HttpRoute, Kind, Labels, Namespace, ObjectKey, ParentRef};

/// What became of a route's parent references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    /// One verdict for each `parentRefs` entry, in their order.
    pub(crate) parents: Vec<Parent>,
    /// The listeners whose count of attached routes holds this one; sorted, without duplicates.
    pub(crate) counted: Vec<ListenerKey>,
    /// The listeners that serve it; sorted, without duplicates.
    pub(crate) places: Vec<Place>,
    /// What is wrong with its host names.
    pub(crate) problems: Vec<FieldProblem>,
}

/// A listener by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ListenerKey {
    /// The Gateway.
    pub(crate) gateway: ObjectKey,
    /// `name` of the listener.
    pub(crate) name: ArcStr,
}

/// A listener that serves the route, and under which names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The route table.
    pub(crate) table: TableKey,
    /// The listener's host name.
    pub(crate) listener: Hostname,
    /// The host names that route and listener have in common, each with how specific the name was that the route
    /// itself asked for; sorted, each name once.
    pub(crate) hosts: Vec<(Hostname, Specificity)>,
}

/// A `parentRefs` entry with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    /// The entry.
    pub(crate) reference: ParentRef,
    /// What became of it.
    pub(crate) verdict: Verdict,
}

/// What became of one parent reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// At least one listener accepted the route.
    Accepted,
    /// It names a Gateway of another controller: no status is written, but `explain` says why.
    NotOurs(ArcStr),
    /// It names nothing that there is: whose status it would be nobody knows.
    Missing(ArcStr),
    /// No listener accepted the route: the reason of `Accepted: False`, and its message.
    Refused(&'static str, ArcStr),
}

/// The lenses that attachment reads through.
#[derive(Clone, Copy)]
struct Read<'a, 'g, 'n> {
    accepted: Lens<'a, Rows<ObjectKey, Accepted>>,
    gateways: Lens<'g, Rows<ObjectKey, Gateway>>,
    namespaces: Lens<'n, Rows<ObjectKey, Namespace>>,
}

/// Route → where it attaches.
pub(crate) fn attach(
    key: &ObjectKey,
    route: &Arc<HttpRoute>,
    accepted: Lens<'_, Rows<ObjectKey, Accepted>>,
    gateways: Lens<'_, Rows<ObjectKey, Gateway>>,
    namespaces: Lens<'_, Rows<ObjectKey, Namespace>>,
    out: &mut Out<ObjectKey, Attached>,
) -> Result<(), Stop> {
    let read = Read { accepted, gateways, namespaces };
    let mut attached = Attached { parents: Vec::new(), counted: Vec::new(), places: Vec::new(), problems: Vec::new() };
    let hosts = route_hosts(route, &mut attached.problems);
    for reference in &route.parents {
        let verdict = judge(key, reference, hosts.as_deref(), read, &mut attached)?;
        attached.parents.push(Parent { reference: reference.clone(), verdict });
    }
    attached.counted.sort_unstable();
    attached.counted.dedup();
    attached.places.sort_unstable();
    attached.places.dedup();
    out.put(key.clone(), attached);
    Ok(())
}

/// The valid host names of the route; `None` if it names none at all and so takes every host of its listeners.
fn route_hosts(route: &HttpRoute, problems: &mut Vec<FieldProblem>) -> Option<Vec<Hostname>> {
    if route.hostnames.is_empty() {
        return None;
    }
    let mut hosts = Vec::with_capacity(route.hostnames.len());
    for (at, name) in route.hostnames.iter().enumerate() {
        match Hostname::parse(name) {
            Ok(host) => hosts.push(host),
            Err(message) => problems.push(FieldProblem::new(format!("spec.hostnames[{at}]"), message)),
        }
    }
    Some(hosts)
}

fn judge(
    route: &ObjectKey,
    reference: &ParentRef,
    hosts: Option<&[Hostname]>,
    read: Read<'_, '_, '_>,
    attached: &mut Attached,
) -> Result<Verdict, Stop> {
    if Kind::find(&reference.group, &reference.kind) != Some(Kind::Gateway) {
        return Ok(Verdict::NotOurs(arcstr::format!("a {} is not a parent that is served", reference.kind)));
    }
    let Some(gateway) = read.accepted.get(&reference.target)? else {
        return Ok(match read.gateways.get(&reference.target)? {
            None => Verdict::Missing(arcstr::format!("Gateway {} does not exist", reference.target)),
            Some(other) => Verdict::NotOurs(arcstr::format!(
                "Gateway {} is of class `{}`, which is not ours",
                reference.target,
                other.class
            )),
        });
    };
    let named: Vec<&AcceptedListener> = gateway
        .listeners
        .iter()
        .filter(|listener| reference.section.as_ref().is_none_or(|name| *name == listener.name))
        .filter(|listener| reference.port.is_none_or(|port| port == listener.port))
        .collect();
    if named.is_empty() {
        return Ok(Verdict::Refused("NoMatchingParent", no_such_listener(reference)));
    }
    let mut allowed = Vec::with_capacity(named.len());
    for listener in named {
        if listener.takes_http_routes() && allows_namespace(listener, route, &reference.target, read.namespaces)? {
            allowed.push(listener);
        }
    }
    if allowed.is_empty() {
        let namespace = read.namespaces.get(&ObjectKey::cluster(route.namespace.clone()))?;
        let unread = namespace.as_deref().and_then(|namespace| namespace.unavailable.as_deref());
        let message = arcstr::format!(
            "no listener allows HTTPRoutes of namespace `{}`; see allowedRoutes of Gateway {}{}{}",
            route.namespace,
            reference.target,
            if unread.is_some() { "; by selector the namespace matches nothing: " } else { "" },
            unread.unwrap_or_default(),
        );
        return Ok(Verdict::Refused("NotAllowedByListeners", message));
    }
    let mut verdict = Verdict::Refused(
        "NoMatchingListenerHostname",
        arcstr::format!("none of the route's host names is one of Gateway {}'s listeners", reference.target),
    );
    for listener in allowed {
        let common = common_hosts(&listener.hostname, hosts);
        if common.is_empty() {
            continue;
        }
        verdict = Verdict::Accepted;
        attached.counted.push(ListenerKey { gateway: reference.target.clone(), name: listener.name.clone() });
        attached.places.extend(place(&reference.target, &gateway, listener, common));
    }
    Ok(verdict)
}

fn no_such_listener(reference: &ParentRef) -> ArcStr {
    match (&reference.section, reference.port) {
        (Some(name), Some(port)) => {
            arcstr::format!("Gateway {} has no listener `{name}` on port {port}", reference.target)
        }
        (Some(name), None) => arcstr::format!("Gateway {} has no listener `{name}`", reference.target),
        (None, Some(port)) => arcstr::format!("Gateway {} has no listener on port {port}", reference.target),
        (None, None) => arcstr::format!("Gateway {} has no listener", reference.target),
    }
}

/// Whether the listener allows routes of the route's namespace.
fn allows_namespace(
    listener: &AcceptedListener,
    route: &ObjectKey,
    gateway: &ObjectKey,
    namespaces: Lens<'_, Rows<ObjectKey, Namespace>>,
) -> Result<bool, Stop> {
    Ok(match &listener.allowed.from {
        FromNamespaces::Same => route.namespace == gateway.namespace,
        FromNamespaces::All => true,
        FromNamespaces::None | FromNamespaces::Unknown(_) => false,
        FromNamespaces::Selector(selector) => {
            match namespaces.get(&ObjectKey::cluster(route.namespace.clone()))? {
                // What may not be read matches nothing.
                Some(namespace) => namespace.unavailable.is_none() && selector.matches(&namespace.labels),
                // A folder may use a namespace without declaring it; its name is then all that is known of it.
                None => selector.matches(&name_label(&route.namespace)),
            }
        }
    })
}

/// The label that every namespace has.
fn name_label(namespace: &ArcStr) -> Labels {
    [(arcstr::literal!("kubernetes.io/metadata.name"), namespace.clone())].into_iter().collect()
}

/// What listener and route have in common. Several names of the route may come to the same one; the most specific
/// of them ranks.
fn common_hosts(listener: &Hostname, route: Option<&[Hostname]>) -> Vec<(Hostname, Specificity)> {
    let Some(route) = route else {
        return vec![(listener.clone(), Hostname::any().specificity())];
    };
    let mut common: Vec<(Hostname, Specificity)> =
        route.iter().filter_map(|host| Some((listener.intersect(host)?, host.specificity()))).collect();
    common.sort_unstable_by(|a, b| (&a.0, b.1).cmp(&(&b.0, a.1)));
    common.dedup_by(|next, first| next.0 == first.0);
    common
}

/// Where the listener serves the route; `None` if the listener is not served or a more specific one takes every host.
fn place(
    key: &ObjectKey,
    gateway: &Accepted,
    listener: &AcceptedListener,
    mut hosts: Vec<(Hostname, Specificity)>,
) -> Option<Place> {
    if listener.refusal.is_some() {
        return None;
    }
    let narrower: Vec<&Hostname> = gateway
        .listeners
        .iter()
        .filter(|other| other.refusal.is_none() && other.port == listener.port)
        .map(|other| &other.hostname)
        .filter(|other| **other != listener.hostname && listener.hostname.covers(other))
        .collect();
    hosts.retain(|(host, _)| !narrower.iter().any(|other| other.covers(host)));
    if hosts.is_empty() {
        return None;
    }
    let at = PortKey { gateway: key.clone(), port: listener.port };
    let chain = listener.tls.then(|| listener.hostname.clone());
    Some(Place { table: TableKey { at, chain }, listener: listener.hostname.clone(), hosts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<Hostname> {
        names.iter().map(|name| Hostname::parse(&(*name).into()).expect(name)).collect()
    }

    #[test]
    fn of_names_that_come_to_the_same_the_most_specific_ranks() {
        let listener = &hosts(&["a.example.com"])[0];
        let route = hosts(&["*.com", "a.example.com", "*.example.com", "b.example.com"]);
        let common = common_hosts(listener, Some(&route));
        assert_eq!(common, [(listener.clone(), route[1].specificity())]);
    }

    #[test]
    fn a_route_without_host_names_takes_the_listeners() {
        let listener = &hosts(&["*.example.com"])[0];
        assert_eq!(common_hosts(listener, None), [(listener.clone(), Hostname::any().specificity())]);
    }
}
