//! The budget "work of one change at 100× the state": from a delta to the bytes of the responses, at two sizes of the state.
//!
//! Wall time is the median of many changes; instructions are counted by valgrind between the same two points, because
//! machines are shared and noisy. Run it with `make bench`; `--case NAME --size N` measures one point in this process.

#![expect(clippy::print_stdout, reason = "a benchmark's report is what it prints")]

mod support;

use std::time::{Duration, Instant};

use support::{
    callgrind::Profile,
    world::{Case, Rig},
};

/// Changes for a median.
const CHANGES: usize = 201;
/// Changes under valgrind: counts repeat, so few are enough.
const COUNTED: usize = 11;
const BUDGET: f64 = 1.5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| arguments.iter().position(|a| a == flag).and_then(|at| arguments.get(at + 1));
    match (value("--case").and_then(|name| Case::find(name)), value("--size").and_then(|size| size.parse().ok())) {
        (Some(case), Some(size)) => drop(measure(case, size, COUNTED)),
        _ => report(),
    }
}

fn report() {
    println!("cost of one change, from a delta to response bytes; budget: < {BUDGET} at 100 times the state");
    println!(
        "{:<28} {:>7} {:>7} | {:>10} {:>10} {:>6} | {:>12} {:>12} {:>6} | {:>9} {:>9}",
        "case", "small", "large", "wall", "wall", "ratio", "instr.", "instr.", "ratio", "bytes", "bytes"
    );
    for case in Case::ALL {
        let (small, large) = case.sizes();
        let (wall_small, bytes_small) = measure(case, small, CHANGES);
        let (wall_large, bytes_large) = measure(case, large, CHANGES);
        let profiles = Profile::of(case, small, COUNTED as u64).zip(Profile::of(case, large, COUNTED as u64));
        let counts = profiles.as_ref().map_or_else(
            || format!("{:>12} {:>12} {:>6}", "-", "-", "-"),
            |(a, b)| format!("{:>12} {:>12} {}", a.total, b.total, ratio(b.total as f64 / a.total as f64)),
        );
        println!(
            "{:<28} {small:>7} {large:>7} | {:>10.1?} {:>10.1?} {} | {counts} | {bytes_small:>9} {bytes_large:>9}",
            case.name(),
            wall_small,
            wall_large,
            ratio(wall_large.as_secs_f64() / wall_small.as_secs_f64()),
        );
        if let Some((a, b)) = profiles.filter(|(a, b)| b.total as f64 / a.total as f64 >= BUDGET) {
            explain(&a, &b);
        }
    }
    println!("* over the budget; below such a row its instructions by stage");
}

/// Where the instructions of a row over the budget are spent. A response of a large resource has its many bytes, whatever changed.
fn explain(small: &Profile, large: &Profile) {
    for (stage, count) in &large.stages {
        let before = small.stages.get(stage).copied().unwrap_or_default();
        println!("    {stage:<24} {before:>9} -> {count:>9} {}", ratio(*count as f64 / before.max(1) as f64));
    }
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:>5.2}{}", if ratio < BUDGET { ' ' } else { '*' })
}

/// Median time of a change, and the bytes of the responses that it causes.
fn measure(case: Case, size: usize, changes: usize) -> (Duration, usize) {
    let mut rig = Rig::new(case, size);
    let mut bytes = 0;
    let mut times: Vec<Duration> = (0..changes)
        .map(|step| {
            let events = rig.change(step);
            let start = Instant::now();
            bytes = rig.one_change(&events);
            let took = start.elapsed();
            assert!(bytes > 0, "the change did not reach the client");
            rig.acknowledge();
            took
        })
        .collect();
    times.sort_unstable();
    (times[times.len() / 2], bytes)
}
