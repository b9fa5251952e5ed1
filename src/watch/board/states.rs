//! What is told of sources and of watched namespaces.

use std::time::Instant;

use arcstr::ArcStr;

use crate::watch::target::Target;

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not begun.
    Pending,
    /// Reads its first list.
    Listing,
    /// Holds what the server holds.
    Synced,
    /// Has lost touch; its rows stay.
    Stale,
    /// Its API is not installed; it is looked for again.
    Absent,
    /// A right is missing; what it delivered before stays for a time.
    Denied,
}

impl State {
    /// Every state: a metric has one series for each.
    pub const ALL: [State; 6] =
        [State::Pending, State::Listing, State::Synced, State::Stale, State::Absent, State::Denied];

    /// Lower-case name, as in metrics and `syncgate status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Listing => "listing",
            State::Synced => "synced",
            State::Stale => "stale",
            State::Absent => "absent",
            State::Denied => "denied",
        }
    }
}

/// What is known of a watched namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// It is there and may be read.
    Active,
    /// It is being deleted; what still exists is served.
    Terminating,
    /// It does not exist; its sources have ended and its rows have left. It is noticed when it comes.
    Gone,
    /// Rights that were there are not any more; the last state is held.
    Revoked,
    /// Never read: a right is missing, or it does not exist.
    Unknown,
}

impl Life {
    /// Every state: a metric has one series for each.
    pub const ALL: [Life; 5] = [Life::Active, Life::Terminating, Life::Gone, Life::Revoked, Life::Unknown];

    /// Lower-case name, as in metrics and `syncgate status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Life::Active => "active",
            Life::Terminating => "terminating",
            Life::Gone => "gone",
            Life::Revoked => "revoked",
            Life::Unknown => "unknown",
        }
    }
}

/// A watched namespace as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeStatus {
    /// What is known.
    pub life: Life,
    /// Why, and what follows; empty when active.
    pub reason: ArcStr,
    /// Since when.
    pub since: Instant,
}

/// One source as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// What it reads.
    pub target: Target,
    /// What it is doing.
    pub state: State,
    /// Why, with the remedy; empty when in sync.
    pub reason: ArcStr,
    /// Since when.
    pub since: Instant,
    /// The rows it holds.
    pub rows: usize,
    /// When the last row left, if there is none.
    pub emptied: Option<Instant>,
    /// Objects of a list that is being read.
    pub read: usize,
    /// Whether readiness waits for it at the start.
    pub required: bool,
    /// Whether it has delivered what it has to deliver first.
    pub delivered: bool,
}
