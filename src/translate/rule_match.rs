//! One match of a rule as Envoy's `RouteMatch`, or why it cannot be one.

use arcstr::ArcStr;
use envoy::header_matcher::HeaderMatchSpecifier;
use envoy::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3 as envoy;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use matcher::string_matcher::MatchPattern;

use super::{regex, text};
use crate::model::{FieldProblem, Matcher, PathMatch, RouteMatch};

/// The methods of the Gateway API.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Envoy's limit on the name of a query parameter, in bytes.
const MAX_QUERY_NAME: usize = 1024;

/// The match as Envoy's; `field` is its path in the route.
///
/// # Errors
/// The first part of it that Envoy would refuse, or that the API does not allow.
pub(crate) fn route_match(matched: &RouteMatch, field: &str) -> Result<envoy::RouteMatch, FieldProblem> {
    let mut headers = Vec::with_capacity(matched.headers.len() + 1);
    if let Some(method) = &matched.method {
        if !METHODS.contains(&method.as_str()) {
            let message = arcstr::format!("`{method}` is not a method of the Gateway API");
            return Err(FieldProblem::new(format!("{field}.method"), message));
        }
        headers.push(header_matcher(":method", exact(method)));
    }
    for (at, header) in matched.headers.iter().enumerate() {
        let at = format!("{field}.headers[{at}]");
        text::check_header_name(&header.name).map_err(|why| FieldProblem::new(format!("{at}.name"), why))?;
        // Envoy files the Host header of every request under HTTP/2's name for it.
        let name = if header.name.eq_ignore_ascii_case("host") { ":authority" } else { &header.name };
        headers.push(header_matcher(name, string_matcher(&header.value, &at)?));
    }
    let mut query_parameters = Vec::with_capacity(matched.query.len());
    for (at, parameter) in matched.query.iter().enumerate() {
        let at = format!("{field}.queryParams[{at}]");
        if parameter.name.is_empty() || parameter.name.len() > MAX_QUERY_NAME {
            return Err(FieldProblem::new(format!("{at}.name"), "a query parameter's name has 1 to 1024 bytes"));
        }
        query_parameters.push(envoy::QueryParameterMatcher {
            name: parameter.name.to_string(),
            query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(string_matcher(
                &parameter.value,
                &at,
            )?)),
        });
    }
    Ok(envoy::RouteMatch {
        path_specifier: Some(path(&matched.path, field)?),
        headers,
        query_parameters,
        ..Default::default()
    })
}

fn path(matched: &PathMatch, field: &str) -> Result<PathSpecifier, FieldProblem> {
    let problem = |why| FieldProblem::new(format!("{field}.path.value"), why);
    Ok(match matched {
        PathMatch::Exact(path) => {
            text::check_path(path).map_err(problem)?;
            PathSpecifier::Path(path.to_string())
        }
        PathMatch::Prefix(path) => {
            text::check_path(path).map_err(problem)?;
            match path.trim_end_matches('/') {
                "" => PathSpecifier::Prefix("/".to_owned()),
                prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
            }
        }
        PathMatch::Regex(expression) => {
            regex::check(expression).map_err(problem)?;
            PathSpecifier::SafeRegex(regex_matcher(expression))
        }
    })
}

fn string_matcher(value: &Matcher, field: &str) -> Result<matcher::StringMatcher, FieldProblem> {
    match value {
        Matcher::Exact(value) => {
            text::check_header_value(value).map_err(|why| FieldProblem::new(format!("{field}.value"), why))?;
            Ok(exact(value))
        }
        Matcher::Regex(expression) => {
            regex::check(expression).map_err(|why| FieldProblem::new(format!("{field}.value"), why))?;
            Ok(string(MatchPattern::SafeRegex(regex_matcher(expression))))
        }
    }
}

fn exact(value: &ArcStr) -> matcher::StringMatcher {
    string(MatchPattern::Exact(value.to_string()))
}

pub(crate) fn string(pattern: MatchPattern) -> matcher::StringMatcher {
    matcher::StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

pub(crate) fn regex_matcher(expression: &str) -> matcher::RegexMatcher {
    matcher::RegexMatcher { regex: expression.to_owned(), ..Default::default() }
}

pub(crate) fn header_matcher(name: &str, value: matcher::StringMatcher) -> envoy::HeaderMatcher {
    envoy::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(value)),
        ..Default::default()
    }
}
