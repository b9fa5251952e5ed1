//! Plans over the years, and whether who trusts what trusts what is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::plan::{AUTHORITY_KEY, BUNDLE, CLIENT, CROSS, Plan, SERVER, plan};
use super::*;

type Files = BTreeMap<String, Vec<u8>>;

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const URI: &str = "spiffe://cluster.local/ns/shop/sa/envoy";

fn wish() -> Wish {
    let dns = vec!["syncgate.system".to_owned(), "127.0.0.1".to_owned()];
    Wish { dns, client: Some(URI.to_owned()), life: DAY * 90, authority_life: YEAR * 10 }
}

/// Does what is due at that time.
fn run(files: &mut Files, now: SystemTime, wish: &Wish) -> Plan {
    let plan = plan(now, files, wish).unwrap();
    for (name, bytes) in &plan.files {
        files.insert((*name).to_owned(), bytes.clone());
    }
    files.retain(|_, bytes| !bytes.is_empty());
    plan
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap()
}

/// Whether who has this bundle trusts these files, as a client and as a server.
fn trusts(bundle: &[u8], files: &Files, now: SystemTime) -> [bool; 2] {
    let mut roots = RootCertStore::empty();
    certificates(bundle).into_iter().for_each(|root| roots.add(root).unwrap());
    let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build().unwrap();
    let client = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
    let [own, theirs] = [SERVER, CLIENT].map(|[chain, _]| certificates(&files[chain]));
    let name = ServerName::try_from("syncgate.system").unwrap();
    [
        server.verify_server_cert(&own[0], &own[1..], &name, &[], now).is_ok(),
        client.verify_client_cert(&theirs[0], &theirs[1..], now).is_ok(),
    ]
}

#[test]
fn what_is_whole_is_kept_and_what_is_due_is_renewed() {
    let (mut files, start) = (Files::new(), SystemTime::now());
    let first = run(&mut files, start, &wish());
    assert_eq!(first.files.len(), 6, "{:?}", first.said);
    assert_eq!(trusts(&files[BUNDLE], &files, start), [true, true]);
    let due = first.next.unwrap().duration_since(start).unwrap();
    assert!(due > DAY * 59 && due < DAY * 61, "two thirds of its life: {due:?}");
    let again = run(&mut files, start + DAY * 59, &wish());
    assert!(again.files.is_empty(), "{:?}", again.said);
    let before = files.clone();
    let renewed = run(&mut files, start + DAY * 61, &wish());
    assert_eq!(renewed.files.len(), 4, "both pairs, and no authority: {:?}", renewed.said);
    assert_eq!((&before[BUNDLE], &before[AUTHORITY_KEY]), (&files[BUNDLE], &files[AUTHORITY_KEY]));
    assert!(before[SERVER[1]] != files[SERVER[1]]);
}

#[test]
fn an_older_authority_is_trusted_as_long_as_anything_of_it_is_valid() {
    let (mut files, start) = (Files::new(), SystemTime::now());
    run(&mut files, start, &wish());
    let old = files.clone();
    // Less than a third of ten years is left.
    let rotation = start + YEAR * 10 * 2 / 3 + DAY;
    run(&mut files, rotation - DAY * 2, &wish());
    let before = files.clone();
    let rotated = run(&mut files, rotation, &wish());
    assert!(rotated.said[0].contains("new authority"), "{:?}", rotated.said);
    assert_eq!(certificates(&files[BUNDLE]).len(), 2);
    assert_eq!(trusts(&files[BUNDLE], &before, rotation), [true, true], "what the old one signed");
    assert_eq!(trusts(&files[BUNDLE], &files, rotation), [true, true]);
    assert_eq!(trusts(&old[BUNDLE], &files, rotation), [true, true], "who has read the old bundle alone");
    // Renewals go on to carry the older one's word.
    run(&mut files, rotation + DAY * 61, &wish());
    assert_eq!(trusts(&old[BUNDLE], &files, rotation + DAY * 61), [true, true]);
    let later = rotation + DAY * 399;
    run(&mut files, later, &wish());
    assert_eq!(certificates(&files[BUNDLE]).len(), 1, "nothing that it signed is valid");
    assert_eq!(trusts(&files[BUNDLE], &files, later), [true, true]);
    let over = start + YEAR * 10 + DAY;
    run(&mut files, over, &wish());
    assert!(!files.contains_key(CROSS));
    assert_eq!(certificates(&files[SERVER[0]]).len(), 1);
    assert_eq!(trusts(&files[BUNDLE], &files, over), [true, true]);
}

#[test]
fn what_does_not_fit_is_made_anew() {
    let start = SystemTime::now();
    let mut whole = Files::new();
    run(&mut whole, start, &wish());
    let mended = |change: &dyn Fn(&mut Files)| {
        let mut files = whole.clone();
        change(&mut files);
        let plan = run(&mut files, start, &wish());
        assert_eq!(trusts(&files[BUNDLE], &files, start), [true, true], "{:?}", plan.said);
        assert!(run(&mut files, start, &wish()).files.is_empty(), "and then kept");
        plan.files.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    };
    let key_of_client = whole[CLIENT[1]].clone();
    assert_eq!(mended(&|files| drop(files.insert("tls.key".into(), key_of_client.clone()))), SERVER);
    assert_eq!(mended(&|files| drop(files.insert("tls.crt".into(), b"nonsense".to_vec()))), SERVER);
    assert_eq!(mended(&|files| drop(files.remove("client.key"))), CLIENT);
    assert_eq!(
        mended(&|files| drop(files.remove(AUTHORITY_KEY))).len(),
        6,
        "an authority without its key is one before"
    );
    let more = Wish { dns: vec!["other".to_owned()], ..wish() };
    let names: Vec<_> = run(&mut whole.clone(), start, &more).files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, SERVER);
    assert!(plan(start, &whole, &Wish { dns: vec!["nö".to_owned()], ..wish() }).is_err());
    assert!(plan(start, &whole, &Wish { client: Some("envoy".to_owned()), ..wish() }).is_err());
}
