//! Rules: which requests, when, and what is done to them. A rule is decided once for each request, and once for each watch that is open
//! when the rule comes into force, so that counts and chances mean requests and not the moments at which somebody looks.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::call::{Call, Verb};
use super::status::{Encoding, Reply};
use crate::random::Random;

/// When a rule applies: to everything, unless a field says otherwise.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// Any of these; all if empty.
    pub verbs: Vec<Verb>,
    /// Paths that begin so.
    pub path: Option<String>,
    /// `pods`, `pods/status`, `httproutes.gateway.networking.k8s.io`.
    pub resource: Option<String>,
    /// Requests in this namespace.
    pub namespace: Option<String>,
    /// Requests with this bearer token.
    pub token: Option<String>,
    /// Only watches that ask for `sendInitialEvents`.
    pub initial_events: bool,
    /// Of the requests that all other fields match, counted from 0, only these.
    pub requests: Option<Range<u64>>,
    /// With this probability, drawn from the proxy's seed.
    pub chance: Option<f64>,
    /// From the moment at which the rules were set.
    pub window: Option<Range<Duration>>,
}

impl When {
    fn matches(&self, call: &Call) -> bool {
        let same = |wanted: &Option<String>, seen: Option<&str>| wanted.is_none() || wanted.as_deref() == seen;
        (self.verbs.is_empty() || self.verbs.contains(&call.verb))
            && self.path.as_ref().is_none_or(|path| call.path.starts_with(path))
            && same(&self.resource, Some(&call.qualified()))
            && same(&self.namespace, call.namespace.as_deref())
            && same(&self.token, call.token.as_deref())
            && (call.initial_events || !self.initial_events)
    }

    fn is_open(&self, since_set: Duration) -> bool {
        self.window.as_ref().is_none_or(|window| window.contains(&since_set))
    }

    /// Whether it looks at requests, which a fault of whole connections cannot.
    fn looks_at_requests(&self) -> bool {
        let Self { verbs, path, resource, namespace, token, initial_events, requests, chance, window: _ } = self;
        !verbs.is_empty()
            || path.is_some()
            || resource.is_some()
            || namespace.is_some()
            || token.is_some()
            || *initial_events
            || requests.is_some()
            || chance.is_some()
    }
}

impl FromStr for When {
    type Err = anyhow::Error;

    /// `[NAMESPACE/]RESOURCE[.GROUP]`.
    fn from_str(text: &str) -> Result<Self> {
        let (namespace, resource) = match text.split_once('/') {
            Some((namespace, resource)) => (Some(namespace.to_owned()), resource),
            None => (None, text),
        };
        ensure!(
            !resource.is_empty() && namespace.as_deref() != Some(""),
            "{text:?} names no resource; write it as pods, shop/pods or httproutes.gateway.networking.k8s.io"
        );
        Ok(Self { namespace, resource: Some(resource.to_owned()), ..Self::default() })
    }
}

/// How a watch ends that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As if it were complete.
    Eof,
    /// RST_STREAM, or a connection that breaks with HTTP/1.1.
    Reset,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// New connections are refused; open ones stay.
    Refuse,
    /// Open connections are reset, once.
    Reset,
    /// Connections fall silent, open and new ones: nothing is read, nothing is written, nothing is closed.
    BlackHole,
    /// The request is forwarded after a time drawn from this range.
    Delay(RangeInclusive<Duration>),
    /// Requests are not answered and open watches fall silent, while their connections live.
    Silence,
    /// The request is answered so; in the encoding that it accepts, or in this one whatever it accepts.
    Answer(Reply, Option<Encoding>),
    /// A LIST, also one by `sendInitialEvents`, is answered truthfully but for its items, of which there are none.
    EmptyList,
    /// A watch ends after so many bytes: at once if 0, else inside the event that holds the byte after these.
    Cut(u64, End),
    /// A watch gets this as an ERROR event and ends.
    ErrorEvent(Reply),
    /// A watch gets no bookmarks.
    DropBookmarks,
}

impl Effect {
    /// Whether it concerns connections and not requests.
    pub(super) fn is_of_connections(&self) -> bool {
        matches!(self, Self::Refuse | Self::Reset | Self::BlackHole)
    }

    /// What it is counted under.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Refuse => "refuse".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::BlackHole => "black hole".to_owned(),
            Self::Delay(_) => "delay".to_owned(),
            Self::Silence => "silence".to_owned(),
            Self::Answer(reply, _) => format!("answer {}", word(reply)),
            Self::EmptyList => "empty list".to_owned(),
            Self::Cut(_, End::Eof) => "cut".to_owned(),
            Self::Cut(_, End::Reset) => "reset of a watch".to_owned(),
            Self::ErrorEvent(reply) => format!("event {}", word(reply)),
            Self::DropBookmarks => "bookmark dropped".to_owned(),
        }
    }
}

/// The variant's name.
fn word(reply: &Reply) -> String {
    let name = format!("{reply:?}");
    name.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// When it applies.
    pub when: When,
    /// What it does.
    pub effect: Effect,
}

/// The rules in force, with their own clock and counts.
#[derive(Debug)]
pub(super) struct RuleSet {
    rules: Vec<Rule>,
    /// For each rule, how many requests its other fields have matched.
    matched: Vec<AtomicU64>,
    since: Instant,
}

impl RuleSet {
    pub(super) fn new(rules: Vec<Rule>) -> Result<Self> {
        for rule in &rules {
            ensure!(
                !(rule.effect.is_of_connections() && rule.when.looks_at_requests()),
                "{} concerns connections, which name no resource; restrict it by time alone",
                rule.effect.label()
            );
        }
        let matched = rules.iter().map(|_| AtomicU64::new(0)).collect();
        Ok(Self { rules, matched, since: Instant::now() })
    }

    /// The effects on connections that are in force at that time, with the places of their rules.
    pub(super) fn of_connections(&self, now: Instant) -> impl Iterator<Item = (usize, &Effect)> {
        let age = now - self.since;
        let rules = self.rules.iter().enumerate();
        rules
            .filter(move |(_, rule)| rule.effect.is_of_connections() && rule.when.is_open(age))
            .map(|(at, rule)| (at, &rule.effect))
    }

    /// When the next window opens or closes after that time.
    pub(super) fn next_boundary(&self, now: Instant) -> Option<Instant> {
        let windows = self.rules.iter().filter_map(|rule| rule.when.window.as_ref());
        windows.flat_map(|window| [self.since + window.start, self.since + window.end]).filter(|at| *at > now).min()
    }
}

/// What has been decided for one request or watch.
#[derive(Debug, Default)]
pub(super) struct Decided {
    rules: Option<Arc<RuleSet>>,
    applies: Vec<Option<bool>>,
}

impl Decided {
    /// The effects of the rules that apply to `call` now. What was decided under other rules is forgotten.
    pub(super) fn effects(&mut self, rules: &Arc<RuleSet>, call: &Call, dice: &Dice) -> Vec<Effect> {
        if !self.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) {
            self.rules = Some(Arc::clone(rules));
            self.applies = vec![None; rules.rules.len()];
        }
        let age = rules.since.elapsed();
        let mut effects = Vec::new();
        for ((rule, matched), applies) in rules.rules.iter().zip(&rules.matched).zip(&mut self.applies) {
            if rule.effect.is_of_connections() || !rule.when.is_open(age) {
                continue;
            }
            if *applies.get_or_insert_with(|| decide(&rule.when, matched, call, dice)) {
                effects.push(rule.effect.clone());
            }
        }
        effects
    }
}

fn decide(when: &When, matched: &AtomicU64, call: &Call, dice: &Dice) -> bool {
    if !when.matches(call) {
        return false;
    }
    let nth = matched.fetch_add(1, Ordering::Relaxed);
    when.requests.as_ref().is_none_or(|requests| requests.contains(&nth))
        && when.chance.is_none_or(|chance| dice.unit() < chance)
}

/// Random numbers for calls that come at the same time.
#[derive(Debug)]
pub(super) struct Dice(Mutex<Random>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::new(seed)))
    }

    /// From 0 up to, but not including, 1.
    pub(super) fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unit()
    }

    pub(super) fn within(&self, range: &RangeInclusive<Duration>) -> Duration {
        *range.start() + range.end().saturating_sub(*range.start()).mul_f64(self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn call(uri: &str) -> Call {
        Call::of(&Request::get(uri).header("authorization", "Bearer anna").body(()).unwrap())
    }

    /// Which of ten equal requests the rule applies to.
    fn ten(when: When, uri: &str, seed: u64) -> Vec<usize> {
        let rules = Arc::new(RuleSet::new(vec![Rule { when, effect: Effect::EmptyList }]).unwrap());
        let dice = Dice::new(seed);
        let applies = |_: &usize| !Decided::default().effects(&rules, &call(uri), &dice).is_empty();
        (0..10).filter(applies).collect()
    }

    #[track_caller]
    fn matches(when: When, uri: &str, expected: bool) {
        assert_eq!(!ten(when.clone(), uri, 1).is_empty(), expected, "{when:?} {uri}");
    }

    #[test]
    fn every_field_restricts() {
        let pods = "/api/v1/namespaces/shop/pods";
        matches(When::default(), pods, true);
        matches(When { verbs: vec![Verb::Watch], ..When::default() }, pods, false);
        matches(When { path: Some("/api/v1/namespaces/shop".into()), ..When::default() }, pods, true);
        matches(When { path: Some("/apis".into()), ..When::default() }, pods, false);
        matches("pods".parse().unwrap(), pods, true);
        matches("shop/pods".parse().unwrap(), pods, true);
        matches("other/pods".parse().unwrap(), pods, false);
        matches("pods.example.com".parse().unwrap(), pods, false);
        matches(When { token: Some("anna".into()), ..When::default() }, pods, true);
        matches(When { token: Some("otto".into()), ..When::default() }, pods, false);
        matches(When { initial_events: true, ..When::default() }, pods, false);
        let streaming = "/api/v1/pods?watch=true&sendInitialEvents=true";
        matches(When { initial_events: true, ..When::default() }, streaming, true);
        "shop/".parse::<When>().unwrap_err();
    }

    #[test]
    fn counts_and_chances_are_of_requests() {
        let third = When { requests: Some(2..3), ..When::default() };
        assert_eq!(ten(third, "/api/v1/pods", 1), [2]);
        let half = When { chance: Some(0.5), ..When::default() };
        let drawn = ten(half.clone(), "/api/v1/pods", 7);
        assert!((1..10).contains(&drawn.len()), "{drawn:?}");
        assert_eq!(drawn, ten(half.clone(), "/api/v1/pods", 7), "a seed repeats");
        assert_ne!(drawn, ten(half, "/api/v1/pods", 8), "another one does not");
    }

    #[test]
    fn a_request_is_decided_once() {
        let when = When { requests: Some(0..1), ..When::default() };
        let rules = Arc::new(RuleSet::new(vec![Rule { when, effect: Effect::Silence }]).unwrap());
        let (mut watch, dice) = (Decided::default(), Dice::new(1));
        for _ in 0..3 {
            assert_eq!(watch.effects(&rules, &call("/api/v1/pods"), &dice), [Effect::Silence]);
        }
        assert_eq!(Decided::default().effects(&rules, &call("/api/v1/pods"), &dice), []);
    }

    #[test]
    fn a_window_opens_and_closes() {
        let tick = Duration::from_millis(50);
        let when = When { window: Some(tick..2 * tick), ..When::default() };
        let rules = Arc::new(RuleSet::new(vec![Rule { when, effect: Effect::BlackHole }]).unwrap());
        let (mut seen, mut now) = (Vec::new(), rules.since);
        loop {
            seen.push(rules.of_connections(now).count());
            let Some(boundary) = rules.next_boundary(now) else { break };
            now = boundary;
        }
        assert_eq!(seen, [0, 1, 0]);
    }

    #[test]
    fn a_connection_names_no_resource() {
        let rule = Rule { when: "pods".parse().unwrap(), effect: Effect::Refuse };
        let refusal = RuleSet::new(vec![rule]).unwrap_err().to_string();
        assert!(refusal.contains("refuse concerns connections"), "{refusal}");
    }
}
