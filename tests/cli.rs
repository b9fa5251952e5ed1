//! The command line as its users meet it: the built program, its output and its exit code.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: syncgate}
spec: {controllerName: syncgate.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: demo}
spec:
  gatewayClassName: syncgate
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
";

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo}
spec:
  selector: {app: shop}
  ports: [{port: 80, targetPort: 3000}]
---
apiVersion: v1
kind: Pod
metadata: {name: shop-1, namespace: demo, labels: {app: shop}}
spec: {containers: [{name: shop}]}
status:
  phase: Running
  podIP: 127.0.0.1
  conditions: [{type: Ready, status: 'True'}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com]
  rules:
  - backendRefs: [{name: shop, port: 80}]
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("a writable folder");
    }
    dir
}

fn syncgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_syncgate")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn path(dir: &TempDir) -> &str {
    Path::to_str(dir.path()).expect("UTF-8")
}

#[test]
fn check_accepts_a_good_folder() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", SHOP)]);
    let output = syncgate(&["check", path(&dir)]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("2 files, 5 objects"), "{report}");
    assert!(report.contains("no problems"), "{report}");
}

#[test]
fn check_names_file_line_and_field() {
    let broken = SHOP.replace("name: shop, port: 80}", "name: gone, port: 80}");
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &broken), ("bad.yaml", "kind: [Service\n")]);
    let output = syncgate(&["check", path(&dir)]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("bad.yaml:"), "{report}");
    let line = report.lines().find(|line| line.contains("HTTPRoute demo/shop")).unwrap();
    assert!(line.contains("shop.yaml:25"), "{line}");
    assert!(line.contains("spec.rules[0].backendRefs[0]"), "{line}");
    assert!(line.contains("gone"), "{line}");
}

#[test]
fn check_prints_warnings_and_accepts_the_folder_all_the_same() {
    let near = "apiVersion: gateway.networking.k8s.io/v9\nkind: HTTPRoute\nmetadata: {name: next, namespace: demo}\n";
    let dir = folder(&[("gateway.yaml", GATEWAY), ("next.yaml", near)]);
    let output = syncgate(&["check", path(&dir)]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("next.yaml:1:1: warning: "), "{report}");
    assert!(report.ends_with("; 1 warning\n"), "{report}");
}

/// For scripts and diffs: the same bytes each time, without colours, and with `--output` apart from the resources.
#[test]
fn check_reports_are_plain_and_stable() {
    let broken = SHOP.replace("name: shop, port: 80}", "name: gone, port: 80}");
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", &broken), ("bad.yaml", "kind: [Service\n")]);
    let report = text(&syncgate(&["check", path(&dir)]).stdout);
    assert!(report.chars().all(|c| c == '\n' || !c.is_control()), "{report:?}");
    let output = syncgate(&["check", path(&dir), "--output", "yaml"]);
    assert_eq!(output.status.code(), Some(1), "problems count with --output too");
    assert_eq!(text(&output.stderr), report);
    assert!(text(&output.stdout).starts_with("gateways:"), "{}", text(&output.stdout));
}

#[test]
fn check_prints_envoy_resources() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", SHOP)]);
    let output = syncgate(&["check", path(&dir), "--output", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let gateway = &json["gateways"]["demo/web"];
    assert_eq!(gateway["CDS"][0]["name"], "service/demo/shop/80/http");
    assert_eq!(gateway["LDS"][0]["name"], "demo/web/8080");
    let yaml = text(&syncgate(&["check", path(&dir), "--output", "yaml"]).stdout);
    assert!(yaml.contains("service/demo/shop/80/http"), "{yaml}");
}

/// Invariant `pure`, across processes: names decide the order in which files are read, and must not decide anything else.
#[test]
fn pure_two_processes_fed_in_different_orders_print_equal_bytes() {
    let one = folder(&[("a.yaml", GATEWAY), ("b.yaml", SHOP)]);
    let other = folder(&[("b.yaml", GATEWAY), ("a.yaml", SHOP)]);
    let resources = |dir: &TempDir| syncgate(&["check", path(dir), "--output", "json"]).stdout;
    let bytes = resources(&one);
    assert!(bytes.len() > 1000);
    assert_eq!(text(&bytes), text(&resources(&other)));
}

#[test]
fn explain_says_what_an_object_became_or_lacks() {
    let dir = folder(&[("gateway.yaml", GATEWAY), ("shop.yaml", SHOP)]);
    let output = syncgate(&["explain", "service", "demo/shop", "--files", path(&dir)]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("CDS service/demo/shop/80/http of Gateway demo/web"), "{said}");
    let output = syncgate(&["explain", "HTTPRoute", "demo/shop", "--files", path(&dir)]);
    assert!(text(&output.stdout).contains("Accepted: True"), "{}", text(&output.stdout));
    let output = syncgate(&["explain", "HTTPRoute", "demo/none", "--files", path(&dir)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("no such object"), "{}", text(&output.stdout));
}

#[test]
fn errors_say_what_to_do_before_anything_starts() {
    let cases: &[(&[&str], &str)] = &[
        (&["serve"], "--files DIR"),
        (&["serve", "--files", "x", "--admin-address", "0.0.0.0:1"], "port-forward"),
        (&["serve", "--files", "x", "--log", "=="], "must be a level"),
        (&["check", "/nonexistent"], "/nonexistent"),
        (&["bootstrap", "--gateway", "web"], "NAMESPACE/NAME"),
        (&["status", "--admin-address", "127.0.0.1:1"], "is it running"),
    ];
    for (arguments, expected) in cases {
        let output = syncgate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = syncgate(&["completions", shell]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("bootstrap"), "{shell}");
    }
}
