//! The files and flags of a control plane, before anything runs.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::api::Api;
use super::identity::Identity;
use super::part::Part;
use super::{ControlPlane, Options};
use crate::address::Loopback;
use crate::certificates::Authority;

pub(super) const AUDIT_LOG: &str = "audit.log";
pub(super) const ETCD_DATA: &str = "etcd";
/// The host of the network that all parts listen on.
const HOST: u8 = 3;
/// The ports of etcd for its clients and its peers, and of the server.
const PORTS: [u16; 3] = [2379, 2380, 6443];
/// How many networks are tried.
const NETWORKS: usize = 64;
/// Room for 100,000 pods and the revisions of a long test; etcd's own limit is 2 GiB.
const QUOTA: u64 = 8 << 30;
/// An address for documentation: the server wants to advertise one that is not loopback, and nothing here reads it.
const ADVERTISED: &str = "192.0.2.1";
/// What plays a part for syncgate: EndpointSlices, Deployments, the ends of namespaces and of owned objects.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,endpointslice-controller,namespace-controller,\
                           garbage-collector-controller,serviceaccount-controller";

/// Writes every file, and hands out a control plane of which nothing runs yet.
pub(super) fn prepare(options: Options) -> Result<ControlPlane> {
    let program = options.kube.join("kube");
    ensure!(program.is_file(), "no {}: `make e2e` builds it", program.display());
    let home = options.home.join("kube");
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("empty {}", home.display()))?;
    }
    // For its owner alone: tokens and keys lie in it.
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&home).with_context(|| format!("create {}", home.display()))?;
    // The program runs in another folder than its flags were written in.
    let home = home.canonicalize()?;

    let net = free_network()?;
    let [client, peer, secure] = PORTS.map(|port| SocketAddr::from((net.host(HOST), port)));

    let authority = Authority::new()?;
    let admin = Identity::new("admin", authority.pem(), secure)?;
    let identities: Vec<Identity> =
        options.identities.iter().map(|name| Identity::new(name, authority.pem(), secure)).collect::<Result<_>>()?;
    write_keys(&home, &authority, secure)?;
    write_tokens(&home, &admin, &identities)?;
    write_policy(&home)?;
    admin.kubeconfig(&home.join("admin.kubeconfig"))?;

    let part = |name, flags, address: String| {
        Part::new(name, program.clone(), flags, address, home.join(format!("{name}.log")))
    };
    Ok(ControlPlane {
        etcd: part("etcd", etcd(&home, client, peer), format!("http://{client}")),
        server: part("kube-apiserver", server(&home, client, secure, &options), format!("https://{secure}")),
        controllers: part("kube-controller-manager", controllers(&home), String::new()),
        api: Api::new(&admin)?,
        etcd_address: client,
        snapshots: 0,
        _net: net,
        options,
        home,
        authority,
        admin,
        identities,
    })
}

/// A network where nothing listens on our ports. The parts of a test run that was killed live on for a moment after its claim is gone.
fn free_network() -> Result<Loopback> {
    // Held, so that each turn claims another one.
    let mut occupied = Vec::new();
    for _ in 0..NETWORKS {
        let net = Loopback::claim()?;
        if PORTS.iter().all(|port| TcpListener::bind((net.host(HOST), *port)).is_ok()) {
            return Ok(net);
        }
        occupied.push(net);
    }
    bail!("on each of {NETWORKS} loopback networks something listens on one of the ports {PORTS:?} of host {HOST}")
}

/// The server's certificate, and the key that it signs the tokens of service accounts with.
fn write_keys(home: &Path, authority: &Authority, secure: SocketAddr) -> Result<()> {
    let serving = authority.certificate(&secure.ip().to_string())?;
    let accounts = KeyPair::generate()?;
    write(home, "server.crt", &serving.chain)?;
    write(home, "server.key", &serving.key)?;
    write(home, "accounts.key", &accounts.serialize_pem())?;
    write(home, "accounts.pub", &accounts.public_key_pem())
}

fn write_tokens(home: &Path, admin: &Identity, identities: &[Identity]) -> Result<()> {
    let mut lines = admin.token_line("system:masters");
    lines.extend(identities.iter().map(|identity| identity.token_line("")));
    write(home, "tokens.csv", &lines)
}

/// Every request with its user and its object, but nothing of what the server does for itself.
fn write_policy(home: &Path) -> Result<()> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}],
    });
    write(home, "audit-policy.yaml", &policy.to_string())
}

fn write(home: &Path, name: &str, text: &str) -> Result<()> {
    let path = home.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn etcd(home: &Path, client: SocketAddr, peer: SocketAddr) -> Vec<String> {
    vec![
        format!("--data-dir={}", home.join(ETCD_DATA).display()),
        format!("--listen-client-urls=http://{client}"),
        format!("--advertise-client-urls=http://{client}"),
        format!("--listen-peer-urls=http://{peer}"),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster=default=http://{peer}"),
        format!("--quota-backend-bytes={QUOTA}"),
        // Its data need not outlive the machine.
        "--unsafe-no-fsync".to_owned(),
        // It is alone and need not wait long for others before it elects itself.
        "--heartbeat-interval=10".to_owned(),
        "--election-timeout=100".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn server(home: &Path, etcd: SocketAddr, secure: SocketAddr, options: &Options) -> Vec<String> {
    let file = |name: &str| home.join(name).display().to_string();
    let mut flags = vec![
        format!("--etcd-servers=http://{etcd}"),
        format!("--bind-address={}", secure.ip()),
        format!("--secure-port={}", secure.port()),
        format!("--advertise-address={ADVERTISED}"),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file(AUDIT_LOG)),
        // In megabytes: a rotation would make events vanish.
        "--audit-log-maxsize=10000".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // Pods need no service account, and nobody makes one without controllers.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--profiling=false".to_owned(),
        // Without it a server that is asked to end waits a minute for its open watches; with it, it ends them at once.
        "--shutdown-watch-termination-grace-period=2s".to_owned(),
    ];
    flags.extend(options.server_flags.iter().cloned());
    flags
}

fn controllers(home: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", home.join("admin.kubeconfig").display()),
        format!("--controllers={CONTROLLERS}"),
        "--leader-elect=false".to_owned(),
        // No port: nothing asks it anything.
        "--secure-port=0".to_owned(),
    ]
}

/// The objects beside the program: the CRDs, and the policy that guards their upgrades.
pub(super) fn crds(kube: &Path) -> Result<Vec<Value>> {
    let folder = kube.join("crds");
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("parse {}", path.display()))?;
        objects.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    ensure!(!objects.is_empty(), "no CRDs in {}", folder.display());
    Ok(objects)
}

/// Copies a folder and all that is in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            std::fs::copy(entry.path(), &copy).with_context(|| format!("copy to {}", copy.display()))?;
        }
    }
    Ok(())
}
