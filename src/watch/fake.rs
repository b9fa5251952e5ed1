//! An API server that answers the same whatever it is asked for, to show what is believed; `testing` has one with objects and rights.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Context;
use super::testing::{Said, context};

/// What the server answers.
#[derive(Clone, Copy)]
pub(super) struct Answers {
    /// Who it is.
    pub(super) uid: &'static str,
    /// A watch begins with nothing, as if everything were gone.
    pub(super) empty: bool,
    /// A list holds nothing either.
    pub(super) gone: bool,
    /// There is a namespace `shop`.
    pub(super) shop: bool,
    /// Whatever is asked about is allowed.
    pub(super) allowed: bool,
}

pub(super) const HONEST: Answers = Answers { uid: "one", empty: false, gone: false, shop: true, allowed: true };
const SERVICE: &str = r#"{"apiVersion": "v1", "kind": "Service", "metadata":
    {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7"}, "spec": {"ports": [{"port": 80}]}}"#;
const END: &str = r#"{"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Service", "metadata":
    {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}}"#;

impl Answers {
    fn to(self, path: &str) -> Option<String> {
        if path == "/api/v1/namespaces/shop" {
            let shop = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "1", "resourceVersion": "7"}}"#;
            return self.shop.then(|| shop.to_owned());
        }
        if path.ends_with("/selfsubjectaccessreviews") {
            return Some(format!(r#"{{"status": {{"allowed": {}}}}}"#, self.allowed));
        }
        if path == "/api/v1/namespaces/kube-system" {
            return Some(format!(r#"{{"metadata": {{"uid": "{}"}}}}"#, self.uid));
        }
        if path.contains("watch=true") {
            let added = format!(r#"{{"type": "ADDED", "object": {SERVICE}}}"#);
            let events = if self.empty { vec![END] } else { vec![added.as_str(), END] };
            return Some(events.iter().map(|event| event.replace('\n', " ") + "\n").collect());
        }
        let items = if self.gone { "" } else { SERVICE };
        Some(format!(
            r#"{{"apiVersion": "v1", "kind": "ServiceList", "metadata": {{"resourceVersion": "9"}}, "items": [{items}]}}"#
        ))
    }
}

/// A server that answers every request by its path, each on a connection of its own, and what a source of it has at hand.
pub(super) async fn server() -> (Arc<Mutex<Answers>>, Context, Said) {
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
    let (status, body) = body.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
}
