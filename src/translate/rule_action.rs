//! What a rule does with a request: forward, redirect, or answer an error.
//!
//! No regular expression is used to rewrite a prefix: they would be bound by Envoy's size limit and cost time for
//! each request. Where Envoy's own prefix rewriting would leave two slashes or none, the match is split in two.

use std::time::Duration;

use envoy::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use envoy::route::Action;
use envoy::route_action::HostRewriteSpecifier;
use envoy::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3 as envoy;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf;

use super::backends::{self, Backends};
use super::filters::Filters;
use super::hostname::Hostname;
use super::refusal::Refusal;
use super::rule_match::{header_matcher, regex_matcher, string};
use super::text;
use crate::model::{PathModifier, Redirect, Rewrite, RouteRule};

/// The longest time-out that the Gateway API can write: 99999 hours.
const MAX_TIMEOUT: Duration = Duration::from_secs(99_999 * 3600);

/// What a rule does, before it is known what it matches.
#[derive(Debug, Clone)]
pub(crate) enum RuleAction {
    /// Forwards to clusters.
    Forward(Box<envoy::RouteAction>, PathChange),
    /// Redirects.
    Redirect(envoy::RedirectAction, PathChange, Location),
    /// Answers 500 to everything.
    Error,
}

/// What decides about the port in a redirect's `Location`, beside the listener that the route attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// The port that the redirect asks for.
    port: Option<u16>,
    /// Whether it asks for the scheme `https`; `None` if it keeps the listener's.
    https: Option<bool>,
    /// Whether the host is that of the request, port included.
    keeps_host: bool,
}

/// How the `Location` of a redirect names its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectPort {
    /// It names this one.
    Named(u16),
    /// It names none.
    Omitted,
    /// It names none, as this is the scheme's own; but if the request's host has a port, Envoy would keep that, so
    /// then it is named.
    OmittedUnlessKept(u16),
}

impl Location {
    /// The port that a redirect names when it answers at a listener of this port, behind TLS or not.
    ///
    /// The API: the port asked for; else the scheme's own if a scheme is asked for; else the listener's. And the
    /// scheme's own should not be named.
    pub(crate) fn port_at(self, listener: u16, tls: bool) -> RedirectPort {
        let own = if self.https.unwrap_or(tls) { 443 } else { 80 };
        let port = self.port.unwrap_or(if self.https.is_some() { own } else { listener });
        match (port == own, self.keeps_host) {
            (false, _) => RedirectPort::Named(port),
            (true, false) => RedirectPort::Omitted,
            (true, true) => RedirectPort::OmittedUnlessKept(port),
        }
    }
}

/// What becomes of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathChange {
    Keep,
    /// The whole path.
    Full(String),
    /// The matched prefix; without a trailing slash, so `/` is empty.
    Prefix(String),
}

/// What the rule does, from its sorted filters and resolved backends. `field` is the rule's.
///
/// # Errors
/// The first value that Envoy would refuse.
pub(crate) fn rule_action(
    rule: &RouteRule,
    filters: &Filters<'_>,
    backends: Backends<'_>,
    field: &str,
) -> Result<RuleAction, Refusal> {
    if let Some((redirect, at)) = &filters.redirect {
        return redirect_action(redirect, at);
    }
    let timeout = timeout(rule, field)?;
    let (host, path) = match (&filters.rewrite, &backends.rewrite) {
        (None, None) => (None, PathChange::Keep),
        (Some((rewrite, at)), None) | (None, Some((rewrite, at))) => rewriting(rewrite, at)?,
        (Some(_), Some((_, at))) => {
            return Err(Refusal::incompatible(at.clone(), "the rule rewrites already; only one of both can"));
        }
    };
    let Some(action) = backends::route_action(backends.shares) else { return Ok(RuleAction::Error) };
    let host_rewrite_specifier = host.map(HostRewriteSpecifier::HostRewriteLiteral);
    let action = envoy::RouteAction { timeout, host_rewrite_specifier, ..action };
    Ok(RuleAction::Forward(Box::new(action), path))
}

/// The time-out of a request, which is also that of its one try at a backend: the shorter of both, where zero means
/// no limit. Without any, Envoy's default of 15 s stands.
fn timeout(rule: &RouteRule, field: &str) -> Result<Option<protobuf::Duration>, Refusal> {
    let named = [("request", rule.request_timeout), ("backendRequest", rule.backend_timeout)];
    let mut shortest: Option<Duration> = None;
    for (name, timeout) in named {
        let Some(timeout) = timeout else { continue };
        if timeout > MAX_TIMEOUT {
            let message = "a time-out is at most 99999 hours";
            return Err(Refusal::unsupported(format!("{field}.timeouts.{name}"), message));
        }
        shortest = Some(match shortest {
            Some(other) if !other.is_zero() && (timeout.is_zero() || other < timeout) => other,
            _ => timeout,
        });
    }
    Ok(shortest.map(|timeout| protobuf::Duration {
        seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(timeout.subsec_nanos()).unwrap_or(0),
    }))
}

fn rewriting(rewrite: &Rewrite, field: &str) -> Result<(Option<String>, PathChange), Refusal> {
    let host = rewrite.hostname.as_ref().map(|name| exact_host(name, &format!("{field}.hostname"))).transpose()?;
    Ok((host, path_change(rewrite.path.as_ref(), field)?))
}

fn exact_host(name: &arcstr::ArcStr, field: &str) -> Result<String, Refusal> {
    match Hostname::parse(name) {
        Ok(host) if !host.as_str().starts_with('*') => Ok(host.to_string()),
        Ok(_) => Err(Refusal::unsupported(field.to_owned(), "a wildcard cannot take the place of a host name")),
        Err(why) => Err(Refusal::unsupported(field.to_owned(), why)),
    }
}

fn path_change(path: Option<&PathModifier>, field: &str) -> Result<PathChange, Refusal> {
    Ok(match path {
        None => PathChange::Keep,
        Some(PathModifier::Full(path)) => {
            text::check_full_path(path)
                .map_err(|why| Refusal::unsupported(format!("{field}.path.replaceFullPath"), why))?;
            PathChange::Full(path.to_string())
        }
        Some(PathModifier::Prefix(path)) => {
            text::check_prefix_replacement(path)
                .map_err(|why| Refusal::unsupported(format!("{field}.path.replacePrefixMatch"), why))?;
            PathChange::Prefix(path.trim_end_matches('/').to_owned())
        }
    })
}

fn redirect_action(redirect: &Redirect, field: &str) -> Result<RuleAction, Refusal> {
    let code = match redirect.status {
        301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        other => {
            let message = arcstr::format!("{other} is not one of 301, 302, 303, 307 and 308");
            return Err(Refusal::unsupported(format!("{field}.statusCode"), message));
        }
    };
    let host = redirect.hostname.as_ref().map(|name| exact_host(name, &format!("{field}.hostname"))).transpose()?;
    let scheme = match redirect.scheme.as_deref() {
        None => None,
        Some(scheme @ ("http" | "https")) => Some(scheme),
        Some(other) => {
            let message = arcstr::format!("`{other}` is not one of `http` and `https`");
            return Err(Refusal::unsupported(format!("{field}.scheme"), message));
        }
    };
    if redirect.port == Some(0) {
        return Err(Refusal::unsupported(format!("{field}.port"), "the port is a number from 1 to 65535"));
    }
    let location =
        Location { port: redirect.port, https: scheme.map(|scheme| scheme == "https"), keeps_host: host.is_none() };
    let action = envoy::RedirectAction {
        host_redirect: host.unwrap_or_default(),
        response_code: code.into(),
        scheme_rewrite_specifier: scheme.map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_owned())),
        ..Default::default()
    };
    Ok(RuleAction::Redirect(action, path_change(redirect.path.as_ref(), field)?, location))
}

impl RuleAction {
    /// The Envoy routes for one match: two where the path's prefix is taken away, else one.
    ///
    /// # Errors
    /// If a prefix is to be replaced and the match has none.
    pub(crate) fn routes(&self, matched: envoy::RouteMatch) -> Result<Vec<(envoy::RouteMatch, Action)>, &'static str> {
        match self {
            RuleAction::Error => Ok(vec![(matched, error())]),
            RuleAction::Forward(action, change) => Ok(rewritten(matched, change)?
                .into_iter()
                .map(|(matched, rewrite)| {
                    let mut action = action.clone();
                    match rewrite {
                        PathRewrite::Keep => {}
                        PathRewrite::Prefix(prefix) => action.prefix_rewrite = prefix,
                        PathRewrite::Full(path) => action.regex_rewrite = Some(whole_path(&path)),
                    }
                    (matched, Action::Route(*action))
                })
                .collect()),
            RuleAction::Redirect(action, change, _) => Ok(rewritten(matched, change)?
                .into_iter()
                .map(|(matched, rewrite)| {
                    let path_rewrite_specifier = match rewrite {
                        PathRewrite::Keep => None,
                        PathRewrite::Prefix(prefix) => Some(PathRewriteSpecifier::PrefixRewrite(prefix)),
                        PathRewrite::Full(path) => Some(PathRewriteSpecifier::PathRedirect(path)),
                    };
                    (matched, Action::Redirect(envoy::RedirectAction { path_rewrite_specifier, ..action.clone() }))
                })
                .collect()),
        }
    }

    /// What the port of a redirect depends on; `None` if it is none.
    pub(crate) fn location(&self) -> Option<Location> {
        match self {
            RuleAction::Redirect(_, _, location) => Some(*location),
            _ => None,
        }
    }
}

/// A match of requests whose host has a port.
pub(crate) fn host_with_port() -> envoy::RouteMatch {
    let colon = matcher::string_matcher::MatchPattern::Contains(":".to_owned());
    envoy::RouteMatch { headers: vec![header_matcher(":authority", string(colon))], ..Default::default() }
}

/// An answer of 500, for backends that lead nowhere.
pub(crate) fn error() -> Action {
    Action::DirectResponse(envoy::DirectResponseAction { status: 500, ..Default::default() })
}

/// What Envoy is to do with the path of one route.
enum PathRewrite {
    Keep,
    Prefix(String),
    Full(String),
}

/// The routes that change the path as demanded.
fn rewritten(
    matched: envoy::RouteMatch,
    change: &PathChange,
) -> Result<Vec<(envoy::RouteMatch, PathRewrite)>, &'static str> {
    let with = |path| envoy::RouteMatch { path_specifier: Some(path), ..matched.clone() };
    Ok(match (change, &matched.path_specifier) {
        (PathChange::Keep, _) => vec![(matched, PathRewrite::Keep)],
        (PathChange::Full(path), _) => vec![(matched, PathRewrite::Full(path.clone()))],
        // `/` is replaced by `/new/`, so that `/b` becomes `/new/b`.
        (PathChange::Prefix(new), Some(PathSpecifier::Prefix(_))) => {
            let rewrite = PathRewrite::Prefix(format!("{new}/"));
            vec![(matched, rewrite)]
        }
        // `/old` is taken away: `/old` becomes `/`, and `/old/b` becomes `/b`, not `//b`.
        (PathChange::Prefix(new), Some(PathSpecifier::PathSeparatedPrefix(old))) if new.is_empty() => {
            let itself = with(PathSpecifier::Path(old.clone()));
            let below = with(PathSpecifier::Prefix(format!("{old}/")));
            let root = || PathRewrite::Prefix("/".to_owned());
            vec![(itself, root()), (below, root())]
        }
        (PathChange::Prefix(new), Some(PathSpecifier::PathSeparatedPrefix(_))) => {
            let rewrite = PathRewrite::Prefix(new.clone());
            vec![(matched, rewrite)]
        }
        (PathChange::Prefix(_), _) => return Err("a prefix can only be replaced where a prefix is matched"),
    })
}

/// Replaces the path, whatever it was, and keeps the query.
fn whole_path(path: &str) -> matcher::RegexMatchAndSubstitute {
    matcher::RegexMatchAndSubstitute {
        pattern: Some(regex_matcher("^/.*$")),
        // A backslash would refer to a group; no path has one (`text::check_full_path`).
        substitution: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_scheme_is_not_named() {
        use RedirectPort::{Named, Omitted, OmittedUnlessKept};
        let cases = [
            // Asked for: port, scheme. The listener: port, TLS.
            ((None, None), (80, false), OmittedUnlessKept(80)),
            ((None, None), (8080, false), Named(8080)),
            ((None, None), (443, true), OmittedUnlessKept(443)),
            ((None, None), (80, true), Named(80)),
            ((None, Some(true)), (8080, false), OmittedUnlessKept(443)),
            ((None, Some(false)), (8443, true), OmittedUnlessKept(80)),
            ((Some(80), None), (8080, false), OmittedUnlessKept(80)),
            ((Some(443), None), (8080, false), Named(443)),
            ((Some(443), None), (8443, true), OmittedUnlessKept(443)),
            ((Some(443), Some(true)), (80, false), OmittedUnlessKept(443)),
            ((Some(443), Some(false)), (443, true), Named(443)),
        ];
        for ((port, https), (listener, tls), expected) in cases {
            let location = Location { port, https, keeps_host: true };
            assert_eq!(location.port_at(listener, tls), expected, "{location:?} at {listener}");
        }
        let elsewhere = Location { port: None, https: None, keeps_host: false };
        assert_eq!(elsewhere.port_at(80, false), Omitted);
    }
}
