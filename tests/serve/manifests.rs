//! Folders of manifests.

use std::{fmt::Write, fs, path::Path};

use tempfile::TempDir;

/// A class, and a Gateway `demo/web` with an HTTP listener.
pub(crate) const GATEWAY: &str = "
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

/// Not YAML, from its second line on.
pub(crate) const BROKEN: &str = "kind: Service\nmetadata: {name: [\n";

/// A Service of this name in `demo` with a pod, and a route to it at `<name>.example.com`.
pub(crate) fn app(name: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: demo}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: 3000}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}-1, namespace: demo, labels: {{app: {name}}}}}
spec: {{containers: [{{name: {name}}}]}}
status:
  phase: Running
  podIP: 127.0.0.1
  conditions: [{{type: Ready, status: 'True'}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: demo}}
spec:
  parentRefs: [{{name: web}}]
  hostnames: [{name}.example.com]
  rules:
  - backendRefs: [{{name: {name}, port: 80}}]
"
    )
}

/// Services `<prefix>-0` to `<prefix>-<count - 1>`.
pub(crate) fn services(prefix: &str, count: usize) -> String {
    let mut text = String::new();
    for at in 0..count {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {prefix}-{at}, namespace: demo}}\nspec: {{ports: [{{port: 80}}]}}"
        );
    }
    text
}

/// The cluster that [`app`] yields.
pub(crate) fn cluster(name: &str) -> String {
    format!("service/demo/{name}/80/http")
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    dir
}

/// Writes a file as an editor does: in one step.
pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    let aside = dir.join(format!(".{name}.new"));
    fs::write(&aside, text).expect("a writable folder");
    fs::rename(aside, dir.join(name)).expect("a writable folder");
}
