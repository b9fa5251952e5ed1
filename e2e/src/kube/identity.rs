//! Who talks to the server: a bearer token, and the kubeconfig that carries it.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

/// A user of the server.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user's name, as bindings and the audit log have it.
    pub name: String,
    /// The bearer token.
    pub token: String,
    /// The certificate of the authority to trust, in PEM.
    pub ca: String,
    /// Where the server is.
    pub server: SocketAddr,
}

impl Identity {
    /// A user with a new random token.
    pub(super) fn new(name: &str, ca: &str, server: SocketAddr) -> Result<Self> {
        let mut secret = [0; 24];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut secret).map_err(|reason| anyhow!("no random numbers: {reason:?}"))?;
        let token = URL_SAFE_NO_PAD.encode(secret);
        Ok(Self { name: name.to_owned(), token, ca: ca.to_owned(), server })
    }

    /// The same user who reaches the server by way of `proxy`.
    #[must_use]
    pub fn by_way_of(&self, proxy: SocketAddr) -> Self {
        Self { server: proxy, ..self.clone() }
    }

    /// Writes a kubeconfig, readable for its owner alone, replacing what was there in one step.
    pub fn kubeconfig(&self, path: &Path) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.server), "certificate-authority-data": STANDARD.encode(&self.ca),
            }}],
            "users": [{"name": self.name, "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": self.name}}],
        });
        let staged = path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&staged)
            .with_context(|| format!("write {}", staged.display()))?;
        file.write_all(serde_saphyr::to_string(&config)?.as_bytes())?;
        std::fs::rename(&staged, path).with_context(|| format!("rename to {}", path.display()))
    }

    /// A line of the server's token file.
    pub(super) fn token_line(&self, groups: &str) -> String {
        format!("{},{},{},\"{groups}\"\n", self.token, self.name, self.name)
    }
}
