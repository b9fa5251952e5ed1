//! Proofs, rotation, reviews and outages, with an authority that says what it is told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::reviews::{ACCEPTED, KEPT};
use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
const ISSUER: &str = "https://issuer";

struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let (how, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self { id, pair: EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap() }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    /// Of the ServiceAccount `shop/envoy`.
    fn token(&self, change: Value) -> String {
        let mut claims = json!({"iss": ISSUER, "sub": "system:serviceaccount:shop:envoy", "aud": ["syncgate"],
            "exp": now() + 600, "iat": now()});
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "ES256", "kid": self.id})), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn good(&self) -> String {
        self.token(json!({}))
    }
}

fn jwks(keys: &[&Signer]) -> Result<Bytes, String> {
    Ok(json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string().into())
}

/// Answers, and how often it was asked for them.
struct Told {
    keys: Mutex<Result<Bytes, String>>,
    review: Mutex<Result<Review, String>>,
    takes: Mutex<Duration>,
    reads: AtomicUsize,
    reviews: AtomicUsize,
    /// Reviews under way, and the most that ever were.
    running: AtomicUsize,
    most: AtomicUsize,
}

/// A review under way.
struct Running<'a>(&'a Told);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Fake(Arc<Told>);

impl Fake {
    fn new(keys: Result<Bytes, String>) -> (Self, Arc<Tokens>) {
        let user = Some("system:serviceaccount:shop:envoy".to_owned());
        let fake = Self(Arc::new(Told {
            keys: Mutex::new(keys),
            review: Mutex::new(Ok(Review { user, audiences: vec!["syncgate".to_owned()] })),
            takes: Mutex::new(Duration::from_millis(5)),
            reads: AtomicUsize::new(0),
            reviews: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }));
        let settings =
            TokenSettings { audience: "syncgate".to_owned(), issuers: Vec::new(), refresh: Duration::from_secs(300) };
        (fake.clone(), Arc::new(Tokens::new(fake, settings)))
    }

    fn asked(&self) -> (usize, usize) {
        (self.0.reads.load(Ordering::Relaxed), self.0.reviews.load(Ordering::Relaxed))
    }
}

impl Authority for Fake {
    fn keys(&self) -> Asked<'_, IssuerKeys> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let (keys, takes) = (self.0.keys.lock().unwrap().clone(), *self.0.takes.lock().unwrap());
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            Ok(IssuerKeys { issuer: Some(ISSUER.to_owned()), jwks: keys? })
        })
    }

    fn review<'a>(&'a self, _: &'a str, _: &'a str) -> Option<Asked<'a, Review>> {
        Some(Box::pin(async {
            self.0.reviews.fetch_add(1, Ordering::Relaxed);
            self.0.most.fetch_max(self.0.running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let _running = Running(&self.0);
            let (review, takes) = (self.0.review.lock().unwrap().clone(), *self.0.takes.lock().unwrap());
            tokio::time::sleep(takes).await;
            review
        }))
    }
}

#[test]
fn the_examples_of_rfc_7515_are_proven() {
    // Appendix A.2, with a zero before its modulus as some write it, and A.3; the tokens are older than what is accepted, so that their signatures alone are looked at.
    let keys = json!({"keys": [
        {"kty": "RSA", "e": "AQAB", "n": "AKH4Fgri48m0Zc6NLWViYzYrkn2-KeHwJHf8FiXMkKE244vZNJfFtupj3XcR5nx0KflWsPuKjwia3EtpiTzBMz9T7dAZuHeEJS_skU_khXdpWUvqQoDTLA9Vv2KUTxMDlrxum99uvdK9o2eO7KDGaPcBs42_-zjINCzi_m0n-t5KWkh0l53Uuc-a3sTHWwWFLCwPXvilwXUDkvlE6O1kwRDGtkdgmqR4OuucbJrXVTEwUGOLg2Zcb296gqOWcCofZBuC0-vyOSIZSR-2hocsVxb1Cvg1jZqLnRfDQHKPf4fYmhjY_KtnrYRZDC7PdZM5NjwHA01vYG-eIeBUVsrl6aE"},
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    ]});
    let keys = Keys::read(Some("joe".into()), keys.to_string().as_bytes()).unwrap();
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let proven = |algorithm, header: &str, signature: &str| {
        let signed = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (issuer, account) = ("joe".to_owned(), "a/b".into());
        keys.prove(
            &Claimed { algorithm, key: None, issuer, account, expires: 0, signed: signed.as_bytes(), signature },
            &[],
        )
    };
    use claims::Algorithm::{Es256, Es384, Rs256, Rs384};
    let rsa = (
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    let ec = (
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    assert_eq!(proven(Rs256, rsa.0, rsa.1), Some(Ok(())));
    assert_eq!(proven(Es256, ec.0, ec.1), Some(Ok(())));
    // A key takes its own kind of signature, whatever the token says.
    for (algorithm, (header, signature)) in [(Rs384, rsa), (Es256, rsa), (Rs256, ec), (Es384, ec)] {
        assert_eq!(proven(algorithm, header, signature), Some(Err(Refusal::Signature)), "{algorithm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_proven_by_keys_that_are_read_once() {
    let key = Signer::new("one");
    let (fake, tokens) = Fake::new(jwks(&[&key]));
    let all = (0..10).map(|_| {
        let (tokens, token) = (tokens.clone(), key.good());
        tokio::spawn(async move { tokens.verify(HERE, &token).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), Ok("shop/envoy".into()));
    }
    assert_eq!(fake.asked(), (1, 0), "whoever comes while keys are read shares them");
    for (change, reason) in [
        (json!({"aud": ["other"]}), "audience"),
        (json!({"exp": now() - 100}), "expired"),
        (json!({"nbf": now() + 100}), "not_yet"),
        (json!({"iss": "https://elsewhere"}), "issuer"),
        (json!({"sub": "envoy"}), "subject"),
    ] {
        assert_eq!(tokens.verify(HERE, &key.token(change)).await.unwrap_err().reason(), reason);
    }
    let forged = Signer::new("one").good();
    assert_eq!(tokens.verify(HERE, &forged).await, Err(Refusal::Signature));
    let (signed, _) = forged.rsplit_once('.').unwrap();
    assert_eq!(tokens.verify(HERE, &format!("{signed}.")).await, Err(Refusal::Signature), "none at all");
    assert_eq!(fake.asked(), (1, 0), "none of these is worth a question");
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_name_proves_tokens_that_name_one() {
    let key = Signer::new("one");
    let mut nameless = key.jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let (_, tokens) = Fake::new(Ok(json!({"keys": [nameless]}).to_string().into()));
    assert_eq!(tokens.verify(HERE, &key.good()).await, Ok("shop/envoy".into()));
    let another = tokens.verify(HERE, &Signer::new("two").good()).await;
    assert_eq!(another, Err(Refusal::UnknownKey), "it may be of a key that is still to come");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_at_once_and_unknown_ones_mean_few_questions() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let (fake, tokens) = Fake::new(jwks(&[&old]));
    assert!(tokens.verify(HERE, &old.good()).await.is_ok());
    tokio::time::sleep(AGAIN).await;
    *fake.0.keys.lock().unwrap() = jwks(&[&old, &new]);
    assert!(tokens.verify(HERE, &new.good()).await.is_ok());
    for id in ["a", "b", "c"] {
        assert_eq!(tokens.verify(HERE, &Signer::new(id).good()).await, Err(Refusal::UnknownKey));
    }
    assert_eq!(fake.asked(), (2, 0), "the keys were read a moment ago");
    // The end of a key is the end of its tokens.
    *fake.0.keys.lock().unwrap() = jwks(&[&new]);
    tokio::spawn(tokens.clone().keep_fresh());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tokens.verify(HERE, &old.good()).await, Err(Refusal::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn doubt_keeps_keys_through_an_outage() {
    let (key, unknown) = (Signer::new("one"), Signer::new("two"));
    let (fake, tokens) = Fake::new(jwks(&[&key]));
    tokio::spawn(tokens.clone().keep_fresh());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for bad in [Err("down".to_owned()), Ok("{}".into()), Ok(r#"{"keys": []}"#.into())] {
        *fake.0.keys.lock().unwrap() = bad;
        *fake.0.review.lock().unwrap() = Err("down".to_owned());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(tokens.verify(HERE, &key.good()).await, Ok("shop/envoy".into()));
        let refused = tokens.verify(HERE, &unknown.good()).await.unwrap_err();
        assert_eq!(Status::from(refused).code(), Code::Unavailable, "nothing bad is known of it");
    }
    let hours = fake.asked().0;
    assert!(hours < 60, "a source that fails is asked {hours} times in three hours");
}

#[tokio::test(start_paused = true)]
async fn without_keys_a_token_is_reviewed_once_and_its_verdict_kept() {
    let key = Signer::new("one");
    let (fake, tokens) = Fake::new(Err("forbidden".to_owned()));
    let token = key.good();
    let all = (0..10).map(|_| {
        let (tokens, token) = (tokens.clone(), token.clone());
        tokio::spawn(async move { tokens.verify(HERE, &token).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), Ok("shop/envoy".into()));
    }
    assert_eq!(fake.asked(), (1, 1));
    *fake.0.review.lock().unwrap() = Err("down".to_owned());
    tokio::time::sleep(ACCEPTED / 2).await;
    assert!(tokens.verify(HERE, &token).await.is_ok(), "what was said still counts");
    tokio::time::sleep(ACCEPTED).await;
    assert!(matches!(tokens.verify(HERE, &token).await, Err(Refusal::Unverified(_))), "and not for ever");
    // Tokens that cannot be accepted anyway are not asked about.
    let asked = fake.asked().1;
    assert_eq!(tokens.verify(HERE, &key.token(json!({"exp": now() - 100}))).await.unwrap_err().reason(), "expired");
    assert_eq!(fake.asked().1, asked);
}

#[tokio::test(start_paused = true)]
async fn a_review_has_to_be_of_this_account_and_for_us() {
    let key = Signer::new("one");
    let (fake, tokens) = Fake::new(Err("forbidden".to_owned()));
    let review =
        |user: &str, audience: &str| Review { user: Some(user.to_owned()), audiences: vec![audience.to_owned()] };
    for said in [
        Review { user: None, audiences: vec![] },
        // A server that does not know of audiences.
        Review { user: Some("system:serviceaccount:shop:envoy".to_owned()), audiences: vec![] },
        review("system:serviceaccount:shop:envoy", "other"),
        review("system:serviceaccount:shop:another", "syncgate"),
        review("system:admin", "syncgate"),
    ] {
        *fake.0.review.lock().unwrap() = Ok(said.clone());
        let fresh = key.token(json!({"jti": format!("{said:?}")}));
        assert_eq!(tokens.verify(HERE, &fresh).await, Err(Refusal::Reviewed), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bounded_reviews_keep_their_pace_and_their_number() {
    let key = Signer::new("one");
    let (fake, tokens) = Fake::new(Err("forbidden".to_owned()));
    let begun = Instant::now();
    for number in 0..100 {
        assert!(tokens.verify(HERE, &key.token(json!({"jti": number}))).await.is_ok());
    }
    assert!(begun.elapsed() >= Duration::from_millis(980), "50 at once, and 50 a second: {:?}", begun.elapsed());
    // Many at once that are not answered: so many wait, and all hear of it.
    *fake.0.takes.lock().unwrap() = Duration::from_secs(3600);
    let all = (0..200).map(|number| {
        let (tokens, token) = (tokens.clone(), key.token(json!({"jti": format!("late {number}")})));
        tokio::spawn(async move { tokens.verify(HERE, &token).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert!(matches!(one.await.unwrap(), Err(Refusal::Unverified(_))));
    }
    assert_eq!(fake.0.most.load(Ordering::Relaxed), 8, "under way");
    let reviews = Arc::new(Reviews::default());
    for number in 0..KEPT + KEPT / 2 {
        // Failures are not kept for anybody, but their place is.
        let _ = reviews.of(HERE, &number.to_string(), now() + 600, async { Err("down".to_owned()) }).await;
    }
    assert!(reviews.kept() <= KEPT);
}

#[tokio::test(start_paused = true)]
async fn bounded_a_reading_that_nobody_waits_for_is_one_all_the_same() {
    let key = Signer::new("one");
    let (fake, tokens) = Fake::new(jwks(&[&key]));
    *fake.0.takes.lock().unwrap() = Duration::from_secs(1);
    for _ in 0..100 {
        let forged = Signer::new("unknown").good();
        let _ = tokio::time::timeout(Duration::from_millis(10), tokens.verify(HERE, &forged)).await;
    }
    assert_eq!(fake.asked(), (1, 0));
    assert_eq!(tokens.verify(HERE, &key.good()).await, Ok("shop/envoy".into()), "and it came to its end");
    assert_eq!(fake.asked(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn bounded_forged_tokens_that_are_given_up_hold_up_no_others() {
    let (reviews, asked) = (Arc::new(Reviews::default()), Arc::new(AtomicUsize::new(0)));
    let of = |token: String, takes: u64| {
        let (reviews, asked) = (reviews.clone(), asked.clone());
        let ask = async move {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(takes)).await;
            Ok(true)
        };
        async move { reviews.of(HERE, &token, now() + 600, ask).await }
    };
    let mut forged = tokio::task::JoinSet::new();
    for number in 0..1000 {
        forged.spawn(tokio::time::timeout(Duration::from_millis(10), of(format!("forged {number}"), 100)));
    }
    forged.join_all().await;
    let (before, since) = (asked.load(Ordering::Relaxed), Instant::now());
    assert!(before <= 8, "{before} were asked about");
    assert_eq!(of("good".to_owned(), 5).await, Ok(()));
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    // Of those that were asked about, what was said is known.
    assert_eq!(of("forged 0".to_owned(), 0).await, Ok(()));
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
}

#[tokio::test(start_paused = true)]
async fn bounded_forged_tokens_of_one_address_hold_up_few_others() {
    let reviews = Arc::new(Reviews::default());
    let of = |address, token: String, verdict| {
        let reviews = reviews.clone();
        async move { reviews.of(address, &token, now() + 600, async move { Ok(verdict) }).await }
    };
    for number in 0..500 {
        tokio::spawn(of(HERE, format!("forged {number}"), false));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let since = Instant::now();
    assert_eq!(of(THERE, "good".to_owned(), true).await, Ok(()));
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}
