//! Where the configuration comes from: a folder, or Kubernetes.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::sync::watch as channel;

use super::shutdown::Shutdown;
use crate::{
    config::{KubernetesConfig, OnBrokenFile, OnEmptySelection, OnRevoked, Watched},
    files::{self, FilesConfig, Findings},
    ingest,
    model::Wants,
    readiness::{Layer, Readiness},
    watch::{Client, EmptySelection, Limits, Origin, Policy, Scopes, Selection, Settings, Watch},
};

/// How the folder is read.
#[must_use]
pub fn files(dir: &Path, on_broken: OnBrokenFile, rescan: Duration) -> FilesConfig {
    let on_broken = match on_broken {
        OnBrokenFile::Fail => files::OnBrokenFile::Wait,
        OnBrokenFile::Skip => files::OnBrokenFile::Skip,
    };
    FilesConfig { dir: dir.to_owned(), on_broken, rescan }
}

/// The folder as a source of deltas.
pub fn read(
    config: FilesConfig,
    readiness: &Readiness,
    deltas: ingest::Sender,
    findings: channel::Sender<Arc<Findings>>,
    shutdown: &Shutdown,
) -> impl Future<Output = ()> + Send + use<> {
    let part = readiness.register(Layer::Source, files::SOURCE);
    files::run(config, move |delta| deltas.send(delta), part, findings, shutdown.over())
}

/// Whom to ask. Asks nothing yet: an API server that is not there is waited for.
///
/// # Errors
/// A configuration that is not there or cannot be used.
pub async fn client(config: &KubernetesConfig) -> anyhow::Result<Client> {
    let origin = Origin { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
    let limits = Limits {
        in_flight: config.in_flight,
        per_second: config.requests_per_second,
        burst: config.requests_per_second,
    };
    Client::new(origin, limits).await.context("--kubernetes")
}

/// Kubernetes as a source of deltas.
///
/// # Errors
/// A selection of namespaces that cannot be used.
pub fn kubernetes(
    client: Client,
    config: &KubernetesConfig,
    readiness: &Readiness,
    deltas: ingest::Sender,
    wants: channel::Receiver<Wants>,
) -> anyhow::Result<Watch> {
    let scopes = match &config.watched {
        Watched::Cluster => Scopes::Cluster,
        Watched::Flags { names, selector, foreign } => {
            Scopes::Namespaces { selection: Selection::new(names, selector.as_deref(), foreign)?, file: None }
        }
        Watched::File(file) => {
            let selection = Selection::read(file).context("--watch-file")?;
            Scopes::Namespaces { selection, file: Some(file.clone()) }
        }
    };
    let settings = Settings {
        page_size: config.page_size,
        watch_timeout: config.watch_timeout,
        revoked: Policy { hold: config.revoked_hold, drop: config.on_revoked == OnRevoked::Drop },
        on_empty_selection: match config.on_empty_selection {
            OnEmptySelection::Wait => EmptySelection::Wait,
            OnEmptySelection::Serve => EmptySelection::Serve,
        },
        ..Settings::default()
    };
    Ok(Watch::new(client, scopes, settings, wants, readiness, move |delta| deltas.send(delta)))
}
