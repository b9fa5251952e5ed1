//! Certificates by server name, and requests on connections that were made for another.

use crate::scene::{Scene, prefix, to};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![certificates(), misdirected()]
}

fn https(name: &str, hostname: &str, certificates: &str) -> String {
    let hostname = if hostname.is_empty() { String::new() } else { format!("hostname: '{hostname}', ") };
    format!("{{name: {name}, port: 443, protocol: HTTPS, {hostname}tls: {{certificateRefs: [{certificates}]}}}}")
}

fn certificates() -> Scene {
    let listeners = [
        https("one", "one.com", "{name: cert-a}"),
        https("two", "*.two.com", "{name: cert-b}"),
        https("none", "none.com", "{name: absent}"),
        "{name: clear, port: 80, protocol: HTTP}".to_owned(),
    ];
    Scene::new("certificates", &listeners.join(", ")).route("web", "", &[to(&prefix("/"), "a")]).asks(&[
        ("@443 sni=one.com one.com/", "200 a cert=cert-a"),
        ("@443 sni=ONE.com one.com/", "200 a cert=cert-a"),
        ("@443 sni=a.two.com a.two.com/x", "200 a /x cert=cert-b"),
        ("@443 sni=b.a.two.com b.a.two.com/", "200 a cert=cert-b"),
        ("@443 sni=a.two.com a.two.com:443/", "200 a cert=cert-b host=a.two.com:443"),
        ("one.com/", "200 a"),
        // No connection: nothing is served without a certificate, or to a name of no listener.
        ("@443 sni=none.com none.com/", "0"),
        ("@443 sni=three.com three.com/", "0"),
    ])
}

fn misdirected() -> Scene {
    let listeners = [
        https("any", "", "{name: cert-b}"),
        https("wild", "*.example.com", "{name: cert-a}"),
        https("exact", "x.example.com", "{name: cert-a}"),
        https("second", "second.com", "{name: cert-a}"),
    ];
    let of = |name: &str| format!("name: edge, sectionName: {name}");
    Scene::new("misdirected", &listeners.join(", "))
        .route_of("any", &of("any"), "", &[to(&prefix("/any"), "a")])
        .route_of("wild", &of("wild"), "", &[to(&prefix("/wild"), "b")])
        .route_of("exact", &of("exact"), "", &[to(&prefix("/exact"), "c")])
        .route_of("second", &of("second"), "second.com", &[to(&prefix("/second"), "d")])
        .asks(&[
            ("@443 sni=x.example.com x.example.com/exact", "200 c cert=cert-a"),
            ("@443 sni=x.example.com x.example.com/none", "404"),
            ("@443 sni=x.example.com second.com/second", "421"),
            ("@443 sni=x.example.com y.example.com/wild", "421"),
            ("@443 sni=x.example.com unknown.org/any", "421"),
            ("@443 sni=second.com x.example.com/exact", "421"),
            ("@443 sni=second.com second.com/other", "404"),
            ("@443 sni=y.example.com y.example.com/wild", "200 b cert=cert-a"),
            ("@443 sni=y.example.com z.example.com/wild", "200 b"),
            ("@443 sni=y.example.com x.example.com/exact", "421"),
            ("@443 sni=y.example.com z.example.com/exact", "404"),
            ("@443 sni=unknown.org unknown.org/any", "200 a cert=cert-b"),
            ("@443 sni=unknown.org other.org/any", "200 a"),
            ("@443 sni=unknown.org y.example.com/wild", "421"),
            ("@443 sni=unknown.org second.com/second", "421"),
        ])
}
