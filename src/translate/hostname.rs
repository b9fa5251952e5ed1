//! Host names of listeners and routes: which covers which, what two have in common, and which is more specific.
//!
//! A wildcard stands for one or more labels, as in the Gateway API: `*.example.com` covers `a.b.example.com`, and
//! not `example.com`. Envoy's server names and virtual host domains read wildcards in the same way.

use std::fmt;

use arcstr::ArcStr;

/// The longest name that DNS knows.
const MAX_NAME: usize = 253;
/// The longest label that DNS knows.
const MAX_LABEL: usize = 63;

/// A valid host name in lower case: exact, with a wildcard as its first label, or `*` for every host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(ArcStr);

/// How specific a host name is: greater is more. The Gateway API counts the characters of a name without wildcard
/// first, then those of any name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Specificity {
    exact: u16,
    any: u16,
}

impl Hostname {
    /// Every host.
    #[must_use]
    pub fn any() -> Self {
        Self(arcstr::literal!("*"))
    }

    /// The host name as written in a manifest, in lower case already.
    ///
    /// # Errors
    /// Says why it is not a host name that a listener or route may have.
    pub(crate) fn parse(name: &ArcStr) -> Result<Self, ArcStr> {
        let labels = name.strip_prefix("*.").unwrap_or(name);
        let wrong = |why: &str| Err(arcstr::format!("`{name}` is not a host name: {why}"));
        if name.len() > MAX_NAME {
            return wrong("it is longer than 253 characters");
        }
        if labels.parse::<std::net::IpAddr>().is_ok() {
            return wrong("an IP address is not allowed");
        }
        for label in labels.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return wrong("each label has 1 to 63 characters");
            }
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
                return wrong("labels consist of letters, digits and `-`; a wildcard is a whole first label, `*.`");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return wrong("a label begins and ends with a letter or digit");
            }
        }
        Ok(Self(name.clone()))
    }

    /// The name itself; `*` for every host.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for every host.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// What follows the `*` of a name with a wildcard: `.example.com`, or nothing for every host.
    fn suffix(&self) -> Option<&str> {
        self.0.strip_prefix('*')
    }

    /// Whether every host that `other` stands for is one of these.
    #[must_use]
    pub fn covers(&self, other: &Hostname) -> bool {
        match (self.suffix(), other.suffix()) {
            (None, _) => self == other,
            // An exact name is covered only if something stands before the suffix.
            (Some(own), None) => other.0.len() > own.len() && other.0.ends_with(own),
            (Some(own), Some(theirs)) => theirs.ends_with(own),
        }
    }

    /// The hosts that both stand for: of two that have any in common, one covers the other.
    pub(crate) fn intersect(&self, other: &Hostname) -> Option<Hostname> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// The names that cover this one, without itself, from the most specific to `*`.
    pub(crate) fn wider(&self) -> impl Iterator<Item = Hostname> {
        let labels = self.suffix().map_or(self.as_str(), |suffix| suffix.trim_start_matches('.'));
        let dots = labels.match_indices('.').map(|(at, _)| arcstr::format!("*{}", &labels[at..]));
        let wider = dots.collect::<Vec<_>>().into_iter().map(Hostname);
        wider.chain((!self.is_any()).then(Hostname::any))
    }

    pub(crate) fn specificity(&self) -> Specificity {
        let length = |name: &str| u16::try_from(name.len()).unwrap_or(u16::MAX);
        let any = if self.is_any() { 0 } else { length(&self.0) };
        Specificity { exact: if self.suffix().is_some() { 0 } else { any }, any }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Hostname {
        if name == "*" { Hostname::any() } else { Hostname::parse(&name.into()).expect(name) }
    }

    #[test]
    fn a_wildcard_covers_one_or_more_labels() {
        let cases = [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.b.example.com", "*.example.com", false),
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "*.example.com", false),
            ("*", "example.com", true),
            ("*", "*.example.com", true),
            ("*", "*", true),
            ("*.com", "*", false),
        ];
        for (wide, narrow, covers) in cases {
            assert_eq!(host(wide).covers(&host(narrow)), covers, "{wide} {narrow}");
        }
    }

    #[test]
    fn of_two_names_with_hosts_in_common_the_narrower_is_the_intersection() {
        let meet = |a: &str, b: &str| host(a).intersect(&host(b)).map(|h| h.to_string());
        assert_eq!(meet("*.example.com", "a.example.com"), Some("a.example.com".to_owned()));
        assert_eq!(meet("*.a.example.com", "*.example.com"), Some("*.a.example.com".to_owned()));
        assert_eq!(meet("*", "*.example.com"), Some("*.example.com".to_owned()));
        assert_eq!(meet("example.com", "*.example.com"), None);
        assert_eq!(meet("a.example.com", "b.example.com"), None);
    }

    #[test]
    fn the_wider_names_come_most_specific_first() {
        let wider = |name: &str| host(name).wider().map(|h| h.to_string()).collect::<Vec<_>>();
        assert_eq!(wider("a.b.com"), ["*.b.com", "*.com", "*"]);
        assert_eq!(wider("*.b.com"), ["*.com", "*"]);
        assert_eq!(wider("localhost"), ["*"]);
        assert_eq!(wider("*"), Vec::<String>::new());
        for name in ["a.b.c.d", "*.c.d"] {
            assert!(host(name).wider().all(|w| w.covers(&host(name)) && w != host(name)), "{name}");
        }
    }

    #[test]
    fn an_exact_name_is_more_specific_than_any_wildcard() {
        let ordered = ["*", "*.com", "*.a-long-name.example.com", "a.com", "ab.com"];
        for pair in ordered.windows(2) {
            assert!(host(pair[0]).specificity() < host(pair[1]).specificity(), "{pair:?}");
        }
    }

    #[test]
    fn what_is_not_a_host_name_is_refused_with_the_reason() {
        let long = format!("{}.com", "a".repeat(64));
        for bad in ["", "*", "a..b", ".a", "a.", "-a.com", "a-.com", "a_b.com", "*a.com", "a.*.com", "1.2.3.4", &long] {
            let why = Hostname::parse(&bad.into()).expect_err(bad);
            assert!(why.contains(bad) && why.contains("not a host name"), "{why}");
        }
    }
}
