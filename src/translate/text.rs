//! Which strings of a manifest may stand in Envoy's configuration: header names and values, paths, host names.
//!
//! Each check refuses what the Gateway API's own validation refuses (a folder has no API server that would) and what
//! Envoy refuses; the errors say what is allowed.

use arcstr::ArcStr;

/// The Gateway API's limit on header names, in bytes.
const MAX_NAME: usize = 256;
/// The Gateway API's limit on header values, in bytes; Envoy's own is 16 KiB.
const MAX_VALUE: usize = 4096;
/// The Gateway API's limit on paths, in bytes.
const MAX_PATH: usize = 1024;

/// A header name: an HTTP token.
pub(crate) fn check_header_name(name: &str) -> Result<(), ArcStr> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(token) {
        return Err(arcstr::format!(
            "`{}` is not a header name: 1 to {MAX_NAME} letters, digits and !#$%&'*+-.^_`|~",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// A header value: no control characters, not empty.
pub(crate) fn check_header_value(value: &str) -> Result<(), ArcStr> {
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(arcstr::format!("the value has 1 to {MAX_VALUE} bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err("the value holds a control character".into());
    }
    Ok(())
}

/// A path to be matched, as the Gateway API allows it.
pub(crate) fn check_path(path: &str) -> Result<(), ArcStr> {
    check_characters(path, b"-/._~!$&'()*+,;=:@")?;
    let lower = path.to_ascii_lowercase();
    for bad in ["//", "/./", "/../", "%2f"] {
        if lower.contains(bad) {
            return Err(arcstr::format!("the path may not contain `{bad}`"));
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        return Err("the path may not end in `/.` or `/..`".into());
    }
    Ok(())
}

/// A path to be put in place of another; it may bring a query.
pub(crate) fn check_full_path(path: &str) -> Result<(), ArcStr> {
    check_characters(path, b"-/._~!$&'()*+,;=:@?")
}

/// What may take the place of a matched prefix: a path, or nothing.
pub(crate) fn check_prefix_replacement(path: &str) -> Result<(), ArcStr> {
    if path.is_empty() { Ok(()) } else { check_characters(path, b"-/._~!$&'()*+,;=:@") }
}

fn check_characters(path: &str, punctuation: &[u8]) -> Result<(), ArcStr> {
    if !path.starts_with('/') || path.len() > MAX_PATH {
        return Err(arcstr::format!("a path begins with `/` and has at most {MAX_PATH} bytes"));
    }
    let mut bytes = path.bytes();
    while let Some(b) = bytes.next() {
        let escape =
            |bytes: &mut std::str::Bytes<'_>| (0..2).all(|_| bytes.next().is_some_and(|b| b.is_ascii_hexdigit()));
        let fine = match b {
            b'%' => escape(&mut bytes),
            b => b.is_ascii_alphanumeric() || punctuation.contains(&b),
        };
        if !fine {
            return Err(arcstr::format!(
                "`{}` is not allowed in a path; escape it as %XX",
                char::from(b).escape_debug()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_the_gateway_api_allows() {
        for good in ["/", "/a/b.c", "/a%20b", "/a/", "/~x;y=1,2:@"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in
            ["", "a", "/a//b", "/a/./b", "/a/..", "/a?b", "/a#b", "/a b", "/a%2", "/a%zz", "/a%2Fb", "/é", "/a\n"]
        {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        assert!(check_path(&format!("/{}", "a".repeat(1024))).is_err());
        assert_eq!(check_full_path("/a?b=c"), Ok(()));
        assert!(check_prefix_replacement("/a?b=c").is_err());
        assert_eq!(check_prefix_replacement(""), Ok(()));
    }

    #[test]
    fn header_names_are_tokens_and_values_have_no_control_characters() {
        assert_eq!(check_header_name("x-Version_1"), Ok(()));
        for bad in ["", ":path", "a b", "a:b", "é", "a\r\n", &"a".repeat(257)] {
            assert!(check_header_name(bad).is_err(), "{bad}");
        }
        assert_eq!(check_header_value("50% of é"), Ok(()));
        for bad in ["", "a\r\nb", "\0", &"a".repeat(4097)] {
            assert!(check_header_value(bad).is_err(), "{bad:?}");
        }
    }
}
