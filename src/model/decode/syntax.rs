//! The syntax that the Gateway API's and Kubernetes' schemas demand of names, hosts, headers, paths and durations.

use std::net::IpAddr;
use std::time::Duration;

use super::cursor::Check;

fn bounded(text: &str, max: usize) -> Check {
    match text.len() {
        0 => Err("must not be empty".into()),
        n if n > max => Err(format!("must have at most {max} characters, has {n}")),
        _ => Ok(()),
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// An RFC 1123 label: the name of a Namespace or a Service.
pub(super) fn dns_label(text: &str) -> Check {
    bounded(text, 63)?;
    if is_label(text) {
        return Ok(());
    }
    Err(format!(
        "must consist of lower-case letters, digits and '-' and start and end with a letter or digit, is {text:?}"
    ))
}

/// An RFC 1123 subdomain: the name of most objects, and a section's name.
pub(super) fn dns_subdomain(text: &str) -> Check {
    bounded(text, 253)?;
    if text.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "must consist of lower-case letters, digits, '-' and '.' and start and end with a letter or digit, is {text:?}"
    ))
}

/// The name of a referenced object: bounded, its syntax is its own kind's matter.
pub(super) fn object_name(text: &str) -> Check {
    bounded(text, 253)
}

/// A host name without wildcard; IP addresses are not host names.
pub(super) fn precise_hostname(text: &str) -> Check {
    bounded(text, 253)?;
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("must be a host name, is the IP address {text:?}"));
    }
    if text.split('.').all(is_label) {
        return Ok(());
    }
    if text.split('.').all(|label| is_label(&label.to_ascii_lowercase())) {
        return Err(format!("must be in lower case, is {text:?}"));
    }
    Err(format!("must be a host name such as \"www.example.com\", is {text:?}"))
}

/// A host name whose first label may be `*`.
pub(super) fn hostname(text: &str) -> Check {
    bounded(text, 253)?;
    let rest = text.strip_prefix("*.").unwrap_or(text);
    precise_hostname(rest).map_err(|message| {
        if rest.contains('*') {
            format!("may have a wildcard as its whole first label only, as in \"*.example.com\", is {text:?}")
        } else {
            message
        }
    })
}

/// The name of a header or query parameter: an RFC 9110 token.
pub(super) fn header_name(text: &str) -> Check {
    bounded(text, 256)?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match text.chars().find(|c| !u8::try_from(*c).is_ok_and(token)) {
        None => Ok(()),
        Some(bad) => Err(format!("must consist of letters, digits and any of !#$%&'*+-.^_`|~, has {bad:?}")),
    }
}

/// A value of at most `max` characters that is not empty.
pub(super) fn value(max: usize) -> impl Fn(&str) -> Check {
    move |text| bounded(text, max)
}

/// A text of at most `max` characters.
pub(super) fn at_most(max: usize) -> impl Fn(&str) -> Check {
    move |text| if text.is_empty() { Ok(()) } else { bounded(text, max) }
}

/// An API group; empty is core.
pub(super) fn group(text: &str) -> Check {
    if text.is_empty() { Ok(()) } else { dns_subdomain(text) }
}

/// The kind of an object.
pub(super) fn kind(text: &str) -> Check {
    bounded(text, 63)?;
    let bytes = text.as_bytes();
    let ok = bytes[0].is_ascii_alphabetic()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    if ok { Ok(()) } else { Err(format!("must be a kind such as \"Service\", is {text:?}")) }
}

/// `domain/path`, as a controller's name is spelled.
pub(super) fn controller_name(text: &str) -> Check {
    bounded(text, 253)?;
    let path =
        |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b));
    match text.split_once('/') {
        Some((domain, rest)) if domain.split('.').all(is_label) && path(rest) => Ok(()),
        _ => Err(format!("must be a domain and a path such as \"example.com/controller\", is {text:?}")),
    }
}

/// The protocol of a listener: a word, or `domain/Word` for protocols of implementations.
pub(super) fn protocol(text: &str) -> Check {
    bounded(text, 255)?;
    let word = |w: &str, dash: bool| {
        let b = w.as_bytes();
        b.first().is_some_and(u8::is_ascii_alphanumeric)
            && b.last().is_some_and(u8::is_ascii_alphanumeric)
            && b.iter().all(|c| c.is_ascii_alphanumeric() || (dash && *c == b'-'))
    };
    let ok = match text.split_once('/') {
        Some((domain, name)) => domain.split('.').all(is_label) && word(name, false),
        None => word(text, true),
    };
    if ok { Ok(()) } else { Err(format!("must be a protocol such as \"HTTP\", is {text:?}")) }
}

/// The path of an exact or prefix match.
pub(super) fn path(text: &str) -> Check {
    bounded(text, 1024)?;
    if !text.starts_with('/') {
        return Err(format!("must start with '/', is {text:?}"));
    }
    for bad in ["//", "/./", "/../", "%2f", "%2F", "#"] {
        if text.contains(bad) {
            return Err(format!("must not contain {bad:?}, is {text:?}"));
        }
    }
    if text.ends_with("/.") || text.ends_with("/..") {
        return Err(format!("must not end with \"/.\" or \"/..\", is {text:?}"));
    }
    path_characters(text)
}

fn path_characters(text: &str) -> Check {
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let ok = if b == b'%' {
            bytes.next().is_some_and(|b| b.is_ascii_hexdigit()) && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
        } else {
            b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&b)
        };
        if !ok {
            return Err(format!("must consist of the characters of a URL path, others as %XX, is {text:?}"));
        }
    }
    Ok(())
}

/// A duration of GEP-2257: up to four of `h`, `m`, `s`, `ms`, each with up to five digits.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("must be a duration such as \"10s\", \"500ms\" or \"1h30m\", is {text:?}");
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = if digits <= 5 { rest[..digits].parse().map_err(|_| fault())? } else { return Err(fault()) };
        rest = &rest[digits..];
        let unit = ["ms", "h", "m", "s"].into_iter().find(|unit| rest.starts_with(unit)).ok_or_else(fault)?;
        rest = &rest[unit.len()..];
        total += match unit {
            "h" => Duration::from_secs(number * 3600),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            _ => Duration::from_millis(number),
        };
        parts += 1;
    }
    if (1..=4).contains(&parts) { Ok(total) } else { Err(fault()) }
}

/// An RFC 3339 time in seconds since 1970; `None` when it is not one. Fractions are cut off.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let at = |i: usize, any: &[u8]| text.as_bytes().get(i).is_some_and(|b| any.contains(b));
    let separated = at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !separated || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1 @ b'0'..=b'2', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'5', m2 @ b'0'..=b'9'] => {
            let digit = |b: &u8| i64::from(b - b'0');
            let seconds = (digit(h1) * 10 + digit(h2)) * 3600 + (digit(m1) * 10 + digit(m2)) * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; years start in March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
