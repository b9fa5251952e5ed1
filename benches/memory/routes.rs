//! A Gateway and its routes, of which there are few enough to be made as values.

use arcstr::{ArcStr, format, literal};
use syncgate::model::{
    AllowedRoutes, BackendRef, CONTROLLER, Event, FromNamespaces, Gateway, GatewayClass, HttpRoute, Listener,
    ListenerProtocol, Object, ObjectKey, ObjectRef, ParentRef, PathMatch, RouteMatch, RouteRule,
};

use super::answers;

/// So many routes on one Gateway, spread over the Services.
pub(crate) fn events(routes: usize, services: usize) -> Vec<Event> {
    if routes == 0 {
        return Vec::new();
    }
    let gateway = ObjectKey::new(answers::namespace(0), "web");
    let class = GatewayClass { controller: ArcStr::from(CONTROLLER), ..GatewayClass::default() };
    let mut events = vec![
        put(ObjectKey::cluster("syncgate"), Object::GatewayClass(class.into())),
        put(gateway.clone(), Object::Gateway(web().into())),
    ];
    events.extend((0..routes).map(|at| {
        let service = at * services / routes;
        let key = ObjectKey::new(answers::namespace(service), format!("route-{at}"));
        put(key, Object::HttpRoute(route(at, gateway.clone(), service).into()))
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

fn route(at: usize, gateway: ObjectKey, service: usize) -> HttpRoute {
    let backend = BackendRef {
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
    let rule = RouteRule { matches: vec![matched], backends: vec![backend], ..RouteRule::default() };
    let hostnames = vec![format!("host-{at}.example.com")];
    HttpRoute { parents: vec![parent], hostnames, rules: vec![rule], ..HttpRoute::default() }
}
