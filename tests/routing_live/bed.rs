//! One Envoy with the configuration of all scenes, and the backends behind it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use syncgate::graph::GraphBuilder;
use syncgate::model::{Kind, decode};
use syncgate::resource::Resource;
use syncgate::translate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::Scene;
use crate::{backend, bootstrap};

/// The backends: in each scene there is a Service of each of these names, on port 80.
const BACKENDS: [&str; 4] = ["a", "b", "c", "d"];
/// The names in the certificates: in each scene there is a Secret of each.
const CERTIFICATES: [&str; 2] = ["cert-a", "cert-b"];
/// How long Envoy may take to start: tries, 100 ms apart.
const TRIES: u32 = 200;

/// Ends with Envoy when dropped.
pub(crate) struct Bed {
    envoy: Child,
    _folder: tempfile::TempDir,
    listeners: BTreeMap<String, SocketAddr>,
    certificates: BTreeMap<Vec<u8>, String>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.envoy.kill().expect("Envoy runs");
        self.envoy.wait().expect("Envoy ends");
    }
}

impl Bed {
    /// Starts backends, translates the scenes, and starts Envoy.
    pub(crate) async fn start(envoy: &OsStr, scenes: &[Scene]) -> Self {
        let mut manifests = String::from(
            "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: syncgate}, \
             spec: {controllerName: syncgate.dev/controller}}\n",
        );
        let mut backends = Vec::new();
        for name in BACKENDS {
            backends.push((name, backend::start(name).await));
        }
        let mut certificates = BTreeMap::new();
        let mut secrets = String::new();
        for name in CERTIFICATES {
            let pair = rcgen::generate_simple_self_signed(vec![format!("{name}.com")]).expect("a certificate");
            certificates.insert(pair.cert.der().to_vec(), name.to_owned());
            let [certificate, key] =
                [pair.cert.pem(), pair.signing_key.serialize_pem()].map(|pem| STANDARD.encode(pem));
            secrets += &format!(
                "---\n{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: NAMESPACE}}, \
                 type: kubernetes.io/tls, data: {{tls.crt: {certificate}, tls.key: {key}}}}}\n"
            );
        }
        for scene in scenes {
            manifests += &scene.manifests(&backends);
            manifests += &secrets.replace("NAMESPACE", scene.name);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bootstrap.pb");
        std::fs::write(&path, bootstrap::of(&translated(&manifests)).encode_to_vec()).expect("writable");
        let admin = folder.path().join("admin");
        let child = Command::new(envoy)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"])
            .arg("--config-path")
            .arg(&path)
            .arg("--admin-address-path")
            .arg(&admin)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", envoy.display()));
        let mut bed = Self { envoy: child, _folder: folder, listeners: BTreeMap::new(), certificates };
        bed.listeners = bed.ready(&admin).await;
        bed
    }

    /// Where the Gateway of a scene listens.
    pub(crate) fn listener(&self, scene: &str, port: u16) -> SocketAddr {
        let name = format!("{scene}/edge/{port}");
        *self.listeners.get(&name).unwrap_or_else(|| panic!("there is no listener {name}"))
    }

    /// The name of the Secret whose certificate this is.
    pub(crate) fn whose(&self, certificate: &[u8]) -> Option<String> {
        self.certificates.get(certificate).cloned()
    }

    /// Waits until Envoy listens; where.
    async fn ready(&mut self, admin: &Path) -> BTreeMap<String, SocketAddr> {
        for _ in 0..TRIES {
            if let Some(ended) = self.envoy.try_wait().expect("a child") {
                panic!("Envoy ended: {ended}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Ok(address) = std::fs::read_to_string(admin) else { continue };
            if get(&address, "/ready").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                let listeners = get(&address, "/listeners").await.expect("Envoy is ready");
                let lines = listeners.lines().filter_map(|line| line.split_once("::"));
                return lines.map(|(name, at)| (name.to_owned(), at.parse().expect("an address"))).collect();
            }
        }
        panic!("Envoy is not ready");
    }
}

/// An answer of the admin listener, headers included.
async fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

fn translated(manifests: &str) -> Vec<Resource> {
    let mut builder = GraphBuilder::new();
    let (inputs, outputs) = translate::build(&mut builder);
    let mut graph = builder.build();
    let trees: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(manifests).unwrap_or_else(|error| panic!("{error}"));
    graph.epoch(|batch| {
        for tree in &trees {
            let decoded = decode::decode(tree, None).unwrap_or_else(|error| panic!("{error:?}: {tree}"));
            assert_eq!(decoded.problems, [], "{}", decoded.at);
            inputs.put(batch, &decoded.at.key, &decoded.object);
        }
        Kind::ALL.into_iter().for_each(|kind| inputs.complete(batch, kind));
    });
    graph.iter(outputs.resources).map(|(_, resource)| Resource::clone(resource)).collect()
}
