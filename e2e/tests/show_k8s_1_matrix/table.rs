//! What is expected: the cells of the matrix, event by event.

use std::time::Duration;

use syncgate_e2e::watching::Watcher;
use syncgate_e2e::watching::cell::{Cell, Expected, Pace};
use syncgate_e2e::watching::rights::Rights;

/// Open watches are not authorized again: a revocation shows after this time.
pub(crate) const WATCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Whoever may only get Namespaces looks at those in doubt this often, and less often at the others.
pub(crate) const LOOKS: Duration = Duration::from_secs(2);
/// The sources of a namespace, and all in cluster scope.
pub(crate) const SOURCES: usize = 6;
pub(crate) const CLUSTER_SOURCES: usize = 8;

pub(crate) const DELETED: &str = "deleted-ns";
pub(crate) const HELD: &str = "held-ns";
pub(crate) const RECREATED: &str = "again-ns";
pub(crate) const UNBOUND: &str = "unbound-ns";
/// Closed as well, and without any pod: nothing of it can be seen to leave.
pub(crate) const BARE: &str = "bare-ns";
pub(crate) const CALM: &str = "calm-ns";
pub(crate) const ALL: [&str; 6] = [DELETED, HELD, RECREATED, UNBOUND, BARE, CALM];
/// The syncgates; the last one loses its rights in cluster scope.
pub(crate) const WATCHERS: [(&str, Rights); 5] = [
    ("user-0", Rights::Cluster),
    ("user-1", Rights::SeeAll),
    ("user-2", Rights::GetNamed),
    ("user-3", Rights::Blind),
    ("user-4", Rights::Cluster),
];
pub(crate) const NAMESPACED: [&str; 3] = ["user-1", "user-2", "user-3"];
pub(crate) const LOSER: &str = "user-4";

pub(crate) const GONE: &str = "the namespace is gone";
pub(crate) const RIGHTS_GONE: &str = "rights in the namespace are gone";
pub(crate) const RIGHTS_BACK: &str = "rights in the namespace are back";
pub(crate) const DROPPED: &str = "what the namespace held is dropped";
pub(crate) const NOTHING: &[&str] = &[];

/// Nothing happens: watches are opened again when they end, each with one request, and that is all.
pub(crate) const CALM_CELL: Cell =
    Cell { lives: "active", sources: "synced", rows: Expected::TheServers, reads: 0, each: 0, lines: NOTHING };
/// Nothing is refused before it was refused three times; then the rights are asked for, not the kinds.
pub(crate) const CLOSED_CELL: Cell = Cell {
    lives: "active revoked",
    sources: "synced denied",
    rows: Expected::Kept,
    reads: 0,
    each: 3,
    lines: &[RIGHTS_GONE],
};
pub(crate) const GONE_CELL: Cell = Cell {
    lives: "active terminating? gone",
    sources: "",
    rows: Expected::Nothing,
    reads: 0,
    // The rights may go before the namespace does.
    each: 3,
    lines: &[GONE],
};
pub(crate) const HELD_CELL: Cell = Cell {
    lives: "active terminating",
    // The finalizer outlives the RoleBinding.
    sources: "synced denied",
    rows: Expected::TheServers,
    reads: 0,
    each: 3,
    lines: NOTHING,
};
/// Without a look at Namespaces the end of one looks like a revocation, but its pods were seen to leave.
pub(crate) const BLIND_GONE_CELL: Cell =
    Cell { rows: Expected::Nothing, lines: &[RIGHTS_GONE, DROPPED], ..CLOSED_CELL };
/// The new one is read as soon as its RoleBinding is there.
pub(crate) const RECREATED_CELL: Cell = Cell {
    lives: "active terminating? gone? active? unknown? active?",
    // All of it may have been too short to be seen.
    sources: "synced? ended? pending? listing? denied? listing? synced",
    // A read that is refused, and the one that is not.
    reads: 2,
    each: 3,
    lines: &["the namespace "],
    ..CALM_CELL
};

/// What happens to a namespace, and what is expected with the rights `SeeAll`, `GetNamed` and `Blind`.
pub(crate) const TABLE: [(&str, [Cell; 3]); 6] = [
    (DELETED, [GONE_CELL, GONE_CELL, BLIND_GONE_CELL]),
    (HELD, [HELD_CELL, HELD_CELL, BLIND_GONE_CELL]),
    (RECREATED, [RECREATED_CELL, RECREATED_CELL, CALM_CELL]),
    (UNBOUND, [CLOSED_CELL; 3]),
    (BARE, [CLOSED_CELL; 3]),
    (CALM, [CALM_CELL; 3]),
];
/// In cluster scope the questions for rights count as well: with each of three refusals two, and then one at a time, quickly at first.
pub(crate) const REVIEWS: usize = 3 * 2 + 4;
pub(crate) const REFUSED_IN_CLUSTER: usize = 3 + REVIEWS;
/// All of it in cluster scope: the deletes of the objects are the truth.
pub(crate) const CLUSTER_CELL: Cell = Cell { lives: "", ..CALM_CELL };
pub(crate) const CLUSTER_CLOSED_CELL: Cell =
    Cell { lives: "", sources: "synced denied", each: REFUSED_IN_CLUSTER, lines: NOTHING, ..CLOSED_CELL };

pub(crate) const REOPENED_CELL: Cell = Cell {
    lives: "revoked active",
    sources: "denied listing? synced",
    reads: 1,
    each: 2,
    lines: &[RIGHTS_BACK],
    ..CALM_CELL
};
/// A namespace that was gone is watched from nothing.
pub(crate) const REBORN_CELL: Cell = Cell {
    lives: "gone active? unknown? active",
    sources: "ended pending? listing? denied? listing? synced",
    reads: 2,
    each: 3,
    ..CALM_CELL
};
pub(crate) const BLIND_STILL_GONE_CELL: Cell =
    Cell { lives: "revoked", sources: "denied", rows: Expected::Nothing, lines: NOTHING, ..CLOSED_CELL };
/// It does not exist and is not asked for, but for the Namespace itself.
pub(crate) const NEVER_CELL: Cell =
    Cell { lives: "gone", sources: "", rows: Expected::Nothing, reads: 0, each: 0, lines: NOTHING };
pub(crate) const FREED_CELL: Cell = Cell { lives: "terminating gone", ..GONE_CELL };
/// The same when everything is given back: the deleted namespace is created again, the finalizer goes, the right returns.
pub(crate) const TABLE_BACK: [(&str, [Cell; 3]); 6] = [
    (DELETED, [REBORN_CELL, REBORN_CELL, REOPENED_CELL]),
    (HELD, [FREED_CELL, FREED_CELL, BLIND_STILL_GONE_CELL]),
    (RECREATED, [CALM_CELL; 3]),
    (UNBOUND, [REOPENED_CELL; 3]),
    (BARE, [REOPENED_CELL; 3]),
    (CALM, [CALM_CELL; 3]),
];
pub(crate) const CLUSTER_REOPENED_CELL: Cell =
    Cell { lives: "", sources: "denied listing? synced", reads: 1, each: REFUSED_IN_CLUSTER, ..CALM_CELL };

/// While the server is away everything stays.
pub(crate) const AWAY_CELL: Cell =
    Cell { lives: "active", sources: "synced stale", rows: Expected::Kept, reads: 0, each: 0, lines: NOTHING };
/// A server that was started anew mostly cannot go on from where a watch was (410), so each kind is listed; and once more some time later.
pub(crate) const RETURNED_CELL: Cell = Cell {
    sources: "synced stale synced stale? synced?",
    rows: Expected::TheServers,
    reads: 2,
    // These, the question for the revision, and a start that failed.
    each: 4,
    ..AWAY_CELL
};
pub(crate) const RETURNED_CLUSTER_CELL: Cell = Cell { lives: "", ..RETURNED_CELL };
/// What is older than what was seen is confirmed by a second list.
pub(crate) const RESTORED_CELL: Cell =
    Cell { sources: "synced stale synced? stale? synced? stale? synced", reads: 4, each: 6, ..RETURNED_CELL };
/// Nobody has any right in an empty cluster.
pub(crate) const EMPTY_CELL: Cell = Cell {
    lives: "active revoked",
    sources: "synced stale? synced? stale? denied",
    rows: Expected::Kept,
    reads: 4,
    each: 6,
    lines: &[RIGHTS_GONE],
};
/// The rights are those of a ClusterRole only.
pub(crate) const STRANGE_CELL: Cell = Cell { lives: "revoked", sources: "denied", lines: NOTHING, ..EMPTY_CELL };
pub(crate) const STRANGE_CLUSTER_CELL: Cell = Cell { lives: "", sources: "denied stale", ..STRANGE_CELL };

/// What all namespaces that exist have in common; `HELD` is gone by now, which a blind syncgate calls revoked.
pub(crate) fn alike(cell: Cell) -> impl Fn(&Watcher, &str) -> Option<Cell> {
    move |watcher, name| match watcher.rights {
        Rights::Cluster if cell.lives == "revoked" => Some(STRANGE_CLUSTER_CELL),
        Rights::Cluster => Some(Cell { lives: "", lines: NOTHING, each: cell.each + REVIEWS, ..cell }),
        Rights::Blind if name == HELD => Some(BLIND_STILL_GONE_CELL),
        _ if name == HELD => Some(NEVER_CELL),
        _ => Some(cell),
    }
}

/// Another cluster with namespaces of the same names, and nothing in them.
pub(crate) fn strange(watcher: &Watcher, name: &str) -> Option<Cell> {
    let unbelieved = Cell { lives: "revoked active?", sources: "denied stale? denied? stale", ..STRANGE_CELL };
    match watcher.rights {
        Rights::Cluster => Some(STRANGE_CLUSTER_CELL),
        // It may not read the Namespace kube-system, and believes what it is told twice.
        Rights::Blind => Some(Cell {
            lives: "revoked active",
            sources: "denied stale? listing? synced",
            rows: Expected::TheServers,
            lines: &[RIGHTS_BACK],
            ..EMPTY_CELL
        }),
        _ if name == HELD => Some(NEVER_CELL),
        _ => Some(Cell { lines: &[RIGHTS_BACK], ..unbelieved }),
    }
}

/// The first cluster is back: everybody holds again what it holds.
pub(crate) fn healed(watcher: &Watcher, name: &str) -> Option<Cell> {
    let cell = Cell { sources: "stale synced? stale? synced? stale? synced", lives: "active", ..RESTORED_CELL };
    match watcher.rights {
        Rights::Cluster => Some(Cell { lives: "", ..cell }),
        Rights::Blind if name == HELD => None,
        Rights::Blind => Some(Cell { sources: RESTORED_CELL.sources, ..cell }),
        _ if name == HELD => Some(NEVER_CELL),
        _ => Some(cell),
    }
}

/// The cells of a table for a namespaced syncgate, and of all in cluster scope.
pub(crate) fn from(table: &[(&str, [Cell; 3])], cluster: Cell, loser: Cell) -> impl Fn(&Watcher, &str) -> Option<Cell> {
    move |watcher, name| {
        let row = table.iter().find(|(namespace, _)| *namespace == name).map(|(_, cells)| *cells);
        match watcher.rights {
            Rights::Cluster if watcher.name == LOSER => Some(loser),
            Rights::Cluster => Some(cluster),
            Rights::SeeAll => row.map(|[cell, ..]| cell),
            Rights::GetNamed => row.map(|[_, cell, _]| cell),
            Rights::Blind => row.map(|[.., cell]| cell),
        }
    }
}

/// What one cell is about is asked for this often when nothing happens.
pub(crate) fn pace(rights: Rights) -> Pace {
    let sources = if rights.is_namespaced() { SOURCES } else { CLUSTER_SOURCES };
    Pace { sources, watch: WATCH_TIMEOUT, look: Some(LOOKS).filter(|_| rights == Rights::GetNamed) }
}
