//! A Gateway and its routes, of which there are few enough to be made as values.

use std::fmt;
use std::ops::Range;

use arcstr::{ArcStr, format, literal};
use syncgate::model::{
    AllowedRoutes, BackendRef, CONTROLLER, Event, FromNamespaces, Gateway, GatewayClass, HttpRoute, Listener,
    ListenerProtocol, Object, ObjectKey, ObjectRef, ParentRef, PathMatch, RouteMatch, RouteRule,
};

use super::answers;

/// Backends of one rule, at most.
const BACKENDS: usize = 16;

/// How many routes there are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Routes {
    /// None: no pod is behind a route.
    None,
    /// So many, each to one Service.
    Many(usize),
    /// As few as lead to every Service.
    Few,
}

impl Routes {
    /// As on the command line.
    pub(crate) fn find(text: &str) -> Option<Routes> {
        match text {
            "none" => Some(Routes::None),
            "few" => Some(Routes::Few),
            number => number.parse().ok().map(Routes::Many),
        }
    }

    /// The Services of each route.
    fn leads(self, services: usize) -> Vec<Range<usize>> {
        match self {
            Routes::None => Vec::new(),
            Routes::Many(routes) => (0..routes).map(|at| at * services / routes).map(|at| at..at + 1).collect(),
            Routes::Few => {
                let namespaces = (0..services).step_by(answers::SERVICES_OF_NAMESPACE);
                let ends = namespaces.map(|from| (from, (from + answers::SERVICES_OF_NAMESPACE).min(services)));
                ends.flat_map(|(from, to)| (from..to).step_by(BACKENDS).map(move |at| at..(at + BACKENDS).min(to)))
                    .collect()
            }
        }
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Routes::None => f.write_str("none"),
            Routes::Many(routes) => write!(f, "{routes}"),
            Routes::Few => f.write_str("few"),
        }
    }
}

/// These routes on one Gateway.
pub(crate) fn events(routes: Routes, services: usize) -> Vec<Event> {
    let leads = routes.leads(services);
    if leads.is_empty() {
        return Vec::new();
    }
    let gateway = ObjectKey::new(answers::namespace(0), "web");
    let class = GatewayClass { controller: ArcStr::from(CONTROLLER), ..GatewayClass::default() };
    let mut events = vec![
        put(ObjectKey::cluster("syncgate"), Object::GatewayClass(class.into())),
        put(gateway.clone(), Object::Gateway(web().into())),
    ];
    events.extend(leads.into_iter().enumerate().map(|(at, services)| {
        let key = ObjectKey::new(answers::namespace(services.start), format!("route-{at}"));
        put(key, Object::HttpRoute(route(at, gateway.clone(), services).into()))
    }));
    events
}

fn put(key: ObjectKey, object: Object) -> Event {
    Event::Put(ObjectRef::new(object.kind(), key), object)
}

fn web() -> Gateway {
    let listener = Listener {
        name: literal!("http"),
        hostname: None,
        port: 80,
        protocol: ListenerProtocol::Http,
        tls: None,
        allowed: AllowedRoutes { from: FromNamespaces::All, kinds: Vec::new() },
        problems: Vec::new(),
    };
    Gateway { class: literal!("syncgate"), listeners: vec![listener], ..Gateway::default() }
}

fn route(at: usize, gateway: ObjectKey, services: Range<usize>) -> HttpRoute {
    let backend = |service| BackendRef {
        group: ArcStr::new(),
        kind: literal!("Service"),
        target: ObjectKey::new(answers::namespace(service), answers::name_of_app(service)),
        port: Some(80),
        weight: 1,
        filters: Vec::new(),
    };
    let parent = ParentRef {
        group: literal!("gateway.networking.k8s.io"),
        kind: literal!("Gateway"),
        target: gateway,
        section: None,
        port: None,
    };
    let path = PathMatch::Prefix(literal!("/"));
    let matched = RouteMatch { path, headers: Vec::new(), query: Vec::new(), method: None };
    let rule = RouteRule { matches: vec![matched], backends: services.map(backend).collect(), ..RouteRule::default() };
    let hostnames = vec![format!("host-{at}.example.com")];
    HttpRoute { parents: vec![parent], hostnames, rules: vec![rule], ..HttpRoute::default() }
}
