//! The keys that tokens are signed with, from a JSON Web Key Set, and the proof by one of them.
//!
//! Invariant: the key says what kind of signature it takes, never the token: a token cannot choose a weaker proof for a key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, RsaParameters, UnparsedPublicKey};
use serde::Deserialize;

use super::Refusal;
use super::claims::{Algorithm, Claimed};

/// More keys than any issuer shows; a token without a key's name is tried with each.
const MOST: usize = 100;

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: Option<String>,
    keys: Vec<Key>,
    /// Names of keys whose kind is not read.
    others: Vec<Option<String>>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// What it is for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a key set. One without a single key that can be used is taken for an error, not for the end of all tokens.
    pub(super) fn read(issuer: Option<String>, jwks: &[u8]) -> Result<Keys, String> {
        let set: Jwks = serde_json::from_slice(jwks).map_err(|error| format!("the key set cannot be read: {error}"))?;
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        for jwk in set.keys.into_iter().filter(|jwk| jwk.usage.as_deref().is_none_or(|usage| usage == "sig")).take(MOST)
        {
            match Material::of(&jwk) {
                Some(material) => keys.push(Key { id: jwk.kid, algorithm: jwk.alg, material }),
                None => others.push(jwk.kid),
            }
        }
        if keys.is_empty() && others.is_empty() {
            return Err("the key set holds no key".to_owned());
        }
        Ok(Keys { issuer, keys, others })
    }

    /// How many can be used.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether one of them signed the token; `None` if that takes one that is not read.
    pub(super) fn prove(&self, claimed: &Claimed<'_>, issuers: &[String]) -> Option<Result<(), Refusal>> {
        let is_known = self.issuer.as_ref().into_iter().chain(issuers).any(|issuer| *issuer == claimed.issuer);
        if !is_known {
            return Some(Err(Refusal::Issuer(claimed.issuer.chars().take(100).collect())));
        }
        let is_named = |id: &Option<String>| claimed.key.is_none() || *id == claimed.key;
        // A key without a name may be the one that the token names.
        let may_be = |id: &Option<String>| id.is_none() || is_named(id);
        if claimed.algorithm == Algorithm::Other {
            return if self.others.iter().any(may_be) { None } else { Some(Err(Refusal::UnknownKey)) };
        }
        let mut refusal = Refusal::UnknownKey;
        for key in self.keys.iter().filter(|key| may_be(&key.id)) {
            if key.signed(claimed) {
                return Some(Ok(()));
            }
            if is_named(&key.id) {
                refusal = Refusal::Signature;
            }
        }
        Some(Err(refusal))
    }
}

impl Key {
    fn signed(&self, claimed: &Claimed<'_>) -> bool {
        let algorithm = claimed.algorithm;
        if self.algorithm.as_deref().is_some_and(|name| Algorithm::of(name) != Some(algorithm)) {
            return false;
        }
        let (text, signature) = (claimed.signed, &claimed.signature);
        match (&self.material, algorithm) {
            (Material::Rsa { modulus, exponent }, Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512) => {
                let how: &RsaParameters = match algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA256,
                };
                PublicKeyComponents { n: modulus, e: exponent }.verify(how, text, signature).is_ok()
            }
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(text, signature).is_ok()
            }
            (Material::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(text, signature).is_ok()
            }
            _ => false,
        }
    }
}

impl Material {
    fn of(jwk: &Jwk) -> Option<Material> {
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            // Kept without leading zeros, which some write and ring does not read.
            ("RSA", _) => Some(Material::Rsa { modulus: number(jwk.n.as_ref()?)?, exponent: number(jwk.e.as_ref()?)? }),
            ("EC", Some("P-256")) => point(jwk, 32).map(Material::P256),
            ("EC", Some("P-384")) => point(jwk, 48).map(Material::P384),
            _ => None,
        }
    }
}

fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec())
}

/// An uncompressed point, whose coordinates have this many bytes.
fn point(jwk: &Jwk, len: usize) -> Option<Vec<u8>> {
    let mut point = vec![4];
    for coordinate in [&jwk.x, &jwk.y] {
        let bytes = URL_SAFE_NO_PAD.decode(coordinate.as_ref()?).ok()?;
        if bytes.len() != len {
            return None;
        }
        point.extend(bytes);
    }
    Some(point)
}
