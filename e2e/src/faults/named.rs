//! The faults by name: what tests and people play.

use std::time::Duration;

use clap::ValueEnum;

use super::call::Verb;
use super::rules::{Effect, End, Rule, When};
use super::status::Reply;

/// The bytes of a watch that `cut-watches` lets through: fewer than any object has.
const CUT_AFTER: u64 = 100;

/// A fault that can be played by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// New connections are refused; open ones live on.
    Refuse,
    /// All open connections are reset, once; new ones are welcome.
    Reset,
    /// The server is gone: open connections are reset and new ones refused.
    Outage,
    /// The network swallows everything: connections are accepted and stay open, no byte passes in either direction, not even the answer
    /// to a ping; what was open goes on afterwards.
    BlackHole,
    /// The server hangs: its connections live and answer pings, but no request is answered and open watches are silent.
    Hang,
    /// Every request waits for a second.
    Slow,
    /// Every request waits between 50 and 500 ms.
    Jitter,
    /// A third of all requests are answered with 500.
    Flaky,
    /// Watches end in the middle of an event, as if the stream were complete.
    CutWatches,
    /// Watches end between two events, as after their timeout.
    EndWatches,
    /// Watches are reset (RST_STREAM; a broken connection with HTTP/1.1).
    ResetWatches,
    /// 401 to everything: the token is not known any more; HTTP/2 connections take no further request.
    Unauthorized,
    /// 403 to everything that names a resource: the rights are gone; open watches go on.
    Forbidden,
    /// 404 to every GET of one object.
    NotFound,
    /// 404 in plain text to everything that names a resource: the API is not there, or not yet.
    NoSuchApi,
    /// 409 to every update and patch.
    Conflict,
    /// 410 Expired to every LIST and watch, as a status of HTTP.
    Expired,
    /// 410 Expired as an ERROR event in every watch, also in those that are open.
    ExpiredEvent,
    /// 422 to every watch with sendInitialEvents: a server without WatchList.
    WatchListOff,
    /// 429 of priority and fairness to everything, in plain text, with Retry-After 1.
    TooManyRequests,
    /// 429 with a Status and Retry-After 1 to every LIST and watch: the server has just started.
    StorageInitializing,
    /// 500 to everything.
    InternalError,
    /// 503 with Retry-After 5 to everything: the server shuts down.
    Unavailable,
    /// 504 to everything: etcd does not answer.
    Timeout,
    /// 504 "Too large resource version" to every LIST and watch: the server is behind, or was restored to an older revision.
    FutureVersion,
    /// The same as an ERROR event in every watch, which is how sendInitialEvents is answered; also in those that are open.
    FutureVersionEvent,
    /// Watches get no bookmarks, so that an initial list by sendInitialEvents never ends.
    NoBookmarks,
    /// Every LIST, also one by sendInitialEvents, is answered truthfully but for its items: there are none.
    EmptyLists,
}

impl Fault {
    /// As it is played on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Its rules, restricted to what `on` matches. What the fault itself restricts replaces the same field of `on`.
    #[must_use]
    pub fn rules(self, on: &When) -> Vec<Rule> {
        let all = || on.clone();
        let verbs = |verbs: &[Verb]| When { verbs: verbs.to_vec(), ..on.clone() };
        let watches = || verbs(&[Verb::Watch]);
        let lists = || verbs(&[Verb::List, Verb::Watch]);
        let resources = || verbs(&[&Verb::READS[..], &Verb::WRITES[..]].concat());
        let answer = |reply| Effect::Answer(reply, None);
        let milliseconds = Duration::from_millis;
        let rule = |when, effect| vec![Rule { when, effect }];
        match self {
            Self::Refuse => rule(all(), Effect::Refuse),
            Self::Reset => rule(all(), Effect::Reset),
            Self::Outage => [rule(all(), Effect::Refuse), rule(all(), Effect::Reset)].concat(),
            Self::BlackHole => rule(all(), Effect::BlackHole),
            Self::Hang => rule(all(), Effect::Silence),
            Self::Slow => rule(all(), Effect::Delay(milliseconds(1000)..=milliseconds(1000))),
            Self::Jitter => rule(all(), Effect::Delay(milliseconds(50)..=milliseconds(500))),
            Self::Flaky => rule(When { chance: Some(1.0 / 3.0), ..all() }, answer(Reply::InternalError)),
            Self::CutWatches => rule(watches(), Effect::Cut(CUT_AFTER, End::Eof)),
            Self::EndWatches => rule(watches(), Effect::Cut(0, End::Eof)),
            Self::ResetWatches => rule(watches(), Effect::Cut(0, End::Reset)),
            Self::Unauthorized => rule(all(), answer(Reply::Unauthorized)),
            Self::Forbidden => rule(resources(), answer(Reply::Forbidden)),
            Self::NotFound => rule(verbs(&[Verb::Get]), answer(Reply::NotFound)),
            Self::NoSuchApi => rule(resources(), answer(Reply::NoSuchApi)),
            Self::Conflict => rule(verbs(&[Verb::Update, Verb::Patch]), answer(Reply::Conflict)),
            Self::Expired => rule(lists(), answer(Reply::Expired)),
            Self::ExpiredEvent => rule(watches(), Effect::ErrorEvent(Reply::Expired)),
            Self::WatchListOff => rule(When { initial_events: true, ..watches() }, answer(Reply::WatchListOff)),
            Self::TooManyRequests => rule(all(), answer(Reply::TooManyRequests(1))),
            Self::StorageInitializing => rule(lists(), answer(Reply::StorageInitializing(1))),
            Self::InternalError => rule(all(), answer(Reply::InternalError)),
            Self::Unavailable => rule(all(), answer(Reply::Unavailable(5))),
            Self::Timeout => rule(all(), answer(Reply::Timeout)),
            Self::FutureVersion => rule(lists(), answer(Reply::FutureVersion(5))),
            Self::FutureVersionEvent => rule(watches(), Effect::ErrorEvent(Reply::FutureVersion(5))),
            Self::NoBookmarks => rule(watches(), Effect::DropBookmarks),
            Self::EmptyLists => rule(lists(), Effect::EmptyList),
        }
    }
}
