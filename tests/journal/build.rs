//! Generates the Rust side of `journal.proto` as any user of tonic would.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=journal.proto");
    let descriptors = protox::compile(["journal.proto"], ["."])?;
    // Tests choose the transport.
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
