//! Large sets of pure work, spread over the machine's cores. The order of the results is that of the work.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use super::mutant::{self, Mutant};

/// Up to this many dirty keys of a node the threads would cost more than they save. Tests set
/// it so low that they meet it.
const SMALL: usize = if cfg!(test) { 16 } else { 1_000 };

/// How many parts to cut this much work into.
pub(crate) fn parts(work: usize) -> usize {
    if work > SMALL { thread::available_parallelism().map_or(1, NonZero::get) } else { 1 }
}

/// Cuts the work into one part for each core, if it is large.
pub(crate) fn split<T>(work: &[T]) -> Vec<&[T]> {
    let mut parts: Vec<_> = work.chunks(work.len().div_ceil(parts(work.len())).max(1)).collect();
    if parts.len() > 1 && mutant::is(Mutant::ParallelLosesTail) {
        parts.pop();
    }
    parts
}

/// Does all jobs, each on a thread of its own if there are several.
pub(crate) fn each<J: Send>(jobs: Vec<J>, run: impl Fn(J) + Sync) {
    if jobs.len() < 2 {
        return jobs.into_iter().for_each(run);
    }
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(move || run(job))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
}
