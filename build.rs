//! Compiles `proto/` with protox: no `protoc` is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILE: &str = "syncgate/v1/introspection.proto";
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile([FILE], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
