//! Generates the Rust side of the suite's protos. They are not ours, so they are not in this
//! repository: `CONFORMANCE_PROTOS` names the folder they are in, and `cargo xtask conformance` sets
//! it. Without it there is nothing to generate, and the crate builds as a hint (see `src/lib.rs`).

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

/// They import what else is needed.
const FILES: [&str; 3] = [
    "connectrpc/conformance/v1/service.proto",
    "connectrpc/conformance/v1/server_compat.proto",
    "connectrpc/conformance/v1/client_compat.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-check-cfg=cfg(conformance_protos)");
    println!("cargo::rerun-if-env-changed=CONFORMANCE_PROTOS");
    // Otherwise any change in this folder would do.
    println!("cargo::rerun-if-changed=build.rs");
    let Some(folder) = env::var_os("CONFORMANCE_PROTOS").filter(|folder| !folder.is_empty()) else {
        return Ok(());
    };
    let folder = PathBuf::from(folder);
    println!("cargo::rerun-if-changed={}", folder.display());

    let descriptors = protox::compile(FILES, [folder])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("conformance_descriptor.bin"), descriptors.encode_to_vec())?;

    // Messages travel inside `google.protobuf.Any` here, so each must know its name.
    let mut config = prost_build::Config::new();
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    let for_page = env::var("CARGO_CFG_TARGET_ARCH")? == "wasm32";
    tonic_prost_build::configure()
        .build_client(for_page)
        .build_server(!for_page)
        .build_transport(false)
        // The suite wants one method left out; the framework answers it.
        .generate_default_stubs(true)
        // Written for another documentation tool; rustdoc would stumble over it.
        .disable_comments(["."])
        .compile_fds_with_config(descriptors, config)?;
    println!("cargo::rustc-cfg=conformance_protos");
    Ok(())
}
