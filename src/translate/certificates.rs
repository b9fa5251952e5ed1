//! TLS Secrets as Envoy's secrets, if Envoy would take them.
//!
//! Proven is that its chain is PEM and can be read, that its key fits its first certificate, and that its kind of key is
//! one that Envoy serves with.

use std::sync::Arc;

use arcstr::ArcStr;
use bytes::Bytes;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use rustls::SignatureAlgorithm;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;

use super::names::secret_name;
use super::proof::{self, Proof, inline, pem};
use crate::graph::{Out, Stop};
use crate::model::{ObjectKey, Secret};
use crate::resource::{Parts, Resource, ResourceType, encode};

/// A Secret as a certificate: Envoy's resource.
pub(crate) type Certificate = Proof<Arc<Resource>>;

/// Secret → its certificate.
pub(crate) fn certificate(
    key: &ObjectKey,
    secret: &Arc<Secret>,
    out: &mut Out<ObjectKey, Certificate>,
) -> Result<(), Stop> {
    out.put(key.clone(), Proof(resource(key, secret).map(Arc::new)));
    Ok(())
}

fn resource(key: &ObjectKey, secret: &Secret) -> Result<Resource, ArcStr> {
    if let Some(reason) = &secret.unavailable {
        return Err(reason.clone());
    }
    let chain = secret.certificate.as_ref().ok_or("the Secret has no `tls.crt`")?;
    let private = secret.key.as_ref().ok_or("the Secret has no `tls.key`")?;
    let (chain, private) = checked(chain, private.expose())?;
    let name = secret_name(key);
    let message = tls::Secret {
        name: name.to_string(),
        r#type: Some(tls::secret::Type::TlsCertificate(tls::TlsCertificate {
            certificate_chain: inline(chain),
            private_key: inline(private),
            ..Default::default()
        })),
    };
    Ok(Resource::new(ResourceType::Secret, name, Parts::leaf(encode::message(&message)), []))
}

/// Proves that chain and key belong together and can be served; both as PEM written anew. The errors never hold a byte
/// of the key.
fn checked(chain: &Bytes, key: &[u8]) -> Result<(Vec<u8>, Vec<u8>), ArcStr> {
    let chain = proof::certificates("tls.crt", chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "`tls.key` holds no PEM private key")?;
    let signer = any_supported_type(&key).map_err(|_| {
        "the key in `tls.key` is of a kind that cannot be served; use RSA of 2048 bits or more, or ECDSA P-256 or P-384"
    })?;
    if signer.algorithm() == SignatureAlgorithm::ED25519 {
        return Err(
            "Envoy does not serve with Ed25519 keys; use RSA of 2048 bits or more, or ECDSA P-256 or P-384".into()
        );
    }
    let certificates = chain.iter().flat_map(|certificate| pem("CERTIFICATE", certificate)).collect();
    CertifiedKey::new(chain, signer)
        .keys_match()
        .map_err(|_| "the key in `tls.key` does not belong to the first certificate in `tls.crt`")?;
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Ok((certificates, pem(label, key.secret_der())))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::model::KeyBytes;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(vec!["a.com".to_owned()]).expect("parameters");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    fn refusal(certificate: &str, key: &str) -> Option<String> {
        let key = KeyBytes::new(key.as_bytes().to_vec());
        let certificate = Some(Bytes::copy_from_slice(certificate.as_bytes()));
        let secret = Secret { certificate, key: Some(key), unavailable: None };
        resource(&ObjectKey::new("ns", "s"), &secret).err().map(|why| why.to_string())
    }

    #[test]
    fn a_pair_is_served_whatever_its_white_space() {
        let (certificate, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(refusal(&certificate, &key), None);
        let made = |certificate: &str| checked(&Bytes::copy_from_slice(certificate.as_bytes()), key.as_bytes());
        let plain = made(&certificate);
        assert!(plain.is_ok());
        assert_eq!(made(&certificate.replace('\n', "\r\n")), plain);
        assert_eq!(made(&format!("a comment\n{certificate}")), plain);
    }

    #[test]
    fn a_secret_that_could_not_be_read_says_why() {
        let secret = Secret { unavailable: Some("cannot be read".into()), ..Secret::default() };
        let refused = resource(&ObjectKey::new("ns", "s"), &secret).err();
        assert_eq!(refused.as_deref(), Some("cannot be read"));
    }

    #[test]
    fn what_envoy_would_refuse_is_refused_and_no_key_is_told() {
        let (certificate, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let other = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let ed25519 = pair(&rcgen::PKCS_ED25519);
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let secret = key.lines().nth(1).expect("base64");
        for (chain, key, why) in [
            (&*certificate, &*other.1, "does not belong"),
            (&*certificate, "no key", "no PEM private key"),
            (&*certificate, &*key.replace("PRIVATE", "PUBLIC"), "no PEM private key"),
            ("", &*key, "no certificate"),
            (garbage, &*key, "certificate 1 of `tls.crt` cannot be read"),
            (&*format!("{certificate}{garbage}"), &*key, "certificate 2 of `tls.crt` cannot be read"),
            (&*ed25519.0, &*ed25519.1, "Ed25519"),
        ] {
            let refused = refusal(chain, key).expect(why);
            assert!(refused.contains(why) && !refused.contains(secret), "{refused}");
        }
    }
}
