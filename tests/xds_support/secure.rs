//! Servers and clients with TLS, for tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use syncgate::readiness::Readiness;
use syncgate::resource::{Parts, Resource, ResourceType as T};
use syncgate::xds::{Access, Guard, Settings, Tls, TlsFiles, Tokens};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};

use super::{GATEWAY, Served};

pub(crate) const SERVER: &str = "syncgate.example";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An authority of certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Pair {
    pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signs");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        let der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Pair { pem: certificate.pem(), key_pem: key.serialize_pem(), der: certificate.der().clone(), key: der }
    }

    pub(crate) fn server(&self) -> Pair {
        self.sign(&CertificateParams::new(vec![SERVER.to_owned()]).expect("valid"))
    }

    pub(crate) fn client(&self, uri: &str) -> Pair {
        self.sign(&named(uri))
    }

    /// A client that trusts this authority, with a certificate if it has one.
    pub(crate) fn trust(&self, certificate: Option<Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match certificate {
            Some(pair) => builder.with_client_auth_cert(vec![pair.der], pair.key).expect("a pair"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

pub(crate) fn named(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("valid");
    params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
    params
}

pub(crate) fn write(dir: &Path, pair: &Pair, authorities: &str) -> TlsFiles {
    let path = |name: &str| dir.join(name);
    for (name, text) in [("tls.crt", &*pair.pem), ("tls.key", &pair.key_pem), ("ca.crt", authorities)] {
        std::fs::write(path(name), text).expect("written");
    }
    TlsFiles { certificate: path("tls.crt"), key: path("tls.key"), client_authorities: Some(path("ca.crt")) }
}

/// A server with TLS, and the authority of its own certificate and of its clients'.
pub(crate) struct Secure {
    pub(crate) served: Served,
    pub(crate) authority: Authority,
    pub(crate) dir: tempfile::TempDir,
}

impl Secure {
    pub(crate) async fn start(access: Access) -> Secure {
        Secure::at(([127, 0, 0, 1], 0).into(), access, None).await
    }

    pub(crate) async fn at(address: SocketAddr, access: Access, tokens: Option<Arc<Tokens>>) -> Secure {
        Secure::bounded(address, access, tokens, Settings::default()).await
    }

    pub(crate) async fn bounded(
        address: SocketAddr,
        access: Access,
        tokens: Option<Arc<Tokens>>,
        settings: Settings,
    ) -> Secure {
        let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a folder"));
        let tls = Tls::load(write(dir.path(), &authority.server(), &authority.pem)).expect("usable");
        let guard = Guard { tls: Some(Arc::new(tls)), access, tokens };
        let served = Served::guarded(address, guard, settings, Readiness::new(|_| {})).await;
        served.publish([word("a", "1")]).await;
        Secure { served, authority, dir }
    }

    pub(crate) async fn with(&self, uri: &str) -> Result<Client, String> {
        let config = self.authority.trust(Some(self.authority.client(uri)));
        Client::open(secure(self.served.address, config).await?).await.map_err(|status| status.to_string())
    }
}

pub(crate) fn word(name: &str, word: &str) -> Resource {
    Resource::new(T::Cluster, name, Parts::leaf(word.to_owned()), [])
}

/// A connection with TLS on which nothing was said.
pub(crate) async fn handshake(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(SERVER).expect("a name");
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(name, tcp).await
}

pub(crate) async fn secure(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Channel, String> {
    let connector = tower::service_fn(move |_: Uri| {
        let config = config.clone();
        async move { handshake(address, config).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("valid");
    endpoint.connect_with_connector(connector).await.map_err(|error| format!("{error:?}"))
}

pub(crate) async fn plain(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("valid").connect().await.expect("connects")
}

pub(crate) struct Client {
    _send: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Client {
    pub(crate) async fn open(channel: Channel) -> Result<Client, Status> {
        Client::open_as(channel, None).await
    }

    /// With this in the header `authorization`.
    pub(crate) async fn open_as(channel: Channel, authorization: Option<&str>) -> Result<Client, Status> {
        let (send, requests) = mpsc::channel(8);
        let node = Node { id: "envoy-1".into(), cluster: GATEWAY.into(), ..Default::default() };
        let type_url = T::Cluster.type_url().to_owned();
        let first = DeltaDiscoveryRequest { node: Some(node), type_url, ..Default::default() };
        send.send(first).await.expect("open");
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let mut requests = Request::new(ReceiverStream::new(requests));
        if let Some(value) = authorization {
            requests.metadata_mut().insert("authorization", value.parse().expect("a header"));
        }
        let responses = client.delta_aggregated_resources(requests).await?.into_inner();
        Ok(Client { _send: send, responses })
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let next = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("in time")?;
        next.ok_or_else(|| Status::ok("ended"))
    }
}
