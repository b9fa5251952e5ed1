//! Tokens of ServiceAccounts, and who vouches for them, for tests.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use syncgate::xds::{Asked, Authority, IssuerKeys, Review, TokenSettings, Tokens};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// A key that signs tokens.
pub(crate) struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(id: &'static str) -> Self {
        let (how, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).expect("a key");
        Self { id, pair: EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).expect("a key") }
    }

    /// A key set of this one key.
    pub(crate) fn jwks(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let key = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
        json!({"keys": [key]}).to_string()
    }

    /// A token of the ServiceAccount `<namespace>/envoy`.
    pub(crate) fn of(&self, namespace: &str) -> String {
        self.with(json!({"sub": format!("system:serviceaccount:{namespace}:envoy")}))
    }

    /// A token of `ns/envoy` with these claims instead.
    pub(crate) fn with(&self, change: Value) -> String {
        self.sign(json!({"alg": "ES256", "kid": self.id}), change)
    }

    /// The same with another header.
    pub(crate) fn sign(&self, header: Value, change: Value) -> String {
        let mut claims = json!({"iss": ISSUER, "sub": "system:serviceaccount:ns:envoy", "aud": ["syncgate"],
            "exp": now() + 600, "nbf": now(), "iat": now()});
        claims.as_object_mut().expect("a map").extend(change.as_object().expect("a map").clone());
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// In seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Says what it is told: keys, and of whom tokens are.
#[derive(Clone)]
pub(crate) struct Told(Arc<Mutex<Answers>>);

struct Answers {
    keys: Result<String, String>,
    user: Result<Option<String>, String>,
    reviews: usize,
}

impl Told {
    pub(crate) fn new(keys: Result<String, String>) -> Self {
        let user = Ok(Some("system:serviceaccount:ns:envoy".to_owned()));
        Self(Arc::new(Mutex::new(Answers { keys, user, reviews: 0 })))
    }

    /// What proves tokens by its word.
    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        let (audience, issuers) = ("syncgate".to_owned(), vec![]);
        let settings = TokenSettings { audience, issuers, refresh: Duration::from_millis(100) };
        Arc::new(Tokens::new(self.clone(), settings))
    }

    pub(crate) fn keys(&self, keys: Result<String, String>) {
        self.0.lock().expect("whole").keys = keys;
    }

    pub(crate) fn user(&self, user: Result<Option<String>, String>) {
        self.0.lock().expect("whole").user = user;
    }

    /// How many reviews there were.
    pub(crate) fn reviews(&self) -> usize {
        self.0.lock().expect("whole").reviews
    }
}

impl Authority for Told {
    fn keys(&self) -> Asked<'_, IssuerKeys> {
        let keys = self.0.lock().expect("whole").keys.clone();
        Box::pin(async { Ok(IssuerKeys { issuer: Some(ISSUER.to_owned()), jwks: keys?.into() }) })
    }

    fn review<'a>(&'a self, _: &'a str, audience: &'a str) -> Option<Asked<'a, Review>> {
        Some(Box::pin(async move {
            let mut answers = self.0.lock().expect("whole");
            answers.reviews += 1;
            Ok(Review { user: answers.user.clone()?, audiences: vec![audience.to_owned()] })
        }))
    }
}
