//! Virtual hosts: for each host name of each listener, the routes that may answer, in order.
//!
//! A request has one virtual host in Envoy, the one with the most specific domain. The Gateway API has a request
//! that no rule of it takes fall through to the routes of less specific host names of the same listener. So a virtual
//! host holds its own routes first and then those of the wider names; they are shared, not copied.
//!
//! Invariant: a host name stands in a route table once (Envoy refuses the table otherwise), since the listeners of a
//! table have different names and each host name belongs to one of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3 as envoy;

use super::attachment::Attached;
use super::cluster_count::ClusterCount;
use super::gateways::Accepted;
use super::hostname::Hostname;
use super::keys::ClusterKey;
use super::names::{PortKey, TableKey};
use super::precedence::RowOrder;
use super::routes::Compiled;
use super::rule_action::{RedirectPort, host_with_port};
use crate::graph::{Fold, Lens, Member, Out, Rows, Stop};
use crate::model::ObjectKey;
use crate::resource::{Chunks, Parts, encode};

/// `VirtualHost.routes`.
const ROUTES: u32 = 3;
/// `Route.match` and `Route.redirect`.
const MATCH: u32 = 1;
const REDIRECT: u32 = 3;

/// A host name of a listener in a route table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HostKey {
    /// The route table.
    pub(crate) table: TableKey,
    /// The host name of the listener that it belongs to.
    pub(crate) listener: Hostname,
    /// The host name.
    pub(crate) host: Hostname,
}

/// A match of a route at one host name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryKey {
    at: HostKey,
    order: RowOrder,
}

/// The virtual host of a match.
pub(crate) fn host_of(key: &EntryKey, _: &Entry) -> HostKey {
    key.at.clone()
}

/// The routes of one match, encoded as fields of their virtual host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    routes: Bytes,
    clusters: Arc<[ClusterKey]>,
    catches_all: bool,
}

/// Attached route → its matches at each host name.
pub(crate) fn entries(
    route: &ObjectKey,
    attached: &Arc<Attached>,
    compiled: Lens<'_, Rows<ObjectKey, Compiled>>,
    out: &mut Out<EntryKey, Entry>,
) -> Result<(), Stop> {
    let Some(compiled) = compiled.get(route)? else { return Ok(()) };
    for matched in &compiled.matches {
        // Encoded once for all places, but for redirects, whose port depends on where they attach.
        let entry =
            |routes| Arc::new(Entry { routes, clusters: matched.clusters.clone(), catches_all: matched.catches_all });
        let shared = entry(fields(&matched.routes, RedirectPort::Omitted));
        for place in &attached.places {
            let entry = match matched.location {
                None => shared.clone(),
                Some(location) => {
                    let port = location.port_at(place.table.at.port, place.table.chain.is_some());
                    entry(fields(&matched.routes, port))
                }
            };
            for (host, asked) in &place.hosts {
                let at = HostKey { table: place.table.clone(), listener: place.listener.clone(), host: host.clone() };
                let order = RowOrder {
                    asked: Reverse(*asked),
                    matched: matched.order,
                    created: compiled.created,
                    route: route.clone(),
                    position: matched.position,
                };
                out.put_arc(EntryKey { at, order }, entry.clone());
            }
        }
    }
    Ok(())
}

/// The routes of a match as fields of a virtual host; those of a redirect with its port.
fn fields(routes: &[Bytes], port: RedirectPort) -> Bytes {
    let mut out = Vec::new();
    for route in routes {
        // A message field that occurs twice is merged: this adds the port to the redirect that is there.
        let with_port = |port: u16| {
            let redirect = envoy::RedirectAction { port_redirect: port.into(), ..Default::default() };
            [&route[..], &encode::message_field(REDIRECT, &redirect)].concat()
        };
        let mut put = |route: &[u8]| out.extend_from_slice(&encode::bytes_field(ROUTES, route));
        match port {
            RedirectPort::Named(port) => put(&with_port(port)),
            RedirectPort::Omitted => put(route),
            RedirectPort::OmittedUnlessKept(port) => {
                put(&[&with_port(port)[..], &encode::message_field(MATCH, &host_with_port())].concat());
                put(route);
            }
        }
    }
    out.into()
}

/// What a host name answers when no route takes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// 404: the listener's own name. The virtual host keeps its hosts from falling to another listener.
    NotFound,
    /// 421: the name of another HTTPS listener. The client reused a connection that was made for this one.
    Misdirected,
}

/// Accepted Gateway → the host names that exist without any route.
pub(crate) fn bases(key: &ObjectKey, gateway: &Arc<Accepted>, out: &mut Out<HostKey, Base>) -> Result<(), Stop> {
    let served = || gateway.listeners.iter().filter(|listener| listener.refusal.is_none());
    for listener in served() {
        let at = PortKey { gateway: key.clone(), port: listener.port };
        let own = listener.hostname.clone();
        let table = TableKey { at, chain: listener.tls.then(|| own.clone()) };
        let mut put = |host: &Hostname, base| {
            out.put(HostKey { table: table.clone(), listener: own.clone(), host: host.clone() }, base);
        };
        if !own.is_any() {
            put(&own, Base::NotFound);
        }
        if listener.tls {
            for other in served().filter(|other| other.port == listener.port && other.hostname != own) {
                put(&other.hostname, Base::Misdirected);
            }
        }
    }
    Ok(())
}

/// The routes of one host name, without those of wider names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostRoutes {
    base: Option<Base>,
    routes: Parts,
    clusters: Arc<[ClusterKey]>,
    /// Whether one of the routes takes every request, so that none falls through to wider names.
    catches_all: bool,
}

/// Brings the matches of all routes of a host name into their order.
#[derive(Debug, Default)]
pub(crate) struct HostFold {
    base: Option<Base>,
    routes: Chunks<RowOrder>,
    clusters: ClusterCount,
    /// How many of the matches take every request.
    catch_alls: usize,
    /// The matches: one that changes is put again without being taken away.
    entries: BTreeMap<RowOrder, Arc<Entry>>,
}

impl HostFold {
    /// Counts `after` instead of `before`.
    fn count(&mut self, before: Option<&Entry>, after: Option<&Entry>) {
        self.catch_alls += usize::from(after.is_some_and(|entry| entry.catches_all));
        self.catch_alls -= usize::from(before.is_some_and(|entry| entry.catches_all));
        self.clusters.replace(before.map(|entry| &entry.clusters), after.map(|entry| &entry.clusters));
    }
}

impl Fold<HostKey> for HostFold {
    type Row = HostRoutes;

    fn row(&mut self, _: &HostKey) -> Option<HostRoutes> {
        let (routes, clusters) = (self.routes.parts(), self.clusters.set());
        Some(HostRoutes { base: self.base, routes, clusters, catches_all: self.catch_alls > 0 })
    }
}

impl Member<EntryKey, Entry> for HostFold {
    fn put(&mut self, key: &EntryKey, entry: &Arc<Entry>) {
        self.routes.put(key.order.clone(), entry.routes.clone());
        let before = self.entries.insert(key.order.clone(), entry.clone());
        self.count(before.as_deref(), Some(entry));
    }

    fn del(&mut self, key: &EntryKey, _: &Arc<Entry>) {
        self.routes.del(&key.order);
        let before = self.entries.remove(&key.order);
        self.count(before.as_deref(), None);
    }
}

impl Member<HostKey, Base> for HostFold {
    fn put(&mut self, _: &HostKey, base: &Arc<Base>) {
        self.base = Some(**base);
    }

    fn del(&mut self, _: &HostKey, _: &Arc<Base>) {
        self.base = None;
    }
}

/// One virtual host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VirtualHost {
    /// The encoded message.
    pub(crate) body: Parts,
    /// The clusters of its routes; sorted, without duplicates.
    pub(crate) clusters: Arc<[ClusterKey]>,
}

/// Routes of a host name → its virtual host, with the routes of the wider names of the same listener behind them.
pub(crate) fn virtual_host(
    key: &HostKey,
    own: &Arc<HostRoutes>,
    routes: Lens<'_, Rows<HostKey, HostRoutes>>,
    out: &mut Out<HostKey, VirtualHost>,
) -> Result<(), Stop> {
    let head = encode::message(&envoy::VirtualHost {
        name: key.host.to_string(),
        domains: vec![key.host.to_string()],
        ..Default::default()
    });
    let mut parts = vec![Parts::leaf(head), own.routes.clone()];
    let mut clusters = own.clusters.clone();
    if own.base == Some(Base::Misdirected) {
        parts.push(Parts::leaf(misdirected()));
    } else if !own.catches_all {
        for host in key.host.wider().filter(|wider| key.listener.covers(wider)) {
            let Some(wider) = routes.get(&HostKey { host, ..key.clone() })? else { continue };
            parts.push(wider.routes.clone());
            clusters = union(&clusters, &wider.clusters);
            if wider.catches_all {
                break;
            }
        }
    }
    out.put(key.clone(), VirtualHost { body: Parts::concat(parts), clusters });
    Ok(())
}

/// Both sets in one; one of them itself if it holds the other.
fn union(one: &Arc<[ClusterKey]>, other: &Arc<[ClusterKey]>) -> Arc<[ClusterKey]> {
    if other.iter().all(|cluster| one.binary_search(cluster).is_ok()) {
        return one.clone();
    }
    let both: std::collections::BTreeSet<&ClusterKey> = one.iter().chain(other.iter()).collect();
    both.into_iter().cloned().collect()
}

/// The one route of a host name that another connection is for.
fn misdirected() -> Bytes {
    use envoy::route::Action;
    use envoy::route_match::PathSpecifier;
    let matched =
        envoy::RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..Default::default() };
    let action = Action::DirectResponse(envoy::DirectResponseAction { status: 421, ..Default::default() });
    encode::message_field(
        ROUTES,
        &envoy::Route {
            name: "misdirected".to_owned(),
            r#match: Some(matched),
            action: Some(action),
            ..Default::default()
        },
    )
}
