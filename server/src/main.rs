//! `runnel`: parses, binds, serves. What it does is in the library; this is the script.

use std::process::ExitCode;

use clap::Parser as _;
use runnel::config::{Cli, Command, ServeConfig};
use tokio::net::TcpListener;

/// Exit codes: 0 clean, 1 failure, 2 bad usage (clap's own).
fn main() -> ExitCode {
    let (command, config) = Cli::parse().into_command();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the async runtime: {error}")),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve => serve(config).await,
            Command::Healthcheck => {
                runnel::healthcheck::check(config.listen).await.map_err(|error| error.to_string())
            }
        }
    });
    // Whatever still runs after a drain (a blocked reader, a name lookup) must not hold the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn serve(config: ServeConfig) -> Result<(), String> {
    runnel::telemetry::init(config.log_format);
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let shutdown = runnel::signal::shutdown()
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    runnel::serve(listener, config, shutdown).await.map_err(|error| error.to_string())
}

fn fail(error: &str) -> ExitCode {
    eprintln!("runnel: {error}");
    ExitCode::FAILURE
}
