//! Seeded faults of the engine, which the model test must catch. Outside of tests none can be chosen, and every
//! question after one is the constant `false`.

/// One deliberate fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// What a stopped run looked up is not recorded.
    ForgetsLookUpsOfStops,
    /// Only what was found is recorded.
    ForgetsNegativeLookUps,
    /// Look-ups of the first run stay for ever.
    KeepsFirstLookUps,
    /// A dependency that nobody needs any more is kept.
    LeaksDependencies,
    /// An equal row goes on as a change.
    NoEqualityCut,
    /// Nodes run against their order.
    WrongOrder,
    /// A row that leaves a group is not taken out of it.
    FoldForgetsDelete,
    /// A changed row that moves to another group stays in the old one too.
    FoldForgetsMove,
    /// A row that lost against a smaller source key is thrown away.
    DropsLoser,
    /// The largest source key wins.
    LargestWins,
    /// What is pending because an input is incomplete stays so when the input completes.
    CompletionUnheard,
    /// The end of a pending mark is not passed on.
    MarkUnheard,
    /// A row whose index keys change stays under the old ones.
    IndexKeepsOldKeys,
    /// A changed row whose index keys stay is not passed on.
    IndexUnheard,
    /// The last rows of a parallel run are lost.
    ParallelLosesTail,
    /// Rows of a stopped run are kept.
    StopKeepsRows,
    /// Rows taken back with a source are not passed on.
    RetractUnheard,
    /// Look-ups of an absent row in an incomplete collection say absent.
    UnknownIsAbsent,
    /// Of rows with equal dependencies only the first is found again.
    SharesNothing,
    /// A full scan is not run again.
    ScanUnheard,
}

#[cfg(test)]
pub(crate) use chosen::{is, with};

/// Never: this is not a test.
#[cfg(not(test))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod chosen {
    use std::cell::Cell;

    use super::Mutant;

    impl Mutant {
        pub(crate) const ALL: [Mutant; 20] = [
            Mutant::ForgetsLookUpsOfStops,
            Mutant::ForgetsNegativeLookUps,
            Mutant::KeepsFirstLookUps,
            Mutant::LeaksDependencies,
            Mutant::NoEqualityCut,
            Mutant::WrongOrder,
            Mutant::FoldForgetsDelete,
            Mutant::FoldForgetsMove,
            Mutant::DropsLoser,
            Mutant::LargestWins,
            Mutant::CompletionUnheard,
            Mutant::MarkUnheard,
            Mutant::IndexKeepsOldKeys,
            Mutant::IndexUnheard,
            Mutant::ParallelLosesTail,
            Mutant::StopKeepsRows,
            Mutant::RetractUnheard,
            Mutant::UnknownIsAbsent,
            Mutant::SharesNothing,
            Mutant::ScanUnheard,
        ];
    }

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Runs the engine of this thread with a fault.
    pub(crate) fn with<R>(mutant: Option<Mutant>, run: impl FnOnce() -> R) -> R {
        CHOSEN.set(mutant);
        let result = run();
        CHOSEN.set(None);
        result
    }

    /// Whether this thread's engine has this fault.
    pub(crate) fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }
}
