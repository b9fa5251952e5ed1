//! What can go wrong between a source and the API server, and what each fault asks for: a table, exhaustive and pure (F54).
//!
//! Invariant: no fault is an answer. Whatever goes wrong, rows stay (`doubt_keeps`); only a list or a delete event that was
//! read whole, or the evidence that a namespace or an API is gone, takes a row away.

use std::fmt;
use std::time::Duration;

use super::wire::Status;

/// What a source was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Reading a list, page by page.
    List,
    /// Asking for a watch that begins with the list (`sendInitialEvents`).
    WatchList,
    /// Asking for a watch from a revision.
    Start,
    /// Reading a watch that was granted.
    Stream,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The server answered with an error, or sent one in a stream.
    Answer(Status),
    /// No connection, or it broke: refused, reset, TLS, closed in the middle of a body.
    Unreachable(String),
    /// The server gave up this one answer; others on the connection go on.
    Reset(String),
    /// The body ended in the middle of an object.
    Cut,
    /// A watch that begins with the list does not come to the list's end.
    Unended,
    /// Nothing came for longer than anything may take.
    Silent(Duration),
    /// What came is no object of this API.
    Malformed(String),
    /// The server ended a watch in order, as it does after its time-out.
    Ended,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Watch on from the newest revision, at once.
    Resume,
    /// The same again after a back-off.
    Retry,
    /// The server asked for a pause: the same again after it.
    Pause,
    /// The server cannot be reached: the same again once the prober has found it.
    Outage,
    /// What was read is too old (or from the future) to go on from: list anew.
    Relist,
    /// The server has no WatchList: list, then watch.
    PlainList,
    /// The credentials are not accepted: read them again, then the same.
    Authenticate,
    /// A right is missing, or a namespace is gone: find out which.
    Denied,
    /// The API is not there, or the server lies: find out which.
    Absent,
    /// This server does not speak the encoding: the same in JSON.
    Json,
}

/// What `fault` asks for in `phase`.
#[must_use]
pub fn classify(phase: Phase, fault: &Fault) -> Action {
    match fault {
        Fault::Answer(status) => of_status(phase, status),
        // A connection that broke is no outage yet: whoever cannot open the next one knows.
        Fault::Unreachable(_) if phase == Phase::Stream => Action::Resume,
        Fault::Unreachable(_) => Action::Outage,
        // A watch that broke has lost nothing: it goes on from its newest revision. A list has to begin again.
        Fault::Reset(_) | Fault::Cut | Fault::Silent(_) | Fault::Ended if phase == Phase::Stream => Action::Resume,
        // The end is a bookmark with an annotation, which whoever is in between may have taken out.
        Fault::Unended => Action::PlainList,
        Fault::Reset(_) | Fault::Cut | Fault::Silent(_) | Fault::Ended => Action::Retry,
        Fault::Malformed(_) => match phase {
            // What the object said is lost for the watch; a list would show it again.
            Phase::Stream => Action::Relist,
            Phase::List | Phase::WatchList | Phase::Start => Action::Retry,
        },
    }
}

fn of_status(phase: Phase, status: &Status) -> Action {
    match status.code {
        401 => Action::Authenticate,
        403 => Action::Denied,
        404 => Action::Absent,
        // "Expired": a continue token, or a revision that was compacted. Also of a server restored from a backup.
        410 => Action::Relist,
        406 | 415 => Action::Json,
        // 504 with this cause: "Too large resource version", which no waiting mends when the revision went back.
        504 if is_from_the_future(status) => Action::Relist,
        429 => Action::Pause,
        500 | 502..=504 if status.retry_after.is_some() => Action::Pause,
        // A server without WatchList calls `sendInitialEvents` invalid (422), older ones call it bad (400).
        400 | 422 if phase == Phase::WatchList => Action::PlainList,
        // Anything else in a stream is the server's way to end it: what was missed shows in a list.
        _ if phase == Phase::Stream => Action::Relist,
        _ => Action::Retry,
    }
}

/// Whether a revision was asked for that the server has not reached.
fn is_from_the_future(status: &Status) -> bool {
    status.causes.iter().any(|(reason, _)| reason.as_str() == "ResourceVersionTooLarge")
        || status.message.contains("Too large resource version")
}

impl Fault {
    /// Whether the server itself did not answer, so that waiting for it to come back is what helps.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Fault::Unreachable(_))
    }

    /// Whether it is about the right to watch or the way to the server, when a question beside the watch met it.
    #[must_use]
    pub fn ends_a_watch(&self) -> bool {
        match self {
            Fault::Answer(status) => matches!(status.code, 401 | 403 | 404),
            Fault::Unreachable(_) => true,
            Fault::Reset(_) | Fault::Cut | Fault::Unended | Fault::Silent(_) | Fault::Malformed(_) | Fault::Ended => {
                false
            }
        }
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Fault::Answer(status) => status.retry_after,
            _ => None,
        }
    }

    /// The class of the fault, for metrics: one of a fixed few words.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Fault::Answer(status) => match status.code {
                401 => "unauthorized",
                403 => "forbidden",
                404 => "not_found",
                410 => "expired",
                429 => "too_many_requests",
                500..=599 => "server_error",
                _ => "refused",
            },
            Fault::Unreachable(_) => "unreachable",
            Fault::Reset(_) => "reset",
            Fault::Cut => "cut",
            Fault::Unended => "unended",
            Fault::Silent(_) => "silent",
            Fault::Malformed(_) => "malformed",
            Fault::Ended => "ended",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Answer(status) if status.message.is_empty() => write!(f, "the server answered {}", status.code),
            Fault::Answer(status) => write!(f, "the server answered {}: {}", status.code, status.message),
            Fault::Unreachable(why) => write!(f, "the API server cannot be reached: {why}"),
            Fault::Reset(why) => write!(f, "the server gave up the answer: {why}"),
            Fault::Cut => f.write_str("the answer ended in the middle of an object"),
            Fault::Unended => f.write_str("the watch does not come to the end of the list; it is asked for in pages"),
            Fault::Silent(time) => write!(f, "nothing came for {time:?}"),
            Fault::Malformed(why) => write!(f, "the answer cannot be read: {why}"),
            Fault::Ended => f.write_str("the server ended the watch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16) -> Fault {
        Fault::Answer(Status { code, ..Status::default() })
    }

    const PHASES: [Phase; 4] = [Phase::List, Phase::WatchList, Phase::Start, Phase::Stream];

    /// Status × phase → action; the columns are [`PHASES`].
    #[test]
    fn every_status_has_its_action_in_every_phase() {
        use Action::{Absent, Authenticate, Denied, Json, Pause, PlainList, Relist, Retry};
        for (code, actions) in [
            (400, [Retry, PlainList, Retry, Relist]),
            (401, [Authenticate; 4]),
            (403, [Denied; 4]),
            (404, [Absent; 4]),
            (406, [Json; 4]),
            (409, [Retry, Retry, Retry, Relist]),
            (410, [Relist; 4]),
            (415, [Json; 4]),
            (422, [Retry, PlainList, Retry, Relist]),
            (429, [Pause; 4]),
            (500, [Retry, Retry, Retry, Relist]),
            (503, [Retry, Retry, Retry, Relist]),
            (504, [Retry, Retry, Retry, Relist]),
        ] {
            assert_eq!(PHASES.map(|phase| classify(phase, &answer(code))), actions, "{code}");
        }
    }

    #[test]
    fn what_is_no_status_has_its_action_too() {
        use Action::{Outage, PlainList, Relist, Resume, Retry};
        for (fault, actions) in [
            (Fault::Unreachable("refused".into()), [Outage, Outage, Outage, Resume]),
            (Fault::Cut, [Retry, Retry, Retry, Resume]),
            (Fault::Reset("internal error".into()), [Retry, Retry, Retry, Resume]),
            (Fault::Unended, [PlainList; 4]),
            (Fault::Silent(Duration::from_secs(1)), [Retry, Retry, Retry, Resume]),
            (Fault::Ended, [Retry, Retry, Retry, Resume]),
            (Fault::Malformed("?".into()), [Retry, Retry, Retry, Relist]),
        ] {
            assert_eq!(PHASES.map(|phase| classify(phase, &fault)), actions, "{fault}");
        }
    }

    #[test]
    fn a_revision_from_the_future_is_listed_anew_and_a_pause_is_kept() {
        let future =
            Status { code: 504, message: "Too large resource version: 9, current: 5".into(), ..Status::default() };
        assert_eq!(classify(Phase::Start, &Fault::Answer(future)), Action::Relist);
        let busy = Status { code: 503, retry_after: Some(Duration::from_secs(3)), ..Status::default() };
        assert_eq!(classify(Phase::List, &Fault::Answer(busy.clone())), Action::Pause);
        assert_eq!(Fault::Answer(busy).retry_after(), Some(Duration::from_secs(3)));
    }
}
