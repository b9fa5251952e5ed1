//! Random HTTPRoutes: mostly legal, each with a good chance of one value that is nearly legal or hostile.

use serde_json::{Value, json};

use crate::manifests::{self, BACKEND_PORT, NAMESPACE};

const HOSTS: &[&str] =
    &["a.example.com", "b.example.com", "*.example.com", "c.example.org", "*.org", "xn--bcher-kva.example"];
const BAD_HOSTS: &[&str] = &[
    "",
    "*",
    "*.",
    "A.Example.COM",
    "a..b",
    "-a.com",
    "a-.com",
    "a.example.com.",
    "*.*.com",
    "a.*.com",
    "1.2.3.4",
    "::1",
    "a.com:80",
    "ü.example",
    "a b.com",
    "a.com\n",
    "a/b",
];
const PATHS: &[&str] =
    &["/", "/a", "/a/b", "/a/", "/cart", "/%20x", "/a-b_c~d", "/a=b&c", "/a:b", "/a%2Fb", "/@", "/a;b"];
const BAD_PATHS: &[&str] = &[
    "", "a", "//", "/a//b", "/a/./b", "/a/../b", "/a/..", "/a?b", "/a#b", "/ä", "/a b", "/a\n", "/\u{0}", "/%zz",
    "/%2f/", "*",
];
const EXPRESSIONS: &[&str] = &[
    "/a.*",
    "/[a-z]+/[0-9]{1,3}",
    "(?i)/a",
    "/(a|b)",
    r"/\d+",
    r"/\pL+",
    "/[[:alpha:]]*",
    r"\Q/a.b\E",
    "(?P<n>/a)",
    "",
    ".*",
];
const BAD_EXPRESSIONS: &[&str] = &[
    "(",
    ")",
    "[",
    "[z-a]",
    "a{1001}",
    "(?=x)",
    "(?!x)",
    "(?<=x)a",
    r"\1",
    "(?<n>a)",
    "a**",
    "a{2}{3}",
    "x{1000}{1000}",
    r"\C",
    r"\z",
    r"\Z",
    r"\K",
    r"\p{Nope}",
    "(?x)a b",
    "(?#c)",
    "*",
    "+",
    "a++",
    "(((((((((((((((((((((a{10}){10}){10}){10}",
    "\u{e4}{500}",
    "(?i-",
    "[[:nope:]]",
    r"\x{110000}",
    r"\",
    "(?P<n>a)(?P<n>b)",
    "[\u{0}]",
    "a|*",
    "(?U)a+",
    "(?s).",
    "[a&&b]",
    r"\h",
    r"\R",
    "(?>a)",
    r"\u0041",
];
const NAMES: &[&str] = &["x-a", "X-B", "x_c", "accept", "user-agent", "cookie", "x-forwarded-for", "te"];
const BAD_NAMES: &[&str] = &[
    "",
    ":path",
    ":authority",
    ":method",
    ":status",
    "host",
    "Host",
    "x y",
    "é",
    "x\n",
    "x:y",
    "x\u{0}",
    "content-length",
    "transfer-encoding",
    "connection",
    "(x)",
    "x,y",
    "%x%",
    "x-envoy-upstream-rq-timeout-ms",
];
const VALUES: &[&str] = &["v", "a b", "1", "text/html; q=0.5", "{\"a\":1}", "x=y"];
const BAD_VALUES: &[&str] = &[
    "",
    "a\nb",
    "a\rb",
    "\u{0}",
    "%",
    "%%",
    "100%",
    "%REQ(x)%",
    "%START_TIME%",
    "%NOPE%",
    "%REQ(",
    "%DYNAMIC_METADATA(a:b)%",
    "ü",
    " v ",
    "\t",
    "%PROTOCOL%%",
    "%ENVIRONMENT(HOME)%",
];
const TIMES: &[&str] = &["0s", "1s", "10s", "1ms", "1h", "1h30m", "2m"];
const BAD_TIMES: &[&str] = &[
    "",
    "-1s",
    "abc",
    "1.5s",
    "1",
    "99999h",
    "99999999999h",
    "1d",
    "1us",
    "0",
    "0ms",
    "1s1s1s1s1s",
    "8760h",
    "99999s",
    "300000000000s",
];
const METHODS: &[&str] = &["GET", "POST", "DELETE", "PATCH", "CONNECT", "TRACE"];
const BAD_METHODS: &[&str] = &["", "get", "PURGE", "A B", "G\n", "GET|POST"];

/// A deterministic source of choices (xorshift64*): a seed is all that a finding needs to be repeated.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or_default() % sides.max(1)
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn any<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    /// Mostly one of the good ones; one in eight times a bad one, or one that is long.
    fn pick(&mut self, good: &[&str], bad: &[&str]) -> String {
        match self.roll(40) {
            0..=3 => self.any(bad).to_owned(),
            4 => self.any(good).repeat(1 + self.roll(200)),
            5 => format!("{}{}", self.any(good), self.any(bad)),
            _ => self.any(good).to_owned(),
        }
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.roll(most + 1)).map(|_| make(self)).collect()
    }
}

/// A Gateway with several listeners on two ports.
pub(super) fn gateway(dice: &mut Dice) -> Value {
    let mut gateway = manifests::gateway([127, 0, 0, 1].into(), &[8080, 8090]);
    let more = (0..dice.roll(4)).map(|number| {
        let mut listener = json!({"name": format!("more-{number}"), "port": if dice.one_in(2) { 8080 } else { 8090 }, "protocol": "HTTP"});
        listener["hostname"] = dice.pick(HOSTS, BAD_HOSTS).into();
        listener
    });
    let more: Vec<Value> = more.collect();
    if let Some(listeners) = gateway["spec"]["listeners"].as_array_mut() {
        listeners.extend(more);
    }
    gateway
}

/// The Services that routes name.
pub(super) fn services() -> Vec<Value> {
    let mut h2c = manifests::service("three");
    h2c["spec"]["ports"][0]["appProtocol"] = "kubernetes.io/h2c".into();
    vec![manifests::service("one"), manifests::service("two"), h2c]
}

/// A route.
pub(super) fn route(dice: &mut Dice, number: usize) -> Value {
    let hosts = dice.some(3, |dice| dice.pick(HOSTS, BAD_HOSTS));
    let rules: Vec<Value> = (0..=dice.roll(4)).map(|_| rule(dice)).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": format!("route-{number}"), "namespace": NAMESPACE},
        "spec": {"parentRefs": [{"name": "web"}], "hostnames": hosts, "rules": rules},
    })
}

fn rule(dice: &mut Dice) -> Value {
    let mut rule = json!({"matches": dice.some(3, condition), "filters": dice.some(2, filter)});
    let redirects = rule["filters"].to_string().contains("RequestRedirect");
    if !redirects || dice.one_in(10) {
        rule["backendRefs"] = dice.some(3, backend).into();
    }
    if dice.one_in(3) {
        rule["timeouts"] =
            json!({"request": dice.pick(TIMES, BAD_TIMES), "backendRequest": dice.pick(TIMES, BAD_TIMES)});
    }
    rule
}

fn condition(dice: &mut Dice) -> Value {
    let mut condition = json!({});
    if !dice.one_in(4) {
        condition["path"] = match dice.roll(4) {
            0 => json!({"type": "Exact", "value": dice.pick(PATHS, BAD_PATHS)}),
            1 => json!({"type": "RegularExpression", "value": dice.pick(EXPRESSIONS, BAD_EXPRESSIONS)}),
            _ => json!({"type": "PathPrefix", "value": dice.pick(PATHS, BAD_PATHS)}),
        };
    }
    if dice.one_in(3) {
        condition["headers"] = dice.some(3, |dice| matcher(dice, NAMES, BAD_NAMES)).into();
    }
    if dice.one_in(3) {
        condition["queryParams"] =
            dice.some(3, |dice| matcher(dice, &["q", "page", "A"], &["", "a b", "é", "&", "q\n"])).into();
    }
    if dice.one_in(3) {
        condition["method"] = dice.pick(METHODS, BAD_METHODS).into();
    }
    condition
}

fn matcher(dice: &mut Dice, names: &[&str], bad_names: &[&str]) -> Value {
    let name = dice.pick(names, bad_names);
    match dice.one_in(3) {
        true => json!({"name": name, "type": "RegularExpression", "value": dice.pick(EXPRESSIONS, BAD_EXPRESSIONS)}),
        false => json!({"name": name, "value": dice.pick(VALUES, BAD_VALUES)}),
    }
}

fn backend(dice: &mut Dice) -> Value {
    let mut backend =
        json!({"name": dice.pick(&["one", "two", "three"], &["", "nowhere", "One"]), "port": BACKEND_PORT});
    match dice.roll(12) {
        0 => backend["port"] = [0, 1, 65_535, 65_536, -1][dice.roll(5)].into(),
        1 => drop(backend.as_object_mut().map(|fields| fields.remove("port"))),
        _ => {}
    }
    if dice.one_in(2) {
        backend["weight"] = [0, 1, 90, 1_000_000, 1_000_001, 4_294_967_295_i64, 4_294_967_296, -1][dice.roll(8)].into();
    }
    if dice.one_in(8) {
        backend["filters"] = dice.some(2, filter).into();
    }
    backend
}

fn filter(dice: &mut Dice) -> Value {
    let header = |dice: &mut Dice| json!({"name": dice.pick(NAMES, BAD_NAMES), "value": dice.pick(VALUES, BAD_VALUES)});
    let modifier = |dice: &mut Dice| {
        let remove = dice.some(2, |dice| dice.pick(NAMES, BAD_NAMES));
        json!({"set": dice.some(2, header), "add": dice.some(2, header), "remove": remove})
    };
    match dice.roll(9) {
        0..=2 => json!({"type": "RequestHeaderModifier", "requestHeaderModifier": modifier(dice)}),
        3..=4 => json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": modifier(dice)}),
        5 => json!({"type": "RequestRedirect", "requestRedirect": redirect(dice)}),
        6..=7 => json!({"type": "URLRewrite", "urlRewrite": rewrite(dice)}),
        _ => json!({"type": dice.any(&["RequestMirror", "ExtensionRef", "CORS", "Nope", ""])}),
    }
}

fn redirect(dice: &mut Dice) -> Value {
    let mut redirect = rewrite(dice);
    if dice.one_in(2) {
        redirect["scheme"] = dice.pick(&["http", "https"], &["", "ftp", "HTTPS", "h\n"]).into();
    }
    if dice.one_in(2) {
        redirect["port"] = [0, 1, 80, 443, 8443, 65_535, 65_536][dice.roll(7)].into();
    }
    if dice.one_in(2) {
        redirect["statusCode"] = [301, 302, 303, 307, 308, 200, 300, 404, 0][dice.roll(9)].into();
    }
    redirect
}

fn rewrite(dice: &mut Dice) -> Value {
    let mut rewrite = json!({});
    if dice.one_in(2) {
        rewrite["hostname"] = dice.pick(HOSTS, BAD_HOSTS).into();
    }
    match dice.roll(4) {
        0 => rewrite["path"] = json!({"type": "ReplaceFullPath", "replaceFullPath": dice.pick(PATHS, BAD_PATHS)}),
        1 => rewrite["path"] = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": dice.pick(PATHS, BAD_PATHS)}),
        2 => rewrite["path"] = json!({"type": dice.any(&["Nope", "ReplaceFullPath", "ReplacePrefixMatch"])}),
        _ => {}
    }
    rewrite
}
