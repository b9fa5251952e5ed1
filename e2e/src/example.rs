//! An example: a folder of manifests, and `requests.txt` that says what to ask and what must come.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hyper::Uri;
use serde_json::Value;

/// The manifests of an example, as far as the demo must know them.
#[derive(Debug)]
pub struct Example {
    /// File names and texts of the manifests.
    pub manifests: Vec<(String, String)>,
    /// The Gateway, `<namespace>/<name>`.
    pub gateway: String,
    /// Where its Envoy binds.
    pub address: IpAddr,
    /// For each pod that has an address and a port: its name and where its program listens.
    pub pods: Vec<(String, SocketAddr)>,
    /// Secrets that HTTPS listeners name, with the listener's host; those that are not among the manifests.
    pub missing_secrets: Vec<MissingSecret>,
    /// What to ask.
    pub requests: Vec<Request>,
}

/// A Secret that a demo has to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSecret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host that its certificate is for.
    pub host: String,
}

/// A line of `requests.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `https`.
    pub tls: bool,
    /// The host of the URL.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Headers to send.
    pub headers: Vec<(String, String)>,
    /// What must come.
    pub expected: Expected,
}

/// What must come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// No TLS connection for that name.
    Refused,
    /// This status; if pods are named, from one of them, in these shares (percent) where they are given.
    Answer {
        /// The status code.
        status: u16,
        /// Pods that may answer, and the share that each must have.
        pods: BTreeMap<String, Option<u32>>,
    },
}

impl Request {
    /// Host and port, as a browser writes them into the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, " ({name}: {value})"))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expected::Answer { status, pods } = self else { return f.write_str("TLS refused") };
        write!(f, "{status}")?;
        for (number, (pod, share)) in pods.iter().enumerate() {
            write!(f, "{}{pod}", if number == 0 { " from " } else { " or " })?;
            if let Some(share) = share {
                write!(f, " ({share} %)")?;
            }
        }
        Ok(())
    }
}

impl Example {
    /// Reads a folder. Every `127.0.0.1` in its manifests is replaced by `at`, so that several runs need not share ports.
    pub fn load(folder: &Path, at: IpAddr) -> Result<Self> {
        let mut manifests = Vec::new();
        let entries = std::fs::read_dir(folder).with_context(|| format!("read the example {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                manifests.push((name, read(&path)?.replace("127.0.0.1", &at.to_string())));
            }
        }
        manifests.sort();
        let mut objects = Vec::new();
        for (name, text) in &manifests {
            let documents: Vec<Value> = serde_saphyr::from_multiple(text).with_context(|| format!("parse {name}"))?;
            objects.extend(documents);
        }
        let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
        let gateway = of_kind("Gateway").next().with_context(|| format!("no Gateway in {}", folder.display()))?;
        let secrets: Vec<String> = of_kind("Secret").map(name_of).collect();
        let mut missing_secrets = missing_secrets(gateway);
        missing_secrets.retain(|secret| !secrets.contains(&format!("{}/{}", secret.namespace, secret.name)));
        Ok(Self {
            gateway: name_of(gateway),
            address: at,
            pods: of_kind("Pod").filter_map(pod).collect(),
            missing_secrets,
            requests: parse_requests(&read(&folder.join("requests.txt"))?)?,
            manifests,
        })
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn name_of(object: &Value) -> String {
    let field = |name| object["metadata"][name].as_str().unwrap_or("default");
    format!("{}/{}", field("namespace"), field("name"))
}

fn pod(object: &Value) -> Option<(String, SocketAddr)> {
    let ip: IpAddr = object["status"]["podIPs"][0]["ip"].as_str()?.parse().ok()?;
    let port = u16::try_from(object["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64()?).ok()?;
    Some((object["metadata"]["name"].as_str()?.to_owned(), (ip, port).into()))
}

fn missing_secrets(gateway: &Value) -> Vec<MissingSecret> {
    let namespace = gateway["metadata"]["namespace"].as_str().unwrap_or("default");
    let listeners = gateway["spec"]["listeners"].as_array().into_iter().flatten();
    let named = listeners.filter_map(|listener| {
        let reference = &listener["tls"]["certificateRefs"][0];
        Some(MissingSecret {
            namespace: reference["namespace"].as_str().unwrap_or(namespace).to_owned(),
            name: reference["name"].as_str()?.to_owned(),
            host: listener["hostname"].as_str()?.to_owned(),
        })
    });
    named.collect()
}

fn parse_requests(text: &str) -> Result<Vec<Request>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| parse_request(line).with_context(|| format!("requests.txt, line {number}: {line}")))
        .collect()
}

fn parse_request(line: &str) -> Result<Request> {
    let mut words = line.split_whitespace();
    let url: Uri = words.next().context("no URL")?.parse()?;
    let status = words.next().context("no status")?;
    let (mut pods, mut headers) = (BTreeMap::new(), Vec::new());
    for word in words {
        match (word.split_once(':'), word.split_once('=')) {
            (Some((name, value)), _) => headers.push((name.to_owned(), value.to_owned())),
            (None, Some((pod, share))) => drop(pods.insert(pod.to_owned(), Some(share.parse()?))),
            (None, None) => drop(pods.insert(word.to_owned(), None)),
        }
    }
    let expected = match status {
        "refused" => Expected::Refused,
        status => Expected::Answer { status: status.parse().context("neither a status nor \"refused\"")?, pods },
    };
    let tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("neither http:// nor https://"),
    };
    ensure!(tls || expected != Expected::Refused, "only TLS can be refused");
    Ok(Request {
        tls,
        host: url.host().context("no host")?.to_owned(),
        port: url.port_u16().context("no port")?,
        path: url.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers,
        expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_ask_and_what_must_come() {
        let request = parse_request("https://a.example:8443/x?y=1  200  one=90 two=10 x-version:next").unwrap();
        assert_eq!(request.to_string(), "https://a.example:8443/x?y=1 (x-version: next)");
        assert_eq!(request.expected.to_string(), "200 from one (90 %) or two (10 %)");
        assert!(parse_request("http://a.example:80/ refused").is_err());
        assert!(parse_request("http://a.example:80/").is_err());
        assert!(parse_request("ftp://a.example:80/ 200").is_err());
    }

    #[test]
    fn the_examples_load() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let at: IpAddr = "127.1.2.3".parse().unwrap();
        let quickstart = Example::load(&examples.join("quickstart"), at).unwrap();
        assert_eq!(quickstart.gateway, "demo/web");
        assert!(quickstart.pods.contains(&("shop-2".into(), (at, 9002).into())));
        assert!(quickstart.missing_secrets.is_empty());
        let split = Example::load(&examples.join("https-split"), at).unwrap();
        let hosts: Vec<&str> = split.missing_secrets.iter().map(|secret| secret.host.as_str()).collect();
        assert_eq!(hosts, ["shop.example.com", "blog.example.org"]);
    }
}
