//! Which APIs the server has, by its discovery: asked a few times a second at most for each kind, however many sources look for it.
//! (500 namespaces that each looked for a CRD that is not installed would use up everything that may be asked.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::fault::Fault;
use super::once::Once;
use super::target::{self, api, versions};
use crate::model::Kind;

/// For how long an answer holds.
const HOLDS: Duration = Duration::from_millis(400);

/// What discovery says of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// It is there, in this one of the [`versions`] that we read.
    In(usize),
    /// It is in none of them.
    Nowhere,
}

/// Asks discovery for all sources.
#[derive(Debug)]
pub(super) struct Apis {
    client: Client,
    kinds: Mutex<BTreeMap<Kind, Arc<Once<Served>>>>,
}

impl Apis {
    pub(super) fn new(client: Client) -> Self {
        Self { client, kinds: Mutex::default() }
    }

    /// Where a kind is served, a moment ago at most.
    ///
    /// # Errors
    /// Discovery does not answer, or not this one's question: whether the kind is there is then not known.
    pub(super) async fn of(&self, kind: Kind) -> Result<Served, Fault> {
        let once = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default().clone();
        let since = Instant::now().checked_sub(HOLDS).unwrap_or_else(Instant::now);
        once.ask(since, async || self.look(kind).await).await
    }

    async fn look(&self, kind: Kind) -> Result<Served, Fault> {
        for (at, version) in versions(kind).iter().enumerate() {
            if self.has(kind, version).await? {
                return Ok(Served::In(at));
            }
        }
        Ok(Served::Nowhere)
    }

    async fn has(&self, kind: Kind, version: &str) -> Result<bool, Fault> {
        let answer = match self.client.get(&api(kind, version), "application/json").await {
            Err(Fault::Answer(status)) if status.code == 404 => return Ok(false),
            answer => answer?,
        };
        let body = answer.whole().await?;
        let tree: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| Fault::Malformed(error.to_string()))?;
        let resources = tree["resources"].as_array();
        let resources = resources.ok_or_else(|| Fault::Malformed("discovery without `resources`".to_owned()))?;
        Ok(resources.iter().any(|resource| resource["name"] == target::plural(kind)))
    }
}
