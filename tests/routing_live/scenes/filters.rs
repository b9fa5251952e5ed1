//! What filters do to headers, hosts and paths.

use crate::scene::{HTTP, Scene, exact, filtered, new_path, new_prefix, prefix, regex, rewrite};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![request_headers(), response_headers(), backend_headers(), rewrites(), backend_rewrites()]
}

fn modify(side: &str, changes: &str) -> String {
    let (kind, field) = match side {
        "request" => ("RequestHeaderModifier", "requestHeaderModifier"),
        _ => ("ResponseHeaderModifier", "responseHeaderModifier"),
    };
    format!("{{type: {kind}, {field}: {{{changes}}}}}")
}

fn request_headers() -> Scene {
    let of = |path: &str, changes: &str| filtered(&prefix(path), &modify("request", changes));
    Scene::new("request-headers", HTTP)
        .route("web", "", &[
            of("/set", "set: [{name: X-A, value: new}]"),
            of("/add", "add: [{name: X-A, value: more}]"),
            of("/remove", "remove: [X-A, x-b]"),
            of("/all", "set: [{name: x-a, value: new}], add: [{name: x-b, value: more}, {name: x-d, value: d}], remove: [x-c]"),
            of("/percent", "set: [{name: x-a, value: '50%REQ(:path)%'}]"),
        ])
        .asks(&[
            ("a.com/set", "200 >x-a=new"),
            ("a.com/set x-a:old", "200 >x-a=new"),
            ("a.com/set x-a:old x-a:older", "200 >x-a=new"),
            ("a.com/add", "200 >x-a=more"),
            ("a.com/add x-a:old", "200 >x-a=old,more"),
            ("a.com/remove x-a:1 X-B:2 x-c:3", "200 >!x-a >!x-b >x-c=3"),
            ("a.com/all x-a:1 x-b:2 x-c:3", "200 >x-a=new >x-b=2,more >!x-c >x-d=d"),
            ("a.com/percent", "200 >x-a=50%REQ(:path)%"),
        ])
}

fn response_headers() -> Scene {
    let of = |path: &str, changes: &str| filtered(&prefix(path), &modify("response", changes));
    Scene::new("response-headers", HTTP)
        .route(
            "web",
            "",
            &[
                of("/set", "set: [{name: X-Answer, value: new}]"),
                of("/add", "add: [{name: x-answer, value: more}, {name: x-new, value: new}]"),
                of("/remove", "remove: [X-Answer]"),
            ],
        )
        .asks(&[
            ("a.com/set", "200 <x-answer=new <x-kept=backend"),
            ("a.com/add", "200 <x-answer=backend,more <x-new=new"),
            ("a.com/remove", "200 <!x-answer <x-kept=backend"),
        ])
}

fn backend_headers() -> Scene {
    let backend = |name: &str, filters: &str| format!("{{name: {name}, port: 80, filters: [{filters}]}}");
    let tag = |side: &str, value: &str| modify(side, &format!("set: [{{name: x-by, value: {value}}}]"));
    let rule = |path: &str, filters: &str, backends: &str| {
        format!("{{matches: [{{{}}}], filters: [{filters}], backendRefs: [{backends}]}}", prefix(path))
    };
    Scene::new("backend-headers", HTTP)
        .route(
            "web",
            "",
            &[
                rule("/one", "", &backend("a", &tag("request", "backend"))),
                // The filters of a backend come after those of the rule.
                rule("/both", &tag("request", "rule"), &backend("a", &tag("request", "backend"))),
                rule(
                    "/added",
                    &tag("request", "rule"),
                    &backend("a", &modify("request", "add: [{name: x-by, value: backend}]")),
                ),
                rule(
                    "/removed",
                    &modify("request", "add: [{name: x-by, value: rule}]"),
                    &backend("a", &modify("request", "remove: [X-By]")),
                ),
                rule(
                    "/two",
                    &tag("request", "rule"),
                    &format!(
                        "{}, {{name: c, port: 80}}",
                        backend("a", &modify("request", "set: [{name: x-more, value: backend}]"))
                    ),
                ),
                rule(
                    "/other",
                    &modify("request", "set: [{name: x-rule, value: r}]"),
                    &backend("b", &tag("response", "backend")),
                ),
            ],
        )
        .asks(&[
            ("a.com/one x-by:me", "200 a >x-by=backend"),
            ("a.com/both", "200 a >x-by=backend"),
            ("a.com/added x-by:me", "200 a >x-by=rule,backend"),
            ("a.com/removed x-by:me", "200 a >!x-by"),
            ("a.com/two", "200 >x-by=rule"),
            ("a.com/other", "200 b >x-rule=r <x-by=backend"),
        ])
}

fn rewrites() -> Scene {
    let of = |matches: &str, change: &str| filtered(matches, &rewrite(change));
    Scene::new("rewrites", HTTP)
        .route(
            "web",
            "a.com",
            &[
                of(&prefix("/host"), "hostname: inner.org"),
                of(&prefix("/full"), &new_path("/whole")),
                of(&exact("/full-exact"), &new_path("/")),
                of(&regex("/full-regex/.*"), &new_path("/whole")),
                of(&prefix("/old"), &new_prefix("/new")),
                of(&prefix("/slash/"), &new_prefix("/new/")),
                of(&prefix("/strip"), &new_prefix("/")),
                of(&prefix("/nothing"), &new_prefix("")),
                of(&prefix("/deep/er"), &new_prefix("/x")),
                of(&prefix("/all"), &format!("hostname: inner.org, {}", new_prefix("/both"))),
            ],
        )
        .route("below", "b.com", &[of(&prefix("/"), &new_prefix("/below"))])
        .route("same", "c.com", &[of(&prefix("/"), &new_prefix("/"))])
        .asks(&[
            ("a.com/host/x?q=1", "200 /host/x?q=1 host=inner.org"),
            ("a.com:8080/host", "200 host=inner.org"),
            ("a.com/full", "200 /whole host=a.com"),
            ("a.com/full/x/y?q=1&r=/", "200 /whole?q=1&r=/"),
            ("a.com/full-exact?q", "200 /?q"),
            ("a.com/full-regex/x?q=1", "200 /whole?q=1"),
            ("a.com/old", "200 /new"),
            ("a.com/old/", "200 /new/"),
            ("a.com/old/x?q=/old", "200 /new/x?q=/old"),
            ("a.com/old?q=1", "200 /new?q=1"),
            ("a.com/older", "404"),
            ("a.com/slash", "200 /new"),
            ("a.com/slash/x", "200 /new/x"),
            ("a.com/strip", "200 /"),
            ("a.com/strip/", "200 /"),
            ("a.com/strip/x?q=1", "200 /x?q=1"),
            ("a.com/strip?q=1", "200 /?q=1"),
            ("a.com/stripped", "404"),
            ("a.com/nothing", "200 /"),
            ("a.com/nothing/x", "200 /x"),
            ("a.com/deep/er/and/er", "200 /x/and/er"),
            ("a.com/all/x", "200 /both/x host=inner.org"),
            ("b.com/", "200 /below/"),
            ("b.com/x?q=1", "200 /below/x?q=1"),
            ("c.com/", "200 /"),
            ("c.com/x", "200 /x"),
        ])
}

fn backend_rewrites() -> Scene {
    let of = |path: &str, change: &str| {
        format!(
            "{{matches: [{{{}}}], backendRefs: [{{name: b, port: 80, filters: [{}]}}]}}",
            prefix(path),
            rewrite(change)
        )
    };
    let twice = |path: &str| {
        let one = format!("{{name: b, port: 80, filters: [{}]}}", rewrite("hostname: inner.org"));
        format!("{{matches: [{{{}}}], backendRefs: [{one}, {one}]}}", prefix(path))
    };
    Scene::new("backend-rewrites", HTTP)
        .route(
            "web",
            "",
            &[
                of("/full", &new_path("/whole")),
                of("/old", &new_prefix("/new")),
                of("/host", "hostname: inner.org"),
                twice("/twice"),
            ],
        )
        .asks(&[
            ("a.com/full/x?q=1", "200 b /whole?q=1"),
            ("a.com/old/x?q=1", "200 b /new/x?q=1"),
            ("a.com/host/x", "200 b /host/x host=inner.org"),
            ("a.com/twice", "500"),
        ])
}
