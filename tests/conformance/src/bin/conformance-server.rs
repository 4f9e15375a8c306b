//! The server under test; what it does is in `conformance::server`.

use std::process::ExitCode;

#[cfg(all(conformance_protos, not(target_arch = "wasm32")))]
#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(conformance::server::run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(all(conformance_protos, not(target_arch = "wasm32"))))]
fn main() -> ExitCode {
    eprintln!(
        "conformance-server: built without the suite's protos; `cargo xtask conformance server` \
         builds it with them, and runs the suite"
    );
    ExitCode::FAILURE
}
