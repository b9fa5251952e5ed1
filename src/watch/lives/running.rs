//! The sources of one namespace, and whether what was granted to them still is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcstr::{ArcStr, literal};
use tracing::{debug, info, warn};

use super::KINDS;
use crate::model::Kind;
use crate::watch::board::{Life, SourceStatus};
use crate::watch::scope::{First, Scope};
use crate::watch::source::Source;
use crate::watch::target::Target;
use crate::watch::tasks::{Handle, Tasks};
use crate::watch::{Context, Policy, rights};

/// How long the first lists of a namespace wait for each other.
const TOGETHER: Duration = Duration::from_secs(10);
/// Between the end of a namespace's last pod and that of its RoleBindings, when the namespace is deleted. How long the missing right
/// takes to show, which it does at the next request, comes on top.
const DRAINED: Duration = Duration::from_secs(60);

/// What is known of a namespace beside what its sources say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Existence {
    /// It is there.
    Known {
        /// It is being deleted.
        terminating: bool,
    },
    /// That may not be known, and the rule that would change this.
    Blind(ArcStr),
}

/// The sources of one namespace.
pub(super) struct Running {
    pub(super) name: ArcStr,
    /// Empty when it may not be known.
    pub(super) uid: ArcStr,
    pub(super) scope: Arc<Scope>,
    /// Each ends when it is dropped.
    pub(super) sources: BTreeMap<Target, Handle>,
    /// When the first lists no longer wait for each other.
    release: Option<Instant>,
    /// Whether the start waits for it.
    required: bool,
    /// Since when rights are missing that were there.
    revoked: Option<Revoked>,
}

/// Rights that were there are missing.
struct Revoked {
    since: Instant,
    /// Whether those were asked for that are not refused yet: open watches are not authorized again.
    review: Review,
    /// What it held was dropped.
    dropped: bool,
}

enum Review {
    NotAsked,
    Asked,
    /// Those are refused too.
    Done(Vec<Target>),
}

impl Running {
    /// Starts the sources. `required`: the start waits for their first lists.
    pub(super) fn start(cx: &Context, tasks: &mut Tasks, name: &ArcStr, uid: ArcStr, required: bool) -> Self {
        let targets = KINDS.map(|kind| Target::all(kind, Some(name.clone())));
        let scope = cx.scope(&targets, First::Together);
        let start = |target: Target| {
            cx.board.add(&target, required);
            let source = Source::new(target.clone(), scope.clone(), cx.clone());
            (target, tasks.spawn(source.run()))
        };
        let sources = targets.into_iter().map(start).collect();
        debug!(namespace = %name, "watching");
        let release = Some(Instant::now() + TOGETHER);
        Self { name: name.clone(), uid, scope, sources, release, required, revoked: None }
    }

    /// What was delivered leaves although some sources have not, when it has waited long enough.
    pub(super) fn release(&mut self) {
        if self.release.is_some_and(|at| at <= Instant::now()) {
            self.release = None;
            self.scope.release();
        }
    }

    /// The start does not wait for it any more: the RoleBindings of a namespace that is being deleted go before it does, and may never
    /// come back.
    fn excuse(&mut self, cx: &Context) {
        if std::mem::take(&mut self.required) {
            self.sources.keys().for_each(|target| cx.board.excuse(target));
        }
    }

    /// Whether what was granted still is, and what follows. Gives the targets whose rights are to be asked for.
    pub(super) fn judge(&mut self, cx: &Context, tasks: &mut Tasks, existence: &Existence) -> Option<Vec<Target>> {
        let denied = cx.board.denied_in(&self.name);
        let had: Vec<_> = denied.iter().filter(|status| status.delivered).collect();
        let life = match (existence, had.is_empty()) {
            // RoleBindings go before the namespace does: what still exists stays until it is gone.
            (Existence::Known { terminating: true }, _) => {
                self.excuse(cx);
                (Life::Terminating, literal!("the namespace is being deleted; what still exists is served"))
            }
            (_, true) if denied.is_empty() => (Life::Active, ArcStr::new()),
            (Existence::Known { .. }, true) => never_granted(&denied, self.sources.len()),
            (Existence::Blind(remedy), true) => (
                Life::Unknown,
                arcstr::format!(
                    "no right to read it, or it does not exist: that cannot be told apart; on the Namespace: {remedy}"
                ),
            ),
            (_, false) => (Life::Revoked, ArcStr::new()),
        };
        if life.0 != Life::Revoked {
            if self.revoked.take().is_some() {
                info!(namespace = %self.name, state = life.0.as_str(), "rights in the namespace are back");
            }
            cx.board.life(&self.name, Some(life));
            return None;
        }
        let knows = matches!(existence, Existence::Known { .. });
        self.hold(cx, tasks, &had, knows)
    }

    /// Rights that were there are missing: the last state is held for a time, and then what the policy says.
    fn hold(&mut self, cx: &Context, tasks: &mut Tasks, had: &[&SourceStatus], knows: bool) -> Option<Vec<Target>> {
        let policy = cx.settings.revoked;
        let dropped = self.revoked.as_ref().is_some_and(|revoked| revoked.dropped);
        let reason = reason(had.len(), knows, dropped, &policy);
        let name = self.name.clone();
        let revoked = self.revoked.get_or_insert_with(|| {
            warn!(namespace = %name, sources = had.len(), %reason, "rights in the namespace are gone");
            Revoked { since: Instant::now(), review: Review::NotAsked, dropped: false }
        });
        cx.board.life(&self.name, Some((Life::Revoked, reason)));
        let all = had.len() == self.sources.len();
        let drained = !knows && all && has_drained(had, revoked.since, cx.settings.watch_timeout);
        let due = drained || (policy.drop && revoked.since.elapsed() >= policy.hold);
        if !due && !revoked.dropped {
            return None;
        }
        let refused = match &mut revoked.review {
            Review::NotAsked if !all => {
                revoked.review = Review::Asked;
                let denied = |target: &Target| had.iter().any(|status| status.target == *target);
                return Some(self.sources.keys().filter(|target| !denied(target)).cloned().collect());
            }
            Review::Asked => return None,
            Review::NotAsked => Vec::new(),
            Review::Done(refused) => std::mem::take(refused),
        };
        let first = !std::mem::replace(&mut revoked.dropped, true);
        // What came to be refused since the last time goes too.
        let held = had.iter().filter(|status| status.rows > 0).map(|status| status.target.clone());
        let targets: Vec<_> = held.chain(refused.iter().cloned()).collect();
        if !targets.is_empty() {
            self.scope.drop_rows(&targets);
        }
        if first {
            warn!(namespace = %self.name, drained, "what the namespace held is dropped");
        }
        // Their watches are open still, and would go on telling.
        refused.into_iter().for_each(|target| self.restart(cx, tasks, target));
        None
    }

    /// These, of those that were asked for, are refused.
    pub(super) fn reviewed(&mut self, refused: Vec<Target>) {
        if let Some(revoked) = &mut self.revoked {
            revoked.review = Review::Done(refused);
        }
    }

    /// Another source in the place of one whose rows were dropped: it lists again.
    fn restart(&mut self, cx: &Context, tasks: &mut Tasks, target: Target) {
        self.sources.remove(&target);
        let source = Source::new(target.clone(), self.scope.renew(&target), cx.clone());
        self.sources.insert(target, tasks.spawn(source.run()));
    }
}

/// Which of these are refused. What is not told counts as granted: it is asked for with the next request anyhow.
pub(super) async fn refused(cx: Context, targets: Vec<Target>) -> Vec<Target> {
    let mut refused = Vec::new();
    for target in targets {
        if let Ok(false) = rights::is_sufficient(&cx.client, &target).await {
            refused.push(target);
        }
    }
    refused
}

/// Who may not read Namespaces still saw its pods go, as they do when a namespace is deleted: just before the rights. That there are
/// no pods says nothing; a namespace of Gateways alone never had any.
fn has_drained(had: &[&SourceStatus], since: Instant, watch_timeout: Duration) -> bool {
    let recent = watch_timeout + DRAINED;
    let just = |at: Instant| since.saturating_duration_since(at) < recent;
    had.iter().all(|status| status.target.kind != Kind::Pod || status.emptied.is_some_and(just))
}

/// It exists, and some of its kinds, or all, were never to be read.
fn never_granted(denied: &[SourceStatus], kinds: usize) -> (Life, ArcStr) {
    let first = denied.first().map(|status| status.reason.clone()).unwrap_or_default();
    match denied.len() {
        all if all == kinds => (Life::Unknown, arcstr::format!("none of its kinds may be read: {first}")),
        some => (Life::Active, arcstr::format!("{some} of its {kinds} kinds may not be read: {first}")),
    }
}

fn reason(sources: usize, knows: bool, dropped: bool, policy: &Policy) -> ArcStr {
    let what = if knows {
        "rights were revoked"
    } else {
        "gone or revoked, which cannot be told apart without the right to get the Namespace"
    };
    let then = if dropped {
        "what it held was dropped".to_owned()
    } else if policy.drop {
        format!("what it held stays for {:?}, then it is dropped", policy.hold)
    } else {
        "what it held stays".to_owned()
    };
    arcstr::format!("{what} (kinds that are refused: {sources}); {then}")
}
