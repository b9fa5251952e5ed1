//! Which of several matching rules answers: the order of routes within a virtual host.
//!
//! The Gateway API demands: the most specific host name the route asked for; an exact path, then the longest
//! prefix; a method; the most headers; the most query parameters; the oldest route; namespace and name; the
//! first rule; its first match. Where expressions stand it leaves open: they come between exact and prefix, longest
//! first, as in Envoy Gateway, because whoever writes one means to say more than a prefix does.

use std::cmp::Reverse;

use super::hostname::Specificity;
use crate::model::{ObjectKey, PathMatch, RouteMatch};

/// Where a match of a route stands in its virtual host. Smaller comes first. It is unique in its virtual host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RowOrder {
    /// The host name that the route asked for.
    pub(crate) asked: Reverse<Specificity>,
    /// What is matched.
    pub(crate) matched: MatchOrder,
    /// `creationTimestamp`: the oldest first.
    pub(crate) created: i64,
    /// The route.
    pub(crate) route: ObjectKey,
    /// The position of the rule in its route and of the match in its rule: the last resort, and part of no name.
    pub(crate) position: (u32, u32),
}

/// How much a match says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MatchOrder {
    path: PathOrder,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum PathOrder {
    Exact,
    Regex(Reverse<usize>),
    Prefix(Reverse<usize>),
}

impl MatchOrder {
    pub(crate) fn of(matched: &RouteMatch) -> Self {
        let path = match &matched.path {
            PathMatch::Exact(_) => PathOrder::Exact,
            PathMatch::Regex(expression) => PathOrder::Regex(Reverse(expression.chars().count())),
            PathMatch::Prefix(prefix) => PathOrder::Prefix(Reverse(prefix.chars().count())),
        };
        Self {
            path,
            method: Reverse(matched.method.is_some()),
            headers: Reverse(matched.headers.len()),
            query: Reverse(matched.query.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HeaderMatch, Matcher, QueryMatch};

    fn path(path: PathMatch) -> RouteMatch {
        RouteMatch { path, headers: Vec::new(), query: Vec::new(), method: None }
    }

    fn prefix(value: &str) -> RouteMatch {
        path(PathMatch::Prefix(value.into()))
    }

    #[test]
    fn what_says_more_comes_first() {
        let header = |name: &str| HeaderMatch { name: name.into(), value: Matcher::Exact("x".into()) };
        let query = |name: &str| QueryMatch { name: name.into(), value: Matcher::Exact("x".into()) };
        let ordered = [
            path(PathMatch::Exact("/".into())),
            path(PathMatch::Regex("/long.*".into())),
            path(PathMatch::Regex("/.*".into())),
            prefix("/much/longer"),
            RouteMatch { method: Some("GET".into()), ..prefix("/a") },
            RouteMatch { headers: vec![header("a"), header("b")], ..prefix("/a") },
            RouteMatch { headers: vec![header("a")], query: vec![query("q")], ..prefix("/a") },
            RouteMatch { headers: vec![header("a")], ..prefix("/a") },
            RouteMatch { query: vec![query("q"), query("r")], ..prefix("/a") },
            RouteMatch { query: vec![query("q")], ..prefix("/a") },
            prefix("/a"),
            prefix("/"),
        ];
        for pair in ordered.windows(2) {
            assert!(MatchOrder::of(&pair[0]) < MatchOrder::of(&pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn characters_count_not_bytes() {
        assert!(MatchOrder::of(&prefix("/abc")) < MatchOrder::of(&prefix("/éé")));
    }
}
