//! How much can be known of a Namespace, by the rights that there are: the smallest that suffices decides how exactly its
//! end is told from a missing right.
//!
//! | Rights on Namespaces | Sight | Precision |
//! |---|---|---|
//! | `list` and `watch` of all | [`Sight::All`] | exact, pushed; the only one for selectors |
//! | `list` and `watch` by `resourceNames` | [`Sight::Named`] | exact, pushed |
//! | `get` by `resourceNames` | [`Sight::Get`] | exact, asked every few seconds while in doubt |
//! | none | [`Sight::Blind`] | gone and revoked cannot be told apart |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arcstr::ArcStr;
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::board::Board;
use super::cluster::Who;
use super::fault::Fault;
use super::scope::Scope;
use super::source::Source;
use super::target::Target;
use super::tasks::{Handle, Tasks};
use super::{Context, Selection, rights};
use crate::model::decode::decode;
use crate::model::{Delta, Event, Kind, Namespace, Object, ObjectKey, ObjectRef};

/// Between looks at a Namespace that is there and in order: at least this, and more when there are many, so that no more
/// than some twenty a second are looked at.
const CALM: Duration = Duration::from_secs(5);
const CALM_FOR_EACH: Duration = Duration::from_millis(50);
/// Between looks at one in doubt.
const DOUBT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// How Namespaces are seen.
pub(super) enum Sight {
    /// One source of all.
    All(Target),
    /// A source for each that is watched.
    Named(Named),
    /// Looked at, one by one.
    Get(Arc<Looks>),
    /// Not at all.
    Blind(Blind),
}

/// Sources of single Namespaces.
pub(super) struct Named {
    cx: Context,
    scope: Arc<Scope>,
    tasks: Tasks,
    running: BTreeMap<ArcStr, (Target, Handle)>,
}

/// What single looks found.
pub(super) struct Looks {
    names: Mutex<BTreeMap<ArcStr, Look>>,
}

#[derive(Debug, Clone, Default)]
struct Look {
    /// The last try, whatever came of it.
    tried: Option<Instant>,
    /// Whether a look succeeded.
    looked: bool,
    found: Option<Arc<Namespace>>,
}

/// Namespaces that are told of as unknown.
pub(super) struct Blind {
    cx: Context,
    told: BTreeSet<ArcStr>,
}

impl Sight {
    /// Asks for the rights. `Err`: what has to be granted before anything can be selected.
    pub(super) async fn learn(cx: &Context, selection: &Selection) -> Result<Result<Self, String>, Fault> {
        let all = Target::all(Kind::Namespace, None);
        let missing = rights::missing(&cx.client, &all).await?;
        if missing.is_empty() {
            return Ok(Ok(Sight::All(all)));
        }
        if selection.selector.is_some() {
            let remedy = rights::remedy(&all, &missing);
            return Ok(Err(format!("namespaces are selected by label: {remedy}")));
        }
        let (mut named, mut get) = (true, true);
        for name in &selection.names {
            let one = named_target(name);
            named = named && rights::missing(&cx.client, &one).await?.is_empty();
            get = get && rights::may(&cx.client, &one, "get").await?;
        }
        if selection.names.is_empty() || named {
            return Ok(Ok(Sight::Named(Named::new(cx))));
        }
        if get {
            return Ok(Ok(Sight::Get(Arc::new(Looks { names: Mutex::default() }))));
        }
        info!(
            "no right to get the Namespaces that are watched: a deleted one cannot be told from a revoked right, and \
             allowedRoutes by selector match nothing; grant get on them by resourceNames in a ClusterRole"
        );
        Ok(Ok(Sight::Blind(Blind { cx: cx.clone(), told: BTreeSet::new() })))
    }

    /// The word for it in the log and in status.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Sight::All(_) => "all",
            Sight::Named(_) => "named",
            Sight::Get(_) => "get",
            Sight::Blind(_) => "blind",
        }
    }

    /// Starts what runs beside the keeper.
    pub(super) fn spawn(&self, cx: &Context, cluster: &Arc<Scope>, tasks: &mut JoinSet<()>) {
        match self {
            Sight::All(target) => {
                cluster.add(target);
                cx.board.add(target, true);
                tasks.spawn(Source::new(target.clone(), cluster.clone(), cx.clone()).run());
            }
            Sight::Get(looks) => {
                tasks.spawn(Looks::run(looks.clone(), cx.clone()));
            }
            Sight::Named(_) | Sight::Blind(_) => {}
        }
    }

    /// These are watched from here on.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<ArcStr>) {
        match self {
            Sight::All(_) => {}
            Sight::Named(named) => named.follow(wanted),
            Sight::Get(looks) => looks.follow(wanted),
            Sight::Blind(blind) => blind.follow(wanted),
        }
    }

    /// Completes when a source of its own has failed.
    pub(super) async fn failed(&mut self) {
        match self {
            Sight::Named(named) => named.tasks.failed().await,
            Sight::All(_) | Sight::Get(_) | Sight::Blind(_) => std::future::pending().await,
        }
    }

    /// Whether the existence of a Namespace can be known.
    pub(super) const fn knows_existence(&self) -> bool {
        !matches!(self, Sight::Blind(_))
    }

    /// Whether the selection can be made.
    pub(super) fn is_clear(&self, board: &Board) -> bool {
        match self {
            Sight::All(target) => board.has_delivered(target),
            _ => true,
        }
    }

    /// Whether the existence of each of these is known.
    pub(super) fn is_complete(&self, board: &Board, wanted: &BTreeSet<ArcStr>) -> bool {
        wanted.iter().all(|name| self.has_looked_for(name, board))
    }

    /// Whether the existence of this one is known.
    pub(super) fn has_looked_for(&self, name: &ArcStr, board: &Board) -> bool {
        match self {
            Sight::All(target) => board.has_delivered(target),
            Sight::Named(_) => board.has_delivered(&named_target(name)),
            Sight::Get(looks) => looks.lock().get(name).is_some_and(|look| look.looked),
            Sight::Blind(_) => false,
        }
    }
}

fn named_target(name: &ArcStr) -> Target {
    Target::object(&ObjectRef::new(Kind::Namespace, ObjectKey::cluster(name.clone())))
}

impl Named {
    fn new(cx: &Context) -> Self {
        let scope = Scope::new(cx.sink.clone(), cx.board.clone(), &[], false);
        Self { cx: cx.clone(), scope, tasks: Tasks::default(), running: BTreeMap::new() }
    }

    fn follow(&mut self, wanted: &BTreeSet<ArcStr>) {
        let left: Vec<_> = self.running.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        for name in left {
            if let Some((target, task)) = self.running.remove(&name) {
                drop(task);
                self.scope.remove(&target);
                self.cx.board.remove(&target);
            }
        }
        for name in wanted.iter().filter(|name| !self.running.contains_key(*name)).cloned().collect::<Vec<_>>() {
            let target = named_target(&name);
            self.scope.add(&target);
            self.cx.board.add(&target, true);
            let source = Source::new(target.clone(), self.scope.clone(), self.cx.clone());
            let task = self.tasks.spawn(source.run());
            self.running.insert(name, (target, task));
        }
    }
}

impl Looks {
    fn follow(&self, wanted: &BTreeSet<ArcStr>) {
        let mut names = self.lock();
        names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            names.entry(name.clone()).or_default();
        }
    }

    async fn run(looks: Arc<Self>, cx: Context) {
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
                    Err(fault) => debug!(namespace = %name, %fault, "cannot look at the Namespace"),
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
        // The first look shows only whether there is something to read; what is read then is asked the same.
        let changed = known.looked && uid(&known.found) != uid(&found);
        if changed && cx.cluster.who(asked).await? == Who::Other {
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn due(&self, board: &Board) -> Vec<ArcStr> {
        let names = self.lock();
        let calmly = CALM.max(CALM_FOR_EACH * u32::try_from(names.len()).unwrap_or(u32::MAX));
        let due = names.iter().filter(|(name, look)| {
            let calm = look.found.as_ref().is_some_and(|found| !found.terminating) && board.denied_in(name).is_empty();
            look.tried.is_none_or(|at| at.elapsed() >= if calm { calmly } else { DOUBT })
        });
        due.map(|(name, _)| name.clone()).collect()
    }

    fn note(&self, cx: &Context, name: &ArcStr, found: Option<Arc<Namespace>>) {
        let mut names = self.lock();
        let Some(look) = names.get_mut(name) else { return };
        let changed = look.found != found;
        let first = !std::mem::replace(&mut look.looked, true);
        look.found.clone_from(&found);
        drop(names);
        if changed {
            let object = ObjectRef::new(Kind::Namespace, ObjectKey::cluster(name.clone()));
            let event = match found {
                Some(namespace) => Event::Put(object, Object::Namespace(namespace)),
                None => Event::Delete(object),
            };
            (cx.sink)(Delta::new(Instant::now(), vec![event]));
        } else if first {
            cx.board.touch();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ArcStr, Look>> {
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

impl Blind {
    fn follow(&mut self, wanted: &BTreeSet<ArcStr>) {
        if self.told == *wanted {
            return;
        }
        let object = |name: &ArcStr| ObjectRef::new(Kind::Namespace, ObjectKey::cluster(name.clone()));
        let unknown = Arc::new(Namespace {
            unavailable: Some(arcstr::literal!(
                "its labels may not be read: grant get on the Namespace in a ClusterRole"
            )),
            ..Namespace::default()
        });
        let gone = self.told.difference(wanted).map(|name| Event::Delete(object(name)));
        let new =
            wanted.difference(&self.told).map(|name| Event::Put(object(name), Object::Namespace(unknown.clone())));
        let events = gone.chain(new).collect();
        (self.cx.sink)(Delta::new(Instant::now(), events));
        self.told.clone_from(wanted);
    }
}
