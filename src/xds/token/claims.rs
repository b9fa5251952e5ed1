//! What a token says of itself, before anything of it is proven: its form, its time and its audience.
//!
//! All of it is looked at first, so that a token that can never be accepted costs no signature, no reading of keys and no review.

use arcstr::ArcStr;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Refusal;

/// The longest token that is read. Those of ServiceAccounts have about 1 KiB.
pub(super) const MAX_TOKEN: usize = 8 << 10;
/// By how much clocks may differ; the API server itself allows as much.
const LEEWAY: u64 = 60;
/// The subject of a ServiceAccount, and its user's name in a review.
const PREFIX: &str = "system:serviceaccount:";

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA with PKCS #1 v1.5, and SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// One that takes a key which is not read here; a review may tell.
    Other,
}

impl Algorithm {
    /// Whatever is not on this list is refused; `none` and shared secrets above all.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "ES512" | "PS256" | "PS384" | "PS512" | "EdDSA" => Some(Self::Other),
            _ => None,
        }
    }
}

/// A token as it describes itself. No `Debug`: it holds the signature.
pub(super) struct Claimed<'t> {
    pub(super) algorithm: Algorithm,
    /// Which key it was signed with.
    pub(super) key: Option<String>,
    pub(super) issuer: String,
    /// The ServiceAccount, as `<namespace>/<name>`.
    pub(super) account: ArcStr,
    /// In seconds since 1970.
    pub(super) expires: u64,
    /// What is signed.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that one has to understand. There are none that we do.
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    aud: Option<Audience>,
    /// Times may have fractions.
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Reads a token at the time `now`, which has to be for `audience`.
pub(super) fn read<'t>(token: &'t str, audience: &str, now: u64) -> Result<Claimed<'t>, Refusal> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::TooLong(token.len()));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed("it has no signature"))?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed("it has not three parts"))?;
    let header: Header = part(header).ok_or(Refusal::Malformed("its header cannot be read"))?;
    let Some(algorithm) = Algorithm::of(&header.alg) else { return Err(Refusal::Algorithm(short(&header.alg))) };
    if header.crit.is_some() {
        return Err(Refusal::Malformed("its header demands extensions"));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed("its signature is not base64"))?;
    let payload: Payload = part(payload).ok_or(Refusal::Malformed("its claims cannot be read"))?;
    let account = account(&payload.sub).ok_or(Refusal::Subject)?;
    for_us(payload.aud, audience)?;
    let expires = in_time(payload.exp, payload.nbf, payload.iat, now)?;
    Ok(Claimed {
        algorithm,
        key: header.kid,
        issuer: payload.iss,
        account,
        expires,
        signed: signed.as_bytes(),
        signature,
    })
}

/// `system:serviceaccount:<namespace>:<name>` as `<namespace>/<name>`.
pub(super) fn account(user: &str) -> Option<ArcStr> {
    let (namespace, name) = user.strip_prefix(PREFIX)?.split_once(':')?;
    let is_name = |text: &str| {
        let is_of_names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        !text.is_empty() && text.len() <= 253 && text.bytes().all(is_of_names)
    };
    (is_name(namespace) && is_name(name)).then(|| arcstr::format!("{namespace}/{name}"))
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn for_us(found: Option<Audience>, expected: &str) -> Result<(), Refusal> {
    let found = match found {
        None => Vec::new(),
        Some(Audience::One(one)) => vec![one],
        Some(Audience::Many(many)) => many,
    };
    if found.iter().any(|audience| audience == expected) {
        return Ok(());
    }
    let said: Vec<String> = found.iter().take(3).map(|audience| format!("{:?}", short(audience))).collect();
    let found = if said.is_empty() { "no audience".to_owned() } else { said.join(", ") };
    Err(Refusal::Audience { found, expected: expected.to_owned() })
}

/// When it expires, if it has not, and has begun.
fn in_time(exp: Option<f64>, nbf: Option<f64>, iat: Option<f64>, now: u64) -> Result<u64, Refusal> {
    // Saturates: what is negative is long over.
    let expires = exp.ok_or(Refusal::Endless)? as u64;
    if expires.saturating_add(LEEWAY) <= now {
        return Err(Refusal::Expired(now - expires));
    }
    let begins = [nbf, iat].into_iter().flatten().fold(0.0, f64::max) as u64;
    if begins > now.saturating_add(LEEWAY) {
        return Err(Refusal::NotYet(begins - now));
    }
    Ok(expires)
}

/// A client says as much as it likes; an error holds the beginning of it.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_000_000;

    fn token(header: &Value, payload: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.{}", part(header), part(payload), URL_SAFE_NO_PAD.encode("signature"))
    }

    fn good() -> (Value, Value) {
        let payload = json!({"iss": "https://issuer", "sub": "system:serviceaccount:shop:envoy", "aud": ["syncgate"],
            "exp": NOW + 600, "nbf": NOW, "iat": NOW});
        (json!({"alg": "ES256", "kid": "one"}), payload)
    }

    fn with(change: impl FnOnce(&mut Value, &mut Value)) -> Result<ArcStr, Refusal> {
        let (mut header, mut payload) = good();
        change(&mut header, &mut payload);
        read(&token(&header, &payload), "syncgate", NOW).map(|claimed| claimed.account)
    }

    #[test]
    fn a_good_token_is_of_its_account() {
        assert_eq!(with(|_, _| {}), Ok("shop/envoy".into()));
        assert_eq!(with(|_, payload| payload["aud"] = json!("syncgate")), Ok("shop/envoy".into()));
        assert_eq!(with(|_, payload| payload["exp"] = json!(NOW as f64 + 0.5)), Ok("shop/envoy".into()));
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        assert!(with(|_, payload| payload["exp"] = json!(NOW - 59)).is_ok());
        assert_eq!(with(|_, payload| payload["exp"] = json!(NOW - 60)), Err(Refusal::Expired(60)));
        assert_eq!(with(|_, payload| payload["exp"] = json!(-5)), Err(Refusal::Expired(NOW)));
        assert!(with(|_, payload| payload["nbf"] = json!(NOW + 60)).is_ok());
        for begin in ["nbf", "iat"] {
            assert_eq!(with(|_, payload| payload[begin] = json!(NOW + 61)), Err(Refusal::NotYet(61)));
        }
    }

    #[test]
    fn what_cannot_be_accepted_is_refused_unproven() {
        for alg in ["none", "None", "HS256", "RS1", ""] {
            assert_eq!(with(|header, _| header["alg"] = json!(alg)), Err(Refusal::Algorithm(alg.to_owned())));
        }
        let endless = with(|_, payload| {
            payload.as_object_mut().unwrap().remove("exp");
        });
        assert_eq!(endless, Err(Refusal::Endless));
        for subject in [
            "",
            "envoy",
            "system:serviceaccount:shop",
            "system:serviceaccount:shop:a:b",
            "system:serviceaccount:../x:y",
        ] {
            assert_eq!(with(|_, payload| payload["sub"] = json!(subject)), Err(Refusal::Subject), "{subject}");
        }
        for audience in [json!([]), json!("other"), json!(["https://kubernetes.default.svc"]), Value::Null] {
            let refused = with(|_, payload| payload["aud"] = audience).unwrap_err();
            assert!(matches!(refused, Refusal::Audience { .. }), "{refused}");
        }
        assert!(matches!(with(|header, _| header["crit"] = json!(["b64"])), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let (header, payload) = good();
        let good = token(&header, &payload);
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "....",
            &good[1..],
            &good.replace('.', ""),
            &format!("{good}!"),
            &format!("{good}.x"),
        ] {
            assert!(matches!(read(text, "syncgate", NOW), Err(Refusal::Malformed(_))), "{text}");
        }
        let long = "x".repeat(MAX_TOKEN + 1);
        assert_eq!(read(&long, "syncgate", NOW).err(), Some(Refusal::TooLong(MAX_TOKEN + 1)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(header: String, payload: String, times: [f64; 3], text: String) {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let _ = read(&text, "syncgate", NOW);
            let _ = read(&format!("{}.{}.{text}", part(&header), part(&payload)), "syncgate", NOW);
            let [exp, nbf, iat] = times;
            let _ = with(|_, payload| (payload["exp"], payload["nbf"], payload["iat"]) = (json!(exp), json!(nbf), json!(iat)));
        }
    }
}
