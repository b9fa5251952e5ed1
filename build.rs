//! Compiles `proto/` with protox: no `protoc` is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILE: &str = "syncgate/v1/introspection.proto";
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile([FILE], ["proto"])?;
    let mut build = tonic_prost_build::configure().btree_map(".syncgate.v1");
    // What is shown as JSON too, on a page or by a command.
    for message in ["ClientList", "Client", "ClientType", "NackedResponse"] {
        build = build.type_attribute(format!(".syncgate.v1.{message}"), "#[derive(serde::Serialize)]");
    }
    build.compile_fds(descriptors)?;
    Ok(())
}
