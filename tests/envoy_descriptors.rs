//! `src/render/envoy.binpb` describes Envoy's messages for rendering. It is compiled here from the very `.proto`
//! files that `envoy-types` was generated from, so the two cannot drift apart: after an update of `envoy-types`,
//! `UPDATE_GOLDEN=1 cargo test --test envoy_descriptors` writes it again.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the descriptors must cover: the resources, and what they carry as `Any`.
const ROOTS: &[&str] = &[
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/stream/v3/stream.proto",
    "envoy/extensions/filters/http/cors/v3/cors.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/config/bootstrap/v3/bootstrap.proto",
];

#[test]
fn descriptors_are_those_of_envoy_types() {
    let protos = envoy_types_source().join("proto");
    let includes: Vec<PathBuf> = std::fs::read_dir(&protos)
        .expect("envoy-types ships its protos")
        .map(|entry| entry.expect("readable").path())
        .collect();
    let mut compiler = protox::Compiler::new(includes).expect("folders of protos");
    compiler.include_imports(true).open_files(ROOTS).expect("the roots compile");
    let compiled = compiler.encode_file_descriptor_set();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/envoy.binpb");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &compiled).expect("the source folder can be written");
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    assert!(
        compiled == committed,
        "{} is not what envoy-types describes: run UPDATE_GOLDEN=1 cargo test --test envoy_descriptors",
        path.display()
    );
}

/// Where cargo has put the source of the `envoy-types` that we are built with.
fn envoy_types_source() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|p| p["name"] == "envoy-types").expect("envoy-types is a dependency");
    let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a folder").to_owned()
}
