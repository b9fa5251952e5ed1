//! Worlds of a given size, a client that holds all of one Gateway, and changes to make.

use std::{net::IpAddr, sync::Arc, time::Instant};

use arcstr::{ArcStr, format};
use syncgate::{
    app::pipeline::Pipeline,
    model::{
        AllowedRoutes, BackendRef, Event, FromNamespaces, Gateway, GatewayClass, HttpRoute, Kind, Labels, Listener,
        ListenerProtocol, Object, ObjectKey, ObjectRef, ParentRef, PathMatch, Pod, Protocol, RouteMatch, RouteRule,
        Service, ServicePort, TargetPort,
    },
    resource::ResourceType,
    snapshot::Snapshot,
    xds::{self, Ask, Limits, Request, Response, Session, Variant},
};

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Services with two pods and a route each; one pod's readiness changes.
    Services,
    /// Pods of one Service; one pod's readiness changes.
    PodsOfOneService,
    /// Routes of one Gateway, each with its host; one route moves to another Service.
    Routes,
    /// Gateways with twenty routes each; a route of one of them moves to another Service.
    Gateways,
}

impl Case {
    /// All cases.
    pub(crate) const ALL: [Case; 4] = [Case::Services, Case::PodsOfOneService, Case::Routes, Case::Gateways];

    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Case::Services => "services",
            Case::PodsOfOneService => "pods-of-one-service",
            Case::Routes => "routes",
            Case::Gateways => "gateways",
        }
    }

    /// The two sizes that are compared.
    pub(crate) const fn sizes(self) -> (usize, usize) {
        match self {
            Case::Services => (100, 10_000),
            Case::PodsOfOneService => (10, 10_000),
            Case::Routes => (50, 5_000),
            Case::Gateways => (1, 100),
        }
    }

    /// The case of that name.
    pub(crate) fn find(name: &str) -> Option<Case> {
        Case::ALL.into_iter().find(|case| case.name() == name)
    }
}

/// The whole path behind the door, and one delta client of Gateway `b/gw-0` that holds everything.
#[derive(Debug)]
pub(crate) struct Rig {
    case: Case,
    pipeline: Pipeline,
    session: Session,
    sent: Vec<Response>,
}

impl Rig {
    /// Fills the world and lets the client acknowledge all of it.
    pub(crate) fn new(case: Case, size: usize) -> Self {
        let mut pipeline = Pipeline::new();
        let (services, pods, routes, gateways) = match case {
            Case::Services => (size, 2, size, 1),
            Case::PodsOfOneService => (2, size, 2, 1),
            Case::Routes => (20, 2, size, 1),
            Case::Gateways => (20, 2, size * 20, size),
        };
        let mut events = vec![put(ObjectKey::cluster("syncgate"), Object::GatewayClass(class()))];
        events.extend((0..gateways).map(|at| put(key("gw", at), Object::Gateway(gateway()))));
        for service_at in 0..services {
            events.push(put(key("svc", service_at), Object::Service(service(service_at))));
            let crowd = if case == Case::PodsOfOneService && service_at > 0 { 2 } else { pods };
            events.extend((0..crowd).map(|at| put(pod_key(service_at, at), Object::Pod(pod(service_at, at, true)))));
        }
        events.extend(
            (0..routes)
                .map(|at| put(key("route", at), Object::HttpRoute(route(at, at * gateways / routes, at % services)))),
        );
        events.extend(Kind::ALL.map(Event::Listed));
        pipeline.apply(&events);
        assert!(pipeline.complete());
        let snapshot = snapshot(&pipeline);
        let session = Session::new(Variant::Delta, "bench", &snapshot, Limits::default(), Default::default());
        let mut rig = Rig { case, pipeline, session, sent: Vec::new() };
        rig.connect(&snapshot);
        rig
    }

    /// The change of this step; even and odd steps undo each other.
    pub(crate) fn change(&self, step: usize) -> Vec<Event> {
        let odd = step % 2 == 1;
        match self.case {
            Case::Services | Case::PodsOfOneService => vec![put(pod_key(0, 0), Object::Pod(pod(0, 0, odd)))],
            Case::Routes | Case::Gateways => {
                vec![put(key("route", 0), Object::HttpRoute(route(0, 0, if odd { 0 } else { 1 })))]
            }
        }
    }

    /// What is measured: epoch, snapshot, session, encoding. Returns the bytes to be written.
    #[inline(never)]
    pub(crate) fn one_change(&mut self, events: &[Event]) -> usize {
        self.pipeline.apply(events);
        let snapshot = snapshot(&self.pipeline);
        self.session.on_snapshot(&snapshot, Instant::now());
        self.sent = self.session.poll_responses();
        let frames = self.sent.iter().flat_map(|response| xds::encode(response).expect("small enough to send"));
        frames.map(|frame| frame.len()).sum()
    }

    /// The client accepts what was sent, and what follows from that.
    pub(crate) fn acknowledge(&mut self) {
        while !self.sent.is_empty() {
            for response in std::mem::take(&mut self.sent) {
                self.request(response.kind, response.nonce, Vec::new());
            }
            self.sent = self.session.poll_responses();
        }
    }

    fn connect(&mut self, snapshot: &Snapshot) {
        let wildcard = || vec!["*".to_owned()];
        let names = |kind| snapshot.set(kind).iter().map(|resource| resource.name.to_string()).collect::<Vec<_>>();
        let steps = [
            (ResourceType::Cluster, wildcard()),
            (ResourceType::ClusterLoadAssignment, names(ResourceType::ClusterLoadAssignment)),
            (ResourceType::Listener, wildcard()),
            (ResourceType::RouteConfiguration, names(ResourceType::RouteConfiguration)),
        ];
        for (kind, subscribe) in steps {
            self.request(kind, String::new(), subscribe);
            self.sent = self.session.poll_responses();
            assert!(!self.sent.is_empty(), "nothing was served for {}", kind.short());
            self.acknowledge();
        }
    }

    fn request(&mut self, kind: ResourceType, nonce: String, subscribe: Vec<String>) {
        let ask = Ask::Delta { subscribe, unsubscribe: Vec::new(), held: Vec::new() };
        let request = Request { kind, nonce, error: None, ask };
        self.session.on_request(request, Instant::now()).expect("within the limits");
    }
}

fn snapshot(pipeline: &Pipeline) -> Arc<Snapshot> {
    pipeline.world().get("b/gw-0").expect("the Gateway is accepted")
}

fn key(prefix: &str, at: usize) -> ObjectKey {
    ObjectKey::new("b", format!("{prefix}-{at}"))
}

fn pod_key(service: usize, at: usize) -> ObjectKey {
    ObjectKey::new("b", format!("pod-{service}-{at}"))
}

fn put(key: ObjectKey, object: Object) -> Event {
    Event::Put(ObjectRef::new(object.kind(), key), object)
}

fn class() -> Arc<GatewayClass> {
    Arc::new(GatewayClass { controller: ArcStr::from("syncgate.dev/controller"), ..GatewayClass::default() })
}

fn gateway() -> Arc<Gateway> {
    let listener = Listener {
        name: ArcStr::from("http"),
        hostname: None,
        port: 80,
        protocol: ListenerProtocol::Http,
        tls: None,
        allowed: AllowedRoutes { from: FromNamespaces::All, kinds: Vec::new() },
        problems: Vec::new(),
    };
    Arc::new(Gateway { class: ArcStr::from("syncgate"), listeners: vec![listener], ..Gateway::default() })
}

fn labels(service: usize) -> Labels {
    [(ArcStr::from("app"), format!("app-{service}"))].into_iter().collect()
}

fn service(at: usize) -> Arc<Service> {
    let port = ServicePort {
        name: ArcStr::new(),
        port: 80,
        target: TargetPort::Number(8080),
        protocol: Protocol::Tcp,
        app_protocol: None,
    };
    Arc::new(Service { selector: Some(labels(at)), ports: vec![port], ..Service::default() })
}

fn pod(service: usize, at: usize, ready: bool) -> Arc<Pod> {
    let number = u32::try_from(service * 16_384 + at).expect("small worlds");
    let ip = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    Arc::new(Pod { labels: labels(service), ips: [ip].into_iter().collect(), ready, ..Pod::default() })
}

fn route(at: usize, gateway: usize, service: usize) -> Arc<HttpRoute> {
    let matched =
        RouteMatch { path: PathMatch::Prefix(ArcStr::from("/")), headers: Vec::new(), query: Vec::new(), method: None };
    let backend = BackendRef {
        group: ArcStr::new(),
        kind: ArcStr::from("Service"),
        target: key("svc", service),
        port: Some(80),
        weight: 1,
        filters: Vec::new(),
    };
    let parent = ParentRef {
        group: ArcStr::from("gateway.networking.k8s.io"),
        kind: ArcStr::from("Gateway"),
        target: key("gw", gateway),
        section: None,
        port: None,
    };
    let rule = RouteRule { matches: vec![matched], backends: vec![backend], ..RouteRule::default() };
    let hostnames = vec![format!("host-{at}.example.com")];
    Arc::new(HttpRoute { parents: vec![parent], hostnames, rules: vec![rule], ..HttpRoute::default() })
}
