//! Objects made up at random, hostile in every field that reaches Envoy.

use std::sync::Arc;
use std::time::Duration;

use arcstr::ArcStr;
use bytes::Bytes;
use syncgate::model::{
    AllowedRoutes, BackendRef, CertificateRef, ClientValidation, ConfigMap, FromNamespaces, FrontendTls, Gateway,
    GatewayClass, HeaderMatch, HeaderModifier, HeaderValue, HttpRoute, KeyBytes, Listener, ListenerProtocol,
    ListenerTls, Matcher, Meta, Object, ObjectKey, ParentRef, PathMatch, PathModifier, PortTls, Protocol, QueryMatch,
    Redirect, Rewrite, RouteFilter, RouteMatch, RouteRule, Secret, Service, ServicePort, TargetPort,
};

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// SplitMix64: reproducible from its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Mixed first: the sequences of seeds that are neighbours would be one and the same, shifted.
        let mut random = Self(seed);
        let mixed = random.next();
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("below n")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T>(&mut self, one_in: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(one_in).then(|| make(self))
    }

    fn list<T>(&mut self, below: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(below)).map(|_| make(self)).collect()
    }

    /// Mostly one of the fine ones; else something nasty.
    fn text(&mut self, fine: &[&str]) -> ArcStr {
        if !self.one_in(25) {
            return self.pick(fine).into();
        }
        match self.below(8) {
            0 => "".into(),
            1 => "a".repeat(self.pick(&[64, 257, 1025, 5000, 20_000])).into(),
            2 => arcstr::format!("{}\r\nx: y", self.pick(fine)),
            3 => arcstr::format!("{}\0", self.pick(fine)),
            4 => arcstr::format!("{}é☃", self.pick(fine)),
            5 => arcstr::format!("{}%", self.pick(fine)),
            6 => self
                .pick(&[":path", ":authority", "host", "Host", "%START_TIME%", "%REQ(", "*", "**", "\\1", "{x}"])
                .into(),
            _ => (0..=self.below(12))
                .map(|_| char::from(u8::try_from(self.below(128)).expect("ASCII")))
                .collect::<String>()
                .into(),
        }
    }

    fn hostname(&mut self) -> ArcStr {
        if self.one_in(30) {
            return self.pick(&NO_HOSTS).into();
        }
        self.text(&["a.com", "b.com", "x.a.com", "y.x.a.com", "*.a.com", "*.x.a.com", "*.com"])
    }

    fn path(&mut self) -> ArcStr {
        if self.one_in(15) {
            return self.pick(&NO_PATHS).into();
        }
        self.text(&["/", "/a", "/a/", "/a/b", "/a%20b", "/*", "/:x", "/a;b=c", "/\\", "/aa", "/a.b"])
    }

    fn header_name(&mut self) -> ArcStr {
        if self.one_in(15) {
            return self.pick(&ODD_NAMES).into();
        }
        self.text(&["x-a", "X-B", "x_c", "x-a", "content-type", "a.b", "cookie"])
    }

    fn header_value(&mut self) -> ArcStr {
        if self.one_in(15) {
            return self.pick(&ODD_VALUES).into();
        }
        self.text(&["a", "50%", "%%", "a b", "\"", "a,b", "{\"a\":1}", "text/html; q=0.5"])
    }

    /// An expression of RE2, or something like one.
    pub(crate) fn expression(&mut self) -> ArcStr {
        if self.one_in(3) {
            return self.pick(&["/v[0-9]+/.*", "(a|b)+", "[^/]+", "(?i)abc", "\\d{1,3}", "x{2,}y?", "a.*z"]).into();
        }
        if self.one_in(10) {
            return self.pick(&NO_EXPRESSIONS).into();
        }
        let mut out = String::new();
        self.tree(&mut out, 3);
        if self.one_in(10) {
            out.push_str(&self.text(&["(", "[", "\\", "{2}", "**", ")", "|", "$", "^"]));
        }
        out.into()
    }

    fn tree(&mut self, out: &mut String, depth: usize) {
        for _ in 0..=self.below(4) {
            match self.below(if depth == 0 { 6 } else { 9 }) {
                0..=2 => out.push_str(self.pick(&ATOMS)),
                3 => out.push_str(&"xyz/"[..=self.below(4)].repeat(1 + self.below(6))),
                4 | 5 => self.class(out),
                6 => {
                    out.push_str(self.pick(&[
                        "(", "(?:", "(?i:", "(?P<n>", "(?s:", "(?U:", "(?-i:", "(?P<é>", "(?<n>", "(?x:", "(?=",
                        "(?i)(",
                    ]));
                    self.tree(out, depth - 1);
                    out.push(')');
                }
                7 => {
                    self.tree(out, depth - 1);
                    out.push('|');
                    self.tree(out, depth - 1);
                }
                _ => {
                    out.push('(');
                    self.tree(out, depth - 1);
                    out.push(')');
                    out.push_str(self.pick(&REPEATS));
                }
            }
            if self.one_in(3) {
                out.push_str(self.pick(&REPEATS));
            }
        }
    }

    /// PEM as people and tools spoil it: sometimes harmless, sometimes not.
    fn bend(&mut self, pem: &str) -> String {
        match self.below(14) {
            0 => pem.replace('\n', "\r\n"),
            1 => pem.trim_end().to_owned(),
            2 => format!("a comment\n{pem}"),
            3 => format!("{pem}a comment"),
            4 => pem.replace('\n', "\n  "),
            5 => pem.replace('\n', "\n\n"),
            6 => pem.replace('\n', " \n"),
            7 => pem.replace("BEGIN CERTIFICATE", "BEGIN TRUSTED CERTIFICATE"),
            8 => pem.replace('\n', ""),
            9 => pem.replace("-----", "----"),
            10 => pem.replacen("\n", "\nProc-Type: x\n\n", 1),
            11 => {
                let at = self.below(pem.len());
                format!("{}{}", &pem[..at], &pem[(at + 1).min(pem.len())..])
            }
            12 => {
                let at = self.below(pem.len());
                format!("{}{}{}", &pem[..at], self.pick(&["A", "=", "\n", " ", "-"]), &pem[at..])
            }
            _ => pem.to_owned(),
        }
    }

    fn class(&mut self, out: &mut String) {
        out.push_str(self.pick(&["[", "[^", "[", "[^", "[]", "[-", "[^]"]));
        for _ in 0..=self.below(5) {
            out.push_str(self.pick(&CLASS_ITEMS));
        }
        out.push(']');
    }
}

const NO_HOSTS: [&str; 22] = [
    "A.com",
    "1.2.3.4",
    "::1",
    "*",
    "*.",
    "*.*.com",
    "a.*.com",
    "*a.com",
    "a_b.com",
    "a.com:80",
    "a.com.",
    "a..b",
    ".a",
    "-a.com",
    "a-.com",
    "a b.com",
    "a/b",
    "a.com\n",
    "ü.example",
    "xn--bcher-kva.example",
    "[::1]",
    "127.1",
];
const NO_PATHS: [&str; 19] = [
    "/a?b", "/a#b", "//", "/a//b", "/..", "a", "/a b", "/%", "/a/../b", "/a/./b", "/a/..", "/%zz", "/a%2Fb", "/%2f/",
    "/\0", "/a\n", "/ä", "*", "/%00",
];
const ODD_NAMES: [&str; 18] = [
    ":method",
    ":status",
    ":scheme",
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "connection",
    "upgrade",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-retries",
    "x-forwarded-for",
    "(x)",
    "x,y",
    "x:y",
    "x y",
    "%x%",
    "x\n",
];
const ODD_VALUES: [&str; 15] = [
    " ",
    " v ",
    "\t",
    "%",
    "%FOO%",
    "%REQ(x)%",
    "%REQ(:path)%",
    "%REQ(",
    "%START_TIME%",
    "%DYNAMIC_METADATA(a:b)%",
    "%ENVIRONMENT(HOME)%",
    "%PROTOCOL%%",
    "%PER_REQUEST_STATE(x)%",
    "a\rb",
    "ü",
];
const NO_EXPRESSIONS: [&str; 30] = [
    "a++",
    "a{2}{3}",
    "x{1000}{1000}",
    "(((((((((((((((((((((a{10}){10}){10}){10}",
    "(?P<n>a)(?P<n>b)",
    "(?P<n>a)|(?P<n>b)",
    "(?<=x)a",
    "(?!x)",
    "(?>a)",
    "(?#c)",
    "(?i-",
    "(?i-s:a)",
    "(?-:a)",
    "(?^i:a)",
    "[[:nope:]]",
    "[z-a]",
    "[]a]",
    "[^\\x00-\\x7f]",
    "\\x{110000}",
    "\\x{0}",
    "\\p{Nope}",
    "\\K",
    "\\R",
    "\\h",
    "\\G",
    "a|*",
    "|",
    "()",
    "(|a)*",
    "\\",
];
const ATOMS: [&str; 34] = [
    "a", "k", ".", "\\d", "\\w", "\\S", "\\W", "\\s", "\\D", "\\.", "\\-", "\\/", "\\_", "^", "$", "\\b", "\\B", "\\A",
    "\\z", "\\Z", "\\pL", "\\x41", "\\x{41}", "\\xe9", "\\u0041", "\\1", "\\Qa\\E", "\\C", "é", "{", "]", "\\n", "\\v",
    "\\ ",
];
const REPEATS: [&str; 18] = [
    "*", "+", "?", "*?", "+?", "??", "{2}", "{2,}", "{2,5}", "{0,3}", "{0}", "{1001}", "{3}?", "**", "{,2}", "{a}",
    "{5,2}", "{ 2 }",
];
const CLASS_ITEMS: [&str; 30] = [
    "a",
    "-",
    "a-z",
    "A-Z",
    "0-9",
    "\\d",
    "\\W",
    "\\s",
    "\\S",
    "\\w",
    ".",
    "/",
    "[:alpha:]",
    "[:^punct:]",
    "[:word:]",
    "[",
    "&&",
    "--",
    "~~",
    "z-a",
    "\\]",
    "é",
    "à-ü",
    "\\x20-\\x7e",
    "!-/",
    "a-c-e",
    "\\b",
    "[a-z]",
    "Z-b",
    "\\pL",
];

/// A Gateway with several listeners, Secrets good and bad, Services, and this many routes.
pub(crate) fn world(random: &mut Random, routes: usize) -> Vec<(ObjectKey, Object)> {
    let mut objects = frame(random);
    for at in 0..routes {
        let key = ObjectKey::new("ns", arcstr::format!("route-{at}"));
        objects.push((key, Object::HttpRoute(Arc::new(route(random)))));
    }
    objects
}

/// A reference to a listener of the Gateway, or to all of them.
pub(crate) fn parent(section: Option<&str>) -> ParentRef {
    ParentRef {
        group: GATEWAY_API.into(),
        kind: "Gateway".into(),
        target: ObjectKey::new("ns", "gateway"),
        section: section.map(ArcStr::from),
        port: None,
    }
}

/// The Gateway with its class, Secrets and Services, without routes.
pub(crate) fn frame(random: &mut Random) -> Vec<(ObjectKey, Object)> {
    let class = GatewayClass { controller: syncgate::model::CONTROLLER.into(), ..GatewayClass::default() };
    let mut listeners = vec![listener("first".into(), ListenerProtocol::Http, 80, None)];
    for at in 0..12 {
        let protocol = random.pick(&[ListenerProtocol::Http, ListenerProtocol::Https, ListenerProtocol::Https]);
        let port =
            if protocol == ListenerProtocol::Http { random.pick(&[81, 82, 0]) } else { random.pick(&[443, 8443]) };
        let hostname = random.some(2, Random::hostname);
        let mut listener = listener(arcstr::format!("l{at}"), protocol, port, hostname);
        let reference = |r: &mut Random| CertificateRef {
            group: "".into(),
            kind: "Secret".into(),
            target: ObjectKey::new("ns", r.pick(&SECRETS)),
        };
        listener.tls = Some(ListenerTls { passthrough: random.one_in(20), certificates: random.list(4, reference) });
        listeners.push(listener);
    }
    let addresses =
        random.list(3, |r| r.pick(&["127.0.0.1", "::1", "0.0.0.0", "10.0.0.1"]).parse().expect("an address"));
    let frontend = frontend(random);
    let gateway = Gateway { class: "class".into(), addresses, listeners, frontend, ..Gateway::default() };
    let mut objects = vec![
        (ObjectKey::cluster("class"), Object::GatewayClass(Arc::new(class))),
        (ObjectKey::new("ns", "gateway"), Object::Gateway(Arc::new(gateway))),
    ];
    for (name, app_protocol) in [("s1", None), ("s2", Some("kubernetes.io/h2c")), ("s3", Some("https"))] {
        let port = ServicePort {
            name: "".into(),
            port: 80,
            target: TargetPort::Number(80),
            protocol: Protocol::Tcp,
            app_protocol: app_protocol.map(ArcStr::from),
        };
        let service = Service { ports: vec![port], ..Service::default() };
        objects.push((ObjectKey::new("ns", name), Object::Service(Arc::new(service))));
    }
    objects.extend(
        secrets(random)
            .into_iter()
            .map(|(name, secret)| (ObjectKey::new("ns", name), Object::Secret(Arc::new(secret)))),
    );
    let maps = bundles(random).into_iter();
    objects.extend(maps.map(|(name, map)| (ObjectKey::new("ns", name), Object::ConfigMap(Arc::new(map)))));
    objects
}

fn listener(name: ArcStr, protocol: ListenerProtocol, port: u16, hostname: Option<ArcStr>) -> Listener {
    let allowed = AllowedRoutes { from: FromNamespaces::All, kinds: Vec::new() };
    Listener { name, hostname, port, protocol, tls: None, allowed, problems: Vec::new() }
}

const SECRETS: [&str; 11] =
    ["chain", "p256", "p384", "ed25519", "mixed", "garbage", "absent", "bent-1", "bent-2", "bent-3", "bent-4"];

/// Key pairs that Envoy takes, and such that it does not.
fn secrets(random: &mut Random) -> Vec<(&'static str, Secret)> {
    let pair = |algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.com".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    };
    let secret = |certificate: &str, key: &str| Secret {
        certificate: Some(Bytes::copy_from_slice(certificate.as_bytes())),
        key: Some(KeyBytes::new(key.as_bytes().to_vec())),
        unavailable: None,
    };
    let p256 = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let p384 = pair(&rcgen::PKCS_ECDSA_P384_SHA384);
    let ed25519 = pair(&rcgen::PKCS_ED25519);
    let chain = format!("{}{}", p256.0, p384.0);
    let garbage = format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", p256.0);
    let mut bent = |name| (name, secret(&random.bend(&chain), &random.bend(&p256.1)));
    vec![
        bent("bent-1"),
        bent("bent-2"),
        bent("bent-3"),
        bent("bent-4"),
        ("p256", secret(&p256.0, &p256.1)),
        ("p384", secret(&p384.0, &p384.1)),
        ("ed25519", secret(&ed25519.0, &ed25519.1)),
        ("mixed", secret(&p256.0, &p384.1)),
        ("chain", secret(&chain, &p256.1)),
        ("garbage", secret(&garbage, &p256.1)),
    ]
}

const BUNDLES: [&str; 7] = ["one", "two", "garbage", "bent", "empty", "unread", "absent"];

/// Bundles of authorities that Envoy takes, and such that it does not.
fn bundles(random: &mut Random) -> Vec<(&'static str, ConfigMap)> {
    let authority = || {
        let key = rcgen::KeyPair::generate().expect("a key");
        rcgen::CertificateParams::default().self_signed(&key).expect("a certificate").pem()
    };
    let (one, two) = (authority(), authority());
    let map = |bundle: String| ConfigMap { authorities: Ok(bundle.into()) };
    vec![
        ("one", map(one.clone())),
        ("two", map(format!("{one}{two}"))),
        ("garbage", map(format!("{one}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))),
        ("bent", map(random.bend(&format!("{one}{two}")))),
        ("empty", map(String::new())),
        ("unread", ConfigMap { authorities: Err("cannot be read".into()) }),
    ]
}

/// Clients are validated on one of the ports for HTTPS, or on both.
fn frontend(random: &mut Random) -> FrontendTls {
    let tls = |r: &mut Random| {
        let reference = |r: &mut Random| CertificateRef {
            group: "".into(),
            kind: r.pick(&["ConfigMap", "ConfigMap", "ConfigMap", "Secret"]).into(),
            target: ObjectKey::new("ns", r.pick(&BUNDLES)),
        };
        let field = "spec.tls.frontend.default.validation.caCertificateRefs".into();
        let validation = ClientValidation { field, authorities: r.list(4, reference), insecure: r.one_in(3) };
        PortTls { validation: r.some(2, |_| Arc::new(validation)), problems: Vec::new() }
    };
    FrontendTls { default: tls(random), per_port: [(443, tls(random))].into(), problems: Vec::new() }
}

fn route(random: &mut Random) -> HttpRoute {
    HttpRoute {
        meta: Meta { created: i64::try_from(random.below(3)).expect("small"), ..Meta::default() },
        parents: vec![parent(None)],
        hostnames: random.list(4, Random::hostname),
        rules: (0..=random.below(3)).map(|_| rule(random)).collect(),
        problems: Vec::new(),
    }
}

fn rule(random: &mut Random) -> RouteRule {
    let time =
        |r: &mut Random| Duration::from_millis(if r.one_in(9) { u64::MAX } else { r.pick(&[0, 1, 1500, 86_400_000]) });
    RouteRule {
        name: random.some(3, |r| r.text(&["rule", "other"])),
        matches: (0..=random.below(2)).map(|_| route_match(random)).collect(),
        filters: random.list(3, filter),
        backends: random.list(4, backend),
        request_timeout: random.some(3, time),
        backend_timeout: random.some(3, time),
        problems: Vec::new(),
    }
}

fn route_match(random: &mut Random) -> RouteMatch {
    let matcher = |r: &mut Random| {
        if r.one_in(3) { Matcher::Regex(r.expression()) } else { Matcher::Exact(r.header_value()) }
    };
    let path = match random.below(5) {
        0 | 1 => PathMatch::Exact(random.path()),
        2 | 3 => PathMatch::Prefix(random.path()),
        _ => PathMatch::Regex(random.expression()),
    };
    RouteMatch {
        path,
        headers: random.list(3, |r| HeaderMatch { name: r.header_name(), value: matcher(r) }),
        query: random.list(3, |r| QueryMatch { name: r.text(&["q", "Q", "a b"]), value: matcher(r) }),
        method: random.some(4, |r| if r.one_in(8) { "get".into() } else { r.text(&["GET", "CONNECT", "PUT"]) }),
    }
}

fn modifier(random: &mut Random) -> HeaderModifier {
    let value = |r: &mut Random| HeaderValue { name: r.header_name(), value: r.header_value() };
    HeaderModifier {
        set: random.list(3, value),
        add: random.list(3, value),
        remove: random.list(3, Random::header_name),
    }
}

fn filter(random: &mut Random) -> RouteFilter {
    let path = |r: &mut Random| {
        let path = r.path();
        if r.one_in(2) { PathModifier::Full(path) } else { PathModifier::Prefix(path) }
    };
    match random.below(9) {
        0..=2 => RouteFilter::RequestHeaders(modifier(random)),
        3 | 4 => RouteFilter::ResponseHeaders(modifier(random)),
        5 | 6 => {
            RouteFilter::Rewrite(Rewrite { hostname: random.some(2, Random::hostname), path: random.some(2, path) })
        }
        7 => RouteFilter::Redirect(Redirect {
            scheme: random.some(2, |r| r.text(&["http", "https"])),
            hostname: random.some(2, Random::hostname),
            path: random.some(2, path),
            port: random.some(2, |r| r.pick(&[0, 80, 443, 65535])),
            status: random.pick(&[301, 302, 303, 307, 308, 200, 0]),
        }),
        _ => RouteFilter::Unsupported("Cors".into()),
    }
}

fn backend(random: &mut Random) -> BackendRef {
    BackendRef {
        group: "".into(),
        kind: if random.one_in(12) { "Pod".into() } else { random.text(&["Service"]) },
        target: ObjectKey::new(
            random.pick(&["ns", "ns", "other"]),
            random.text(&["s1", "s1", "s2", "s2", "s3", "absent"]),
        ),
        port: random.some(1, |r| r.pick(&[80, 80, 81])),
        weight: if random.one_in(20) { random.pick(&[u32::MAX, u32::MAX / 2]) } else { random.pick(&[0, 1, 1, 10]) },
        filters: if random.one_in(3) { vec![filter(random)] } else { Vec::new() },
    }
}
