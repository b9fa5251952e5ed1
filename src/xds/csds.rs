//! CSDS: each connected client with each resource that it wants or has, and how far that is (rule 36).
//!
//! Meant for the admin listener alone: it shows more than one's own. What a client has its own stream is asked for, so
//! a fleet is never copied: answers are made client by client, as fast as whoever asked reads them.
//!
//! Invariants: no content of a secret is shown, and no answer is larger than gRPC clients accept by default (`bounded`).

mod config;
mod matching;

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ClientStatusRequest, ClientStatusResponse};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use self::config::Configs;
use self::matching::Matcher;
use super::hub::{ClientView, Hub, Which};
use crate::xds::session::Holding;

/// How long a stream may take to say what its client has: it may be writing to one that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Clients that are asked at once.
const AT_ONCE: usize = 16;

/// The size at which a streamed answer is cut, in bytes.
const PART: usize = 1 << 20;

/// The most that one answer may have, in bytes: gRPC clients accept 4 MiB unless they are told otherwise.
const MOST: usize = 4_000_000;

/// The largest question, in bytes: decoded it may take a hundred times as much. An Envoy's whole node has some 60 kB.
const LARGEST_REQUEST: usize = 256 << 10;

/// The service over the clients of `hub`.
#[must_use]
pub fn client_status(hub: Arc<Hub>) -> ClientStatusDiscoveryServiceServer<ClientStatus> {
    ClientStatusDiscoveryServiceServer::new(ClientStatus { hub }).max_decoding_message_size(LARGEST_REQUEST)
}

/// See the module.
#[derive(Debug)]
pub struct ClientStatus {
    hub: Arc<Hub>,
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = ReceiverStream<Result<ClientStatusResponse, Status>>;

    /// Each request is answered by one response or more; a client with many resources comes in several configs.
    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (answers, stream) = mpsc::channel(1);
        let (mut requests, hub) = (request.into_inner(), self.hub.clone());
        tokio::spawn(async move {
            let ended = loop {
                match requests.message().await {
                    Ok(Some(request)) => match answer(&hub, request, &answers).await {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(status) => break status,
                    },
                    Ok(None) => return,
                    Err(status) => break status,
                }
            };
            // Fails if nobody listens any more.
            let _ = answers.send(Err(ended)).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    /// One response with everything, if it is not too large.
    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        let mut walk = Walk::new(self.hub.clone(), request.into_inner())?;
        let mut response = ClientStatusResponse::default();
        let mut len = 0;
        while let Some(config) = walk.next().await {
            len += config.encoded_len();
            if len > MOST {
                return Err(Status::resource_exhausted(format!(
                    "more than {MOST} bytes: name fewer clients in node_matchers, set exclude_resource_contents, or use \
                     StreamClientStatus"
                )));
            }
            // One client in one config, as everyone expects of one response.
            match response.config.last_mut().filter(|_| walk.continues) {
                Some(last) => last.generic_xds_configs.extend(config.generic_xds_configs),
                None => response.config.push(config),
            }
        }
        Ok(Response::new(response))
    }
}

/// Writes the answers to one request. Says whether anyone listens still.
async fn answer(
    hub: &Arc<Hub>,
    request: ClientStatusRequest,
    answers: &mpsc::Sender<Result<ClientStatusResponse, Status>>,
) -> Result<bool, Status> {
    let mut walk = Walk::new(hub.clone(), request)?;
    let (mut part, mut len) = (ClientStatusResponse::default(), 0);
    while let Some(config) = walk.next().await {
        let size = config.encoded_len();
        if len + size > PART && !part.config.is_empty() {
            if answers.send(Ok(std::mem::take(&mut part))).await.is_err() {
                return Ok(false);
            }
            len = 0;
        }
        len += size;
        part.config.push(config);
    }
    Ok(answers.send(Ok(part)).await.is_ok())
}

/// Goes through the clients that a request matches.
struct Walk {
    hub: Arc<Hub>,
    matcher: Matcher,
    with_contents: bool,
    /// The stream that was looked at last.
    after: u64,
    asked: std::collections::VecDeque<(ClientView, Arc<[Holding]>)>,
    open: Option<Configs>,
    /// Whether the last config goes on with the client of the one before.
    continues: bool,
}

impl Walk {
    fn new(hub: Arc<Hub>, request: ClientStatusRequest) -> Result<Walk, Status> {
        let matcher = Matcher::new(request.node_matchers)?;
        let with_contents = !request.exclude_resource_contents;
        Ok(Walk { hub, matcher, with_contents, after: 0, asked: Default::default(), open: None, continues: false })
    }

    /// The next config: a client, or more of one with many resources.
    async fn next(&mut self) -> Option<ClientConfig> {
        loop {
            if let Some(config) = self.open.as_mut().and_then(|open| open.next(PART)) {
                self.continues = self.open.as_ref().is_some_and(Configs::has_begun);
                return Some(config);
            }
            if self.asked.is_empty() && !self.ask().await {
                return None;
            }
            let next = self.asked.pop_front();
            self.open = next.map(|(client, holdings)| Configs::new(&client, holdings, self.with_contents));
        }
    }

    /// Asks the next few clients what they have. False if there are no more.
    async fn ask(&mut self) -> bool {
        let page = self.hub.page(self.after, AT_ONCE, &Which::default());
        let Some(last) = page.last() else { return false };
        self.after = last.stream;
        let matching = page.into_iter().filter(|client| self.matcher.matches(client));
        let questions: Vec<_> = matching.map(|client| (self.hub.ask(client.stream), client)).collect();
        let patience = Instant::now() + PATIENCE;
        for (answer, client) in questions {
            // Who ended meanwhile is no client any more.
            let Some(answer) = answer else { continue };
            match tokio::time::timeout_at(patience, answer).await {
                Ok(Ok(holdings)) => self.asked.push_back((client, holdings)),
                Ok(Err(_)) => {}
                // It is shown without resources: nothing is known of them.
                Err(_) => self.asked.push_back((client, Arc::new([]))),
            }
        }
        true
    }
}
