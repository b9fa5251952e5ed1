//! Which host names belong to which listener and route.

use crate::scene::{HTTP, Scene, exact, prefix, to};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![precedence(), isolation(), parents(), ports(), namespaces()]
}

fn precedence() -> Scene {
    Scene::new("precedence", HTTP)
        .route("any", "", &[to(&prefix("/"), "a")])
        .route("wild", "*.example.com", &[to(&prefix("/w"), "b"), to(&prefix("/e/longer"), "b")])
        .route("deep", "*.deep.example.com", &[to(&prefix("/d"), "c")])
        .route("exact", "x.example.com y.deep.example.com", &[to(&prefix("/e"), "d")])
        .asks(&[
            ("x.example.com/e", "200 d"),
            ("x.example.com/e/longer", "200 d"),
            ("x.example.com/w", "200 b"),
            ("x.example.com/", "200 a"),
            ("y.deep.example.com/e", "200 d"),
            ("y.deep.example.com/d", "200 c"),
            ("y.deep.example.com/w", "200 b"),
            ("y.deep.example.com/q", "200 a"),
            ("z.deep.example.com/e", "200 a"),
            ("a.b.example.com/w", "200 b"),
            ("example.com/w", "200 a"),
            ("unknown.org/", "200 a"),
            ("X.Example.COM/e", "200 d host=X.Example.COM"),
            ("x.example.com:8080/e", "200 d host=x.example.com:8080"),
            ("z.example.com:80/w", "200 b"),
            ("x.example.com./e", "200 d"),
        ])
}

fn isolation() -> Scene {
    let listeners = "{name: any, port: 80, protocol: HTTP}, \
                     {name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'}, \
                     {name: foo, port: 80, protocol: HTTP, hostname: '*.foo.example.com'}, \
                     {name: exact, port: 80, protocol: HTTP, hostname: abc.foo.example.com}";
    let at = |name: &str| to(&prefix(&format!("/{name}")), "a");
    let parent = |name: &str| format!("name: edge, sectionName: {name}");
    Scene::new("isolation", listeners)
        .route_of("any", &parent("any"), "", &[at("any")])
        .route_of("wild", &parent("wild"), "", &[at("wild")])
        .route_of("foo", &parent("foo"), "", &[at("foo")])
        .route_of("exact", &parent("exact"), "", &[at("exact")])
        .asks(&[
            ("bar.com/any", "200"),
            ("bar.com/wild", "404"),
            ("bar.example.com/any", "404"),
            ("bar.example.com/wild", "200"),
            ("bar.example.com/foo", "404"),
            ("bar.foo.example.com/any", "404"),
            ("bar.foo.example.com/wild", "404"),
            ("bar.foo.example.com/foo", "200"),
            ("abc.foo.example.com/foo", "404"),
            ("abc.foo.example.com/wild", "404"),
            ("abc.foo.example.com/exact", "200"),
        ])
}

fn parents() -> Scene {
    let listeners = "{name: one, port: 80, protocol: HTTP, hostname: '*.one.com'}, \
                     {name: two, port: 80, protocol: HTTP, hostname: two.com}";
    Scene::new("parents", listeners)
        .route_of("named", "name: edge, sectionName: one", "a.one.com two.com", &[to(&prefix("/named"), "a")])
        .route("both", "a.one.com two.com three.com", &[to(&prefix("/both"), "b")])
        .route("none", "", &[to(&prefix("/none"), "c")])
        .route_of("lost", "name: edge, sectionName: three", "", &[to(&prefix("/lost"), "d")])
        .asks(&[
            ("a.one.com/named", "200 a"),
            ("b.one.com/named", "404"),
            ("two.com/named", "404"),
            ("a.one.com/both", "200 b"),
            ("two.com/both", "200 b"),
            ("b.one.com/both", "404"),
            ("three.com/both", "404"),
            ("b.one.com/none", "200 c"),
            ("two.com/none", "200 c"),
            ("three.com/none", "404"),
            ("two.com/lost", "404"),
        ])
}

fn ports() -> Scene {
    let listeners = "{name: one, port: 80, protocol: HTTP}, {name: two, port: 8080, protocol: HTTP}";
    Scene::new("ports", listeners)
        .route_of("at-80", "name: edge, port: 80", "", &[to(&prefix("/eighty"), "a")])
        .route_of("at-8080", "name: edge, port: 8080", "", &[to(&prefix("/other"), "b")])
        .route("both", "", &[to(&exact("/both"), "c")])
        .asks(&[
            ("a.com/eighty", "200 a"),
            ("a.com/other", "404"),
            ("@8080 a.com/eighty", "404"),
            ("@8080 a.com/other", "200 b"),
            ("a.com/both", "200 c"),
            ("@8080 a.com/both", "200 c"),
        ])
}

fn namespaces() -> Scene {
    let allow = |name: &str, port: u16, from: &str| {
        format!("{{name: {name}, port: {port}, protocol: HTTP, allowedRoutes: {{namespaces: {{{from}}}}}}}")
    };
    let listeners = [
        allow("same", 80, "from: Same"),
        allow("all", 81, "from: All"),
        allow("red", 82, "from: Selector, selector: {matchLabels: {colour: red}}"),
        allow("none", 83, "from: None"),
    ];
    let of = |namespace: &str| format!("name: web, namespace: {namespace}");
    let parent = "name: edge, namespace: namespaces";
    let rules = |namespace: &str| [to(&prefix(&format!("/{namespace}")), "absent")];
    Scene::new("namespaces", &listeners.join(", "))
        .object("{apiVersion: v1, kind: Namespace, metadata: {name: red-one, labels: {colour: red}}}")
        .object("{apiVersion: v1, kind: Namespace, metadata: {name: blue-one, labels: {colour: blue}}}")
        .route_with(&of("namespaces"), parent, "", &rules("own"))
        .route_with(&of("red-one"), parent, "", &rules("red"))
        .route_with(&of("blue-one"), parent, "", &rules("blue"))
        // 500: there is a route, whose backend is missing.
        .asks(&[
            ("a.com/own", "500"),
            ("a.com/red", "404"),
            ("@81 a.com/own", "500"),
            ("@81 a.com/red", "500"),
            ("@81 a.com/blue", "500"),
            ("@82 a.com/own", "404"),
            ("@82 a.com/red", "500"),
            ("@82 a.com/blue", "404"),
            ("@83 a.com/own", "404"),
        ])
}
