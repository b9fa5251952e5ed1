//! What a source does about faults, and what it believes, against a server of a few lines.

use std::net::SocketAddr;

use tokio::time::sleep;

use super::*;
use crate::model::{Event, Kind};
use crate::watch::fake::{Answers, HONEST, server};
use crate::watch::scope::First;
use crate::watch::testing::{Api, Refused, Said, context, refused, until};
use crate::watch::wire;

fn source_target() -> Target {
    Target::all(Kind::Service, None)
}

fn source(cx: &Context) -> Source {
    let target = source_target();
    cx.board.add(&target, true);
    cx.board.seal();
    let scope = Scope::new(cx.sink.clone(), cx.board.clone(), std::slice::from_ref(&target), First::Whole);
    Source::new(target, scope, cx.clone())
}

/// An address that nobody listens at: what is tested there asks nothing.
fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// What is mended by trying again, and no sign of trouble with the server.
fn garbage() -> Fault {
    Fault::Malformed("garbage".to_owned())
}

fn status(code: u16) -> Fault {
    Fault::Answer(Status { code, ..Status::default() })
}

fn unreachable() -> Fault {
    Fault::Unreachable("refused".to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_wakes_who_rests_from_an_error() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    for _ in 0..10 {
        source.recover(Phase::List, garbage()).await;
    }
    let rested = Instant::now();
    source.recover(Phase::List, garbage()).await;
    assert!(rested.elapsed() >= Duration::from_secs(15), "the pauses have grown: {:?}", rested.elapsed());

    let (rested, outage) = (Instant::now(), cx.outage.clone());
    let back = async {
        sleep(Duration::from_secs(2)).await;
        outage.back();
    };
    tokio::join!(source.recover(Phase::List, garbage()), back);
    assert!(rested.elapsed() < Duration::from_secs(3), "{:?}", rested.elapsed());
    assert!(source.broke.is_some_and(|broke| broke >= rested + Duration::from_secs(2)), "who answers is asked anew");
    assert!(source.verify.is_some(), "and everything is listed once more");
}

/// It would go on from where it was, and never learn that somebody else may have answered meanwhile.
#[tokio::test(start_paused = true)]
async fn who_rests_after_a_short_watch_does_not_sleep_through_an_outage() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    source.revision = Some(7);
    source.broke = None;
    let (began, outage, fault) = (Instant::now(), cx.outage.clone(), unreachable());
    let away = async {
        sleep(Duration::from_millis(50)).await;
        let back = async {
            sleep(Duration::from_secs(5)).await;
            let status = cx.board.source(&source_target()).unwrap();
            assert_eq!(status.state, State::Stale, "it says so");
            outage.back();
        };
        tokio::join!(outage.over(&fault), back);
    };
    tokio::join!(source.recover(Phase::Stream, Fault::Cut), away);
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(source.verify.is_some(), "and everything is listed once more");
}

#[tokio::test(start_paused = true)]
async fn the_first_return_is_used_at_once_and_a_server_that_comes_and_goes_is_not_asked_in_a_loop() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    for _ in 0..10 {
        source.recover(Phase::List, garbage()).await;
    }
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let outage = cx.outage.clone();
        let back = async {
            sleep(Duration::from_secs(1)).await;
            outage.back();
            Instant::now()
        };
        let (_, back) = tokio::join!(source.recover(Phase::List, unreachable()), back);
        pauses.push(back.elapsed());
    }
    assert!(pauses[0] < Duration::from_millis(301), "{pauses:?}");
    assert!(pauses[1] >= Duration::from_millis(400) && pauses[6] >= Duration::from_secs(12), "{pauses:?}");
}

/// Behind a balancer, or without its etcd, a server that is away answers with errors.
#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_is_waited_for_as_one_that_is_away() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    let start = Instant::now();
    source.recover(Phase::List, status(503)).await;
    assert!(start.elapsed() <= Duration::from_millis(800), "one failure is none: {:?}", start.elapsed());
    let (rested, outage) = (Instant::now(), cx.outage.clone());
    let back = async {
        sleep(Duration::from_secs(20)).await;
        outage.back();
    };
    tokio::join!(source.recover(Phase::List, status(503)), back);
    let waited = rested.elapsed();
    assert!(waited >= Duration::from_secs(20) && waited < Duration::from_secs(21), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_longer_than_a_server_may_ask_for() {
    let (cx, _) = context(nobody()).await;
    let start = Instant::now();
    let asked = Status { code: 429, retry_after: Some(Duration::from_secs(1 << 40)), ..Status::default() };
    source(&cx).recover(Phase::List, Fault::Answer(asked)).await;
    assert!(start.elapsed() <= Duration::from_secs(75), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_json_too_is_not_asked_in_a_loop() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    source.recover(Phase::List, status(406)).await;
    assert_eq!(source.dialect.encoding, wire::Encoding::Json, "first the encoding is changed");
    let start = Instant::now();
    source.recover(Phase::List, status(406)).await;
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_bookmark_that_went_back_is_noticed() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    source.revision = Some(9);
    let bookmark = |revision| Batch {
        arrived: std::time::Instant::now(),
        changes: vec![Change::Bookmark { revision, initial_events_end: false }],
    };
    assert_eq!(source.apply(bookmark(10)), Ok(false));
    assert_eq!(source.apply(bookmark(5)), Ok(true));
    assert_eq!(source.revision, Some(10), "what was seen is compared with");
}

/// How many objects were put and deleted.
fn told(said: &Said) -> (usize, usize) {
    let said = said.lock().unwrap();
    let count =
        |wanted: fn(&Event) -> bool| said.iter().flat_map(|delta| &delta.events).filter(|event| wanted(event)).count();
    (count(|event| matches!(event, Event::Put(..))), count(|event| matches!(event, Event::Delete(_))))
}

#[tokio::test]
async fn no_first_list_is_believed_while_another_cluster_answers() {
    let (answers, cx, said) = server().await;
    *answers.lock().unwrap() = Answers { uid: "two", ..HONEST };
    let mut source = source(&cx);
    assert_eq!(source.list().await, Ok(Next::List));
    assert_eq!(told(&said), (0, 0));
    let status = cx.board.source(&source.target).unwrap();
    assert!(status.state == State::Listing && status.reason.contains("another cluster"), "{status:?}");

    *answers.lock().unwrap() = HONEST;
    assert_eq!(source.list().await, Ok(Next::Watch));
    assert_eq!(told(&said), (1, 0));
}

#[tokio::test]
async fn a_list_that_takes_away_all_of_a_kind_is_believed_when_a_second_one_says_the_same() {
    let (answers, cx, said) = server().await;
    let mut source = source(&cx);
    assert_eq!(source.list().await, Ok(Next::Watch));
    *answers.lock().unwrap() = Answers { empty: true, ..HONEST };
    assert_eq!(source.list().await, Ok(Next::Watch));
    assert_eq!(told(&said), (1, 0), "the second list shows it");
    *answers.lock().unwrap() = Answers { empty: true, gone: true, ..HONEST };
    assert_eq!(source.list().await, Ok(Next::Watch));
    assert_eq!(told(&said), (1, 1));
}

#[tokio::test]
async fn a_watch_that_does_not_end_its_list_is_given_up_for_pages() {
    let (answers, cx, said) = server().await;
    *answers.lock().unwrap() = Answers { endless: true, ..HONEST };
    let mut source = source(&cx);
    for _ in 0..WATCH_LISTS {
        assert_eq!(source.list().await, Err((Phase::WatchList, Fault::Ended)));
    }
    assert_eq!(source.list().await, Ok(Next::Watch));
    assert_eq!(told(&said), (1, 0));
    assert_eq!(source.list().await, Err((Phase::WatchList, Fault::Ended)), "the next list tries it again");
}

#[tokio::test]
async fn an_api_that_is_not_installed_is_looked_for_in_discovery() {
    let (answers, cx, _) = server().await;
    *answers.lock().unwrap() = Answers { absent: true, ..HONEST };
    let mut source = source(&cx);
    let target = source.target.clone();
    let recovered = tokio::spawn(async move { source.recover(Phase::List, status(404)).await });
    while cx.board.source(&target).unwrap().state != State::Absent {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!recovered.is_finished());
    *answers.lock().unwrap() = HONEST;
    let next = tokio::time::timeout(Duration::from_secs(10), recovered).await.unwrap().unwrap();
    assert_eq!(next, Next::List);
}

#[tokio::test]
async fn a_404_of_an_api_that_discovery_tells_of_is_no_absence() {
    let (_, cx, _) = server().await;
    let mut source = source(&cx);
    assert_eq!(source.recover(Phase::List, status(404)).await, Next::List);
    assert_ne!(cx.board.source(&source.target).unwrap().state, State::Absent);
}

#[tokio::test]
async fn a_refusal_after_the_rights_came_back_is_doubted_anew() {
    let (answers, cx, _) = server().await;
    let (mut source, allow) = (source(&cx), |allowed| *answers.lock().unwrap() = Answers { allowed, ..HONEST });
    assert_eq!(source.list().await, Ok(Next::Watch));
    let refusal = || Fault::Answer(Status { code: 403, ..Status::default() });
    let state = || cx.board.source(&source_target()).map(|status| status.state);
    source.denials = 2;
    allow(false);
    let granted = async {
        sleep(Duration::from_millis(200)).await;
        assert_eq!(state(), Some(State::Denied), "the third in a row is believed");
        allow(true);
    };
    let (next, ()) = tokio::join!(source.recover(Phase::Start, refusal()), granted);
    assert_eq!(next, Next::List);
    source.state(State::Stale, "another cluster answers");
    allow(false);
    source.recover(Phase::List, refusal()).await;
    assert_eq!(state(), Some(State::Stale), "the first of a new row is not");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_in_order_are_one_sync_and_one_that_ends_at_once_is_none() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    for _ in 0..10 {
        source.recover(Phase::List, garbage()).await;
    }
    let mut watch = async |time| {
        source.in_sync();
        source.watching = Some(Instant::now());
        sleep(time).await;
        let ended = Instant::now();
        source.recover(Phase::Stream, Fault::Ended).await;
        ended.elapsed()
    };
    let pause = watch(Duration::ZERO).await;
    assert!(pause >= Duration::from_secs(15), "it is not asked in a loop: {pause:?}");
    for _ in 0..7 {
        assert_eq!(watch(Duration::from_secs(5)).await, Duration::ZERO);
    }
    let pause = watch(Duration::ZERO).await;
    assert!(pause <= Duration::from_millis(800), "the sync lasted: the next pause is the first again: {pause:?}");
}

#[tokio::test]
async fn a_right_to_watch_does_not_hide_that_the_one_to_list_is_missing() {
    let api = Api::start().await;
    api.service("shop", "web");
    let (cx, _) = context(api.address).await;
    cx.cluster.meet().await.unwrap();
    let mut source = source(&cx);
    assert_eq!(source.list().await, Ok(Next::Watch));
    assert_eq!(source.check_rights().await, Ok(()));
    source.may_list = false;
    api.refuse(&[Refused { verb: "list", ..refused("services", "") }]);
    let fault = source.check_rights().await.unwrap_err();

    let target = source.target.clone();
    let recovered = tokio::spawn(async move { source.recover(Phase::Stream, fault).await });
    let denied = || cx.board.source(&target).filter(|source| source.state == State::Denied);
    until("it is named", || denied().is_some()).await;
    assert!(denied().unwrap().reason.contains("no right to list services"), "{:?}", denied());
    api.refuse(&[]);
    assert_eq!(recovered.await.unwrap(), Next::List);
}

#[tokio::test]
async fn what_is_refused_in_one_namespace_says_nothing_of_another() {
    let api = Api::start().await;
    let (cx, _) = context(api.address).await;
    cx.cluster.meet().await.unwrap();
    let of = |namespace: &str| {
        let target = Target::all(Kind::Pod, Some(namespace.into()));
        cx.board.add(&target, true);
        let scope = Scope::new(cx.sink.clone(), cx.board.clone(), std::slice::from_ref(&target), First::Whole);
        let mut source = Source::new(target, scope, cx.clone());
        source.revision = Some(1);
        source
    };
    let (shop, blog, since) = (of("shop"), of("blog"), Instant::now());
    api.refuse(&[refused("pods", "shop")]);
    assert!(matches!(shop.went_back(since).await, Err(Fault::Answer(Status { code: 403, .. }))));
    assert_eq!(blog.went_back(since).await, Ok(false));
}

#[tokio::test]
async fn a_break_is_verified_by_a_list_and_not_each_of_many() {
    let (_, cx, _) = server().await;
    let mut source = source(&cx);
    assert_eq!(source.list().await, Ok(Next::Watch));
    source.recover(Phase::Stream, unreachable()).await;
    assert!(source.verify.is_some(), "it may have hidden a restore");
    assert_eq!(source.list().await, Ok(Next::Watch));
    source.recover(Phase::Stream, unreachable()).await;
    assert!(source.verify.is_some(), "that list came too soon to stand for another break");
    source.verify = Some(Instant::now());
    assert_eq!(source.list().await, Ok(Next::Watch));
    source.recover(Phase::Stream, unreachable()).await;
    assert_eq!(source.verify, None, "a list has just shown that nothing is hidden");
    source.after_outage();
    assert!(source.verify.is_some(), "an outage always is");
}
