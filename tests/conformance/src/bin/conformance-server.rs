//! The server under test; what it does is in `conformance::server`.

use std::process::ExitCode;

#[cfg(conformance_protos)]
#[tokio::main]
async fn main() -> ExitCode {
    match conformance::server::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(conformance_protos))]
fn main() -> ExitCode {
    eprintln!(
        "conformance-server: built without the suite's protos; `cargo xtask conformance server` \
         builds it with them, and runs the suite"
    );
    ExitCode::FAILURE
}
