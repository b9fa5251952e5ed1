//! The session against a model of Envoy, in random histories of changes, delays, refusals, lost streams and time.
//!
//! What must hold is in [`watch`]: what was routable before a change and after it is routable all the way, what the
//! session shows as acknowledged is what the client has, and when all is quiet the client holds the last snapshot and
//! nothing is warming. A history that fails is cut down to what is needed for it and printed.
//!
//! `SYNCGATE_MODEL_SEED=<n>` plays the history of that seed alone, `SYNCGATE_MODEL_HISTORIES=<n>` so many of each
//! variant.

mod envoy;
mod history;
mod holdings;
mod log;
mod mux;
mod network;
mod random;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::history::History;
use super::BOTH;
use crate::xds::message::Variant;
use crate::xds::session::mutant::{self, Mutant};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// As many histories of a variant, each of them turned into what is to be played.
fn play_many(variant: Variant, turned: impl Fn(History) -> History) {
    let seeds = match number("SYNCGATE_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SYNCGATE_MODEL_HISTORIES").unwrap_or(4_000),
    };
    println!("{} seeds {seeds:?}", variant.as_str());
    for seed in seeds {
        let history = turned(History::random(variant, seed));
        if history.play().is_err() {
            panic!("{}play it again with SYNCGATE_MODEL_SEED={seed}", history.explained());
        }
    }
}

#[test]
fn no_dangling_in_random_histories_of_delta() {
    play_many(Variant::Delta, |history| history);
}

/// A response that is too large is cut: here nearly all of them are.
#[test]
fn no_dangling_in_random_histories_with_responses_that_are_cut() {
    for resources in [1, 2] {
        play_many(Variant::Delta, |history| history.cut_at(resources));
    }
}

#[test]
fn no_dangling_in_random_histories_of_state_of_the_world() {
    play_many(Variant::StateOfTheWorld, |history| history);
}

/// How a history fails with a fault in the session, if it does.
fn failure(mutant: Mutant, variant: Variant, seed: u64) -> Option<String> {
    let history = History::random(variant, seed);
    match mutant::with(Some(mutant), || catch_unwind(AssertUnwindSafe(|| history.play()))) {
        Ok(result) => result.err(),
        Err(_) => Some("a panic".to_owned()),
    }
}

#[test]
fn the_model_catches_every_seeded_fault() {
    for mutant in Mutant::ALL {
        // Few histories show this one: the first that does is known to be near.
        let first = if mutant == Mutant::ForgetsDoubts { 10_000 } else { 0 };
        let caught = (first..first + 6_000).find_map(|seed| {
            let in_either = |variant| failure(mutant, variant, seed).map(|why| (variant, why));
            BOTH.into_iter().find_map(in_either).map(|found| (seed, found))
        });
        let (seed, (variant, why)) = caught.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
        println!("{mutant:?}: caught in history {} of {}: {why}", seed + 1, variant.as_str());
    }
}
