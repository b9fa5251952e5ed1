//! The filters of an HTTPRoute's rules and backends.

use super::cursor::Cursor;
use super::syntax;
use crate::model::{HeaderModifier, HeaderValue, PathModifier, Redirect, Rewrite, RouteFilter};

/// The types that the Gateway API knows, with the field that holds each one's body.
const TYPES: [(&str, &str); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("RequestMirror", "requestMirror"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
    ("ExtensionRef", "extensionRef"),
];

/// The types that may stand in one list several times.
const REPEATABLE: [&str; 2] = ["RequestMirror", "ExtensionRef"];

/// A list of filters. One that cannot be understood leaves a problem and is left out: its rule is not served.
pub(super) fn filters(list: &Cursor<'_>) -> Vec<RouteFilter> {
    let entries = list.items(16);
    let mut seen: Vec<&str> = Vec::with_capacity(entries.len());
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| entry.mapping().is_some()) {
        let Some(kind) = entry.required("type").and_then(|t| t.str()) else { continue };
        if seen.contains(&kind) && !REPEATABLE.contains(&kind) {
            entry.problem_at("type", format!("{kind} must not be repeated"));
        }
        seen.push(kind);
        found.extend(filter(entry, kind));
    }
    if seen.contains(&"RequestRedirect") && seen.contains(&"URLRewrite") {
        list.problem("may have RequestRedirect or URLRewrite, not both");
    }
    found
}

fn filter(entry: &Cursor<'_>, kind: &str) -> Option<RouteFilter> {
    for (_, field) in TYPES.iter().filter(|(name, field)| *name != kind && entry.get(field).is_some()) {
        entry.problem_at(field, format!("does not belong to a filter of type {kind}"));
    }
    let Some((_, field)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        let known: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
        entry.problem_at("type", format!("must be one of {}, is {kind:?}", known.join(", ")));
        return Some(RouteFilter::Unsupported(kind.into()));
    };
    let body = entry.required(field)?.mapping()?;
    match kind {
        "RequestHeaderModifier" => Some(RouteFilter::RequestHeaders(headers(&body))),
        "ResponseHeaderModifier" => Some(RouteFilter::ResponseHeaders(headers(&body))),
        "RequestRedirect" => Some(RouteFilter::Redirect(redirect(&body))),
        "URLRewrite" => Some(RouteFilter::Rewrite(rewrite(&body))),
        other => Some(RouteFilter::Unsupported(other.into())),
    }
}

fn headers(body: &Cursor<'_>) -> HeaderModifier {
    let values = |name: &str| -> Vec<HeaderValue> {
        let Some(list) = body.get(name) else { return Vec::new() };
        let mut found: Vec<HeaderValue> = Vec::new();
        for entry in &list.items(16) {
            let Some(entry) = entry.mapping() else { continue };
            let name = entry.required("name").and_then(|n| n.text(syntax::header_name));
            let value = entry.required("value").and_then(|v| v.text(syntax::value(4096)));
            let (Some(name), Some(value)) = (name, value) else { continue };
            if found.iter().any(|h| h.name == name) {
                entry.problem_at("name", format!("must be unique in its list, {name:?} stands there twice"));
            }
            found.push(HeaderValue { name, value });
        }
        found
    };
    let remove = body.get("remove");
    let remove = remove.iter().flat_map(|list| list.items(16)).filter_map(|n| n.text(syntax::header_name)).collect();
    HeaderModifier { set: values("set"), add: values("add"), remove }
}

fn redirect(body: &Cursor<'_>) -> Redirect {
    let scheme = body.get("scheme").and_then(|s| {
        s.text(|text| match text {
            "http" | "https" => Ok(()),
            _ => Err(format!("must be http or https, is {text:?}")),
        })
    });
    let status = match body.get("statusCode") {
        None => Some(302),
        Some(code) => code.int(301..=308).and_then(|number| {
            let known = [301, 302, 303, 307, 308].contains(&number);
            if !known {
                code.problem(format!("must be 301, 302, 303, 307 or 308, is {number}"));
            }
            u16::try_from(number).ok().filter(|_| known)
        }),
    };
    Redirect {
        scheme,
        hostname: body.get("hostname").and_then(|h| h.text(syntax::precise_hostname)),
        path: body.section("path").and_then(|p| path_modifier(&p)),
        port: body.get("port").and_then(|p| p.port()),
        status: status.unwrap_or(302),
    }
}

fn rewrite(body: &Cursor<'_>) -> Rewrite {
    Rewrite {
        hostname: body.get("hostname").and_then(|h| h.text(syntax::precise_hostname)),
        path: body.section("path").and_then(|p| path_modifier(&p)),
    }
}

fn path_modifier(body: &Cursor<'_>) -> Option<PathModifier> {
    const KINDS: [(&str, &str); 2] =
        [("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch")];
    let kind = body.required("type")?.str()?;
    let Some((_, field)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        body.problem_at("type", format!("must be ReplaceFullPath or ReplacePrefixMatch, is {kind:?}"));
        return None;
    };
    for (_, other) in KINDS.iter().filter(|(name, other)| *name != kind && body.get(other).is_some()) {
        body.problem_at(other, format!("does not belong to a path of type {kind}"));
    }
    let value = body.required(field)?.text(syntax::at_most(1024))?;
    Some(if kind == "ReplaceFullPath" { PathModifier::Full(value) } else { PathModifier::Prefix(value) })
}

/// Whether the filter replaces the prefix that its rule matched.
pub(super) fn replaces_prefix(filter: &RouteFilter) -> bool {
    let path = match filter {
        RouteFilter::Redirect(redirect) => &redirect.path,
        RouteFilter::Rewrite(rewrite) => &rewrite.path,
        _ => &None,
    };
    matches!(path, Some(PathModifier::Prefix(_)))
}
