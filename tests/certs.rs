//! `syncgate certs` as its users meet it, and a server that goes on with what it makes.

mod xds_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use syncgate::readiness::Readiness;
use syncgate::xds::{Access, Guard, Settings, Tls, TlsFiles};

use xds_support::Served;
use xds_support::secure::{Client, PATIENCE, SERVER, secure, word};

const URI: &str = "spiffe://cluster.local/ns/ns/sa/envoy";

fn certs(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_syncgate")).arg("certs").args(arguments).output().expect("the program starts")
}

fn made(dir: &Path) -> String {
    let dir = dir.to_str().expect("UTF-8");
    let output = certs(&["--out", dir, "--dns", SERVER, "--client-uri", URI]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A client by the files that lie in the folder now.
fn client(dir: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(dir.join("ca.crt")).expect("a bundle") {
        roots.add(root.expect("PEM")).expect("an authority");
    }
    let chain = CertificateDer::pem_file_iter(dir.join("client.crt")).expect("a chain");
    let chain = chain.collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(dir.join("client.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_client_auth_cert(chain, key).expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[test]
fn files_are_made_once_and_keys_are_private() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = made(dir.path());
    assert!(said.contains("tls.crt: new, valid until ") && said.contains("run this again soon after "), "{said}");
    for (name, mode) in [("ca.key", 0o600), ("tls.key", 0o600), ("client.key", 0o600), ("tls.crt", 0o644)] {
        let found = std::fs::metadata(dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    let all = || {
        let files = std::fs::read_dir(dir.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        files
            .map(|path| (path.clone(), std::fs::read(path).expect("readable")))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = all();
    assert_eq!(before.len(), 7, "and nothing beside but the lock: {:?}", before.keys());
    let said = made(dir.path());
    assert!(said.contains("tls.crt: kept, valid until ") && !said.contains("new"), "{said}");
    assert_eq!(all(), before);
}

#[test]
fn malformed_arguments_say_how_to_mend_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().to_str().expect("UTF-8");
    for (arguments, expected) in [
        (&["--out", out][..], "give --dns NAME, --client-uri URI, or both"),
        (&["--dns", "a"], "--out <DIR>"),
        (&["--out", out, "--dns", "a", "--life", "400d"], "--life must be 398d at most"),
        (&["--out", out, "--dns", "a", "--ca-life", "9000y"], "--ca-life must be 100y at most"),
        (&["--out", out, "--client-uri", "envoy"], "must be spiffe://"),
        (&["--secret", "tls", "--dns", "a"], "must be NAMESPACE/NAME"),
    ] {
        let output = certs(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_server_goes_on_with_a_new_authority_and_loses_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    made(dir.path());
    let path = |name: &str| dir.path().join(name);
    let files =
        TlsFiles { certificate: path("tls.crt"), key: path("tls.key"), client_authorities: Some(path("ca.crt")) };
    let tls = Some(Arc::new(Tls::load(files).expect("usable")));
    let guard = Guard { tls, access: Access::default(), tokens: None };
    let served = Served::guarded(([127, 0, 0, 1], 0).into(), guard, Settings::default(), Readiness::new(|_| {})).await;
    served.publish([word("a", "1")]).await;
    let old = client(dir.path());
    let mut before = Client::open(secure(served.address, old.clone()).await.expect("connects")).await.expect("opens");
    before.next().await.expect("served");

    // A lost key is the one reason for a new authority that does not take years.
    std::fs::remove_file(path("ca.key")).expect("removed");
    assert!(made(dir.path()).contains("ca.crt: new authority"));
    let new = client(dir.path());
    let certificates = served.address;
    let since = std::time::Instant::now();
    // The bundle has both, so the new client connects all the time; the old one no longer once the new certificate is in use.
    while secure(certificates, old.clone()).await.is_ok() {
        assert!(since.elapsed() < PATIENCE, "still the old certificate");
        let _ = secure(certificates, new.clone()).await.expect("connects, whichever is in use");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let mut after = Client::open(secure(served.address, new).await.expect("connects")).await.expect("opens");
    after.next().await.expect("served");
    served.publish([word("a", "2")]).await;
    assert!(before.next().await.is_ok(), "what is open stays");
}
