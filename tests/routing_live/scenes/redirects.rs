//! Where redirects lead.

use crate::scene::{Scene, exact, new_path, new_prefix, prefix, redirect};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![redirects(), ports()]
}

const LISTENERS: &str = "{name: http, port: 80, protocol: HTTP}, {name: alt, port: 8080, protocol: HTTP}, \
                         {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert-a}]}}, \
                         {name: alt-tls, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert-a}]}}";

fn redirects() -> Scene {
    let of = |path: &str, to: &str| redirect(&prefix(path), to);
    Scene::new("redirects", LISTENERS)
        .route(
            "web",
            "a.com",
            &[
                of("/301", "hostname: b.org, statusCode: 301"),
                of("/302", "hostname: b.org"),
                of("/303", "hostname: b.org, statusCode: 303"),
                of("/307", "hostname: b.org, statusCode: 307"),
                of("/308", "hostname: b.org, statusCode: 308"),
                of("/full", &new_path("/whole")),
                of("/old", &new_prefix("/new")),
                of("/strip", &new_prefix("/")),
                of("/root", &format!("hostname: b.org, {}", new_prefix("/x/"))),
                redirect(
                    &exact("/exact"),
                    &format!("scheme: https, hostname: b.org, port: 8443, {}, statusCode: 308", new_path("/all")),
                ),
            ],
        )
        .asks(&[
            ("a.com/301/x?q=1", "301 location=http://b.org/301/x?q=1"),
            ("a.com/302", "302 location=http://b.org/302"),
            ("a.com/303", "303 location=http://b.org/303"),
            ("a.com/307", "307 location=http://b.org/307"),
            ("a.com/308", "308 location=http://b.org/308"),
            ("a.com/full/x?q=1", "302 location=http://a.com/whole?q=1"),
            ("a.com/old", "302 location=http://a.com/new"),
            ("a.com/old/x?q=1", "302 location=http://a.com/new/x?q=1"),
            ("a.com/older", "404"),
            ("a.com/strip", "302 location=http://a.com/"),
            ("a.com/strip/x", "302 location=http://a.com/x"),
            ("a.com/root/x", "302 location=http://b.org/x/x"),
            ("a.com/exact", "308 location=https://b.org:8443/all"),
            ("@443 sni=a.com a.com/302", "302 location=https://b.org/302"),
        ])
}

fn ports() -> Scene {
    let of = |path: &str, to: &str| redirect(&prefix(path), to);
    Scene::new("redirect-ports", LISTENERS)
        .route(
            "web",
            "",
            &[
                of("/https", "scheme: https"),
                of("/http", "scheme: http"),
                of("/http-8080", "scheme: http, port: 8080"),
                of("/https-443", "scheme: https, port: 443"),
                of("/http-80", "scheme: http, port: 80"),
                of("/http-443", "scheme: http, port: 443"),
                of("/80", "port: 80"),
                of("/443", "port: 443"),
                of("/9000", "port: 9000"),
                of("/host", "hostname: b.org"),
            ],
        )
        .asks(&[
            ("a.com/https", "302 location=https://a.com/https"),
            ("a.com:8000/https", "302 location=https://a.com:443/https"),
            ("@8080 a.com/https", "302 location=https://a.com/https"),
            ("@8080 a.com:8080/http-8080", "302 location=http://a.com:8080/http-8080"),
            ("a.com/http", "302 location=http://a.com/http"),
            ("@443 sni=a.com a.com/http", "302 location=http://a.com/http"),
            ("a.com/https-443", "302 location=https://a.com/https-443"),
            ("a.com/http-80", "302 location=http://a.com/http-80"),
            ("a.com/http-443", "302 location=http://a.com:443/http-443"),
            ("a.com/80", "302 location=http://a.com/80"),
            ("@8080 a.com/80", "302 location=http://a.com/80"),
            ("@443 sni=a.com a.com/80", "302 location=https://a.com:80/80"),
            ("a.com/443", "302 location=http://a.com:443/443"),
            ("@443 sni=a.com a.com/443", "302 location=https://a.com/443"),
            ("@8443 sni=a.com a.com/443", "302 location=https://a.com/443"),
            ("a.com/9000", "302 location=http://a.com:9000/9000"),
            ("a.com:80/9000", "302 location=http://a.com:9000/9000"),
            ("a.com/host", "302 location=http://b.org/host"),
            ("@8080 a.com/host", "302 location=http://b.org:8080/host"),
            ("@8080 a.com:8080/host", "302 location=http://b.org:8080/host"),
            ("@443 sni=a.com a.com/host", "302 location=https://b.org/host"),
            ("@8443 sni=a.com a.com/host", "302 location=https://b.org:8443/host"),
        ])
}
