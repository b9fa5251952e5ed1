//! The listener's certificate and the bundle of authorities that client certificates are proven against, from files that
//! are read again: a renewed one is in use from the next handshake on, and open streams do not notice (F67).
//!
//! Invariant (`doubt_keeps`): files that cannot be used change nothing; what was read last stays in use.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::metrics;

/// How often the files are looked at. A kubelet takes a minute to bring a renewed Secret, so this adds little.
const LOOK: Duration = Duration::from_secs(5);

/// Where certificates are read from; all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates. Without it no client can prove who it is.
    pub client_authorities: Option<PathBuf>,
}

/// Why certificates cannot be used. Never holds a byte of a key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {error}; give a file that this process may read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key do not go together, or of a kind that is not served.
    #[error("{} and {}: {error}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// TLS as it is configured now.
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    bytes: Bytes,
    config: Arc<ServerConfig>,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The first [`TlsError`] found.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Loaded::from(&files, Bytes::read(&files)?)?;
        Ok(Self { current: ArcSwap::from_pointee(loaded), files })
    }

    /// What the next handshake uses.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load().config.clone())
    }

    /// Looks at the files again and again. Does not return.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut said = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            // Off the runtime's threads: the files may be on a network that hangs.
            let Ok(refreshed) = tokio::task::spawn_blocking(move || tls.refresh()).await else { continue };
            match refreshed {
                Ok(false) => said = None,
                Ok(true) => {
                    said = None;
                    metrics::tls_reload("used");
                    info!(certificate = %self.files.certificate.display(), "certificates of the ADS listener were renewed");
                }
                // Once for each reason, not at every look.
                Err(error) => {
                    let reason = error.to_string();
                    if said.as_ref() != Some(&reason) {
                        metrics::tls_reload("refused");
                        warn!(%reason, "renewed certificates of the ADS listener cannot be used; the last ones stay in use");
                        said = Some(reason);
                    }
                }
            }
        }
    }

    /// Whether something else is in use than before.
    fn refresh(&self) -> Result<bool, TlsError> {
        let bytes = Bytes::read(&self.files)?;
        if bytes == self.current.load().bytes {
            return Ok(false);
        }
        self.current.store(Arc::new(Loaded::from(&self.files, bytes)?));
        Ok(true)
    }
}

impl Bytes {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error });
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_authorities: files.client_authorities.as_deref().map(read).transpose()?,
        })
    }
}

impl Loaded {
    fn from(files: &TlsFiles, bytes: Bytes) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = |error| TlsError::Pair { certificate: files.certificate.clone(), key: files.key.clone(), error };
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(pair)?;
        let builder = match (&files.client_authorities, &bytes.client_authorities) {
            (Some(path), Some(pem)) => {
                let content = |problem: String| TlsError::Content { path: path.clone(), problem };
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, pem)? {
                    roots.add(authority).map_err(|error| content(format!("is no authority: {error}")))?;
                }
                // Without a certificate one may connect, and ask for health; a stream needs an identity.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.allow_unauthenticated().build();
                builder.with_client_cert_verifier(verifier.map_err(|error| content(error.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let chain = certificates(&files.certificate, &bytes.certificate)?;
        let expires = chain.first().and_then(|first| expiry(first));
        let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|_| TlsError::Content {
            path: files.key.clone(),
            problem: "holds no PEM private key".to_owned(),
        })?;
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would go on with a certificate that the bundle does not vouch for any more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(expires) = expires {
            metrics::tls_expiry(expires);
        }
        Ok(Self { bytes, config: Arc::new(config) })
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |problem: String| TlsError::Content { path: path.to_owned(), problem };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| content(format!("is not PEM: {error}")))?;
    if found.is_empty() { Err(content("holds no certificate".to_owned())) } else { Ok(found) }
}

/// In seconds since 1970.
fn expiry(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["syncgate.example".to_owned()]).expect("valid");
        (params.self_signed(&key).expect("signs").pem(), key.serialize_pem())
    }

    fn files(dir: &Path, (certificate, key): &(String, String), authorities: Option<&str>) -> TlsFiles {
        let path = |name: &str| dir.join(name);
        std::fs::write(path("tls.crt"), certificate).expect("written");
        std::fs::write(path("tls.key"), key).expect("written");
        if let Some(authorities) = authorities {
            std::fs::write(path("ca.crt"), authorities).expect("written");
        }
        let client_authorities = authorities.map(|_| path("ca.crt"));
        TlsFiles { certificate: path("tls.crt"), key: path("tls.key"), client_authorities }
    }

    #[test]
    fn what_cannot_be_used_names_the_file_and_no_byte_of_the_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let (good, other) = (pair(), pair());
        let error = |pair: (String, String), authorities: Option<&str>| {
            Tls::load(files(dir.path(), &pair, authorities)).expect_err("not usable").to_string()
        };
        assert!(error((String::new(), good.1.clone()), None).contains("tls.crt: holds no certificate"));
        let said = error((good.0.clone(), "-----BEGIN PRIVATE KEY-----\nAAAA\n".to_owned()), None);
        assert!(said.contains("tls.key: holds no PEM private key") && !said.contains("AAAA"), "{said}");
        let said = error((good.0.clone(), other.1), None);
        assert!(said.contains("tls.crt and ") && said.contains("tls.key: "), "{said}");
        assert!(error(good, Some("nothing")).contains("ca.crt: holds no certificate"));
        let missing = TlsFiles { key: dir.path().join("none"), ..files(dir.path(), &pair(), None) };
        assert!(Tls::load(missing).expect_err("missing").to_string().contains("none: No such file"));
    }

    #[test]
    fn renewed_files_are_used_and_bad_ones_change_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let tls = Tls::load(files(dir.path(), &pair(), None)).expect("usable");
        let first = tls.current.load().config.clone();
        assert!(!tls.refresh().expect("readable"), "nothing changed");
        let (renewed, other) = (pair(), pair());
        files(dir.path(), &(renewed.0.clone(), other.1), None);
        assert!(tls.refresh().is_err(), "half of a renewal");
        assert!(Arc::ptr_eq(&first, &tls.current.load().config));
        files(dir.path(), &renewed, None);
        assert!(tls.refresh().expect("usable"));
        assert!(!Arc::ptr_eq(&first, &tls.current.load().config));
    }
}
