//! Which cluster answers: the UID of `kube-system`, which nobody recreates. With a wrong kubeconfig, or an etcd that lost
//! everything, what another cluster says looks truthful (design §2). So whenever something broke, this is asked before anything is
//! believed again, whatever it would take away.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::client::Client;
use super::fault::Fault;
use super::once::Once;

/// Why nothing is believed of another cluster, and what to do.
pub(super) const ANOTHER: &str = "the API server answers for another cluster (its namespace kube-system has another UID); what was known stays in effect: mend \
     the address or the backup, or restart syncgate if this is meant";
/// One object: an answer that takes longer will not come, and all sources wait for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Doubts that come within this time of each other have one cause.
const ONE_CAUSE: Duration = Duration::from_secs(60);

/// The identity of the cluster that was met first.
#[derive(Debug)]
pub(super) struct Cluster {
    client: Client,
    /// Its UID. It stays unknown as long as the right to read it is missing.
    met: OnceCell<String>,
    answering: Once<Who>,
    /// It was said that another cluster answers, and that the right is missing.
    said: std::sync::Mutex<Said>,
    /// When a list was doubted last.
    doubted: std::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Said {
    other: bool,
    untold: bool,
}

/// What is known of who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The cluster that was met first.
    Same,
    /// Another one.
    Other,
    /// The right to read `kube-system` is missing.
    Untold,
}

/// What the server says of `kube-system`.
enum Identity {
    Uid(String),
    Missing,
    Untold,
}

impl Cluster {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            met: OnceCell::new(),
            answering: Once::default(),
            said: std::sync::Mutex::default(),
            doubted: std::sync::Mutex::default(),
        }
    }

    /// Learns whom we talk to, before anything is believed.
    pub(super) async fn meet(&self) -> Result<(), Fault> {
        match self.ask().await? {
            Who::Other => Err(Fault::Malformed("it has no namespace kube-system yet".to_owned())),
            Who::Same | Who::Untold => Ok(()),
        }
    }

    /// Who answers. Answers that others asked for after `since` count.
    pub(super) async fn who(&self, since: Instant) -> Result<Who, Fault> {
        self.answering.ask(since, async || self.ask().await).await
    }

    async fn ask(&self) -> Result<Who, Fault> {
        let who = match self.identity().await? {
            // Who may be known from now on, was not before: the right came late.
            Identity::Uid(uid) if self.met.get_or_init(async || uid.clone()).await == &uid => Who::Same,
            Identity::Uid(_) | Identity::Missing => Who::Other,
            Identity::Untold => Who::Untold,
        };
        self.say(who);
        Ok(who)
    }

    fn say(&self, who: Who) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match who {
            // Before anybody was met, the cluster is only just being made.
            Who::Other if !said.other && self.met.initialized() => {
                said.other = true;
                warn!(reason = ANOTHER, "another cluster answers");
            }
            Who::Same if said.other => {
                said.other = false;
                info!("the cluster that was met first answers again");
            }
            Who::Untold if !said.untold => {
                said.untold = true;
                info!(
                    "no right to get the Namespace kube-system: another cluster that answers at this address would not be noticed; \
                     grant get on it by resourceNames in a ClusterRole"
                );
            }
            Who::Same | Who::Other | Who::Untold => {}
        }
    }

    /// Notes that a list is doubted, and says whether that is worth a word.
    pub(super) fn is_doubted_anew(&self) -> bool {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.replace(Instant::now()).is_none_or(|last| last.elapsed() >= ONE_CAUSE)
    }

    async fn identity(&self) -> Result<Identity, Fault> {
        let asked = timeout(PATIENCE, async {
            self.client.get("/api/v1/namespaces/kube-system", "application/json").await?.whole().await
        });
        let body = match asked.await.map_err(|_| Fault::Silent(PATIENCE))? {
            Err(Fault::Answer(status)) if status.code == 403 => return Ok(Identity::Untold),
            Err(Fault::Answer(status)) if status.code == 404 => return Ok(Identity::Missing),
            body => body?,
        };
        let tree: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| Fault::Malformed(error.to_string()))?;
        let uid = tree["metadata"]["uid"].as_str();
        uid.map(|uid| Identity::Uid(uid.to_owned()))
            .ok_or_else(|| Fault::Malformed("a Namespace without a UID".to_owned()))
    }
}
