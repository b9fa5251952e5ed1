//! Which rights on Namespaces there are: asked when the selection changes, and again and again while they are not the best, because
//! RBAC is applied in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arcstr::ArcStr;
use tokio::sync::watch;
use tracing::{info, warn};

use super::looks::Looks;
use super::named_target;
use crate::model::Kind;
use crate::watch::board::State;
use crate::watch::fault::Fault;
use crate::watch::target::Target;
use crate::watch::{Context, rights};

/// Between questions for rights that are missing there is more time when there are many.
const AGAIN_FOR_EACH: Duration = Duration::from_millis(100);

/// How one Namespace may be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// Listed and watched by its name.
    Named,
    /// Got.
    Get,
    /// Not at all, and the rule that would grant it.
    Blind(ArcStr),
}

/// What is known of the rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Whether all may be listed and watched, or the rule that would grant it; `None` before it was asked.
    pub(super) all: Option<Result<(), ArcStr>>,
    /// Otherwise each that is wanted.
    pub(super) names: BTreeMap<ArcStr, How>,
}

/// Who asks.
pub(super) struct Learner {
    pub(super) cx: Context,
    pub(super) wanted: watch::Receiver<Arc<BTreeSet<ArcStr>>>,
    pub(super) learned: watch::Sender<Arc<Learned>>,
    pub(super) looks: Arc<Looks>,
}

impl Learner {
    /// Asks, for ever.
    pub(super) async fn run(mut self) {
        let mut learned = Learned::default();
        let mut said = None;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            match self.learn(&wanted, &mut learned).await {
                Ok(()) => {
                    said = None;
                    self.publish(&learned);
                    if self.rest(&learned).await.is_err() {
                        return std::future::pending().await;
                    }
                }
                Err(fault) if fault.is_outage() => self.cx.outage.over(&fault).await,
                Err(fault) => {
                    self.cx.board.waits(&fault.to_string());
                    if said.as_ref() != Some(&fault) {
                        warn!(%fault, "the rights on Namespaces are not told; they are asked for again and again");
                        said = Some(fault);
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Until something else is wanted or there may be better rights. An error: nobody wants to know any more.
    async fn rest(&mut self, learned: &Learned) -> Result<(), watch::error::RecvError> {
        let many = u32::try_from(learned.names.len()).unwrap_or(u32::MAX);
        let again = async {
            match learned.all {
                Some(Ok(())) => std::future::pending().await,
                _ => tokio::time::sleep(self.cx.settings.rights_again.max(AGAIN_FOR_EACH.saturating_mul(many))).await,
            }
        };
        tokio::select! {
            changed = self.wanted.changed() => changed,
            () = again => Ok(()),
        }
    }

    fn publish(&self, learned: &Learned) {
        let changed = self.learned.send_if_modified(|known| {
            let changed = **known != *learned;
            *known = Arc::new(learned.clone());
            changed
        });
        if !changed {
            return;
        }
        let count = |is: fn(&How) -> bool| learned.names.values().filter(|how| is(how)).count();
        let blind = count(|how| matches!(how, How::Blind(_)));
        let (named, get) = (count(|how| *how == How::Named), count(|how| *how == How::Get));
        let sight = match (learned.all.as_ref(), named, get, blind) {
            (Some(Ok(())), ..) => "all",
            (_, _, 0, 0) => "named",
            (_, 0, _, 0) => "get",
            (_, 0, 0, _) => "blind",
            _ => "mixed",
        };
        info!(sight, named, get, blind, "how much may be seen of Namespaces");
        if blind > 0 {
            info!(
                "no right to get some of the Namespaces that are watched: a deleted one cannot be told from a revoked right, and \
                 allowedRoutes by selector do not match it; grant get on them by resourceNames in a ClusterRole"
            );
        }
        self.cx.board.touch();
    }

    /// Asks for what is not known or not as it should be.
    async fn learn(&self, wanted: &BTreeSet<ArcStr>, learned: &mut Learned) -> Result<(), Fault> {
        if learned.all == Some(Ok(())) {
            return Ok(());
        }
        let (client, all) = (&self.cx.client, Target::all(Kind::Namespace, None));
        let missing = rights::missing(client, &all).await?;
        if missing.is_empty() {
            *learned = Learned { all: Some(Ok(())), names: BTreeMap::new() };
            return Ok(());
        }
        learned.all = Some(Err(rights::remedy(&all, &missing).into()));
        learned.names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if self.is_well(name, learned.names.get(name)) {
                continue;
            }
            let one = named_target(name);
            let how = if rights::is_sufficient(client, &one).await? {
                How::Named
            } else if rights::may(client, &one, "get").await? {
                How::Get
            } else {
                How::Blind(rights::remedy(&one, &["get"]).into())
            };
            learned.names.insert(name.clone(), how);
        }
        Ok(())
    }

    /// Whether a right that was there still is, as far as is known.
    fn is_well(&self, name: &ArcStr, how: Option<&How>) -> bool {
        match how {
            None | Some(How::Blind(_)) => false,
            Some(How::Named) => {
                let source = self.cx.board.source(&named_target(name));
                source.is_none_or(|source| source.state != State::Denied)
            }
            Some(How::Get) => !self.looks.is_refused(name),
        }
    }
}
