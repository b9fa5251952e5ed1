//! A certificate authority for one run, and the Secrets that it fills. No key of it is ever kept.

use std::path::Path;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// The authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    /// A new one with a key of its own.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "syncgate demo");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { pem: certificate.pem(), certificate: certificate.der().clone(), issuer: Issuer::new(params, key) })
    }

    /// Its certificate, as `curl --cacert` wants it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A trust store that holds it alone.
    pub fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        Ok(roots)
    }

    /// A new key and a certificate for these host names and addresses.
    pub fn server(&self, names: &[String]) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// A new key and a certificate for `host`, a name or an address, alone.
    pub fn certificate(&self, host: &str) -> Result<Certified> {
        let mut params = issued(vec![host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Certified { chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// A new key and a certificate for a client that is called by this URI.
    pub fn client(&self, uri: &str) -> Result<Certified> {
        let mut params = issued(Vec::new())?;
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Certified { chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// A `kubernetes.io/tls` Secret with a new key and a certificate for `host` alone.
    pub fn secret(&self, namespace: &str, name: &str, host: &str) -> Result<Value> {
        let Certified { chain, key } = self.certificate(host)?;
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name},
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": STANDARD.encode(chain), "tls.key": STANDARD.encode(key)},
        }))
    }
}

/// What a certificate for these names says. Authorities of one name are told apart by their keys, as when one is renewed.
fn issued(names: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

impl Authority {
    /// A `ConfigMap` that says that clients of these authorities are let in.
    #[must_use]
    pub fn config_map(namespace: &str, name: &str, authorities: &[&Self]) -> Value {
        let bundle: String = authorities.iter().map(|authority| authority.pem()).collect();
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name},
            "data": {"ca.crt": bundle},
        })
    }
}

impl Certified {
    /// Writes both to `<name>.crt` and `<name>.key` in a folder. Gives the paths.
    pub fn write(&self, folder: &Path, name: &str) -> Result<[String; 2]> {
        let path = |ending: &str| folder.join(format!("{name}.{ending}"));
        std::fs::write(path("crt"), &self.chain)?;
        std::fs::write(path("key"), &self.key)?;
        Ok([path("crt").display().to_string(), path("key").display().to_string()])
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The certificate.
    pub chain: String,
    /// The private key.
    pub key: String,
}
