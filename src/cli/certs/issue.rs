//! Certificates: made, and read again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, Pem, X509Certificate};

use super::plan::LONGEST;

/// By how much the clock of who reads a certificate may be late.
const EARLIER: Duration = Duration::from_secs(300);

/// What a certificate is for.
pub(super) enum Use<'a> {
    /// These names and addresses.
    Server(&'a [String]),
    /// Whoever is called by this URI.
    Client(&'a str),
}

/// A certificate, as far as it matters here.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) pem: String,
    pub(super) from: SystemTime,
    to: SystemTime,
    /// Its public key.
    pub(super) key: Vec<u8>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    names: Vec<String>,
}

/// An authority with its private key.
pub(super) struct Authority {
    pub(super) found: Found,
    pub(super) key: KeyPair,
    /// What it calls itself; no two have the same name.
    name: String,
}

impl Use<'_> {
    /// What such a certificate says.
    pub(super) fn params(&self) -> anyhow::Result<CertificateParams> {
        let (mut params, usage) = match self {
            Use::Server(names) => {
                let params = CertificateParams::new(names.to_vec());
                (params.with_context(|| format!("--dns {}", names.join(" ")))?, ExtendedKeyUsagePurpose::ServerAuth)
            }
            Use::Client(uri) => {
                ensure!(uri.starts_with("spiffe://"), "--client-uri {uri:?} must be spiffe://<domain>/…");
                let mut params = CertificateParams::default();
                let uri = (*uri).try_into().with_context(|| format!("--client-uri {uri:?}"))?;
                params.subject_alt_names = vec![SanType::URI(uri)];
                (params, ExtendedKeyUsagePurpose::ClientAuth)
            }
        };
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

impl Found {
    /// The certificates in a text; what is none is passed over, and made anew.
    pub(super) fn all(pem: &[u8]) -> Vec<Found> {
        let found = Pem::iter_from_buffer(pem).filter_map(Result::ok);
        found.filter(|pem| pem.label == "CERTIFICATE").filter_map(|pem| Found::read(&pem.contents)).collect()
    }

    fn read(der: &[u8]) -> Option<Found> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let mut names: Vec<String> = Vec::new();
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() {
                names.extend(alternative.general_names.iter().filter_map(|name| match name {
                    GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => Some(format!("{bytes:?}")),
                    _ => None,
                }));
            }
        }
        names.sort();
        Some(Found {
            pem: pem(der),
            from: time(certificate.validity().not_before.timestamp()),
            to: time(certificate.validity().not_after.timestamp()),
            key: certificate.public_key().raw.to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            names,
        })
    }

    /// When less than a third of its life is left.
    pub(super) fn due(&self) -> SystemTime {
        let life = self.to.duration_since(self.from).unwrap_or_default();
        self.to - life / 3
    }

    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        now >= self.due()
    }

    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        now >= self.to
    }

    /// For people.
    pub(super) fn until(&self) -> String {
        format!("valid until {}", humantime::format_rfc3339_seconds(self.to))
    }

    pub(super) fn is_signed_by(&self, authority: &Found) -> bool {
        self.issuer == authority.subject
    }

    pub(super) fn fits_key(&self, key: Option<&[u8]>) -> bool {
        pair(key).is_some_and(|pair| pair.subject_public_key_info() == self.key)
    }

    pub(super) fn has_names(&self, wanted: &CertificateParams) -> bool {
        let mut names: Vec<String> = wanted.subject_alt_names.iter().map(name).collect();
        names.sort();
        names == self.names
    }
}

fn name(name: &SanType) -> String {
    match name {
        SanType::DnsName(name) | SanType::URI(name) => name.to_string(),
        SanType::IpAddress(std::net::IpAddr::V4(ip)) => format!("{:?}", ip.octets()),
        SanType::IpAddress(std::net::IpAddr::V6(ip)) => format!("{:?}", ip.octets()),
        other => format!("{other:?}"),
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

fn pair(pem: Option<&[u8]>) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(pem?).ok()?).ok()
}

impl Authority {
    /// The one of the bundle whose key is held.
    pub(super) fn held(bundle: &[Found], key: Option<&[u8]>) -> Option<Authority> {
        let key = pair(key)?;
        let found = bundle.iter().find(|found| found.key == key.subject_public_key_info())?;
        Some(Authority { found: found.clone(), name: called(&key), key })
    }

    /// A new one.
    pub(super) fn make(now: SystemTime, life: Duration) -> anyhow::Result<Authority> {
        let key = KeyPair::generate()?;
        let name = called(&key);
        let mut params = authority(&name);
        span(&mut params, now, now + life);
        let found = Found::read(params.self_signed(&key)?.der()).context("what was just made")?;
        Ok(Authority { found, key, name })
    }

    /// This one, signed by the one before.
    pub(super) fn vouched_for_by(&self, before: &Authority) -> anyhow::Result<Found> {
        let mut params = authority(&self.name);
        params.use_authority_key_identifier_extension = true;
        span(&mut params, self.found.from + EARLIER, self.found.to.min(before.found.to));
        Found::read(params.signed_by(&self.key, &before.issuer())?.der()).context("what was just made")
    }

    /// A certificate with a new key.
    pub(super) fn sign(
        &self,
        now: SystemTime,
        life: Duration,
        mut params: CertificateParams,
    ) -> anyhow::Result<(Found, KeyPair)> {
        let key = KeyPair::generate()?;
        span(&mut params, now, (now + life.min(LONGEST)).min(self.found.to));
        let found = Found::read(params.signed_by(&key, &self.issuer())?.der()).context("what was just made")?;
        Ok((found, key))
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::new(authority(&self.name), &self.key)
    }
}

/// By its key: who looks for the issuer of a certificate by name finds the right one of a bundle.
fn called(key: &KeyPair) -> String {
    format!("syncgate authority {}", &blake3::hash(&key.subject_public_key_info()).to_hex()[..16])
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn span(params: &mut CertificateParams, from: SystemTime, to: SystemTime) {
    let time = |at: SystemTime| {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs())
    };
    (params.not_before, params.not_after) = (time(from - EARLIER), time(to));
}
