//! Envoys are known by tokens that a real API server issued: of another audience and expired ones are refused, an outage closes nothing
//! and keys that are kept go on proving, a new key is found, and where keys may not be read a review tells.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};
use syncgate_e2e::address::Loopback;
use syncgate_e2e::certificates::Authority;
use syncgate_e2e::envoy::Envoy;
use syncgate_e2e::kube::identity::Identity;
use syncgate_e2e::kube::objects::{cluster_role, cluster_role_binding, namespace};
use syncgate_e2e::kube::{ControlPlane, Options};
use syncgate_e2e::kube_bed::{Setup, objects};
use syncgate_e2e::manifests::{self, NAMESPACE};
use syncgate_e2e::rbac;
use syncgate_e2e::scenario::Release;
use syncgate_e2e::settled::PATIENCE;
use syncgate_e2e::syncgate::{self, Addresses, Source, Syncgate, Variant};
use syncgate_e2e::wait::eventually;

/// Whoever may read what is served, and review tokens, but no keys.
const KEYLESS: &str = "user-0";

struct World {
    setup: Setup,
    plane: ControlPlane,
    authority: Authority,
    home: PathBuf,
    net: Loopback,
}

/// A syncgate with a certificate of its own, and no bundle for clients: tokens are all that it goes by.
struct Server {
    syncgate: Syncgate,
    at: Addresses,
}

impl World {
    async fn start(setup: Setup) -> Result<Self> {
        let net = Loopback::claim()?;
        let home = setup.work.clone();
        std::fs::create_dir_all(&home)?;
        let mut options = Options::new(&setup.kube, &home);
        options.identities = vec![rbac::USER.to_owned(), KEYLESS.to_owned()];
        let plane = ControlPlane::start(options).await?;
        let world = Self { setup, plane, authority: Authority::new()?, home, net };
        std::fs::write(world.home.join("ca.crt"), world.authority.pem())?;
        let api = world.plane.api();
        let review =
            json!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]});
        let mut sees = cluster_role_binding("syncgate", &[KEYLESS]);
        sees["metadata"]["name"] = "keyless".into();
        let keyless = vec![cluster_role("reviews", &[review]), cluster_role_binding("reviews", &[KEYLESS]), sees];
        let mut all = [rbac::cluster()?, rbac::tokens()?, keyless].concat();
        all.push(manifests::gateway_class());
        all.push(namespace(NAMESPACE, &json!({})));
        for (name, host) in [("newest", 11), ("oldest", 12)] {
            all.push(objects::gateway(name, world.net.host(host), &[]));
        }
        let account = json!({"namespace": NAMESPACE, "name": "envoy"});
        all.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}));
        for object in &all {
            api.apply(object).await?;
        }
        Ok(world)
    }

    async fn server(&self, host: u8, identity: &Identity) -> Result<Server> {
        let host = self.net.host(host);
        let at = Addresses { xds: (host, 18000).into(), health: (host, 8081).into(), admin: (host, 19000).into() };
        let name = format!("server-{host}");
        let kubeconfig = self.home.join(format!("{name}.kubeconfig"));
        identity.kubeconfig(&kubeconfig)?;
        let [certificate, key] = self.authority.certificate(&host.to_string())?.write(&self.home, &name)?;
        let flags = vec![format!("--xds-tls-certificate={certificate}"), format!("--xds-tls-key={key}")];
        let source = Source::Kubernetes { kubeconfig, flags };
        let log = self.home.join(format!("{name}.log"));
        let mut syncgate = Syncgate::start(&self.setup.syncgate, &source, at, &log)?;
        syncgate.ready(PATIENCE).await?;
        Ok(Server { syncgate, at })
    }

    /// A token of the Envoys' ServiceAccount, as the API server issues it.
    async fn token(&self, audience: &str) -> Result<String> {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600}});
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/envoy/token");
        let answer = self.plane.api().raw(Method::POST, &path, Some(&request)).await?;
        let token: Value = serde_json::from_slice(&answer.body)?;
        Ok(token["status"]["token"].as_str().with_context(|| answer.text())?.to_owned())
    }

    /// What a token would be that expired, signed with the API server's own key.
    fn expired(&self, token: &str) -> Result<String> {
        let key = KeyPair::from_pem(&std::fs::read_to_string(self.plane.home().join("accounts.key"))?)?;
        let (header, rest) = token.split_once('.').context("a token")?;
        let (claims, _) = rest.split_once('.').context("a token")?;
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        claims["exp"] = json!(claims["iat"].as_u64().context("iat")? - 100);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = fixed(&key.sign(signed.as_bytes())?).context("a signature")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Makes the API server sign with another key from now on, and know the old one no more.
    async fn rotate_key(&mut self) -> Result<()> {
        let key = KeyPair::generate()?;
        std::fs::write(self.plane.home().join("accounts.key"), key.serialize_pem())?;
        std::fs::write(self.plane.home().join("accounts.pub"), key.public_key_pem())?;
        self.plane.start_server().await
    }

    /// Starts the Envoy of a Gateway with a token that is kept as a kubelet keeps it.
    async fn envoy(&self, server: &Server, release: Release, volume: &Volume) -> Result<Envoy> {
        let (name, host, variant) = match release {
            Release::Newest => ("newest", 11, Variant::Delta),
            Release::Oldest => ("oldest", 12, Variant::Sotw),
        };
        let folder = self.home.join(name);
        std::fs::create_dir_all(&folder)?;
        let secret = folder.join("token-secret.yaml");
        let mut flags = vec![
            format!("--xds-ca={}", self.home.join("ca.crt").display()),
            format!("--token-file={}", volume.token().display()),
            format!("--token-secret={}", secret.display()),
        ];
        let admin = (self.net.host(host), 9901).into();
        let gateway = format!("{NAMESPACE}/{name}");
        let print = async |flags: &[String]| {
            syncgate::bootstrap_with(&self.setup.syncgate, &gateway, server.at.xds, variant, admin, flags).await
        };
        let bootstrap = print(&flags).await?;
        flags.push("--print=token-secret".to_owned());
        std::fs::write(&secret, print(&flags).await?)?;
        let mut envoy = Envoy::start(self.setup.envoy(release), &bootstrap, admin, &folder)?;
        envoy.answers(PATIENCE).await?;
        Ok(envoy)
    }
}

impl Server {
    async fn metric(&self, series: &str) -> Result<f64> {
        Ok(self.syncgate.metrics().await?.get(series).copied().unwrap_or_default())
    }

    /// Waits until a token was answered so.
    async fn answers(&self, outcome: &str) -> Result<()> {
        let series = format!("syncgate_tokens_total{{outcome=\"{outcome}\"}}");
        eventually(&series, PATIENCE, async || {
            ensure!(self.metric(&series).await? > 0.0, "not yet; {}", self.syncgate.log_tail());
            Ok(())
        })
        .await
    }

    async fn streams(&self) -> Result<f64> {
        let [delta, sotw] = ["delta", "sotw"].map(|variant| format!("syncgate_streams{{variant=\"{variant}\"}}"));
        Ok(self.metric(&delta).await? + self.metric(&sotw).await?)
    }
}

/// A projected volume: files are links through `..data`, which is replaced by a rename.
struct Volume {
    dir: PathBuf,
    count: usize,
}

impl Volume {
    fn new(dir: PathBuf, token: &str) -> Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        let mut volume = Self { dir, count: 0 };
        volume.rotate(token)?;
        std::os::unix::fs::symlink("..data/token", volume.token())?;
        Ok(volume)
    }

    fn token(&self) -> PathBuf {
        self.dir.join("token")
    }

    fn rotate(&mut self, token: &str) -> Result<()> {
        self.count += 1;
        let fresh = format!("..{}", self.count);
        std::fs::create_dir(self.dir.join(&fresh))?;
        std::fs::write(self.dir.join(&fresh).join("token"), token)?;
        let staged = self.dir.join("..data_tmp");
        std::os::unix::fs::symlink(Path::new(&fresh), &staged)?;
        std::fs::rename(staged, self.dir.join("..data"))?;
        Ok(())
    }
}

/// ASN.1's two numbers as a JWT has them.
fn fixed(der: &[u8]) -> Option<Vec<u8>> {
    let (mut at, mut out) = (2, Vec::new());
    for _ in 0..2 {
        let len = usize::from(*der.get(at + 1)?);
        let number = der.get(at + 2..at + 2 + len)?;
        let number = &number[number.len().saturating_sub(32)..];
        out.extend(std::iter::repeat_n(0, 32 - number.len()));
        out.extend_from_slice(number);
        at += 2 + len;
    }
    Some(out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_are_known_by_tokens() -> Result<()> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tokens").display().to_string();
    let Some(setup) = Setup::installed("envoys_are_known_by_tokens", &work)? else { return Ok(()) };
    let mut world = World::start(setup).await?;
    let good = world.token("syncgate").await?;
    let server = world.server(1, world.plane.identity(rbac::USER)?).await?;

    let first = Volume::new(world.home.join("first"), &good)?;
    let mut newest = world.envoy(&server, Release::Newest, &first).await?;
    newest.ready(PATIENCE).await?;
    ensure!(server.metric("syncgate_token_reviews_total{outcome=\"accepted\"}").await? == 0.0, "the keys were there");

    let mut second = Volume::new(world.home.join("second"), &world.token("vault").await?)?;
    let mut oldest = world.envoy(&server, Release::Oldest, &second).await?;
    server.answers("audience").await?;
    second.rotate(&world.expired(&good)?)?;
    server.answers("expired").await?;
    ensure!(oldest.ready_status().await? != 200, "an Envoy without a token that counts is ready");

    world.plane.stop_server().await?;
    second.rotate(&good)?;
    oldest.ready(PATIENCE).await?;
    ensure!(server.streams().await? == 2.0, "an outage closed a stream");
    let connections = newest.stats("^cluster[.]syncgate[.]upstream_cx_total$").await?;
    ensure!(connections.values().sum::<u64>() == 1, "the first stream did not outlive the outage: {connections:?}");

    world.rotate_key().await?;
    second.rotate(&world.token("syncgate").await?)?;
    drop(oldest);
    let mut oldest = world.envoy(&server, Release::Oldest, &second).await?;
    oldest.ready(PATIENCE).await?;
    ensure!(server.streams().await? >= 2.0, "the newest was lost");
    drop(oldest);

    let keyless = world.server(2, world.plane.identity(KEYLESS)?).await?;
    let mut oldest = world.envoy(&keyless, Release::Oldest, &second).await?;
    oldest.ready(PATIENCE).await?;
    ensure!(keyless.metric("syncgate_token_reviews_total{outcome=\"accepted\"}").await? == 1.0, "there was no review");
    ensure!(keyless.metric("syncgate_token_keys_reads_total{outcome=\"failed\"}").await? >= 1.0, "keys were read");
    for token in [&good, &std::fs::read_to_string(second.token())?] {
        let (_, signature) = token.rsplit_once('.').context("a token")?;
        for log in [server.syncgate.log(), keyless.syncgate.log()] {
            ensure!(!log.contains(signature), "a token stands in a log");
        }
    }
    Ok(())
}
