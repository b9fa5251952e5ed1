//! By hand: the command, its commands on standard input, and the kubeconfig that it writes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use syncgate_e2e::faults::{Fault, JSON};

use crate::client::{Client, Http};
use crate::server::ApiServer;
use crate::{Bed, PODS};

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: anna, namespace: shop}}]
clusters:
- {name: other, cluster: {server: https://other.example.com}}
- {name: test, cluster: {server: https://127.0.0.1:6443, certificate-authority: /ca.pem, tls-server-name: kubernetes}}
users:
- {name: anna, user: {token: secret}}
- {name: otto, user: {client-certificate: /otto.pem}}
";

/// The program, killed when the test is over.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncgate-e2e"));
        command.arg("faults").args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_hand() {
    let server = ApiServer::start().await;
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault-proxy");
    std::fs::create_dir_all(&work).unwrap();
    let (ca, from, to) = (work.join("ca.pem"), work.join("in.yaml"), work.join("out.yaml"));
    std::fs::write(&ca, server.authority.pem()).unwrap();
    std::fs::write(&from, KUBECONFIG).unwrap();
    let upstream = format!("https://{}", server.address);
    let mut program = Program::start(&[
        "--upstream",
        &upstream,
        "--upstream-ca",
        text(&ca),
        "--kubeconfig-in",
        text(&from),
        "--kubeconfig-out",
        text(&to),
        "--scenario",
        "unauthorized",
        "--for",
        "0.1",
        "--scenario",
        "forbidden",
        "--on",
        "shop/pods",
        "--seed",
        "7",
    ]);
    let mut input = program.0.stdin.take().unwrap();
    let mut output = BufReader::new(program.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |wanted: &str| output.by_ref().find(|line| line.contains(wanted)).expect(wanted);
    assert!(until("fault proxy on").ends_with("seed 7"));
    for line in ["out.yaml leads to it", "playing unauthorized for", "unauthorized is over", "playing forbidden"] {
        until(line);
    }
    let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(&to).unwrap()).unwrap();
    let cluster = &config["clusters"][1]["cluster"];
    let address = cluster["server"].as_str().unwrap().strip_prefix("https://").unwrap().parse().unwrap();
    let ca = STANDARD.decode(cluster["certificate-authority-data"].as_str().unwrap()).unwrap();
    let mut client = Client::connect_to(address, &String::from_utf8(ca).unwrap(), Http::Two).await.unwrap();
    assert_eq!(client.get(PODS, JSON).await.status, 403);
    for (command, answer, status) in [
        ("counts", "fault answer Forbidden: 1", 403),
        ("play nonsense", "no scenario is called", 403),
        ("play", "is no command", 403),
        ("play expired other/pods", "playing expired", 200),
        ("play expired", "playing expired", 410),
        ("clear", "playing nothing", 200),
    ] {
        writeln!(input, "{command}").unwrap();
        until(answer);
        assert_eq!(client.get(PODS, JSON).await.status, status, "{command}");
    }
}

#[tokio::test]
async fn a_kubeconfig_is_changed_where_it_must_be() {
    let bed = Bed::start().await;
    let config = syncgate_e2e::faults::kubeconfig(KUBECONFIG, &bed.proxy).unwrap();
    let config: Value = serde_saphyr::from_str(&config).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://other.example.com");
    let cluster = config["clusters"][1]["cluster"].as_object().unwrap();
    assert_eq!(cluster.keys().collect::<Vec<_>>(), ["certificate-authority-data", "server"]);
    assert_eq!(config["users"][0]["user"]["token"], "secret");
    let certificate = KUBECONFIG.replace("user: anna,", "user: otto,");
    let refusal = syncgate_e2e::faults::kubeconfig(&certificate, &bed.proxy).unwrap_err().to_string();
    assert!(refusal.contains("user otto has a client-certificate"), "{refusal}");
}

#[test]
fn help_lists_the_faults_and_a_plan_needs_its_times() {
    let output = Command::new(env!("CARGO_BIN_EXE_syncgate-e2e")).args(["faults", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for wanted in [&Fault::BlackHole.name(), "black-hole", "empty-lists", "410 Expired as an ERROR event", "counts"] {
        assert!(help.contains(wanted), "{wanted} is not in {help}");
    }
    let mut program = Program::start(&["--upstream-ca", "x", "--scenario", "hang", "--scenario", "slow"]);
    assert_eq!(program.0.wait().unwrap().code(), Some(1));
    let lines = BufReader::new(program.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: String = lines.collect();
    assert!(said.contains("each scenario but the last needs its --for"), "{said}");
}
