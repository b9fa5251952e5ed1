//! Which requests a match takes, and which of several matches answers.

use crate::scene::{HTTP, Scene, exact, prefix, regex, to};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![paths(), order(), ties(), headers(), query(), methods()]
}

fn paths() -> Scene {
    Scene::new("paths", HTTP)
        .route("prefix", "p.com", &[to(&prefix("/a"), "a"), to(&prefix("/b/"), "b")])
        .route("exact", "e.com", &[to(&exact("/a"), "a"), to(&exact("/b/"), "b")])
        .route("regex", "r.com", &[to(&regex("/v[0-9]+/(x|y)"), "a"), to(&regex("/i(?i)c/.*"), "b")])
        .asks(&[
            ("p.com/a", "200 a /a"),
            ("p.com/a/", "200 a /a/"),
            ("p.com/a/b?q=1", "200 a /a/b?q=1"),
            ("p.com/a?q", "200 a /a?q"),
            ("p.com/ab", "404"),
            ("p.com/A", "404"),
            ("p.com/b", "200 b"),
            ("p.com/b/c", "200 b"),
            ("p.com/bc", "404"),
            ("p.com/x/../a", "200 a /a"),
            ("p.com/%61", "200 a"),
            ("e.com/a", "200 a"),
            ("e.com/a?q=1", "200 a /a?q=1"),
            ("e.com/a/", "404"),
            ("e.com/b", "404"),
            ("e.com/b/", "200 b"),
            ("e.com/A", "404"),
            ("r.com/v12/x", "200 a"),
            ("r.com/v12/x?q=1", "200 a /v12/x?q=1"),
            ("r.com/v12/xx", "404"),
            ("r.com/a/v12/x", "404"),
            ("r.com/IC/x", "404"),
            ("r.com/iC/x", "200 b"),
            ("other.com/a", "404"),
        ])
}

fn order() -> Scene {
    let header = |path: &str, name: &str| format!("{}, headers: [{{name: {name}, value: '1'}}]", prefix(path));
    let query = |path: &str, name: &str| format!("{}, queryParams: [{{name: {name}, value: '1'}}]", prefix(path));
    Scene::new("order", HTTP)
        .route(
            "lengths",
            "a.com",
            &[to(&prefix("/"), "a"), to(&prefix("/x"), "b"), to(&prefix("/x/y"), "c"), to(&exact("/x/y"), "d")],
        )
        .route(
            "kinds",
            "b.com",
            &[
                to(&query("/x", "q"), "d"),
                to(&header("/x", "h"), "c"),
                to(&format!("{}, method: PUT", prefix("/x")), "b"),
                to(&prefix("/x/long"), "a"),
            ],
        )
        .route(
            "counts",
            "c.com",
            &[
                to(&header("/", "h"), "a"),
                to(&format!("{}, headers: [{{name: h, value: '1'}}, {{name: i, value: '1'}}]", prefix("/")), "b"),
                to(&format!("{}, queryParams: [{{name: q, value: '1'}}, {{name: r, value: '1'}}]", prefix("/")), "c"),
            ],
        )
        .asks(&[
            ("a.com/", "200 a"),
            ("a.com/xy", "200 a"),
            ("a.com/x", "200 b"),
            ("a.com/x/yz", "200 b"),
            ("a.com/x/y/z", "200 c"),
            ("a.com/x/y", "200 d"),
            ("b.com/x?q=1", "200 d"),
            ("b.com/x?q=1 h:1", "200 c"),
            ("PUT b.com/x?q=1 h:1", "200 b"),
            ("PUT b.com/x/long?q=1 h:1", "200 a"),
            ("b.com/x", "404"),
            ("c.com/ h:1", "200 a"),
            ("c.com/ h:1 i:1", "200 b"),
            ("c.com/?q=1&r=1 h:1", "200 a"),
            ("c.com/?q=1&r=1", "200 c"),
        ])
}

fn ties() -> Scene {
    let age =
        |name: &str, year: u16| format!("name: {name}, namespace: ties, creationTimestamp: '{year}-01-01T00:00:00Z'");
    let two = |one: &str, other: &str| {
        format!("{}, headers: [{{name: {one}, value: '1'}}, {{name: {other}, value: '1'}}]", prefix("/"))
    };
    Scene::new("ties", HTTP)
        .route_with(&age("a-younger", 2022), "name: edge", "age.com", &[to(&prefix("/"), "a")])
        .route_with(&age("z-older", 2020), "name: edge", "age.com", &[to(&prefix("/"), "b")])
        .route("name-b", "name.com", &[to(&prefix("/"), "b")])
        .route("name-a", "name.com", &[to(&prefix("/"), "a")])
        .route("rules", "rule.com", &[to(&prefix("/"), "c"), to(&prefix("/"), "a")])
        .route("headers", "header.com", &[to(&two("h", "i"), "b"), to(&two("i", "h"), "a")])
        .route("missing", "missing.com", &[to(&prefix("/"), "absent"), to(&prefix("/"), "a")])
        .asks(&[
            ("age.com/", "200 b"),
            ("name.com/", "200 a"),
            ("rule.com/", "200 c"),
            ("header.com/ h:1 i:1", "200 b"),
            ("missing.com/", "500"),
        ])
}

fn headers() -> Scene {
    let of = |list: &str| format!("headers: [{list}]");
    Scene::new("headers", HTTP)
        .route(
            "exact",
            "a.com",
            &[
                to(&of("{name: X-Version, value: two}"), "b"),
                to(&of("{name: version, value: one}, {name: colour, value: red}"), "a"),
            ],
        )
        .route("regex", "b.com", &[to(&of("{name: version, type: RegularExpression, value: 'v[0-9]+'}"), "a")])
        .route("several", "c.com", &[to(&of("{name: version, value: 'one,two'}"), "a")])
        .asks(&[
            ("a.com/ x-version:two", "200 b"),
            ("a.com/ X-VERSION:two", "200 b"),
            ("a.com/ x-version:Two", "404"),
            ("a.com/ x-version:twofold", "404"),
            ("a.com/ version:one", "404"),
            ("a.com/ version:one colour:red", "200 a"),
            ("b.com/ version:v12", "200 a"),
            ("b.com/ version:v12x", "404"),
            ("b.com/ version:xv12", "404"),
            // Several values in one line. Of several lines Envoy 1.37 compares all together, Envoy 1.40 each by itself.
            ("c.com/ version:one,two", "200 a"),
            ("c.com/ version:one", "404"),
        ])
}

fn query() -> Scene {
    let of = |list: &str| format!("queryParams: [{list}]");
    Scene::new("query", HTTP)
        .route(
            "exact",
            "a.com",
            &[
                to(&of("{name: animal, value: whale}"), "a"),
                to(&of("{name: animal, value: dolphin}, {name: colour, value: blue}"), "b"),
                to(&of("{name: animal, type: RegularExpression, value: 'd[a-z]+'}"), "c"),
            ],
        )
        .asks(&[
            ("a.com/?animal=whale", "200 a"),
            ("a.com/x?b=1&animal=whale", "200 a"),
            ("a.com/?animal=dolphin&colour=blue", "200 b"),
            ("a.com/?animal=dolphin", "200 c"),
            ("a.com/?animal=Whale", "404"),
            ("a.com/?Animal=whale", "404"),
            ("a.com/?animal=whale&animal=dog", "200 a"),
            ("a.com/?animal=xdog", "404"),
            ("a.com/", "404"),
        ])
}

fn methods() -> Scene {
    Scene::new("methods", HTTP)
        .route(
            "methods",
            "a.com",
            &[to("method: POST", "a"), to("method: GET", "b"), to(&format!("{}, method: GET", prefix("/x")), "c")],
        )
        .asks(&[
            ("POST a.com/", "200 a"),
            ("a.com/", "200 b"),
            ("a.com/x", "200 c"),
            ("POST a.com/x", "200 a"),
            ("PUT a.com/x", "404"),
        ])
}
