//! Namespaces that may only be got: looked at one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arcstr::ArcStr;
use tracing::debug;

use super::object;
use crate::model::decode::decode;
use crate::model::{Delta, Event, Namespace, Object};
use crate::watch::Context;
use crate::watch::board::Board;
use crate::watch::cluster::Who;
use crate::watch::fault::Fault;

/// Between looks at a Namespace that is there and in order: at least this, and more when there are many, so that no more
/// than some twenty a second are looked at.
const CALM: Duration = Duration::from_secs(5);
const CALM_FOR_EACH: Duration = Duration::from_millis(50);
/// Between looks at one in doubt.
const DOUBT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// What single looks found.
#[derive(Default)]
pub(super) struct Looks {
    names: Mutex<BTreeMap<ArcStr, Look>>,
}

#[derive(Debug, Clone, Default)]
struct Look {
    /// The last try, whatever came of it.
    tried: Option<Instant>,
    /// Whether a look succeeded.
    looked: bool,
    /// Whether the last one was refused.
    refused: bool,
    found: Option<Arc<Namespace>>,
}

impl Looks {
    /// These are looked at from here on.
    pub(super) fn follow(&self, wanted: &BTreeSet<ArcStr>) {
        let mut names = self.lock();
        names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            names.entry(name.clone()).or_default();
        }
    }

    /// Whether the existence of this one is known.
    pub(super) fn has_looked_for(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|look| look.looked)
    }

    /// Whether this one was there at the last look.
    pub(super) fn has_found(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|look| look.found.is_some())
    }

    /// Whether the last look was refused at this one, which was there before. Of one that is gone there is nothing to lose sight of.
    pub(super) fn has_lost(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|look| look.refused && (look.found.is_some() || !look.looked))
    }

    /// Looks, for ever.
    pub(super) async fn run(looks: Arc<Self>, cx: Context) {
        loop {
            for name in looks.due(&cx.board) {
                if let Some(look) = looks.lock().get_mut(&name) {
                    look.tried = Some(Instant::now());
                }
                match looks.look(&cx, &name).await {
                    Ok(Some(found)) => looks.note(&cx, &name, found),
                    // Another cluster says so: that is no evidence.
                    Ok(None) => {}
                    Err(fault) if fault.is_outage() => {
                        cx.outage.over(&fault).await;
                        break;
                    }
                    Err(fault) => {
                        debug!(namespace = %name, %fault, "cannot look at the Namespace");
                        if let Some(look) = looks.lock().get_mut(&name) {
                            look.refused = fault.class() == "forbidden";
                        }
                    }
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// What there is of a Namespace now; `None` when another cluster says that it came, is gone or was created anew.
    async fn look(&self, cx: &Context, name: &ArcStr) -> Result<Option<Option<Arc<Namespace>>>, Fault> {
        let asked = tokio::time::Instant::now();
        let found = look_at(cx, name).await?;
        let known = self.lock().get(name).cloned().unwrap_or_default();
        let uid = |namespace: &Option<Arc<Namespace>>| namespace.as_ref().map(|namespace| namespace.uid.clone());
        // A first look that finds something shows only that there is something to read; what is read then is asked the same.
        let is_news = if known.looked { uid(&known.found) != uid(&found) } else { found.is_none() };
        if is_news && cx.cluster.who(asked).await? == Who::Other {
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn due(&self, board: &Board) -> Vec<ArcStr> {
        let names = self.lock();
        let calmly = CALM.max(CALM_FOR_EACH * u32::try_from(names.len()).unwrap_or(u32::MAX));
        let due = names.iter().filter(|(name, look)| {
            let calm = look.found.as_ref().is_some_and(|found| !found.terminating) && !board.is_denied_in(name);
            look.tried.is_none_or(|at| at.elapsed() >= if calm { calmly } else { DOUBT })
        });
        due.map(|(name, _)| name.clone()).collect()
    }

    fn note(&self, cx: &Context, name: &ArcStr, found: Option<Arc<Namespace>>) {
        let mut names = self.lock();
        // One that is not looked at any more has others who tell of it: said under the lock, so that they have the last word.
        let Some(look) = names.get_mut(name) else { return };
        let changed = look.found != found;
        let first = !std::mem::replace(&mut look.looked, true);
        look.refused = false;
        look.found.clone_from(&found);
        if changed {
            let event = match found {
                Some(namespace) => Event::Put(object(name), Object::Namespace(namespace)),
                None => Event::Delete(object(name)),
            };
            (cx.sink)(Delta::new(Instant::now(), vec![event]));
        }
        drop(names);
        if first {
            cx.board.touch();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ArcStr, Look>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Namespace; `None` when it does not exist, which with a cluster-wide right to get it is exact.
async fn look_at(cx: &Context, name: &ArcStr) -> Result<Option<Arc<Namespace>>, Fault> {
    let answer = match cx.client.get(&format!("/api/v1/namespaces/{name}"), "application/json").await {
        Err(Fault::Answer(status)) if status.code == 404 => return Ok(None),
        answer => answer?,
    };
    let body = answer.whole().await?;
    let tree = serde_json::from_slice(&body).map_err(|error| Fault::Malformed(error.to_string()))?;
    match decode(&tree, None) {
        Ok(decoded) => match decoded.object {
            Object::Namespace(namespace) => Ok(Some(namespace)),
            _ => Err(Fault::Malformed("it is no Namespace".to_owned())),
        },
        Err(_) => Err(Fault::Malformed("it is no Namespace".to_owned())),
    }
}

#[cfg(test)]
mod tests;
