//! Reads the kubeconfigs that the test bed writes: one server by its address, its authority, one user by a token. Those
//! of other clusters mostly hold more; what is missing is named.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::kube::identity::Identity;

/// Who a kubeconfig says one is, and to which server.
pub fn read(path: &Path) -> Result<Identity> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is no kubeconfig that the test bed can use", path.display()))
}

fn parse(text: &str) -> Result<Identity> {
    let config: Value = serde_saphyr::from_str(text)?;
    let of = |place: &str| -> Result<&str> {
        config.pointer(place).and_then(Value::as_str).with_context(|| format!("no {place} in it"))
    };
    let url = of("/clusters/0/cluster/server")?;
    let address = url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    let server: SocketAddr = address
        .and_then(|address| address.parse().ok())
        .with_context(|| format!("its server {url} is not https://IP:PORT"))?;
    let ca = STANDARD.decode(of("/clusters/0/cluster/certificate-authority-data")?).context("the authority")?;
    Ok(Identity {
        name: of("/users/0/name")?.to_owned(),
        token: of("/users/0/user/token")?.to_owned(),
        ca: String::from_utf8(ca).context("the authority is not PEM")?,
        server,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_identity_writes_is_read_back() {
        let identity = Identity {
            name: "user-0".to_owned(),
            token: "secret".to_owned(),
            ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            server: "127.64.0.3:6443".parse().unwrap(),
        };
        let path = std::env::temp_dir().join(format!("syncgate-e2e-kubeconfig-{}", std::process::id()));
        identity.kubeconfig(&path).unwrap();
        let found = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((found.name, found.token, found.ca), (identity.name, identity.token, identity.ca));
        assert_eq!(found.server, identity.server);
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = format!("{:#}", parse("clusters: [{cluster: {server: 'https://a.example'}}]").unwrap_err());
        assert!(message.contains("https://a.example"), "{message}");
        let message = format!("{:#}", parse("users: []").unwrap_err());
        assert!(message.contains("/clusters/0/cluster/server"), "{message}");
    }
}
