//! An API server of a few lines for tests: objects, rights, and a log of what was asked. It answers every request on a connection of
//! its own; watches stay open and tell what changes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::apis::Apis;
use super::board::Board;
use super::client::{Client, Limits, Origin};
use super::cluster::Cluster;
use super::outage::Outage;
use super::scope::{Owners, Sink};
use super::{Context, Settings, target, wire};
use crate::model::{Delta, Event, Kind};

/// Everything that was said to the door.
pub(super) type Said = Arc<Mutex<Vec<Delta>>>;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the sources of a test have at hand, to ask the server at this address.
pub(super) async fn context(server: SocketAddr) -> (Context, Said) {
    let said = Said::default();
    let sink: Sink = {
        let said = said.clone();
        Arc::new(move |delta| said.lock().unwrap().push(delta))
    };
    (context_with(server, sink).await, said)
}

/// The same with a sink of the test's own.
pub(super) async fn context_with(server: SocketAddr, sink: Sink) -> Context {
    static CONFIGS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = CONFIGS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let config = std::env::temp_dir().join(format!("syncgate-watch-{}-{number}", std::process::id()));
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: test, contexts: [{{name: test, context: {{cluster: test, user: test}}}}], \
         clusters: [{{name: test, cluster: {{server: 'http://{server}'}}}}], users: [{{name: test, user: {{token: secret}}}}]}}"
    );
    std::fs::write(&config, text).unwrap();
    let origin = Origin { kubeconfig: Some(config.clone()), context: None };
    let client = Client::new(origin, Limits::default()).await.unwrap();
    std::fs::remove_file(config).unwrap();
    let board = Board::new(BTreeMap::new(), None, sink.clone());
    let (outage, cluster) = (Outage::new(client.clone()), Arc::new(Cluster::new(client.clone())));
    let owners = Some(Arc::<Owners>::default());
    let pool = Arc::<wire::Pool>::default();
    let apis = Arc::new(Apis::new(client.clone()));
    Context { client, outage, cluster, apis, pool, board, sink, owners, settings: Settings::default() }
}

/// The rows that are in effect after everything that was said, as `Kind namespace/name`, in order.
pub(super) fn rows(said: &Said) -> Vec<String> {
    let mut rows = std::collections::BTreeSet::new();
    for event in said.lock().unwrap().iter().flat_map(|delta| &delta.events) {
        match event {
            Event::Put(object, _) => drop(rows.insert(object.to_string())),
            Event::Delete(object) => drop(rows.remove(&object.to_string())),
            _ => {}
        }
    }
    rows.into_iter().collect()
}

/// Waits until it is so.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

/// A right that nobody has; what is empty stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
}

/// Everything of that kind in that namespace.
pub(super) const fn refused(resource: &'static str, namespace: &'static str) -> Refused {
    Refused { verb: "", resource, namespace, name: "" }
}

/// What is asked, by whatever way.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    verb: String,
    resource: String,
    namespace: String,
    name: String,
}

impl Refused {
    fn covers(&self, asked: &Asked) -> bool {
        let fits = |rule: &str, asked: &str| rule.is_empty() || rule == asked;
        fits(self.verb, &asked.verb)
            && fits(self.resource, &asked.resource)
            && fits(self.namespace, &asked.namespace)
            && fits(self.name, &asked.name)
    }
}

/// The server. Clones share it.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<(Asked, String)>,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    refused: Vec<Refused>,
    log: Vec<Asked>,
}

impl Api {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Self { address, state: Arc::default(), changes: broadcast::Sender::new(1024) };
        api.namespace("kube-system");
        let serving = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        api
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn namespace(&self, name: &str) {
        self.put("namespaces", "", name, json!({"apiVersion": "v1", "kind": "Namespace"}));
    }

    pub(super) fn service(&self, namespace: &str, name: &str) {
        let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}});
        self.put("services", namespace, name, service);
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) {
        self.put("pods", namespace, name, json!({"apiVersion": "v1", "kind": "Pod", "status": {"podIP": "10.0.0.1"}}));
    }

    /// Creates an object or writes it anew.
    pub(super) fn put(&self, resource: &str, namespace: &str, name: &str, mut object: Value) {
        let mut state = self.lock();
        state.revision += 1;
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let old = state.objects.get(&key).map(|old| old["metadata"]["uid"].clone());
        let change = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let mut metadata = object["metadata"].as_object().cloned().unwrap_or_default();
        metadata.insert("name".into(), name.into());
        if !namespace.is_empty() {
            metadata.insert("namespace".into(), namespace.into());
        }
        metadata.insert("uid".into(), old.unwrap_or_else(|| json!(state.revision.to_string())));
        metadata.insert("resourceVersion".into(), json!(state.revision.to_string()));
        object["metadata"] = metadata.into();
        state.objects.insert(key, object.clone());
        drop(state);
        self.tell(change, resource, namespace, name, &object);
    }

    pub(super) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let mut state = self.lock();
        state.revision += 1;
        let Some(mut object) = state.objects.remove(&(resource.to_owned(), namespace.to_owned(), name.to_owned()))
        else {
            return;
        };
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        drop(state);
        self.tell("DELETED", resource, namespace, name, &object);
    }

    fn tell(&self, change: &str, resource: &str, namespace: &str, name: &str, object: &Value) {
        let about = Asked {
            verb: String::new(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let _ = self.changes.send((about, format!("{}\n", json!({"type": change, "object": object}))));
    }

    /// Takes these rights away from now on, and gives back what was taken before. Open watches go on, unless they are cut.
    pub(super) fn refuse(&self, refused: &[Refused]) {
        self.lock().refused = refused.to_vec();
    }

    /// Ends the open watches of what is refused, so that it shows.
    pub(super) fn cut(&self) {
        let _ = self.changes.send((Asked { verb: "cut".to_owned(), ..Asked::default() }, String::new()));
    }

    /// How often that was asked; what is empty stands for all. Questions for rights are the verb `may`.
    pub(super) fn asked(&self, what: Refused) -> usize {
        self.lock().log.iter().filter(|asked| what.covers(asked)).count()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = vec![0; 16 << 10];
        let mut length = 0;
        loop {
            let Ok(read @ 1..) = stream.read(&mut request[length..]).await else { return };
            length += read;
            let text = String::from_utf8_lossy(&request[..length]);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let wanted = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= wanted.unwrap_or(0) {
                break;
            }
        }
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let path = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
        if text.starts_with("POST") {
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
            return answer(&mut stream, 200, &self.review(body)).await;
        }
        let changes = self.changes.subscribe();
        let (asked, query) = understand(&path);
        self.lock().log.push(asked.clone());
        if asked.resource.is_empty() {
            return answer(&mut stream, 200, "ok").await;
        }
        if self.is_refused(&asked) {
            return answer(&mut stream, 403, r#"{"kind": "Status", "code": 403, "message": "forbidden"}"#).await;
        }
        match asked.verb.as_str() {
            "get" => {
                let key = (asked.resource, asked.namespace, asked.name);
                let found = self.lock().objects.get(&key).map(Value::to_string);
                match found {
                    Some(object) => answer(&mut stream, 200, &object).await,
                    None => answer(&mut stream, 404, r#"{"kind": "Status", "code": 404}"#).await,
                }
            }
            "list" => answer(&mut stream, 200, &self.list(&asked)).await,
            _ => self.watch(stream, asked, query.contains("sendInitialEvents"), changes).await,
        }
    }

    fn is_refused(&self, asked: &Asked) -> bool {
        let is_identity = asked.verb == "get" && asked.name == "kube-system";
        !is_identity && self.lock().refused.iter().any(|refused| refused.covers(asked))
    }

    fn review(&self, body: &str) -> String {
        let review: Value = serde_json::from_str(body).unwrap();
        let text = |field: &str| review["spec"]["resourceAttributes"][field].as_str().unwrap_or_default().to_owned();
        let asked =
            Asked { verb: text("verb"), resource: text("resource"), namespace: text("namespace"), name: text("name") };
        self.lock().log.push(Asked { verb: "may".to_owned(), ..asked.clone() });
        json!({"status": {"allowed": !self.is_refused(&asked)}}).to_string()
    }

    fn selected(&self, asked: &Asked) -> Vec<Value> {
        let state = self.lock();
        let of = |(resource, namespace, name): &(String, String, String)| {
            *resource == asked.resource
                && (asked.namespace.is_empty() || *namespace == asked.namespace)
                && (asked.name.is_empty() || *name == asked.name)
        };
        state.objects.iter().filter(|(key, _)| of(key)).map(|(_, object)| object.clone()).collect()
    }

    fn list(&self, asked: &Asked) -> String {
        let (items, revision) = (self.selected(asked), self.lock().revision.to_string());
        let kind = Kind::ALL.into_iter().find(|kind| target::plural(*kind) == asked.resource);
        let kind = kind.map_or_else(|| "List".to_owned(), |kind| format!("{kind}List"));
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": revision}, "items": items}).to_string()
    }

    async fn watch(
        self,
        mut stream: TcpStream,
        asked: Asked,
        initial: bool,
        mut changes: broadcast::Receiver<(Asked, String)>,
    ) {
        let mut text = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_owned();
        if initial {
            let (objects, revision) = (self.selected(&asked), self.lock().revision.to_string());
            for object in objects {
                text += &format!("{}\n", json!({"type": "ADDED", "object": object}));
            }
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            let metadata = json!({"resourceVersion": revision, "annotations": annotations});
            text += &format!("{}\n", json!({"type": "BOOKMARK", "object": {"metadata": metadata}}));
        }
        while stream.write_all(text.as_bytes()).await.is_ok() {
            let mut closed = [0; 1];
            let change = tokio::select! {
                change = changes.recv() => change,
                _ = stream.read(&mut closed) => return,
            };
            let Ok((about, line)) = change else { return };
            if about.verb == "cut" && self.is_refused(&asked) {
                return;
            }
            let is_about = about.resource == asked.resource
                && (asked.namespace.is_empty() || about.namespace == asked.namespace)
                && (asked.name.is_empty() || about.name == asked.name);
            text = if is_about { line } else { String::new() };
        }
    }
}

/// What a path asks for, and its query.
fn understand(path: &str) -> (Asked, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut parts = path.trim_start_matches('/').split('/');
    let skip = if parts.next() == Some("apis") { 2 } else { 1 };
    let parts: Vec<_> = parts.skip(skip).collect();
    let name = |from: &str| {
        from.split('&')
            .find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D"))
            .unwrap_or_default()
            .to_owned()
    };
    let verb = if query.contains("watch=true") { "watch" } else { "list" };
    let asked = |verb: &str, resource: &str, namespace: &str, name: String| Asked {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name,
    };
    let asked = match parts.as_slice() {
        ["namespaces", name] => asked("get", "namespaces", "", (*name).to_owned()),
        ["namespaces", namespace, resource] => asked(verb, resource, namespace, name(query)),
        [resource] => asked(verb, resource, "", name(query)),
        _ => Asked::default(),
    };
    (asked, query.to_owned())
}

async fn answer(stream: &mut TcpStream, code: u16, body: &str) {
    let head = format!("HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + body).as_bytes()).await;
}
