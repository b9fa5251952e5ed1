//! What a source does about faults, and what it believes, against a server of a few lines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{Delta, Event};
use crate::watch::board::Board;
use crate::watch::client::{Client, Limits, Origin};
use crate::watch::cluster::Cluster;
use crate::watch::outage::Outage;
use crate::watch::{Settings, wire};

/// Everything that was said to the door.
type Said = Arc<Mutex<Vec<Delta>>>;

/// What the sources of a test have at hand, to ask the server at this address.
async fn context(server: SocketAddr) -> (Context, Said) {
    let config = std::env::temp_dir().join(format!("syncgate-source-{}-{}", std::process::id(), server.port()));
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: test, contexts: [{{name: test, context: {{cluster: test, user: test}}}}], \
         clusters: [{{name: test, cluster: {{server: 'http://{server}'}}}}], users: [{{name: test, user: {{token: secret}}}}]}}"
    );
    std::fs::write(&config, text).unwrap();
    let origin = Origin { kubeconfig: Some(config.clone()), context: None };
    let client = Client::new(origin, Limits::default()).await.unwrap();
    std::fs::remove_file(config).unwrap();
    let said = Said::default();
    let sink: crate::watch::scope::Sink = {
        let said = said.clone();
        Arc::new(move |delta| said.lock().unwrap().push(delta))
    };
    let board = Board::new(BTreeMap::new(), sink.clone());
    let (outage, cluster) = (Outage::new(client.clone()), Arc::new(Cluster::new(client.clone())));
    let pool = Arc::<wire::Pool>::default();
    (Context { client, outage, cluster, pool, board, sink, settings: Settings::default() }, said)
}

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

/// Answers every request by its path, one for each connection, as HTTP/1.1 does.
async fn serve(listener: TcpListener, uid: Arc<Mutex<&'static str>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, uid.clone()));
    }
}

async fn answer(mut stream: TcpStream, uid: Arc<Mutex<&'static str>>) {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let body = match path {
        "/api/v1/namespaces/kube-system" => format!(r#"{{"metadata": {{"uid": "{}"}}}}"#, uid.lock().unwrap()),
        _ if path.contains("watch=true") => {
            let service = r#"{"type": "ADDED", "object": {"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7"}, "spec": {"ports": [{"port": 80}]}}}"#;
            let end = r#"{"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Service",
                "metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}}"#;
            format!("{}\n{}\n", service.replace('\n', " "), end.replace('\n', " "))
        }
        _ => "{}".to_owned(),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
}

fn puts(said: &Said) -> usize {
    let said = said.lock().unwrap();
    said.iter().flat_map(|delta| &delta.events).filter(|event| matches!(event, Event::Put(..))).count()
}

#[tokio::test]
async fn no_first_list_is_believed_while_another_cluster_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uid = Arc::new(Mutex::new("one"));
    let (cx, said) = context(listener.local_addr().unwrap()).await;
    tokio::spawn(serve(listener, uid.clone()));
    cx.cluster.meet().await.unwrap();
    *uid.lock().unwrap() = "two";
    let mut source = source(&cx);
    assert_eq!(source.list().await, Ok(Next::List));
    assert_eq!(puts(&said), 0);
    let status = cx.board.source(&source.target).unwrap();
    assert!(status.state == State::Listing && status.reason.contains("another cluster"), "{status:?}");

    *uid.lock().unwrap() = "one";
    assert_eq!(source.list().await, Ok(Next::Watch));
    assert_eq!(puts(&said), 1);
}
