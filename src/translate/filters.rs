//! The filters of a rule or of a backend, sorted out: what Envoy has to do with headers, path and host.

use core::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3 as core;

use super::refusal::Refusal;
use super::text;
use crate::model::{HeaderModifier, HeaderValue, Redirect, Rewrite, RouteFilter};

/// How many headers one modifier may change: the Gateway API's limit for each of its lists.
const MAX_HEADERS: usize = 16;

/// The filters of one rule or backend. Each kind occurs once at most, so their order does not matter.
#[derive(Debug, Default)]
pub(crate) struct Filters<'r> {
    /// `RequestHeaderModifier`.
    pub(crate) request: HeaderChanges,
    /// `ResponseHeaderModifier`.
    pub(crate) response: HeaderChanges,
    /// `RequestRedirect`, with its field.
    pub(crate) redirect: Option<(&'r Redirect, String)>,
    /// `URLRewrite`, with its field.
    pub(crate) rewrite: Option<(&'r Rewrite, String)>,
}

/// Header changes as Envoy takes them.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct HeaderChanges {
    pub(crate) add: Vec<core::HeaderValueOption>,
    pub(crate) remove: Vec<String>,
}

impl HeaderChanges {
    /// These changes followed by those. Envoy removes, then sets, then adds: so what the later ones remove or set is
    /// taken out of the earlier ones.
    pub(crate) fn then(&self, later: &Self) -> Self {
        let name = |option: &core::HeaderValueOption| option.header.as_ref().map(|header| header.key.clone());
        let sets =
            |option: &&core::HeaderValueOption| option.append_action() == HeaderAppendAction::OverwriteIfExistsOrAdd;
        let settled: Vec<String> =
            later.add.iter().filter(sets).filter_map(name).chain(later.remove.iter().cloned()).collect();
        let stays = |option: &&core::HeaderValueOption| {
            name(option).is_some_and(|name| !settled.iter().any(|settled| settled.eq_ignore_ascii_case(&name)))
        };
        Self {
            add: self.add.iter().filter(stays).chain(&later.add).cloned().collect(),
            remove: self.remove.iter().chain(&later.remove).cloned().collect(),
        }
    }
}

/// Sorts out the filters in the list `field`.
///
/// # Errors
/// The first filter that is not served or that Envoy would refuse.
pub(crate) fn sort_out<'r>(filters: &'r [RouteFilter], field: &str) -> Result<Filters<'r>, Refusal> {
    let mut sorted = Filters::default();
    let (mut request, mut response) = (false, false);
    for (at, filter) in filters.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let repeated = match filter {
            RouteFilter::RequestHeaders(modifier) => {
                sorted.request = header_changes(modifier, &format!("{field}.requestHeaderModifier"))?;
                std::mem::replace(&mut request, true)
            }
            RouteFilter::ResponseHeaders(modifier) => {
                sorted.response = header_changes(modifier, &format!("{field}.responseHeaderModifier"))?;
                std::mem::replace(&mut response, true)
            }
            RouteFilter::Redirect(redirect) => {
                sorted.redirect.replace((redirect, format!("{field}.requestRedirect"))).is_some()
            }
            RouteFilter::Rewrite(rewrite) => sorted.rewrite.replace((rewrite, format!("{field}.urlRewrite"))).is_some(),
            RouteFilter::Unsupported(kind) => {
                let message = arcstr::format!("filter `{kind}` is not served by this release");
                return Err(Refusal::unsupported(format!("{field}.type"), message));
            }
        };
        if repeated {
            let message = "a filter of this type stands before already; each may occur once";
            return Err(Refusal::incompatible(field, message));
        }
    }
    if let (Some(_), Some((_, field))) = (&sorted.redirect, &sorted.rewrite) {
        return Err(Refusal::incompatible(field.clone(), "a redirect and a rewrite cannot stand in one rule"));
    }
    Ok(sorted)
}

fn header_changes(modifier: &HeaderModifier, field: &str) -> Result<HeaderChanges, Refusal> {
    let mut changes = HeaderChanges::default();
    let lists = [
        ("set", &modifier.set, HeaderAppendAction::OverwriteIfExistsOrAdd),
        ("add", &modifier.add, HeaderAppendAction::AppendIfExistsOrAdd),
    ];
    for (list, headers, action) in lists {
        check_count(headers.len(), &format!("{field}.{list}"))?;
        for (at, header) in headers.iter().enumerate() {
            let field = format!("{field}.{list}[{at}]");
            check_name(&header.name, format!("{field}.name"))?;
            text::check_header_value(&header.value)
                .map_err(|why| Refusal::unsupported(format!("{field}.value"), why))?;
            changes.add.push(header_option(header, action));
        }
    }
    check_count(modifier.remove.len(), &format!("{field}.remove"))?;
    for (at, name) in modifier.remove.iter().enumerate() {
        check_name(name, format!("{field}.remove[{at}]"))?;
        changes.remove.push(name.to_string());
    }
    Ok(changes)
}

fn check_count(count: usize, field: &str) -> Result<(), Refusal> {
    if count > MAX_HEADERS {
        let message = arcstr::format!("{count} headers are more than the {MAX_HEADERS} allowed");
        return Err(Refusal::unsupported(field.to_owned(), message));
    }
    Ok(())
}

/// Envoy routes by the Host header and keeps it to itself; a rewrite of the host name is the way to change it.
fn check_name(name: &str, field: String) -> Result<(), Refusal> {
    if name.eq_ignore_ascii_case("host") {
        return Err(Refusal::unsupported(field, "the Host header is changed by a URLRewrite filter's `hostname` only"));
    }
    text::check_header_name(name).map_err(|why| Refusal::unsupported(field, why))
}

fn header_option(header: &HeaderValue, action: HeaderAppendAction) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: header.name.to_string(),
            // Envoy reads `%…%` as a command that formats the value.
            value: header.value.replace('%', "%%"),
            ..Default::default()
        }),
        append_action: action.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_has_the_last_word() {
        let changes = |set: &[&str], add: &[&str], remove: &[&str]| {
            let values = |names: &[&str], value: &str| {
                names.iter().map(|name| HeaderValue { name: (*name).into(), value: value.into() }).collect()
            };
            let remove = remove.iter().map(|name| (*name).into()).collect();
            let modifier = HeaderModifier { set: values(set, "s"), add: values(add, "a"), remove };
            header_changes(&modifier, "field").expect("fine")
        };
        let none = HeaderChanges::default();
        let first = changes(&["x"], &["y"], &["z"]);
        assert_eq!(first.then(&none), first);
        assert_eq!(none.then(&first), first);
        assert_eq!(first.then(&changes(&["Y"], &[], &[])), changes(&["x", "Y"], &[], &["z"]));
        assert_eq!(first.then(&changes(&[], &[], &["X", "y"])), changes(&[], &[], &["z", "X", "y"]));
        assert_eq!(first.then(&changes(&[], &["x", "z"], &[])), changes(&["x"], &["y", "x", "z"], &["z"]));
    }
}
