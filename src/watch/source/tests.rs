//! What a source does about faults, and what it believes, against a server of a few lines.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{Event, Kind};
use crate::watch::testing::{Api, Refused, Said, context, refused, until};

fn source(cx: &Context) -> Source {
    let target = Target::all(Kind::Service, None);
    cx.board.add(&target, true);
    cx.board.seal();
    let scope = Scope::new(cx.sink.clone(), cx.board.clone(), std::slice::from_ref(&target), false);
    Source::new(target, scope, cx.clone())
}

/// An address that nobody listens at: what is tested there asks nothing.
fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

fn server_error() -> Fault {
    Fault::Answer(Status { code: 500, ..Status::default() })
}

fn unreachable() -> Fault {
    Fault::Unreachable("refused".to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_wakes_who_rests_from_an_error() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    for _ in 0..10 {
        source.recover(Phase::List, server_error()).await;
    }
    let rested = Instant::now();
    source.recover(Phase::List, server_error()).await;
    assert!(rested.elapsed() >= Duration::from_secs(15), "the pauses have grown: {:?}", rested.elapsed());

    let (rested, outage) = (Instant::now(), cx.outage.clone());
    let back = async {
        sleep(Duration::from_secs(2)).await;
        outage.back();
    };
    tokio::join!(source.recover(Phase::List, server_error()), back);
    assert!(rested.elapsed() < Duration::from_secs(3), "{:?}", rested.elapsed());
    assert!(source.broke.is_some_and(|broke| broke >= rested + Duration::from_secs(2)), "who answers is asked anew");
    assert!(source.verify.is_some(), "and everything is listed once more");
}

#[tokio::test(start_paused = true)]
async fn the_first_return_is_used_at_once_and_a_server_that_comes_and_goes_is_not_asked_in_a_loop() {
    let (cx, _) = context(nobody()).await;
    let mut source = source(&cx);
    for _ in 0..10 {
        source.recover(Phase::List, server_error()).await;
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

/// What the server answers.
#[derive(Clone, Copy)]
struct Answers {
    /// Who it is.
    uid: &'static str,
    /// A watch begins with nothing, as if everything were gone.
    empty: bool,
    /// A list holds nothing either.
    gone: bool,
}

const HONEST: Answers = Answers { uid: "one", empty: false, gone: false };
const SERVICE: &str = r#"{"apiVersion": "v1", "kind": "Service", "metadata":
    {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7"}, "spec": {"ports": [{"port": 80}]}}"#;
const END: &str = r#"{"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Service", "metadata":
    {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}}"#;

impl Answers {
    fn to(self, path: &str) -> String {
        if path == "/api/v1/namespaces/kube-system" {
            return format!(r#"{{"metadata": {{"uid": "{}"}}}}"#, self.uid);
        }
        if path.contains("watch=true") {
            let added = format!(r#"{{"type": "ADDED", "object": {SERVICE}}}"#);
            let events = if self.empty { vec![END] } else { vec![added.as_str(), END] };
            return events.iter().map(|event| event.replace('\n', " ") + "\n").collect();
        }
        let items = if self.gone { "" } else { SERVICE };
        format!(
            r#"{{"apiVersion": "v1", "kind": "ServiceList", "metadata": {{"resourceVersion": "9"}}, "items": [{items}]}}"#
        )
    }
}

/// A server that answers every request by its path, each on a connection of its own, and what a source of it has at hand.
async fn server() -> (Arc<Mutex<Answers>>, Context, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answers = Arc::new(Mutex::new(HONEST));
    let (cx, said) = context(listener.local_addr().unwrap()).await;
    let told = answers.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, told.clone()));
        }
    });
    cx.cluster.meet().await.unwrap();
    (answers, cx, said)
}

async fn answer(mut stream: TcpStream, answers: Arc<Mutex<Answers>>) {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let body = answers.lock().unwrap().to(request.split_whitespace().nth(1).unwrap_or_default());
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
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
