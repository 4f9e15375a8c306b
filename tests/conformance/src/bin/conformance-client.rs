//! The client under test; what it does is in `conformance::client`.

use std::process::ExitCode;

#[cfg(all(conformance_protos, not(target_arch = "wasm32")))]
#[tokio::main]
async fn main() -> ExitCode {
    match conformance::client::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(all(conformance_protos, not(target_arch = "wasm32"))))]
fn main() -> ExitCode {
    eprintln!(
        "conformance-client: built without the suite's protos; `cargo xtask conformance client` \
         builds it with them, and runs the suite"
    );
    ExitCode::FAILURE
}
