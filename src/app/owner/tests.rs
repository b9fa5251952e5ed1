//! The owner thread with a hub and a gate of its own, and no sockets.

use serde_json::json;

use super::*;
use crate::{
    admin::Heartbeats,
    files::Findings,
    ingest,
    model::{Answer, Coverage, Delta, Event, Kind, ObjectKey, Want, decode::decode},
};

struct World {
    hub: Arc<Hub>,
    readiness: Readiness,
    source: Part,
    deltas: Sender,
    wanted: watch::Receiver<Wants>,
    owner: Owner,
    thread: Thread,
}

fn start() -> World {
    let readiness = Readiness::new(|_| {});
    let source = readiness.register(Layer::Source, "test");
    let hub = Arc::new(Hub::new(readiness.clone()));
    let (deltas, mailbox) = ingest::mailbox();
    let (_, found) = watch::channel(Arc::new(Findings::default()));
    let (wants, wanted) = watch::channel(Wants::new());
    let outlets = Outlets {
        hub: hub.clone(),
        views: Views::default(),
        problems: Problems::new(found),
        heart: Heartbeats::new().register("graph"),
        wants,
    };
    let (owner, thread) = spawn(mailbox, deltas.clone(), &readiness, outlets).unwrap();
    readiness.seal();
    World { hub, readiness, source, deltas, wanted, owner, thread }
}

impl World {
    fn send(&self, events: Vec<Event>) {
        self.deltas.send(Delta::new(Instant::now(), events));
    }

    /// The first report that fulfils the condition.
    async fn report(&self, what: &str, holds: impl Fn(&Report) -> bool) -> Report {
        for _ in 0..1000 {
            let report = self.owner.report().await.expect("the thread runs");
            if holds(&report) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never came to be: {what}");
    }
}

fn put(tree: serde_json::Value) -> Event {
    let decoded = decode(&tree, None).expect("decodes");
    Event::Put(decoded.at, decoded.object)
}

fn class() -> Event {
    put(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": "syncgate"}, "spec": {"controllerName": "syncgate.dev/controller"}}))
}

fn gateway() -> Event {
    put(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"gatewayClassName": "syncgate", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}}))
}

fn listed(kinds: impl IntoIterator<Item = Kind>) -> Vec<Event> {
    kinds.into_iter().map(Event::Listed).collect()
}

#[tokio::test]
async fn gated_what_came_before_completeness_is_in_the_first_publication() {
    let world = start();
    world.source.ready();
    world.send(vec![class(), gateway()]);
    world.send(listed(Kind::ALL.into_iter().filter(|kind| *kind != Kind::Secret)));
    let applied = |report: &Report| report.collections.iter().any(|collection| collection.complete);
    let early = world.report("the lists are applied", applied).await;
    assert!(!early.publication.published);
    assert!(world.hub.snapshot("demo/web").is_none(), "not before every kind is listed");
    assert!(!world.readiness.is_ready());

    world.send(listed([Kind::Secret]));
    let later = world.report("published", |report| report.publication.published).await;
    assert_eq!(later.publication.gateways[0].name, "demo/web");
    assert!(later.collections.iter().all(|collection| collection.complete));
    let snapshot = world.hub.snapshot("demo/web").expect("served, though it changed in an earlier epoch");
    assert_eq!(snapshot.version().to_string(), later.publication.gateways[0].version);
    assert!(world.readiness.is_ready());
}

#[tokio::test]
async fn changes_after_the_first_publication_are_published_too() {
    let world = start();
    world.send(listed(Kind::ALL));
    let first = world.report("published", |report| report.publication.published).await;
    assert!(first.publication.gateways.is_empty());
    world.send(vec![class(), gateway()]);
    world.report("the Gateway is published", |report| report.publication.gateways.len() == 1).await;
    assert!(world.hub.snapshot("demo/web").is_some());
    world.send(vec![Event::Delete(ObjectRef::new(Kind::Gateway, ObjectKey::new("demo", "web")))]);
    world.report("the Gateway is taken away", |report| report.publication.gateways.is_empty()).await;
    assert!(world.hub.snapshot("demo/web").is_none());
}

#[tokio::test]
async fn what_is_wanted_is_published_and_what_cannot_be_read_holds_nobody_up() {
    let mut world = start();
    assert!(world.wanted.borrow_and_update().is_empty());
    let coverage = Coverage { on_demand: vec![Kind::Secret], namespaces: None };
    let tls = json!({"certificateRefs": [{"name": "crt"}]});
    let gateway = put(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"gatewayClassName": "syncgate", "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP"},
            {"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls}]}}));
    world.send(vec![Event::Covers(coverage), class(), gateway]);
    world.send(listed(Kind::ALL.into_iter().filter(|kind| *kind != Kind::Secret)));
    world.wanted.changed().await.expect("the thread runs");
    let want = Want::Object(ObjectRef::new(Kind::Secret, ObjectKey::new("demo", "crt")));
    assert!(world.wanted.borrow_and_update().keys().eq([&want]));
    assert!(!world.owner.report().await.expect("the thread runs").publication.published);

    world.send(vec![Event::Answered(want, Answer::Unavailable("is forbidden".into()))]);
    world.report("published", |report| report.publication.published).await;
    let (_, said) = world
        .owner
        .explain(ObjectRef::new(Kind::Gateway, ObjectKey::new("demo", "web")))
        .await
        .expect("the thread runs");
    assert!(said.contains("Secret demo/crt: is forbidden"), "{said}");
    assert!(said.contains("LDS demo/web/80 of "), "the other listener is served: {said}");
    assert!(!world.wanted.has_changed().expect("the thread runs"), "nothing else is wanted");
}

#[tokio::test]
async fn gone_is_gone_an_ended_thread_answers_nobody_and_is_noticed() {
    let world = start();
    world.owner.stop().await;
    world.thread.ended().await;
    assert!(world.owner.report().await.is_none());
    let nobody = ObjectRef::new(Kind::Pod, ObjectKey::new("demo", "p"));
    assert_eq!(world.owner.explain(nobody).await, None);
}

#[tokio::test]
async fn a_thread_that_panics_is_noticed() {
    let thread = Thread::start("faulty", || assert_eq!(1 + 1, 3, "on purpose")).unwrap();
    tokio::time::timeout(Duration::from_secs(10), thread.ended()).await.expect("noticed");
}
