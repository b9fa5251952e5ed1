//! Requests to Envoy, each over a connection of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::backend;
use crate::bed::Bed;

/// No answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many requests shares are counted over.
const REQUESTS: u32 = 400;

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Map<String, Value>,
    /// What the backend said, if one was asked.
    pub(crate) backend: Value,
    /// Whose certificate was shown.
    pub(crate) certificate: Option<String>,
}

/// A request as a line: `[METHOD] [@port] [sni=name] host/path [header:value …]`.
#[derive(Debug)]
struct Line<'l> {
    method: &'l str,
    port: u16,
    sni: Option<&'l str>,
    host: &'l str,
    path: &'l str,
    headers: Vec<(&'l str, &'l str)>,
}

fn parse(line: &str) -> Line<'_> {
    let mut parsed = Line { method: "GET", port: 80, sni: None, host: "", path: "/", headers: Vec::new() };
    for word in line.split_whitespace() {
        if parsed.path != "/" || !parsed.host.is_empty() {
            parsed.headers.push(word.split_once(':').expect("a header is `name:value`"));
        } else if let Some(port) = word.strip_prefix('@') {
            parsed.port = port.parse().expect("a port");
        } else if let Some(name) = word.strip_prefix("sni=") {
            parsed.sni = Some(name);
        } else if let Some(slash) = word.find('/') {
            (parsed.host, parsed.path) = word.split_at(slash);
        } else {
            parsed.method = word;
        }
    }
    parsed
}

/// Sends the request of this line to the Gateway of a scene.
pub(crate) async fn ask(bed: &Bed, scene: &str, line: &str) -> Answer {
    let parsed = parse(line);
    let address = bed.listener(scene, parsed.port);
    let send = async {
        let stream = TcpStream::connect(address).await.expect("Envoy listens");
        let Some(name) = parsed.sni else { return send(stream, &parsed).await };
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls()));
        match connector.connect(name, stream).await {
            Err(_) => Answer::default(),
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| bed.whose(&chain[0]));
                Answer { certificate: shown, ..send(stream, &parsed).await }
            }
        }
    };
    tokio::time::timeout(PATIENCE, send).await.unwrap_or_else(|_| panic!("no answer to {line}"))
}

async fn send(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, line: &Line<'_>) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let uri: Uri = line.path.parse().expect("a path");
    let mut request = Request::builder().method(line.method).uri(uri).header("host", line.host);
    for (name, value) in &line.headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).expect("a request")).await;
    let (head, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: backend::headers(&head.headers),
        backend: serde_json::from_slice(&body).unwrap_or_default(),
        certificate: None,
    }
}

/// The share of each backend in the answers to many of the same request; of errors by their status.
pub(crate) async fn count(bed: &Bed, scene: &str, line: &str) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for _ in 0..REQUESTS {
        let answer = ask(bed, scene, line).await;
        let who = answer.backend["backend"].as_str().map_or_else(|| answer.status.to_string(), str::to_owned);
        *counts.entry(who).or_default() += 1.0 / f64::from(REQUESTS);
    }
    counts
}

/// Takes every certificate: which one is shown is what is asked.
fn tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").dangerous();
    builder.with_custom_certificate_verifier(Arc::new(TakesAll)).with_no_client_auth()
}

#[derive(Debug)]
struct TakesAll;

impl ServerCertVerifier for TakesAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
