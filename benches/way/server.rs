//! An API server that knows its lines: it lists Services, pods and one route for each Service, and tells of what the benchmark changes.
//!
//! HTTP/1.1 in clear text, so each watch is a connection of its own and the last byte of an event is written when the benchmark has
//! written it. Everything has the same revision, which never goes back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::answers::{self, REVISION};

/// The Gateway that all routes are attached to.
pub(crate) const GATEWAY: &str = "team-0/web";
/// Objects that are written at once.
const PIECE: usize = 100;
/// The longest head of a request.
const HEAD: usize = 16 << 10;
/// The program asks for the watch of pods within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) services: usize,
    pub(crate) pods: usize,
}

impl Size {
    /// Of each Service.
    pub(crate) fn pods_of_service(self) -> usize {
        self.pods / self.services
    }
}

/// The server; its threads end with the process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    watches: mpsc::Receiver<TcpStream>,
}

impl Server {
    pub(crate) fn start(address: SocketAddr, size: Size) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let (told, watches) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = told.clone();
                // Whoever goes away in the middle is no loss.
                std::thread::spawn(move || drop(answer(stream, size, &told)));
            }
        });
        Ok(Self { address, watches })
    }

    /// The watch of pods, once all pods were told of.
    pub(crate) fn pods(&self) -> Result<TcpStream> {
        self.watches.recv_timeout(PATIENCE).context("nobody watches pods")
    }

    pub(crate) fn kubeconfig(&self, path: &Path) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "way",
            "contexts": [{"name": "way", "context": {"cluster": "way", "user": "way"}}],
            "clusters": [{"name": "way", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "way", "user": {"token": "way"}}],
        });
        Ok(std::fs::write(path, config.to_string())?)
    }
}

fn answer(mut stream: TcpStream, size: Size, told: &mpsc::Sender<TcpStream>) -> Result<()> {
    stream.set_nodelay(true)?;
    let path = path(&mut stream)?;
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    if path == "/api/v1/namespaces/kube-system" {
        return whole(&mut stream, &json!({"metadata": {"name": "kube-system", "uid": "way"}}));
    }
    if path.ends_with("/selfsubjectaccessreviews") {
        return whole(&mut stream, &json!({"status": {"allowed": true}}));
    }
    let resource = path.rsplit('/').next().unwrap_or_default();
    let Some(kind) = kind(resource) else { return whole(&mut stream, &json!({})) };
    if !query.contains("watch=true") {
        // Whoever asks wants to know the revision.
        let metadata = json!({"resourceVersion": REVISION});
        let list = json!({"apiVersion": "v1", "kind": format!("{kind}List"), "metadata": metadata, "items": []});
        return whole(&mut stream, &list);
    }
    let of_core = path.starts_with("/api/");
    let encoding =
        if of_core { "application/vnd.kubernetes.protobuf;stream=watch" } else { "application/json;stream=watch" };
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: {encoding}\r\n\r\n")?;
    if query.contains("sendInitialEvents=true") {
        if of_core { core(&mut stream, kind, size)? } else { custom(&mut stream, kind, size)? }
    }
    if kind == "Pod" {
        told.send(stream.try_clone()?)?;
    }
    // Open until the other side has enough of it.
    Ok(stream.read(&mut [0]).map(drop)?)
}

/// The path of a request, all of which is read.
fn path(stream: &mut TcpStream) -> Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let name = "content-length:";
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix(name)?.trim().parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
    Ok(head.split_whitespace().nth(1).context("no request")?.to_owned())
}

fn whole(stream: &mut TcpStream, body: &Value) -> Result<()> {
    let (body, head) = (body.to_string(), "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close");
    Ok(write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?)
}

fn kind(resource: &str) -> Option<&'static str> {
    Some(match resource {
        "gatewayclasses" => "GatewayClass",
        "gateways" => "Gateway",
        "httproutes" => "HTTPRoute",
        "referencegrants" => "ReferenceGrant",
        "namespaces" => "Namespace",
        "services" => "Service",
        "pods" => "Pod",
        "endpointslices" => "EndpointSlice",
        _ => return None,
    })
}

/// Everything of one of Kubernetes' own kinds, and the bookmark behind it.
fn core(stream: &mut TcpStream, kind: &str, size: Size) -> Result<()> {
    let count = match kind {
        "Service" => size.services,
        "Pod" => size.pods,
        _ => 0,
    };
    for from in (0..count).step_by(PIECE) {
        let mut piece = Vec::new();
        for number in from..(from + PIECE).min(count) {
            let object = match kind {
                "Service" => answers::service(number),
                _ => answers::pod(number, number / size.pods_of_service(), true),
            };
            piece.extend(answers::event("ADDED", kind, object));
        }
        stream.write_all(&piece)?;
    }
    Ok(stream.write_all(&answers::event("BOOKMARK", kind, answers::end_of_list()))?)
}

/// The same of a custom kind.
fn custom(stream: &mut TcpStream, kind: &str, size: Size) -> Result<()> {
    let mut events: Vec<Value> = match kind {
        "GatewayClass" => vec![syncgate_e2e::manifests::gateway_class()],
        "Gateway" => vec![gateway()],
        "HTTPRoute" => (0..size.services).map(route).collect(),
        _ => Vec::new(),
    };
    for event in &mut events {
        event["metadata"]["resourceVersion"] = REVISION.into();
        *event = json!({"type": "ADDED", "object": event.take()});
    }
    let end = json!({"resourceVersion": REVISION, "annotations": {"k8s.io/initial-events-end": "true"}});
    events.push(json!({"type": "BOOKMARK", "object": {"kind": kind, "metadata": end}}));
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    Ok(stream.write_all(lines.as_bytes())?)
}

fn gateway() -> Value {
    let (namespace, name) = GATEWAY.split_once('/').unwrap_or_default();
    let allowed = json!({"namespaces": {"from": "All"}});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "gatewayClassName": "syncgate",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": allowed}],
        },
    })
}

/// One host for each Service.
fn route(service: usize) -> Value {
    let (namespace, name) = GATEWAY.split_once('/').unwrap_or_default();
    let rule = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": answers::name_of_app(service), "port": 80}],
    });
    let metadata = json!({"namespace": answers::namespace(service), "name": format!("route-{service}")});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata,
        "spec": {
            "parentRefs": [{"namespace": namespace, "name": name}],
            "hostnames": [format!("host-{service}.example.com")],
            "rules": [rule],
        },
    })
}
