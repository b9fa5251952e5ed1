use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::readiness::Layer;
use crate::resource::{Parts, Resource, ResourceType};
use crate::snapshot::Change;
use crate::xds::client::ClientName;
use crate::xds::message::Variant;
use crate::xds::node::NodeInfo;

fn hub() -> Arc<Hub> {
    Arc::new(Hub::new(Readiness::new(|_| {})))
}

fn name(gateway: &str) -> ClientName {
    ClientName { gateway: gateway.into(), node_id: "envoy".into() }
}

fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

fn join(hub: &Arc<Hub>, gateway: &str) -> Result<Seat, Status> {
    let (name, identity) = (name(gateway), "a peer on loopback".into());
    hub.join(Introduction { name, node: NodeInfo::default(), identity, variant: Variant::Delta, peer: peer() }, now())
}

/// Publishes one more cluster, named after its Gateway, in each of these.
fn publish(hub: &Hub, world: &mut World, gateways: &[&str], content: &str) {
    let changes = gateways.iter().flat_map(|gateway| {
        let body = Parts::leaf(content.to_owned());
        let resource = Arc::new(Resource::new(ResourceType::Cluster, format!("of/{gateway}"), body, []));
        [Change::Gateway((*gateway).into()), Change::Put { gateway: (*gateway).into(), resource }]
    });
    let changed = world.apply(changes);
    hub.publish(world.clone(), &changed, None);
}

fn delete(hub: &Hub, world: &mut World, gateway: &str) {
    let changed = world.apply([Change::GatewayGone(gateway.into())]);
    hub.publish(world.clone(), &changed, None);
}

fn clusters(seat: &mut Seat) -> Vec<String> {
    let snapshot = seat.current().expect("seated").snapshot;
    snapshot.set(ResourceType::Cluster).iter().map(|cluster| cluster.name.to_string()).collect()
}

fn is_awake(seat: &Seat) -> bool {
    seat.updates.as_ref().expect("seated").has_changed().expect("open")
}

#[tokio::test(start_paused = true)]
async fn gated() {
    let readiness = Readiness::new(|_| {});
    let part = readiness.register(Layer::Source, "files");
    part.waiting("the folder is being read");
    let hub = Arc::new(Hub::new(readiness));
    let started = now();
    let error = hub.complete(Duration::from_secs(5)).await.expect_err("nothing is published");
    assert_eq!(now() - started, Duration::from_secs(5));
    assert_eq!(error.code(), tonic::Code::Unavailable);
    assert!(error.message().contains("files") && error.message().contains("the folder is being read"), "{error}");
    let waiting = hub.clone();
    let held = tokio::spawn(async move { waiting.complete(Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!held.is_finished());
    publish(&hub, &mut World::new(), &["ns/gw"], "1");
    held.await.expect("no panic").expect("published");
}

#[tokio::test]
async fn own_only() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/one", "ns/two"], "1");
    let (mut one, mut two) = (join(&hub, "ns/one").expect("known"), join(&hub, "ns/two").expect("known"));
    assert_eq!(clusters(&mut one), ["of/ns/one"]);
    assert_eq!(clusters(&mut two), ["of/ns/two"]);
    publish(&hub, &mut world, &["ns/two"], "2");
    assert!(!is_awake(&one));
    assert!(is_awake(&two));
}

#[tokio::test]
async fn a_gateway_that_never_was_is_unavailable_and_not_empty() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let error = join(&hub, "ns/other").expect_err("never seen");
    assert_eq!((error.code(), error.message()), (tonic::Code::Unavailable, "there is no Gateway ns/other"));
    assert!(hub.clients().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_gateway_is_emptied_after_its_tombstone() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let mut early = join(&hub, "ns/gw").expect("known");
    delete(&hub, &mut world, "ns/gw");
    let ends = now() + Hub::TOMBSTONE;
    assert_eq!(early.current().expect("seated").ends, Some(ends));
    assert_eq!(clusters(&mut early), ["of/ns/gw"]);
    let mut late = join(&hub, "ns/gw").expect("seen");
    assert_eq!(clusters(&mut late), ["of/ns/gw"]);
    drop((early, late));
    tokio::time::sleep(Hub::TOMBSTONE).await;
    assert!(clusters(&mut join(&hub, "ns/gw").expect("seen")).is_empty());
    publish(&hub, &mut world, &["ns/gw"], "2");
    let mut back = join(&hub, "ns/gw").expect("known");
    assert_eq!((clusters(&mut back), back.current().expect("seated").ends), (vec!["of/ns/gw".to_owned()], None));
}

#[tokio::test]
async fn gone_is_gone() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let (one, two) = (join(&hub, "ns/gw").expect("known"), join(&hub, "ns/gw").expect("known"));
    assert_eq!(hub.clients().iter().map(|client| client.stream).collect::<Vec<_>>(), [1, 2]);
    assert_ne!(one.nonce_prefix(), two.nonce_prefix());
    drop(one);
    assert_eq!(hub.state().channels.len(), 1);
    drop(two);
    assert!(hub.state().channels.is_empty() && hub.clients().is_empty() && hub.state().doubts.is_empty());
}

#[tokio::test]
async fn doubts_are_kept_for_the_clients_next_stream() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let doubts = Doubts::from([(ResourceType::Cluster, ["a".into()].into())]);
    let mut seat = join(&hub, "ns/gw").expect("known");
    seat.remember(doubts.clone());
    drop(seat);
    assert_eq!(join(&hub, "ns/gw").expect("known").take_start().expect("once").doubts, doubts);
    assert_eq!(join(&hub, "ns/gw").expect("known").take_start().expect("once").doubts, Doubts::new());
}

#[tokio::test(start_paused = true)]
async fn streams_end_spread_over_the_drain_time() {
    let hub = hub();
    let begin = now();
    hub.begin_drain(Duration::from_secs(10));
    let mut moments = vec![];
    for stream in 1..=20 {
        let hub = hub.clone();
        moments.push(tokio::spawn(async move {
            hub.drained(stream).await;
            now()
        }));
    }
    let mut seconds = [0; 10];
    for moment in moments {
        seconds[(moment.await.expect("no panic") - begin).as_secs() as usize] += 1;
    }
    assert!(seconds.iter().all(|streams| (1..=3).contains(streams)), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_after_the_tombstone_gets_nothing_of_a_deleted_gateway() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let early = join(&hub, "ns/gw").expect("known");
    delete(&hub, &mut world, "ns/gw");
    tokio::time::sleep(Hub::TOMBSTONE).await;
    let mut late = join(&hub, "ns/gw").expect("seen");
    assert!(clusters(&mut late).is_empty());
    assert_eq!(late.current().expect("seated").ends, None);
    drop(early);
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_gateway_had_goes_with_its_tombstone() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw", "ns/other"], "1");
    let last = Arc::downgrade(&hub.snapshot("ns/gw").expect("known"));
    let mut stays = join(&hub, "ns/gw").expect("known");
    // Its stream has begun.
    drop(stays.take_start());
    delete(&hub, &mut world, "ns/gw");
    tokio::time::sleep(Hub::TOMBSTONE / 2).await;
    publish(&hub, &mut world, &["ns/other"], "2");
    assert!(last.upgrade().is_some());
    tokio::time::sleep(Hub::TOMBSTONE / 2).await;
    publish(&hub, &mut world, &["ns/other"], "3");
    assert!(last.upgrade().is_none());
    assert!(clusters(&mut stays).is_empty());
    drop(stays);
    assert!(clusters(&mut join(&hub, "ns/gw").expect("seen")).is_empty());
}

#[tokio::test]
async fn doubts_of_two_streams_of_one_client_add_up() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let doubts = |name: &str| Doubts::from([(ResourceType::Cluster, [name.into()].into())]);
    let (mut one, mut two) = (join(&hub, "ns/gw").expect("known"), join(&hub, "ns/gw").expect("known"));
    one.remember(doubts("a"));
    two.remember(doubts("b"));
    drop((one, two));
    let both = Doubts::from([(ResourceType::Cluster, ["a".into(), "b".into()].into())]);
    assert_eq!(join(&hub, "ns/gw").expect("known").take_start().expect("once").doubts, both);
}

fn join_as(hub: &Arc<Hub>, gateway: &str, node_id: &str) -> Seat {
    let name = ClientName { gateway: gateway.into(), node_id: node_id.into() };
    let client = Introduction {
        name,
        node: NodeInfo::default(),
        identity: "a peer on loopback".into(),
        variant: Variant::Delta,
        peer: peer(),
    };
    hub.join(client, now()).expect("known")
}

#[tokio::test]
async fn bounded_a_fleet_is_shown_in_pages() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/one", "ns/two"], "1");
    let seats: Vec<Seat> = (0..1_000)
        .map(|at| join_as(&hub, if at % 2 == 0 { "ns/one" } else { "ns/two" }, &format!("envoy-{}", at / 2)))
        .collect();
    assert_eq!(hub.connected(), 1_000);
    assert_eq!(hub.counts(), [("ns/one".into(), 500), ("ns/two".into(), 500)].into());
    let mut seen = vec![];
    let which = Which { gateway: Some("ns/two".to_owned()), ..Which::default() };
    loop {
        let page = hub.page(seen.last().copied().unwrap_or(0), 300, &which);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 300);
        seen.extend(page.iter().map(|client| client.stream));
    }
    assert_eq!(seen, (1..=1_000).filter(|stream| stream % 2 == 0).collect::<Vec<_>>());
    let which = Which { node_id: Some("envoy-7".to_owned()), ..Which::default() };
    assert_eq!(hub.page(0, 10, &which).iter().map(|client| client.stream).collect::<Vec<_>>(), [15, 16]);
    assert!(hub.page(0, 10, &Which { refused: true, ..Which::default() }).is_empty());
    drop(seats);
    assert!(hub.counts().is_empty());
}

#[tokio::test]
async fn what_is_written_and_acknowledged_is_shown() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/gw"], "1");
    let set = hub.snapshot("ns/gw").expect("known").set(ResourceType::Cluster).clone();
    let seat = join(&hub, "ns/gw").expect("known");
    let progress = |settled: bool| Progress {
        kind: ResourceType::Cluster,
        wildcard: true,
        names: 0,
        open: usize::from(!settled),
        settled: settled.then(|| set.clone()),
        refusal: None,
    };
    let marks = || hub.clients()[0].marks.get(ResourceType::Cluster).expect("asked for").clone();
    seat.wrote(10);
    seat.wrote(20);
    seat.show(vec![progress(false)]);
    let behind = marks().behind.expect("nothing is acknowledged");
    assert!(marks().held.is_none() && marks().acks == 0);
    seat.show(vec![progress(false)]);
    assert_eq!(marks().behind, Some(behind), "since it began");
    seat.accepted(ResourceType::Cluster);
    seat.show(vec![progress(true)]);
    assert!(marks().behind.is_none() && marks().last_ack.is_some() && marks().held == Some(set.clone()));
    seat.show(vec![progress(false)]);
    assert!(marks().held == Some(set.clone()) && marks().behind.is_some(), "what it held last is known");
    let view = &hub.clients()[0];
    assert_eq!((view.responses, view.bytes, marks().acks), (2, 30, 1));
}

#[tokio::test]
async fn refusals_of_a_fleet_are_traced_back_once() {
    use std::sync::atomic::AtomicUsize;
    static TRACED: AtomicUsize = AtomicUsize::new(0);
    fn trace(refusal: &Refusal) -> Vec<ArcStr> {
        TRACED.fetch_add(1, Ordering::Relaxed);
        vec![arcstr::format!("object of {}", refusal.message)]
    }
    let hub = Arc::new(Hub::new(Readiness::new(|_| {})).tracing_back(trace));
    publish(&hub, &mut World::new(), &["ns/gw"], "1");
    let refusal = |message: &str| Refusal {
        kind: ResourceType::Cluster,
        nonce: String::new(),
        message: message.into(),
        names: vec![],
        blamed: vec![],
        at: now(),
    };
    let seats: Vec<Seat> = (0..100).map(|_| join(&hub, "ns/gw").expect("known")).collect();
    for seat in &seats {
        assert_eq!(seat.refused(&refusal("a"))[0], "object of a");
    }
    assert_eq!(TRACED.load(Ordering::Relaxed), 1);
    // Answers that are kept are bounded.
    for at in 0..100 {
        seats[0].refused(&refusal(&at.to_string()));
    }
    seats[1].refused(&refusal("a"));
    assert_eq!(TRACED.load(Ordering::Relaxed), 102);
    let clients = hub.clients();
    let marks = clients[0].marks.get(ResourceType::Cluster).expect("asked for");
    assert_eq!((marks.nacks, marks.blamed[0].as_str()), (101, "object of 99"));
}

/// `gone_is_gone`: a client that resumes is told what went lately, and nothing of it stays.
#[tokio::test(start_paused = true)]
async fn gone_is_gone_what_a_gateway_had_is_remembered_for_a_minute() {
    let (hub, mut world) = (hub(), World::new());
    publish(&hub, &mut world, &["ns/one", "ns/two"], "1");
    publish(&hub, &mut world, &["ns/one"], "2");
    let has_past = |gateway: &str| !join(&hub, gateway).expect("known").take_start().expect("once").past.is_empty();
    assert_eq!(["ns/one", "ns/two"].map(has_past), [true, false], "its own, and what changed");
    // A Gateway that was deleted by mistake comes back: its clients had what it had.
    delete(&hub, &mut world, "ns/two");
    publish(&hub, &mut world, &["ns/two"], "2");
    assert!(has_past("ns/two"));
    tokio::time::sleep(Past::MAX_AGE - Duration::from_millis(1)).await;
    assert_eq!(["ns/one", "ns/two"].map(has_past), [true, true]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(["ns/one", "ns/two"].map(has_past), [false, false]);
    assert!(hub.state().history.is_empty());
}
