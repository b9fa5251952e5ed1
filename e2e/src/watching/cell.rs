//! One cell of the matrix: what one syncgate is to show, hold, ask and say after one event, and whether it did.

use std::collections::BTreeMap;
use std::fmt;

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
    /// At most so many requests.
    pub requests: usize,
    /// The beginnings of all lines about it in the log, in any order.
    pub lines: &'static [&'static str],
}

/// What was measured: a row of the filled-in matrix.
#[derive(Debug, Clone)]
pub struct Outcome {
    lives: Vec<String>,
    sources: Vec<Vec<String>>,
    rows: Rows,
    reads: usize,
    requests: usize,
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
        write!(f, "{} | {} | {rows} | {} | {} | ", path(&self.lives), sources.join("; "), self.reads, self.requests)?;
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
    /// What was said since the event.
    pub lines: &'a [Line],
}

impl Cell {
    /// Measures, and fails with the first thing that is not as expected.
    pub async fn check(&self, watcher: &Watcher, evidence: &Evidence<'_>) -> Result<Outcome> {
        let outcome = outcome(watcher, evidence).await?;
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
        ensure!(outcome.requests <= self.requests, "{} requests: {:#?}", outcome.requests, asked());
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

async fn outcome(watcher: &Watcher, evidence: &Evidence<'_>) -> Result<Outcome> {
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
