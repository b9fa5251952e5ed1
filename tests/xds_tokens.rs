//! Tokens of ServiceAccounts on the real listener: whose are accepted, and every way in which one is not.

mod xds_support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use syncgate::app;
use syncgate::cli::{Cli, Command};
use syncgate::xds::{Access, Settings};
use tonic::{Code, Status};

use xds_support::secure::{Client, PATIENCE, Secure, plain, secure, word};
use xds_support::tokens::{ISSUER, Signer, Told, now};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Opens a stream over TLS with this token.
async fn open(server: &Secure, token: &str) -> Result<Client, Status> {
    let channel = secure(server.served.address, server.authority.trust(None)).await.expect("connects");
    Client::open_as(channel, Some(&format!("Bearer {token}"))).await
}

async fn accepted(server: &Secure, token: &str) -> Client {
    let mut client = open(server, token).await.expect("opens");
    assert_eq!(client.next().await.expect("served").resources.len(), 1);
    client
}

async fn refused(server: &Secure, token: &str) -> Status {
    open(server, token).await.err().expect("refused")
}

#[tokio::test]
async fn own_only_a_token_has_the_gateways_of_its_namespace() {
    let key = Signer::new("one");
    let access = Access { fleets: ["envoy-system/envoy".into()].into(), ..Access::default() };
    let server = Secure::at(LOOPBACK, access, Some(Told::new(Ok(key.jwks())).tokens())).await;
    for namespace in ["ns", "envoy-system"] {
        accepted(&server, &key.of(namespace)).await;
    }
    // It is on loopback, where it needs none; but who shows one is whom it says.
    let mut client = open(&server, &key.of("other")).await.expect("opens");
    let refused = client.next().await.expect_err("another namespace");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let expected =
        "the token of ServiceAccount other/envoy may not have Gateway ns/gw: it needs a ServiceAccount of the";
    assert!(refused.message().starts_with(expected), "{refused}");
}

#[tokio::test]
async fn own_only_every_other_token_is_refused_with_what_to_do() {
    let key = Signer::new("one");
    let told = Told::new(Ok(key.jwks()));
    let server = Secure::at(LOOPBACK, Access::default(), Some(told.tokens())).await;
    accepted(&server, &key.of("ns")).await;
    let good = key.of("ns");
    let (signed, _) = good.rsplit_once('.').expect("signed");
    let another = key.of("other");
    let (_, of_another) = another.rsplit_once('.').expect("signed");
    let cases = [
        (key.with(json!({"exp": now() - 90})), "the token expired 9"),
        (key.with(json!({"nbf": now() + 90})), "the token is not valid for another "),
        (key.with(json!({"exp": null})), "the token does not say when it expires: request one that does"),
        (key.with(json!({"aud": ["vault"]})), "the token is for \"vault\": request one for the audience \"syncgate\""),
        (key.with(json!({"aud": null})), "the token is for no audience: request one"),
        (key.with(json!({"iss": "https://elsewhere"})), "the token is of the issuer \"https://elsewhere\""),
        (key.with(json!({"sub": "system:node:a"})), "the token is of no ServiceAccount"),
        (key.sign(json!({"alg": "none"}), json!({})), "the token is signed by \"none\", which proves nothing"),
        (key.sign(json!({"alg": "HS256", "kid": "one"}), json!({})), "the token is signed by \"HS256\""),
        (key.sign(json!({"alg": "HS1", "kid": "one"}), json!({})), "the token is signed by \"HS1\""),
        (key.sign(json!({"alg": "RS256", "kid": "one"}), json!({})), "the signature of the token is wrong"),
        (Signer::new("one").of("ns"), "the signature of the token is wrong"),
        (format!("{signed}.{of_another}"), "the signature of the token is wrong"),
        (format!("{signed}."), "the signature of the token is wrong"),
        (Signer::new("two").of("ns"), "the token is signed with a key that its issuer does not show"),
        (key.with(json!({"jti": "x".repeat(9000)})), "the token has 1"),
        (format!("{signed}.%"), "the token is no JWT (its signature is not base64)"),
        ("opaque".to_owned(), "the token is no JWT (it has no signature)"),
        (String::new(), "the token is no JWT"),
    ];
    for (token, reason) in &cases {
        let refused = refused(&server, token).await;
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().starts_with(reason), "{refused} does not start with {reason}");
    }
    assert_eq!(told.reviews(), 0, "none of these was worth a question");
}

#[tokio::test]
async fn a_certificate_goes_before_a_token() {
    let key = Signer::new("one");
    let server = Secure::at(LOOPBACK, Access::default(), Some(Told::new(Ok(key.jwks())).tokens())).await;
    let with = async |uri: &str, token: String| {
        let config = server.authority.trust(Some(server.authority.client(uri)));
        let channel = secure(server.served.address, config).await.expect("connects");
        Client::open_as(channel, Some(&format!("Bearer {token}"))).await
    };
    let own = "spiffe://cluster.local/ns/ns/sa/envoy";
    assert!(with(own, "nonsense".to_owned()).await.expect("opens").next().await.is_ok());
    let foreign = "spiffe://cluster.local/ns/other/sa/envoy";
    let refused = with(foreign, key.of("ns")).await.expect("opens").next().await.expect_err("the certificate's");
    assert_eq!(refused.code(), Code::PermissionDenied);
    // One of a mesh, say, that names nobody we know.
    assert!(with("spiffe://mesh/workload", key.of("ns")).await.expect("opens").next().await.is_ok());
}

#[tokio::test]
async fn own_only_a_token_in_clear_text_is_refused_off_loopback() {
    let Some((key, server)) = off_loopback().await else { return };
    let bearer = format!("Bearer {}", key.of("ns"));
    let refused = Client::open_as(plain(server.served.address).await, Some(&bearer)).await.err().expect("refused");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("in clear text is not accepted off loopback"), "{refused}");
    let none = secure(server.served.address, server.authority.trust(None)).await.expect("connects");
    let refused = Client::open(none).await.err().expect("nothing is known of it");
    assert_eq!(refused.code(), Code::PermissionDenied);
    accepted(&server, &key.of("ns")).await;
}

/// A server on an address that is not loopback, and who signs its clients' tokens.
async fn off_loopback() -> Option<(Signer, Secure)> {
    let here = xds_support::off_loopback()?;
    let key = Signer::new("one");
    let tokens = Told::new(Ok(key.jwks())).tokens();
    let server = Secure::at((here, 0).into(), Access::default(), Some(tokens)).await;
    Some((key, server))
}

#[tokio::test]
async fn bounded_strangers_with_tokens_take_turns() {
    let Some((key, server)) = off_loopback().await else { return };
    // More than may be strangers at once: each is known once its token is.
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(accepted(&server, &key.of("ns")).await);
    }
}

#[tokio::test]
async fn bounded_a_service_account_has_so_many_streams_whatever_tokens_it_shows() {
    let key = Signer::new("one");
    let tokens = Told::new(Ok(key.jwks())).tokens();
    let settings = Settings { streams_per_identity: 2, ..Settings::default() };
    let server = Secure::bounded(LOOPBACK, Access::default(), Some(tokens), settings).await;
    let of = |account: &str, number: u32| {
        key.with(json!({"sub": format!("system:serviceaccount:ns:{account}"), "jti": number.to_string()}))
    };
    let (one, two) = (accepted(&server, &of("envoy", 1)).await, accepted(&server, &of("envoy", 2)).await);
    let mut third = open(&server, &of("envoy", 3)).await.expect("the token is good");
    let refused = third.next().await.expect_err("two are open");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let reason = "too many streams: ServiceAccount ns/envoy has 2 of them";
    assert!(refused.message().starts_with(reason), "{refused}");
    accepted(&server, &of("other", 4)).await;
    drop(one);
    let since = std::time::Instant::now();
    while open(&server, &of("envoy", 5)).await.expect("the token is good").next().await.is_err() {
        assert!(since.elapsed() < PATIENCE, "the place is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(two);
}

#[tokio::test]
async fn where_tokens_are_not_read_nothing_changes() {
    let key = Signer::new("one");
    let server = Secure::start(Access::default()).await;
    accepted(&server, &key.of("other")).await;
}

#[tokio::test]
async fn doubt_keeps_streams_and_keys_through_an_outage() {
    let key = Signer::new("one");
    let told = Told::new(Ok(key.jwks()));
    let server = Secure::at(LOOPBACK, Access::default(), Some(told.tokens())).await;
    let mut before = accepted(&server, &key.of("ns")).await;
    told.keys(Err("the API server is away".to_owned()));
    told.user(Err("the API server is away".to_owned()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    accepted(&server, &key.of("ns")).await;
    let unknown = refused(&server, &Signer::new("two").of("ns")).await;
    assert_eq!(unknown.code(), Code::Unavailable);
    assert!(unknown.message().starts_with("the token cannot be verified now"), "{unknown}");
    assert!(!unknown.message().contains("away"), "a stranger learns nothing of what is behind: {unknown}");
    server.served.publish([word("a", "2")]).await;
    assert!(before.next().await.is_ok(), "what is open stays");
}

#[tokio::test]
async fn a_rotated_key_is_found() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let told = Told::new(Ok(old.jwks()));
    let server = Secure::at(LOOPBACK, Access::default(), Some(told.tokens())).await;
    let mut before = accepted(&server, &old.of("ns")).await;
    told.keys(Ok(new.jwks()));
    let since = std::time::Instant::now();
    while open(&server, &new.of("ns")).await.is_err() {
        assert!(since.elapsed() < PATIENCE, "still unknown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(refused(&server, &old.of("ns")).await.code(), Code::Unauthenticated, "a key that is gone");
    server.served.publish([word("a", "2")]).await;
    assert!(before.next().await.is_ok(), "what is open stays");
}

#[tokio::test]
async fn bounded_without_keys_a_token_is_reviewed_once() {
    let key = Signer::new("one");
    let told = Told::new(Err("forbidden".to_owned()));
    let server = Secure::at(LOOPBACK, Access::default(), Some(told.tokens())).await;
    let token = key.of("ns");
    for _ in 0..10 {
        accepted(&server, &token).await;
    }
    assert_eq!(told.reviews(), 1);
    told.user(Ok(None));
    let refused = refused(&server, &key.with(json!({"jti": "another"}))).await;
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().starts_with("the API server does not accept the token"), "{refused}");
}

#[tokio::test]
async fn a_stream_outlives_its_token() {
    let key = Signer::new("one");
    let server = Secure::at(LOOPBACK, Access::default(), Some(Told::new(Ok(key.jwks())).tokens())).await;
    // Clocks may differ by a minute, of which little is left.
    let token = key.with(json!({"exp": now() - 57}));
    let mut client = accepted(&server, &token).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(refused(&server, &token).await.message().starts_with("the token expired"));
    server.served.publish([word("a", "2")]).await;
    assert!(client.next().await.is_ok(), "the age of its connection ends it");
}

#[tokio::test]
async fn keys_are_read_from_a_file_again_and_half_a_file_changes_nothing() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, old.jwks()).expect("written");
    let line = format!(
        "syncgate serve --files d --xds-tls-certificate c --xds-tls-key k --xds-token-issuer {ISSUER} --xds-token-keys {}",
        file.display()
    );
    let Command::Serve(args) = Cli::try_parse_from(line.split(' ')).expect("valid").command else { panic!("serve") };
    let tokens = app::tokens::verifier(&args.validate().expect("valid").xds, None);
    assert!(tokens.is_some());
    let server = Secure::at(LOOPBACK, Access::default(), tokens).await;
    accepted(&server, &old.of("ns")).await;
    std::fs::write(&file, &new.jwks()[..40]).expect("written");
    tokio::time::sleep(Duration::from_secs(6)).await;
    accepted(&server, &old.of("ns")).await;
    std::fs::write(&file, new.jwks()).expect("written");
    let since = std::time::Instant::now();
    while open(&server, &new.of("ns")).await.is_err() {
        assert!(since.elapsed() < PATIENCE, "still the old key");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(open(&server, &old.of("ns")).await.is_err());
}
