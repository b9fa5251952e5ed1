//! Seeded faults of the session, which the [model of Envoy](super::tests) must catch. Outside of tests none can be
//! chosen, and every question after one is the constant `false`.

/// One deliberate fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// What is sent counts as accepted at once.
    AcksAtSend,
    /// An answer counts for the last response, whatever nonce it has.
    AnyNonceAnswers,
    /// What was refused counts as known.
    RefusedIsKnown,
    /// What was refused is sent again at once.
    RefusedIsSentAgain,
    /// Removals go in the response with the upserts.
    RemovesWithUpserts,
    /// Removals do not wait for the routes.
    RemovesAtOnce,
    /// An interim set leaves out what is to be removed later.
    InterimLeavesOut,
    /// Load assignments are not sent again behind their clusters.
    AssignmentsNotAgain,
    /// Route configurations do not wait for the clusters they name.
    RoutesFirst,
    /// What changes while a response is in flight is lost.
    CoalescedIsLost,
    /// A response that is never answered is waited for.
    NeverGivesUp,
    /// Names in delta requests with a stale nonce are ignored.
    StaleNamesIgnored,
    /// What vanished while the client was away is not removed.
    LeaksVanished,
    /// Load assignments that the client says it holds are not sent again.
    HeldAssignmentsBelieved,
    /// What earlier streams left unknown is forgotten.
    ForgetsDoubts,
    /// A state-of-the-world client that resumes is believed to hold no cluster that is gone.
    ForgetsThePast,
}

#[cfg(test)]
pub(super) use chosen::{is, with};

/// Never: this is not a test.
#[cfg(not(test))]
pub(super) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod chosen {
    use std::cell::Cell;

    use super::Mutant;

    impl Mutant {
        pub(in crate::xds::session) const ALL: [Mutant; 16] = [
            Mutant::AcksAtSend,
            Mutant::AnyNonceAnswers,
            Mutant::RefusedIsKnown,
            Mutant::RefusedIsSentAgain,
            Mutant::RemovesWithUpserts,
            Mutant::RemovesAtOnce,
            Mutant::InterimLeavesOut,
            Mutant::AssignmentsNotAgain,
            Mutant::RoutesFirst,
            Mutant::CoalescedIsLost,
            Mutant::NeverGivesUp,
            Mutant::StaleNamesIgnored,
            Mutant::LeaksVanished,
            Mutant::HeldAssignmentsBelieved,
            Mutant::ForgetsDoubts,
            Mutant::ForgetsThePast,
        ];
    }

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Runs the sessions of this thread with a fault.
    pub(in crate::xds::session) fn with<R>(mutant: Option<Mutant>, run: impl FnOnce() -> R) -> R {
        CHOSEN.set(mutant);
        let result = run();
        CHOSEN.set(None);
        result
    }

    /// Whether this thread's sessions have this fault.
    pub(in crate::xds::session) fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }
}
