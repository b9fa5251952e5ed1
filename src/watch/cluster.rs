//! Which cluster answers: the UID of `kube-system`, which nobody recreates. A list that takes much away is believed only
//! from the same cluster: with a wrong kubeconfig, or an etcd that lost everything, it looks truthful (design §2).

use tokio::sync::OnceCell;

use super::client::Client;
use super::fault::Fault;

/// The identity of the cluster that was met first.
#[derive(Debug)]
pub(super) struct Cluster {
    client: Client,
    met: OnceCell<Option<String>>,
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

impl Cluster {
    pub(super) fn new(client: Client) -> Self {
        Self { client, met: OnceCell::new() }
    }

    /// Learns whom we talk to, before anything is believed.
    pub(super) async fn meet(&self) -> Result<(), Fault> {
        self.met.get_or_try_init(|| self.uid()).await.map(|_| ())
    }

    /// Who answers now.
    pub(super) async fn who(&self) -> Result<Who, Fault> {
        let met = self.met.get_or_try_init(|| self.uid()).await?;
        Ok(match (met, self.uid().await?) {
            (Some(met), Some(now)) if *met == now => Who::Same,
            (Some(_), Some(_)) => Who::Other,
            _ => Who::Untold,
        })
    }

    /// `None` when we may not know.
    async fn uid(&self) -> Result<Option<String>, Fault> {
        let answer = match self.client.get("/api/v1/namespaces/kube-system", "application/json").await {
            Err(Fault::Answer(status)) if status.code == 403 => return Ok(None),
            answer => answer?,
        };
        let body = answer.whole().await?;
        let tree: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| Fault::Malformed(error.to_string()))?;
        Ok(tree["metadata"]["uid"].as_str().map(str::to_owned))
    }
}
