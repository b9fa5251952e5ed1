//! Which rights on Namespaces there are: asked when the selection changes, and again and again while they are not the best, because
//! RBAC is applied in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arcstr::ArcStr;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::looks::Looks;
use super::named_target;
use crate::model::Kind;
use crate::watch::board::State;
use crate::watch::cluster::Who;
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
            match self.learn(&wanted, &learned).await {
                Ok(new) => {
                    said = None;
                    learned = new.unwrap_or(learned);
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

    /// Asks for what is not known or not as it should be. `None`: nothing new, or another cluster answers, whose rights are not ours.
    async fn learn(&self, wanted: &BTreeSet<ArcStr>, known: &Learned) -> Result<Option<Learned>, Fault> {
        if known.all == Some(Ok(())) {
            return Ok(None);
        }
        let (client, all) = (&self.cx.client, Target::all(Kind::Namespace, None));
        let missing = rights::missing(client, &all).await?;
        let mut learned = Learned { all: Some(Ok(())), names: BTreeMap::new() };
        if !missing.is_empty() {
            learned.all = Some(Err(rights::remedy(&all, &missing).into()));
            for name in wanted {
                let how = match known.names.get(name) {
                    Some(how) if self.is_well(name, how) => how.clone(),
                    _ => self.how(name).await?,
                };
                learned.names.insert(name.clone(), how);
            }
        }
        let is_another = learned != *known && self.cx.cluster.who(Instant::now()).await? == Who::Other;
        Ok(Some(learned).filter(|_| !is_another))
    }

    /// How this one may be seen.
    async fn how(&self, name: &ArcStr) -> Result<How, Fault> {
        let (client, one) = (&self.cx.client, named_target(name));
        if rights::is_sufficient(client, &one).await? {
            return Ok(How::Named);
        }
        let may_get = rights::may(client, &one, "get").await?;
        Ok(if may_get { How::Get } else { How::Blind(rights::remedy(&one, &["get"]).into()) })
    }

    /// Whether a right that was there still is, as far as is known.
    fn is_well(&self, name: &ArcStr, how: &How) -> bool {
        match how {
            How::Blind(_) => false,
            How::Named => {
                let source = self.cx.board.source(&named_target(name));
                source.is_none_or(|source| source.state != State::Denied)
            }
            How::Get => !self.looks.has_lost(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::testing::{Api, Refused, context};

    #[tokio::test]
    async fn rights_in_another_cluster_are_not_ours() {
        let api = Api::start().await;
        api.namespace("shop");
        let (cx, _) = context(api.address).await;
        cx.cluster.meet().await.unwrap();
        let wanted = BTreeSet::from(["shop".into()]);
        let (learned, _) = watch::channel(Arc::new(Learned::default()));
        let (_wants, asked) = watch::channel(Arc::new(wanted.clone()));
        let learner = Learner { cx, wanted: asked, learned, looks: Arc::default() };
        let all = Refused { verb: "", resource: "namespaces", namespace: "", name: "" };
        api.refuse(&[Refused { verb: "list", ..all }, Refused { verb: "watch", ..all }]);
        let known = learner.learn(&wanted, &Learned::default()).await.unwrap().unwrap();
        assert_eq!(known.names.get("shop"), Some(&How::Get));

        api.delete("namespaces", "", "kube-system");
        api.namespace("kube-system");
        api.refuse(&[]);
        assert_eq!(learner.learn(&wanted, &known).await, Ok(None));
    }
}
