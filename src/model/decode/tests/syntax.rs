//! Names, hosts, paths, durations and times.

use std::time::Duration;

use crate::model::decode::syntax::*;

#[test]
fn durations_follow_gep_2257() {
    let good =
        [("10s", 10_000), ("500ms", 500), ("1h30m", 5_400_000), ("0s", 0), ("1h1m1s1ms", 3_661_001), ("5m", 300_000)];
    for (text, millis) in good {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "10", "s", "1.5s", "-1s", "100000s", "1d", "1h1h1h1h1h", "1s ", "１s", "10S"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn paths_are_absolute_and_plain() {
    for text in ["/", "/a", "/a/", "/a-b_c.d~e!$&'()*+,;=:@", "/%20", "/..a", "/a.."] {
        assert_eq!(path(text), Ok(()), "{text}");
    }
    let bad = [
        ("", "empty"),
        ("a", "start with '/'"),
        ("//", "\"//\""),
        ("/a//b", "\"//\""),
        ("/./a", "\"/./\""),
        ("/a/../b", "\"/../\""),
        ("/a%2fb", "%2f"),
        ("/a%2Fb", "%2F"),
        ("/a#b", "#"),
        ("/a/..", "end"),
        ("/.", "end"),
        ("/a b", "characters"),
        ("/%zz", "characters"),
        ("/%2", "characters"),
        ("/ä", "characters"),
        ("/a?b", "characters"),
    ];
    for (text, why) in bad {
        assert!(path(text).is_err_and(|e| e.contains(why)), "{text}: {:?}", path(text));
    }
    assert!(path(&format!("/{}", "a".repeat(1024))).is_err());
}

#[test]
fn host_names_may_start_with_a_wildcard() {
    for text in ["a", "www.example.com", "*.example.com", "xn--bcher-kva.example", "1.example"] {
        assert_eq!(hostname(text), Ok(()), "{text}");
    }
    let bad = [
        ("", "empty"),
        ("*", "wildcard"),
        ("a.*.b", "wildcard"),
        ("*a.b", "wildcard"),
        ("A.b", "lower case"),
        ("a..b", "host name"),
        ("-a", "host name"),
        ("1.2.3.4", "IP address"),
        ("::1", "IP address"),
        ("a_b", "host name"),
        ("*.", "empty"),
        ("a:80", "host name"),
    ];
    for (text, why) in bad {
        assert!(hostname(text).is_err_and(|e| e.contains(why)), "{text}: {:?}", hostname(text));
    }
    assert!(precise_hostname("*.example.com").is_err());
}

#[test]
fn names_have_their_syntax() {
    for (check, good, bad) in [
        (header_name as fn(&str) -> Result<(), String>, "X-My_header.1", "a b"),
        (header_name, "`|~", ":authority"),
        (header_name, "a", "é"),
        (dns_label, "a-1", "a.b"),
        (dns_subdomain, "a.b-1", "a..b"),
        (group, "", "A"),
        (kind, "HTTPRoute", "1a"),
        (protocol, "HTTP", "HTTP/1.1"),
        (protocol, "example.com/Custom", "a b"),
        (controller_name, "syncgate.dev/controller", "syncgate.dev"),
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn times_are_rfc_3339() {
    let good = [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2024-02-29T12:30:15Z", 1_709_209_815),
        ("2024-02-29T12:30:15.123456Z", 1_709_209_815),
        ("2024-02-29T13:30:15+01:00", 1_709_209_815),
        ("1969-12-31T23:59:59Z", -1),
    ];
    for (text, seconds) in good {
        assert_eq!(timestamp(text), Some(seconds), "{text}");
    }
    for text in [
        "",
        "2024-02-29",
        "2024-13-01T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01 x",
        "äöüäöüäöüäöü",
    ] {
        assert_eq!(timestamp(text), None, "{text}");
    }
}
