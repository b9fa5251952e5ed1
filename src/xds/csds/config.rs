//! One client as CSDS shows it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::google::protobuf::{Any, Timestamp};
use prost::Message;

use crate::resource::{Resource, ResourceType};
use crate::xds::hub::ClientView;
use crate::xds::session::{Holding, Refusal, State};

/// Larger contents are left out: no client would accept the answer.
const LARGEST: usize = 2 << 20;

/// What a client has, cut into messages of a size.
pub(super) struct Configs {
    node: Node,
    holdings: Arc<[Holding]>,
    at: usize,
    /// Messages that were made.
    made: usize,
    with_contents: bool,
}

impl Configs {
    pub(super) fn new(client: &ClientView, holdings: Arc<[Holding]>, with_contents: bool) -> Configs {
        Configs { node: client.node.node(), holdings, at: 0, made: 0, with_contents }
    }

    /// Whether the last message was not the first one.
    pub(super) fn has_begun(&self) -> bool {
        self.made > 1
    }

    /// The next message, which ends with the resource that makes it larger than `size`. There is one at least.
    pub(super) fn next(&mut self, size: usize) -> Option<ClientConfig> {
        if self.made > 0 && self.at == self.holdings.len() {
            return None;
        }
        self.made += 1;
        let mut config = ClientConfig { node: Some(self.node.clone()), ..Default::default() };
        let mut len = self.node.encoded_len();
        while let Some(holding) = self.holdings.get(self.at).filter(|_| len <= size) {
            let generic = generic(holding, self.with_contents);
            len += generic.encoded_len();
            config.generic_xds_configs.push(generic);
            self.at += 1;
        }
        Some(config)
    }
}

fn generic(holding: &Holding, with_contents: bool) -> GenericXdsConfig {
    let (server, client) = statuses(holding.state);
    let resource = holding.resource.as_deref();
    let version_info = resource.map(|resource| resource.version.to_string()).unwrap_or_default();
    GenericXdsConfig {
        type_url: holding.kind.type_url().to_owned(),
        name: holding.name.to_string(),
        xds_config: resource.filter(|_| with_contents).and_then(content),
        config_status: server.into(),
        client_status: client.into(),
        error_state: holding.refusal.as_deref().map(|refusal| error_state(refusal, &version_info)),
        version_info,
        ..Default::default()
    }
}

/// From the server's view, and the client's as far as its words tell.
fn statuses(state: State) -> (ConfigStatus, ClientResourceStatus) {
    match state {
        State::Held => (ConfigStatus::Synced, ClientResourceStatus::Acked),
        State::Sent => (ConfigStatus::Stale, ClientResourceStatus::Unknown),
        State::Behind => (ConfigStatus::Stale, ClientResourceStatus::Acked),
        State::NotSent => (ConfigStatus::NotSent, ClientResourceStatus::Requested),
        State::Missing => (ConfigStatus::NotSent, ClientResourceStatus::DoesNotExist),
        State::Refused => (ConfigStatus::Error, ClientResourceStatus::Nacked),
    }
}

/// The message, but for those of secrets: they are keys.
fn content(resource: &Resource) -> Option<Any> {
    let is_shown = resource.kind != ResourceType::Secret && resource.body.len() <= LARGEST;
    is_shown.then(|| Any { type_url: resource.kind.type_url().to_owned(), value: resource.body.to_bytes().into() })
}

fn error_state(refusal: &Refusal, version: &str) -> UpdateFailureState {
    UpdateFailureState {
        details: refusal.message.clone(),
        last_update_attempt: timestamp(refusal.at),
        version_info: version.to_owned(),
        failed_configuration: None,
    }
}

/// By the clock on the wall, for people.
fn timestamp(at: Instant) -> Option<Timestamp> {
    let then = SystemTime::now().checked_sub(at.elapsed())?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp { seconds: then.as_secs().try_into().ok()?, nanos: then.subsec_nanos().try_into().ok()? })
}
