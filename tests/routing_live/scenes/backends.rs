//! Where requests go: weights, backends that lead nowhere, references across namespaces, time-outs.

use crate::scene::{HTTP, Scene, prefix, to};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![weights(), nowhere(), references(), timeouts(), protocols()]
}

fn rule(path: &str, backends: &str) -> String {
    format!("{{matches: [{{{}}}], backendRefs: [{backends}]}}", prefix(path))
}

fn weights() -> Scene {
    Scene::new("weights", HTTP)
        .route(
            "weights",
            "",
            &[
                rule(
                    "/three",
                    "{name: a, port: 80, weight: 70}, {name: b, port: 80, weight: 30}, {name: c, port: 80, weight: 0}",
                ),
                rule("/missing", "{name: a, port: 80, weight: 1}, {name: absent, port: 80, weight: 1}"),
                rule("/zero", "{name: a, port: 80, weight: 0}"),
                rule("/default", "{name: a, port: 80}, {name: b, port: 80}"),
            ],
        )
        .shares("a.com/three", &[("a", 0.7), ("b", 0.3), ("c", 0.0)])
        .shares("a.com/missing", &[("a", 0.5), ("500", 0.5), ("503", 0.0)])
        .shares("a.com/default", &[("a", 0.5), ("b", 0.5)])
        .asks(&[("a.com/zero", "500")])
}

fn nowhere() -> Scene {
    Scene::new("nowhere", HTTP)
        .object(
            "{apiVersion: v1, kind: Service, metadata: {name: tls, namespace: nowhere}, \
             spec: {selector: {app: a}, ports: [{port: 443, appProtocol: https}]}}",
        )
        .route(
            "nowhere",
            "",
            &[
                rule("/empty", "{name: empty, port: 80}"),
                rule("/absent", "{name: absent, port: 80}"),
                rule("/port", "{name: a, port: 81}"),
                rule("/kind", "{group: example.com, kind: Bucket, name: a, port: 80}"),
                rule("/tls", "{name: tls, port: 443}"),
                format!("{{matches: [{{{}}}]}}", prefix("/none")),
                rule("/half", "{name: empty, port: 80}, {name: absent, port: 80}"),
                rule("/", "{name: a, port: 80}"),
            ],
        )
        .shares("a.com/half", &[("503", 0.5), ("500", 0.5)])
        .asks(&[
            ("a.com/empty", "503"),
            ("a.com/absent", "500"),
            ("a.com/port", "500"),
            ("a.com/kind", "500"),
            ("a.com/tls", "500"),
            ("a.com/none", "500"),
            ("a.com/", "200 a"),
        ])
}

fn references() -> Scene {
    let grant = |name: &str, from: &str, to: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {{name: {name}, namespace: {name}}}, \
             spec: {{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}], \
             to: [{{group: '', kind: Service{to}}}]}}}}"
        )
    };
    let service = |namespace: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {namespace}}}, spec: {{ports: [{{port: 80}}]}}}}"
        )
    };
    // Services without endpoints: 503 says that the reference was followed, 500 that it was refused.
    let there = |path: &str, namespace: &str| rule(path, &format!("{{name: web, namespace: {namespace}, port: 80}}"));
    let names = ["granted", "named", "misnamed", "for-others", "closed"];
    let mut scene = Scene::new("references", HTTP)
        .object(&grant("granted", "references", ""))
        .object(&grant("named", "references", ", name: web"))
        .object(&grant("misnamed", "references", ", name: other"))
        .object(&grant("for-others", "others", ""));
    for name in names {
        scene = scene.object(&service(name));
    }
    let rules: Vec<String> = names.iter().map(|name| there(&format!("/{name}"), name)).collect();
    scene
        .object(&grant("paths", "references", ", name: a"))
        .route("away", "", &[rules, vec![rule("/live", "{name: a, namespace: paths, port: 80}")]].concat())
        .asks(&[
            ("a.com/granted", "503"),
            ("a.com/named", "503"),
            ("a.com/misnamed", "500"),
            ("a.com/for-others", "500"),
            ("a.com/closed", "500"),
            ("a.com/live", "200 a"),
        ])
}

fn timeouts() -> Scene {
    let timed = |path: &str, timeouts: &str| {
        format!("{{matches: [{{{}}}], timeouts: {{{timeouts}}}, backendRefs: [{{name: a, port: 80}}]}}", prefix(path))
    };
    Scene::new("timeouts", HTTP)
        .route(
            "timeouts",
            "",
            &[
                timed("/request", "request: 300ms"),
                timed("/backend", "backendRequest: 300ms"),
                timed("/both", "request: 3s, backendRequest: 300ms"),
                timed("/off", "request: 0s"),
                to(&prefix("/"), "a"),
            ],
        )
        .asks(&[
            ("a.com/request", "200 a"),
            ("a.com/request delay:900", "504"),
            ("a.com/backend delay:900", "504"),
            ("a.com/both delay:900", "504"),
            ("a.com/both delay:50", "200 a"),
            ("a.com/off delay:900", "200 a"),
            ("a.com/ delay:900", "200 a"),
            // A client does not change what a route says.
            ("a.com/ delay:900 x-envoy-upstream-rq-timeout-ms:200", "200 a"),
            ("a.com/request delay:900 x-envoy-upstream-rq-timeout-ms:5000", "504"),
        ])
}

fn protocols() -> Scene {
    Scene::new("protocols", HTTP)
        .route("web", "", &[to(&prefix("/one"), "a"), to(&prefix("/two"), "d")])
        .asks(&[("a.com/one", "200 a version=HTTP/1.1"), ("a.com/two", "200 d version=HTTP/2.0")])
}
