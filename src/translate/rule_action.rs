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

use super::backends::{self, Share};
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
    Redirect(envoy::RedirectAction, PathChange, RedirectPort),
    /// Answers 500 to everything.
    Error,
}

/// The port of a redirect's `Location`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectPort {
    /// As it was encoded.
    Encoded,
    /// The Gateway listener's, known only where the route attaches.
    Listener,
    /// None, as this is the scheme's own; but named if the request's host has a port, which would be kept otherwise.
    SchemesOwn(u16),
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
    shares: Vec<Share>,
    field: &str,
) -> Result<RuleAction, Refusal> {
    if let Some((redirect, at)) = &filters.redirect {
        return redirect_action(redirect, at);
    }
    let timeout = timeout(rule, field)?;
    let (host, path) = match &filters.rewrite {
        None => (None, PathChange::Keep),
        Some((rewrite, at)) => rewriting(rewrite, at)?,
    };
    let Some(action) = backends::route_action(shares) else { return Ok(RuleAction::Error) };
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
    let (port, kind) = redirect_port(redirect.port, scheme, host.is_some());
    let action = envoy::RedirectAction {
        host_redirect: host.unwrap_or_default(),
        port_redirect: port,
        response_code: code.into(),
        scheme_rewrite_specifier: scheme.map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_owned())),
        ..Default::default()
    };
    Ok(RuleAction::Redirect(action, path_change(redirect.path.as_ref(), field)?, kind))
}

/// The port that Envoy is told, and what else it needs.
///
/// The API has a redirect to another scheme name that scheme's own port, which is best done by naming none.
fn redirect_port(port: Option<u16>, scheme: Option<&str>, host: bool) -> (u32, RedirectPort) {
    let own = scheme.map(|scheme| if scheme == "https" { 443 } else { 80 });
    match (port, own) {
        (None, None) => (0, RedirectPort::Listener),
        (Some(port), own) if own != Some(port) => (port.into(), RedirectPort::Encoded),
        // Envoy would keep the port of the request's host, unless the host is another anyway.
        (_, Some(own)) if !host => (0, RedirectPort::SchemesOwn(own)),
        _ => (0, RedirectPort::Encoded),
    }
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
            RuleAction::Redirect(action, change, port) => Ok(rewritten(matched, change)?
                .into_iter()
                .flat_map(|(matched, rewrite)| {
                    let path_rewrite_specifier = match rewrite {
                        PathRewrite::Keep => None,
                        PathRewrite::Prefix(prefix) => Some(PathRewriteSpecifier::PrefixRewrite(prefix)),
                        PathRewrite::Full(path) => Some(PathRewriteSpecifier::PathRedirect(path)),
                    };
                    let action = envoy::RedirectAction { path_rewrite_specifier, ..action.clone() };
                    let named = match port {
                        RedirectPort::SchemesOwn(port) => Some((with_port(matched.clone()), *port)),
                        RedirectPort::Encoded | RedirectPort::Listener => None,
                    };
                    let named = named.map(|(matched, port)| {
                        let action = envoy::RedirectAction { port_redirect: port.into(), ..action.clone() };
                        (matched, Action::Redirect(action))
                    });
                    named.into_iter().chain([(matched, Action::Redirect(action))])
                })
                .collect()),
        }
    }

    /// Where the port of a redirect comes from.
    pub(crate) fn redirect_port(&self) -> RedirectPort {
        match self {
            RuleAction::Redirect(_, _, port) => *port,
            _ => RedirectPort::Encoded,
        }
    }
}

/// The same match, for requests whose host has a port.
fn with_port(mut matched: envoy::RouteMatch) -> envoy::RouteMatch {
    let colon = matcher::string_matcher::MatchPattern::Contains(":".to_owned());
    matched.headers.push(header_matcher(":authority", string(colon)));
    matched
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
