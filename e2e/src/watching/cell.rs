//! One cell of the matrix: what one syncgate is to show, hold, ask and say after one event, and whether it did.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Watcher;
use super::lines::Line;
use super::requests::Requests;
use super::world::{Rows, namespaced};

/// What the rows are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// What the API server holds now.
    TheServers,
    /// What they were before.
    Kept,
    /// None.
    Nothing,
}

/// What is expected of one syncgate and one namespace; in cluster scope, where namespaces have no sources of their own, of all of it.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// The namespace's states in turn, such as `active terminating? gone`; one with `?` may have been too short to be seen. Empty in
    /// cluster scope.
    pub lives: &'static str,
    /// Likewise those of each of its sources. Empty when they are to have ended.
    pub sources: &'static str,
    /// What it holds.
    pub rows: Expected,
    /// At most so often each kind is read as a whole.
    pub reads: usize,
    /// At most so many requests of each source, beside those that time brings ([`Pace`]).
    pub each: usize,
    /// The beginnings of all lines about it in the log, in any order.
    pub lines: &'static [&'static str],
}

/// The requests that time brings, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many sources the cell is about.
    pub sources: usize,
    /// How often each of them asks: it opens its watch again when that ends, and whoever misses a right looks for it no more often.
    pub watch: Duration,
    /// How often the Namespace itself is looked at, by those who may not watch it.
    pub look: Option<Duration>,
}

impl Pace {
    /// At most so many requests in this time, with `each` more of every source.
    #[must_use]
    pub fn bound(&self, elapsed: Duration, each: usize) -> usize {
        // One began before the time did.
        let times =
            |every: Duration| usize::try_from(elapsed.as_millis() / every.as_millis()).unwrap_or(usize::MAX) + 1;
        self.sources * (times(self.watch) + each) + self.look.map_or(0, times)
    }
}

/// What was measured: a row of the filled-in matrix.
#[derive(Debug, Clone)]
pub struct Outcome {
    lives: Vec<String>,
    sources: Vec<Vec<String>>,
    rows: Rows,
    reads: usize,
    requests: usize,
    bound: usize,
    lines: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |states: &[String]| states.join("→");
        let mut sources: Vec<String> = self.sources.iter().map(|states| path(states)).collect();
        sources.sort_unstable();
        sources.dedup();
        let rows: Vec<String> = self.rows.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let rows = if rows.is_empty() { "none".to_owned() } else { rows.join(", ") };
        let Self { lives, reads, requests, bound, .. } = self;
        write!(f, "{} | {} | {rows} | {reads} | {requests} of {bound} | ", path(lives), sources.join("; "))?;
        write!(f, "{}", if self.lines.is_empty() { "none".to_owned() } else { self.lines.join("; ") })
    }
}

/// What is known beside the syncgate itself.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The namespace; `None` for all of a syncgate in cluster scope.
    pub namespace: Option<&'a str>,
    /// What it held before.
    pub before: &'a Rows,
    /// What the API server holds.
    pub held: &'a Rows,
    /// What was asked since the event.
    pub requests: &'a Requests,
    /// How long ago that was.
    pub elapsed: Duration,
    /// How many requests that time brings.
    pub pace: Pace,
    /// What was said since the event.
    pub lines: &'a [Line],
}

impl Cell {
    /// Measures, and fails with the first thing that is not as expected.
    pub async fn check(&self, watcher: &Watcher, evidence: &Evidence<'_>) -> Result<Outcome> {
        let outcome = outcome(self, watcher, evidence).await?;
        self.judge(evidence, &outcome).with_context(|| format!("{outcome}")).map(|()| outcome)
    }

    fn judge(&self, evidence: &Evidence<'_>, outcome: &Outcome) -> Result<()> {
        ensure!(follows(self.lives, &outcome.lives), "its states are {:?}, not {}", outcome.lives, self.lives);
        ensure!(outcome.sources.is_empty() == self.sources.is_empty(), "its sources are {:?}", outcome.sources);
        let off = outcome.sources.iter().find(|states| !follows(self.sources, states));
        ensure!(off.is_none(), "a source went {off:?}, not {}", self.sources);
        let nothing = Rows::new();
        let rows = match self.rows {
            Expected::TheServers => evidence.held,
            Expected::Kept => evidence.before,
            Expected::Nothing => &nothing,
        };
        ensure!(outcome.rows == *rows, "it holds {:?}, not {rows:?} ({:?})", outcome.rows, self.rows);
        let asked = || evidence.requests.summary();
        ensure!(outcome.reads <= self.reads, "a kind was read {} times: {:#?}", outcome.reads, asked());
        let (asked_for, bound) = (outcome.requests, outcome.bound);
        ensure!(asked_for <= bound, "{asked_for} requests, of {bound}: {:#?}", asked());
        let mut said: BTreeMap<&str, i32> = BTreeMap::new();
        for line in &outcome.lines {
            let known = self.lines.iter().find(|beginning| line.starts_with(**beginning));
            *said.entry(known.copied().unwrap_or(line)).or_default() += 1;
        }
        self.lines.iter().for_each(|beginning| *said.entry(beginning).or_default() -= 1);
        said.retain(|_, count| *count != 0);
        ensure!(said.is_empty(), "lines too many (or too few): {said:?} of {:#?}", evidence.lines);
        Ok(())
    }
}

async fn outcome(cell: &Cell, watcher: &Watcher, evidence: &Evidence<'_>) -> Result<Outcome> {
    let picture = watcher.picture().await?;
    let film = watcher.film();
    let (lives, names, rows): (_, Vec<String>, _) = match evidence.namespace {
        Some(namespace) => {
            let names = picture.within(namespace).map(|(kind, _)| format!("{kind} in {namespace}")).collect();
            (film.namespace(namespace), names, picture.rows(namespace))
        }
        None => (Vec::new(), picture.sources.keys().cloned().collect(), namespaced(picture.all_rows())),
    };
    Ok(Outcome {
        lives,
        sources: names.iter().map(|name| film.source(name)).collect(),
        rows,
        reads: evidence.requests.reads().into_values().max().unwrap_or_default(),
        requests: evidence.requests.count(),
        bound: evidence.pace.bound(evidence.elapsed, cell.each),
        lines: evidence.lines.iter().map(|line| line.message.clone()).collect(),
    })
}

/// Whether the states are those of the pattern, in turn.
fn follows(pattern: &str, states: &[String]) -> bool {
    let words: Vec<&str> = pattern.split_whitespace().collect();
    matches(&words, states)
}

fn matches(words: &[&str], states: &[String]) -> bool {
    let Some((word, later)) = words.split_first() else { return states.is_empty() };
    let (state, optional) = word.strip_suffix('?').map_or((*word, false), |state| (state, true));
    let taken = states.first().is_some_and(|first| first == state) && matches(later, &states[1..]);
    taken || (optional && matches(later, states))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_by_the_time_that_has_passed() {
        let every = Duration::from_secs(5);
        let pace = Pace { sources: 6, watch: every, look: None };
        assert_eq!(pace.bound(Duration::from_secs(4), 0), 6, "one each that ended at once");
        assert_eq!(pace.bound(Duration::from_secs(60), 0), 78);
        assert_eq!(pace.bound(Duration::from_secs(60), 3), 96);
        let pace = Pace { look: Some(Duration::from_secs(2)), ..pace };
        assert_eq!(pace.bound(Duration::from_secs(60), 0), 78 + 31);
    }

    #[test]
    fn a_pattern_says_which_states_may_be_missed() {
        let states = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let pattern = "active terminating? gone";
        assert!(follows(pattern, &states("active gone")) && follows(pattern, &states("active terminating gone")));
        for other in ["", "active", "terminating gone", "active gone active", "active revoked gone"] {
            assert!(!follows(pattern, &states(other)), "{other}");
        }
        assert!(follows("", &[]));
        assert!(follows("synced stale synced? stale? synced", &states("synced stale synced")));
    }
}
