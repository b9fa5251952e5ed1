//! TLS Secrets as Envoy's secrets, if Envoy would take them.
//!
//! Envoy refuses a whole listener update for one bad key pair, so each Secret is proven here first: its chain is PEM
//! and can be read, its key fits its first certificate, and its kind of key is one that Envoy serves with.

use std::sync::Arc;

use arcstr::ArcStr;
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use rustls::SignatureAlgorithm;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::names::secret_name;
use crate::graph::{Out, Stop};
use crate::model::{ObjectKey, Secret};
use crate::resource::{Parts, Resource, ResourceType, encode};

/// A Secret as a certificate: the resource, or why it cannot be one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate(pub(crate) Result<Arc<Resource>, ArcStr>);

/// Secret → its certificate.
pub(crate) fn certificate(
    key: &ObjectKey,
    secret: &Arc<Secret>,
    out: &mut Out<ObjectKey, Certificate>,
) -> Result<(), Stop> {
    out.put(key.clone(), Certificate(resource(key, secret).map(Arc::new)));
    Ok(())
}

fn resource(key: &ObjectKey, secret: &Secret) -> Result<Resource, ArcStr> {
    let chain = secret.certificate.as_ref().ok_or("the Secret has no `tls.crt`")?;
    let private = secret.key.as_ref().ok_or("the Secret has no `tls.key`")?;
    check_pair(chain, private.expose())?;
    let inline = |bytes: &[u8]| {
        Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineBytes(bytes.to_vec())),
            ..Default::default()
        })
    };
    let name = secret_name(key);
    let message = tls::Secret {
        name: name.to_string(),
        r#type: Some(tls::secret::Type::TlsCertificate(tls::TlsCertificate {
            certificate_chain: inline(chain),
            private_key: inline(private.expose()),
            ..Default::default()
        })),
    };
    Ok(Resource::new(ResourceType::Secret, name, Parts::leaf(encode::message(&message)), []))
}

/// Proves that chain and key belong together and can be served. The errors never hold a byte of the key.
fn check_pair(chain: &Bytes, key: &[u8]) -> Result<(), ArcStr> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| arcstr::format!("`tls.crt` is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("`tls.crt` holds no certificate".into());
    }
    for (at, certificate) in chain.iter().enumerate() {
        ParsedCertificate::try_from(certificate)
            .map_err(|error| arcstr::format!("certificate {} of `tls.crt` cannot be read: {error}", at + 1))?;
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "`tls.key` holds no PEM private key")?;
    let key = any_supported_type(&key).map_err(
        |_| "the key in `tls.key` is of a kind that cannot be served; use RSA of 2048 bits or more, or ECDSA P-256 or P-384",
    )?;
    if key.algorithm() == SignatureAlgorithm::ED25519 {
        return Err(
            "Envoy does not serve with Ed25519 keys; use RSA of 2048 bits or more, or ECDSA P-256 or P-384".into()
        );
    }
    CertifiedKey::new(chain, key)
        .keys_match()
        .map_err(|_| "the key in `tls.key` does not belong to the first certificate in `tls.crt`".into())
}
